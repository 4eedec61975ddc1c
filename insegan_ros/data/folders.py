"""What the folder formats share: PNG in and out, JSON, paths that stay where they belong."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from insegan_ros.data.images import read_picture
from insegan_ros.errors import DatasetError
from insegan_ros.files import no_path, write_whole
from insegan_ros.frame import Instances, Intrinsics, metres
from insegan_ros.workspace import Workspace, workspace_of, workspace_values

# What masks beside a picture NAME are called.
LABELS = '_labels.png'


def write_entries(path: Path, content: Any) -> None:
    """Write JSON; of a mapping every entry is a line, so that differences can be read. Raises
    DatasetError."""
    if isinstance(content, dict):
        body = (
            '{\n'
            + ',\n'.join(
                f'  {json.dumps(str(key))}: {json.dumps(value)}' for key, value in content.items()
            )
            + '\n}\n'
        )
    else:
        body = json.dumps(content) + '\n'
    write_whole(path, body.encode())


def inside(folder: Path, name: str) -> Path:
    """A path that a file names, if it stays in the folder. Raises DatasetError."""
    if any(sign in name for sign in '\0\n\r'):
        raise DatasetError(
            f'{folder} names a file with a NUL character or a line break: expected files inside'
        )
    try:
        path = (folder / name).resolve()
        path.exists()
    except (OSError, ValueError) as error:
        raise no_path(folder / name, error, DatasetError) from error
    if not path.is_relative_to(folder.resolve()):
        raise DatasetError(
            f'{folder} names the file "{name}", which lies outside it: expected files inside'
        )
    return path


def read_png(path: Path) -> np.ndarray:
    """The pixels of a PNG or JPEG as they are, (H, W) or (H, W, C) with blue first. Raises
    DatasetError where it cannot be read."""
    image = read_picture(path, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise DatasetError(f'{path} is missing or not an image: expected a whole PNG')
    return image


def depth_to_png(depth_m: np.ndarray, unit_m: float) -> np.ndarray:
    """Depth (H, W) in m as uint16 in units of unit_m, 0 = no reading. Raises DatasetError for what
    is too far for 16 bits."""
    deepest = float(np.nan_to_num(depth_m).max(initial=0))
    if deepest > 65535 * unit_m:
        raise DatasetError(
            f'depth goes up to {deepest:.1f} m: 16 bits in steps of {1000 * unit_m:g} mm hold up to'
            f' {65535 * unit_m:.2f} m'
        )
    return np.nan_to_num(depth_m / unit_m).round().clip(0, 65535).astype(np.uint16)


def depth_from_png(image: np.ndarray, unit_m: float) -> np.ndarray:
    """Depth (H, W) in units of unit_m, 0 = no reading, as float32 metres, NaN = no reading. Raises
    DatasetError for an image of several channels."""
    if image.ndim != 2:
        raise DatasetError(
            f'a depth image has shape {image.shape}: expected one channel of 16 bits'
        )
    return metres(image, unit_m)


def colour_of(path: Path) -> np.ndarray | None:
    """A picture file as (H, W, 3) uint8 RGB, or None where there is no such file."""
    if not path.is_file():
        return None
    image = read_png(path)
    image = np.repeat(image[..., None], 3, -1) if image.ndim == 2 else image[..., 2::-1]
    return np.ascontiguousarray(image.astype(np.uint8))


def intrinsics_json(k: Intrinsics) -> dict[str, float]:
    """Intrinsics as a mapping for JSON, in px."""
    return {'fx': k.fx, 'fy': k.fy, 'cx': k.cx, 'cy': k.cy, 'width': k.width, 'height': k.height}


def workspace_json(workspace: Workspace | None) -> dict[str, Any] | None:
    """A workspace as a mapping for JSON, in m and degrees, or None."""
    return None if workspace is None else workspace_values(workspace)


def workspace_from_json(raw: dict[str, Any] | None) -> Workspace | None:
    """The inverse of workspace_json."""
    return None if raw is None else workspace_of(raw)


def labels_of(masks: Iterable[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Labels of shape (H, W) uint16 from masks (H, W) bool in order: the i-th is i, and where they
    overlap the later one wins."""
    labels = np.zeros(shape, np.uint16)
    for number, mask in enumerate(masks, 1):
        labels[mask] = number
    return labels


def instances_of(
    labels: np.ndarray, classes: tuple[str, ...], poses: np.ndarray | None, amodal: list[np.ndarray]
) -> Instances:
    """Truth from what a format holds: labels (H, W), poses (N, 4, 4) or None, amodal masks (H, W),
    which are kept only where every instance has one."""
    count, whole = len(classes), None
    if count == 0:
        whole = np.zeros((0, *labels.shape), bool)
    elif len(amodal) == count:
        whole = np.stack(amodal)
    return Instances(labels, np.ones(count, np.float32), classes, poses, whole)
