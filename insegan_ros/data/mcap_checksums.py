"""The checksums of MCAP (mcap.dev/spec): the library that writes our recordings leaves them out,
and of those that it reads it compares the chunks' alone."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

from insegan_ros.errors import DatasetError

MAGIC, HEAD = 8, 9
CHUNK, FOOTER_BYTES = 0x06, 20
# Within a chunk: after start, end and size; and where the name of its compression begins.
CRC_AT, COMPRESSION_AT = 24, 28


def seal(path: Path) -> None:
    """Write the checksums of chunks, which are not compressed, and summary into a finished file.
    Raises OSError."""
    with open(path, 'r+b') as file:
        size = file.seek(0, 2)
        place = MAGIC
        while place < size - MAGIC:
            file.seek(place)
            kind, length = struct.unpack('<BQ', file.read(HEAD))
            if kind == CHUNK:
                content = file.read(length)
                (name,) = struct.unpack_from('<I', content, COMPRESSION_AT)
                records = content[COMPRESSION_AT + 4 + name + 8 :]
                _put(file, place + HEAD + CRC_AT, crc32(records))
            place += HEAD + length
        summary, _ = _summary(file)
        _put(file, size - MAGIC - 4, crc32(summary))


def check_summary(path: Path) -> None:
    """Raise DatasetError where a file's summary, which says where its messages lie, is not as its
    checksum says; a file without one passes, and what is no MCAP is left to the reader."""
    with open(path, 'rb') as file:
        if file.seek(0, 2) < 2 * MAGIC + HEAD + FOOTER_BYTES:
            return
        summary, wanted = _summary(file)
    if wanted and crc32(summary) != wanted:
        raise DatasetError(
            f'{path} is damaged, the checksum of its summary does not match: copy it again, or'
            ' repair it with `mcap recover`'
        )


def _put(file: BinaryIO, place: int, value: int) -> None:
    file.seek(place)
    file.write(struct.pack('<I', value))


def _summary(file: BinaryIO) -> tuple[bytes, int]:
    """The bytes that the checksum of the summary is of, to the footer's own field, and that
    field."""
    footer = file.seek(-(MAGIC + FOOTER_BYTES), 2)
    start, _, wanted = struct.unpack('<QQI', file.read(FOOTER_BYTES))
    file.seek(min(start or footer - HEAD, footer))
    return file.read(footer + FOOTER_BYTES - 4 - file.tell()), wanted
