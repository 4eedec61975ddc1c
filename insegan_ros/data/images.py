"""Image files as arrays."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from insegan_ros.errors import MALFORMED
from insegan_ros.files import read_content

MOST_PX = 2**26
# No depth camera that stands over a bin reads as far, in mm; a 16-bit photograph is somewhere as
# bright.
FAR_MM = 20_000


def read_picture(path: Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray | None:
    """A file's pixels as OpenCV gives them, (H, W) or (H, W, C) with blue first, by its flags
    cv2.IMREAD_*; None for what is missing, no file (a pipe), no picture, larger than MOST_PX or cut
    short."""
    try:
        content = read_content(path)
        # OpenCV fills what is missing of a JPEG with grey and says nothing. Between start of scan
        # and end of image neither mark can occur.
        if content[:2] == b'\xff\xd8' and content.rfind(b'\xff\xd9') < content.rfind(b'\xff\xda'):
            return None
        # Opened, not read: the size alone, before memory is taken for it.
        with Image.open(io.BytesIO(content)) as header:
            if header.width * header.height > MOST_PX:
                return None
        return cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except (OSError, SyntaxError, cv2.error, Image.DecompressionBombError, *MALFORMED):
        return None


def depth_in(path: Path, image: np.ndarray) -> str:
    """What makes a file that was read as a picture (H, W, 3) depth in millimetres, in words; empty
    where it is none."""
    # What is not grey is no depth, and needs no second look.
    grey = bool((image == image[..., :1]).all())
    whole = read_picture(path, cv2.IMREAD_UNCHANGED) if grey else None
    if whole is None or whole.ndim != 2 or whole.dtype != np.uint16 or whole.max() >= FAR_MM:
        return ''
    return (
        f'is 16-bit grey and nowhere brighter than {whole.max()}, as depth in millimetres is and no'
        ' photograph that uses its 16 bits'
    )
