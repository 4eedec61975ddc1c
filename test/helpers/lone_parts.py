"""Pictures of one part that lies alone in poses that are given, without physics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import trimesh
from scipy.spatial.transform import Rotation

from insegan_ros.data.scene import Scene
from insegan_ros.frame import Frame
from insegan_sim.camera import Camera
from insegan_sim.container import Container
from insegan_sim.parts import Part

CONTAINER = Container('bin', 0.3, 0.3, 0.05)


def stepped_block() -> Part:
    """An L of 60 x 40 x 20 mm with a step of 30 x 40 x 20 on it: no two sides are alike, and every
    wall can be seen."""
    low, high = trimesh.creation.box([0.06, 0.04, 0.02]), trimesh.creation.box([0.03, 0.04, 0.021])
    high.apply_translation([0.015, 0, 0.0195])
    mesh = low.union(high, engine='manifold')
    mesh.apply_translation(-mesh.center_mass)
    return Part('block', mesh, (mesh.convex_hull,))


def handed_block() -> Part:
    """The same with a knob at one corner: it differs from its mirror image."""
    block, knob = stepped_block().mesh, trimesh.creation.box([0.016, 0.014, 0.014])
    low, high = block.bounds
    knob.apply_translation([low[0] + 0.008, high[1] - 0.007, low[2] + 0.02 + 0.006])
    mesh = block.union(knob, engine='manifold')
    mesh.apply_translation(-mesh.center_mass)
    return Part('handed', mesh, (mesh.convex_hull,))


def mirrored(part: Part) -> Part:
    """A part's mirror image."""
    mesh = part.mesh.copy()
    mesh.apply_transform(np.diag([1.0, -1.0, 1.0, 1.0]))
    return Part(f'mirrored {part.name}', mesh, (mesh.convex_hull,))


def touching(part: Part, seed: int) -> Part:
    """Two of a part side by side in some way, as one piece: neither lies alone."""
    rng = np.random.default_rng(seed)
    other = part.mesh.copy()
    other.apply_transform(trimesh.transformations.rotation_matrix(rng.uniform(0, 6.28), [0, 0, 1]))
    other.apply_translation([rng.uniform(-0.02, 0.02), 0.038, 0])
    both = trimesh.util.concatenate([part.mesh, other])
    return Part(f'two of {part.name}', both, (both.convex_hull,))


def lone_scenes(
    part: Part, rests: Sequence[np.ndarray], count: int, seed: int = 0, floor_off_m: float = 0.0
) -> list[Scene]:
    """A part alone, one resting rotation (3, 3) after another, at random places and turns.
    floor_off_m: by how much the workspace's floor lies above the true one."""
    camera, rng = Camera.over_bin(CONTAINER), np.random.default_rng(seed)
    workspace = camera.workspace
    scenes = []
    for number in range(count):
        turn = Rotation.from_rotvec([0, 0, rng.uniform(0, 2 * np.pi)]).as_matrix()
        pose = np.eye(4)
        pose[:3, :3] = turn @ rests[number % len(rests)]
        low = (part.mesh.vertices @ pose[:3, :3].T)[:, 2].min()
        pose[:3, 3] = [*rng.uniform(-0.07, 0.07, 2), -low]
        rendering = camera.render([part], pose[None])
        frame = Frame(rendering.depth_m, camera.intrinsics, stamp_ns=number)
        floor = (*workspace.floor[:3], workspace.floor[3] - floor_off_m)
        scenes.append(Scene(frame, None, type(workspace)(floor, workspace.bounds)))
    return scenes


def rests(*angles: tuple[float, float, float]) -> list[np.ndarray]:
    """Rotations (3, 3) of Euler angles about x, y, z in degrees."""
    return [Rotation.from_euler('xyz', one, degrees=True).as_matrix() for one in angles]
