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
