"""PCD files, as PCL, Open3D and most cameras' viewers write them."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import numpy as np

from insegan_ros.errors import InputError, InseganWarning

# A camera at the origin that looks along z: its place, and a quaternion with w first.
NO_VIEWPOINT = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
# LZF packs 264 bytes into three at best: what promises more is no packed cloud.
TIGHTEST = 88


def read_pcd(path: Path) -> np.ndarray:
    """The points (N, 3) float64 of a PCD in the file's units, NaN where an organised cloud has no
    reading. Raises InputError where it cannot be read.

    Open3D reads as many points as the header announces, there or not: that is checked first.
    """
    # It takes a second to import.
    import open3d as o3d

    try:
        content = path.read_bytes()
        values, start = _header(content)
        _check(values, content[start:])
        with o3d.utility.VerbosityContextManager(o3d.utility.VerbosityLevel.Error):
            cloud = o3d.t.io.read_point_cloud(path, format='pcd')
        points = cloud.point.positions.numpy().astype(np.float64)
        viewpoint = [float(word) for word in values.get('VIEWPOINT', NO_VIEWPOINT)]
    except (OSError, ValueError, KeyError, IndexError, RuntimeError, struct.error) as error:
        reason = ' '.join(str(error).split())
        raise InputError(
            f'{path} cannot be read as a cloud ({reason}): expected a PCD of points in metres, with'
            ' fields x y z'
        ) from error
    if viewpoint != NO_VIEWPOINT:
        warnings.warn(
            f'{path} has a VIEWPOINT, which is ignored: its points are taken as they are, in their'
            " camera's optical frame",
            InseganWarning,
            stacklevel=3,
        )
    return points


def _header(content: bytes) -> tuple[dict[str, list[str]], int]:
    """The words of the header's lines by the first of each, and where the data begin."""
    values: dict[str, list[str]] = {}
    start = 0
    while (end := content.find(b'\n', start)) >= 0:
        name, *words = content[start:end].decode('ascii').split() or ['#']
        values[name], start = words, end + 1
        if name == 'DATA':
            return values, start
    raise ValueError('no line of its header begins with DATA')


def _check(values: dict[str, list[str]], data: bytes) -> None:
    """Raise ValueError where the data are not those that the header announces."""
    missing = [name for name in ('FIELDS', 'SIZE', 'TYPE', 'POINTS') if not values.get(name)]
    if missing:
        raise ValueError(f'its header has no {missing[0]}')
    fields, kinds = values['FIELDS'], values['TYPE']
    sizes = [int(size) for size in values['SIZE']]
    counts = [int(count) for count in values.get('COUNT', ['1'] * len(fields))]
    if not len(fields) == len(kinds) == len(sizes) == len(counts) or min(sizes + counts) < 1:
        raise ValueError('FIELDS, SIZE, TYPE and COUNT of its header do not fit together')
    places = [fields.index(axis) for axis in 'xyz' if axis in fields]
    if len(places) < 3 or len({(kinds[at], sizes[at], counts[at]) for at in places}) > 1:
        raise ValueError(f'its fields are {" ".join(fields)}, x y z of one type are not among them')
    announced = int(values['POINTS'][0])
    found = _points_in(data, values['DATA'], announced, sizes, counts)
    if not 0 <= announced <= found:
        raise ValueError(f'its header announces {announced} points and {found} are there')


def _points_in(
    data: bytes, form: list[str], announced: int, sizes: list[int], counts: list[int]
) -> int:
    """How many whole points the data hold."""
    record = sum(size * count for size, count in zip(sizes, counts))
    if form == ['ascii']:
        return sum(len(line.split()) >= sum(counts) for line in data.splitlines())
    if form == ['binary']:
        return len(data) // record
    if form == ['binary_compressed']:
        packed, whole = struct.unpack_from('<II', data)
        fits = packed <= len(data) - 8 and whole <= TIGHTEST * packed
        return announced if fits and whole == announced * record else 0
    raise ValueError(f'DATA of its header is {" ".join(form)!r}')
