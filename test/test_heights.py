"""Height maps of any camera."""

from __future__ import annotations

import numpy as np

from insegan_ros.frame import Frame
from insegan_ros.heights import square_height_map


def test_square_map_covers_the_same_metres_for_any_resolution():
    from insegan_sim.camera import Camera
    from insegan_sim.scenes import bin_setup

    setup = bin_setup('nut')
    pose = np.eye(4)[None]
    pose[0, :3, 3] = (0.03, 0.02, 0.015)
    maps = []
    for camera in (Camera.over_bin(setup.container), Camera.realsense(setup.container)):
        frame = Frame(camera.render(setup.parts, pose).depth_m, camera.intrinsics)
        height, pixel_m = square_height_map(frame, camera.workspace, 64)
        y, x = np.nonzero(height > 0.02)
        maps.append(((x.mean() - 31.5) * pixel_m, (y.mean() - 31.5) * pixel_m, height.max()))
    assert np.allclose(maps[0], maps[1], atol=0.002)
    assert np.allclose(maps[0][:2], (0.03, -0.02), atol=0.003)
