"""A bin with walls before a camera that does not look straight down."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from insegan_ros.data.scene import Scene
from insegan_ros.frame import Intrinsics
from insegan_sim.camera import Camera
from insegan_sim.container import Container
from insegan_sim.parts import load_part
from insegan_sim.scenes import Setup, photograph
from insegan_sim.sensor import IdealSensor, load_sensor

BIN = Container('bin', 0.24, 0.18, 0.08)
MOULDED = Container('moulded', 0.24, 0.18, 0.08)
# A D435's depth stream at 848x480, the middle of it.
DEPTH_CAMERA = Intrinsics(422.0, 422.0, 299.5, 199.5, 600, 400)


def tilted_camera(
    tilt_deg: tuple[float, float, float],
    intrinsics: Intrinsics = DEPTH_CAMERA,
    container: Container = BIN,
) -> Camera:
    """A camera half a metre from the middle of a bin's floor, turned about its x, y and z."""
    straight = np.diag([1.0, -1.0, -1.0, 1.0])
    middle = np.array([0.0, 0.0, 0.5])
    straight[:3, 3] = middle
    move = np.eye(4)
    move[:3, :3] = Rotation.from_euler('xyz', tilt_deg, degrees=True).as_matrix()
    move[:3, 3] = middle - move[:3, :3] @ middle
    return Camera(container, intrinsics, move @ straight)


def cylinders_at(
    camera: Camera, *places: tuple[float, float], sensor: str = '', seed: int = 0
) -> Scene:
    """Cylinders that lie at (x, y) in m on the bin's floor, along x; ideal depth unless a sensor is
    named."""
    part = load_part('cylinder')
    poses = np.tile(np.eye(4), (len(places), 1, 1))
    low, high = part.mesh.bounds
    long = int(np.argmax(high - low))
    # The longest of its axes comes to lie along the world's x.
    for pose, (x, y) in zip(poses, places):
        pose[:3, :3] = np.roll(np.eye(3), long, axis=1)
        turned = part.mesh.vertices @ pose[:3, :3].T
        pose[:3, 3] = x, y, -turned[:, 2].min()
    chosen = load_sensor(sensor) if sensor else IdealSensor()
    setup = Setup((part,), camera, (len(places), len(places)), chosen)
    return photograph(setup, [part] * len(places), poses, np.random.default_rng(seed))
