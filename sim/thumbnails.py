"""A picture of every part, for the manual."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from insegan_ros.files import check_new, write_png
from insegan_sim.camera import Camera
from insegan_sim.colour import shade
from insegan_sim.container import Container
from insegan_sim.parts import Part

TILE_PX, COLUMNS = 200, 5


def draw_parts(parts: tuple[Part, ...], path: Path) -> None:
    """Every part once, from the same side, with its name and its size, into a PNG. Raises
    DatasetError where it cannot be a new file."""
    check_new(path, '.png')
    rows = -(-len(parts) // COLUMNS)
    sheet = np.full((rows * (TILE_PX + 40), COLUMNS * TILE_PX, 3), 255, np.uint8)
    for index, part in enumerate(parts):
        top, left = index // COLUMNS * (TILE_PX + 40), index % COLUMNS * TILE_PX
        sheet[top : top + TILE_PX, left : left + TILE_PX] = _tile(part)
        size = ' x '.join(f'{1000 * extent:.0f}' for extent in part.mesh.extents)
        for line, text in enumerate((part.name, f'{size} mm')):
            cv2.putText(
                sheet,
                text,
                (left + 8, top + TILE_PX + 16 + 17 * line),
                cv2.FONT_HERSHEY_SIMPLEX,
                0.45,
                (40, 40, 40),
                1,
                cv2.LINE_AA,
            )
    write_png(path, sheet)


def _tile(part: Part) -> np.ndarray:
    """The part tilted towards the camera on a plain ground."""
    container = Container('bin', part.diameter_m * 1.1, part.diameter_m * 1.1, 1e-6)
    camera = Camera.over_bin(container, 3 * TILE_PX, 3 * TILE_PX)
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler('zx', (25, -55), degrees=True).as_matrix()
    pose[2, 3] = -(part.mesh.vertices @ pose[2, :3]).min()
    rendering = camera.render([part], pose[None], surfaces=True)
    picture = shade(rendering, camera, [part], pose[None], np.random.default_rng(3))
    # The ground's texture would distract; its shadow would too.
    picture[rendering.labels == 0] = 255
    return cv2.resize(picture, (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA)
