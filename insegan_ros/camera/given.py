"""The camera of pictures that do not say it: given by hand, or guessed."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from insegan_ros.camera.lens import lens_warning, pinhole
from insegan_ros.errors import MALFORMED, InputError, InseganWarning
from insegan_ros.frame import Intrinsics, check_unit
from insegan_ros.texts import read_mapping, reason

EXPECTED = (
    'expected fx,fy,cx,cy in px, with width,height for a cloud, or a YAML or JSON file with these'
    ' names (or K, a matrix of nine numbers, or what camera_calibration writes) and, if it is not'
    ' 0.001, depth_unit_m'
)
# A D435's depth stream covers some 90 degrees of a wide picture, and its middle alone of a 4:3 one:
# fx 211.4 at 424x240, 239.3 at 480x270, 319.1 at 640x360 (librealsense, issue 3474). Units differ
# by some per cent.
WIDE_SHARE, NARROW_SHARE, WIDE_FROM = 0.4986, 0.5983, 1.6
# Its colour stream sees as much at any shape of picture: 615 px at 640x480.
COLOUR_SHARE = 615.0 / 480


@dataclass(frozen=True)
class GivenCamera:
    """A camera in px, its picture's size where it is known, the metres in a step of its depth
    pictures, and its lens's coefficients where they distort these."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int = 0
    height: int = 0
    depth_unit_m: float = 1e-3
    distortion: tuple[float, ...] = ()
    distortion_model: str = ''

    def __post_init__(self) -> None:
        check_unit(self.depth_unit_m)

    def intrinsics(self, height: int = 0, width: int = 0) -> Intrinsics:
        """The intrinsics of a picture of this size; warns of a lens that distorts it. Raises
        InputError where another size is given, or none at all."""
        if width and self.width and (width, height) != (self.width, self.height):
            raise InputError(
                f'a picture is {width}x{height} but the camera given has'
                f' {self.width}x{self.height}: expected the camera of these pictures'
            )
        width, height = width or self.width, height or self.height
        if not width:
            raise InputError(
                'a cloud has no size in px: expected --intrinsics fx,fy,cx,cy,width,height'
            )
        camera = Intrinsics(self.fx, self.fy, self.cx, self.cy, width, height)
        if warning := lens_warning(camera, self.distortion, self.distortion_model):
            warnings.warn(warning, InseganWarning, stacklevel=2)
        return camera


def given_camera(text: str) -> GivenCamera | None:
    """What --intrinsics says: numbers, or a file of them; None where it is empty. Raises
    InputError."""
    if not text:
        return None
    try:
        if Path(text).suffix in ('.yaml', '.yml', '.json'):
            return _from_file(read_mapping(Path(text), InputError))
        numbers = [float(number) for number in text.strip('[]').split(',')]
        if len(numbers) not in (4, 6):
            raise ValueError(f'{len(numbers)} numbers')
        fx, fy, cx, cy, width, height = (*numbers, 0, 0)[:6]
        return GivenCamera(fx, fy, cx, cy, int(width), int(height))
    except (InputError, *MALFORMED) as error:
        raise InputError(
            f'intrinsics "{text}" cannot be read ({reason(error)}): {EXPECTED}'
        ) from error


def _from_file(values: dict[str, Any]) -> GivenCamera:
    # camera_calibration writes matrices as mappings, with their numbers in `data`.
    values = {
        name: value['data'] if isinstance(value, dict) and 'data' in value else value
        for name, value in values.items()
    }

    def numbers(*names: str) -> list[float]:
        found = next((values[name] for name in names if name in values), ())
        return np.asarray(found, float).ravel().tolist()

    k = numbers('K', 'k', 'cam_K', 'camera_matrix')
    if k:
        if len(k) != 9:
            raise ValueError(f'a matrix of {len(k)} numbers')
        (fx, fy, cx, cy), rectified = pinhole(k, numbers('P', 'p', 'projection_matrix'))
    else:
        fx, fy, cx, cy = (float(values[name]) for name in ('fx', 'fy', 'cx', 'cy'))
        rectified = False
    width, height = (
        int(values.get(side, values.get(f'image_{side}', 0))) for side in ('width', 'height')
    )
    return GivenCamera(
        fx,
        fy,
        cx,
        cy,
        width,
        height,
        float(values.get('depth_unit_m', 1e-3)),
        () if rectified else tuple(numbers('D', 'd', 'distortion_coefficients')),
        str(values.get('distortion_model', '')),
    )


def usual_depth_camera(height: int, width: int) -> Intrinsics:
    """A D4xx's depth camera at this size."""
    share = WIDE_SHARE if width > WIDE_FROM * height else NARROW_SHARE
    return _centred(share * width, height, width)


def usual_colour_camera(height: int, width: int) -> Intrinsics:
    """A D4xx's colour camera at this size."""
    return _centred(COLOUR_SHARE * height, height, width)


def _centred(focal: float, height: int, width: int) -> Intrinsics:
    return Intrinsics(focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)
