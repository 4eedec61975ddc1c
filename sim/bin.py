"""The bin's physics: parts dropped one after another by PyBullet until they rest."""
from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pybullet
import trimesh

from insegan_sim.parts import Part

TIME_STEP_S = 1 / 160
WALL_THICKNESS_M = 0.004
REST_SPEED_M_S, REST_SPIN_RAD_S = 0.01, 0.3


class Bin:
    """A bin of one part's width in a physics world of its own. Use as a context manager: it holds a PyBullet client.

    World frame: origin at the floor's centre, z up, metres.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        self.width_m = part.bin_width_m
        # Every call names the client: a second world in the same process would otherwise pile onto the first.
        self.client = pybullet.connect(pybullet.DIRECT)
        pybullet.setGravity(0, 0, -9.81, physicsClientId=self.client)
        # 20 solver iterations keep parts within a tenth of a millimetre of each other; 50, the default, take half as long again.
        pybullet.setPhysicsEngineParameter(fixedTimeStep=TIME_STEP_S, numSolverIterations=20, physicsClientId=self.client)
        self._build_walls()
        self.shape = self._part_shape()
        self.bodies: list[int] = []

    def __enter__(self) -> Bin:
        return self

    def __exit__(self, *_: object) -> None:
        pybullet.disconnect(physicsClientId=self.client)

    def _build_walls(self) -> None:
        # Far higher and thicker than the walls that the camera sees, so that no part is lost while it falls.
        half, thick, tall = self.width_m / 2, 0.05, 1.0
        boxes = [([half + 2 * thick, half + 2 * thick, thick], [0, 0, -thick])]
        for sign in (-1, 1):
            boxes.append(([thick, half + 2 * thick, tall], [sign * (half + thick), 0, tall]))
            boxes.append(([half + 2 * thick, thick, tall], [0, sign * (half + thick), tall]))
        for half_extents, position in boxes:
            shape = pybullet.createCollisionShape(pybullet.GEOM_BOX, halfExtents=half_extents, physicsClientId=self.client)
            body = pybullet.createMultiBody(0, shape, basePosition=position, physicsClientId=self.client)
            pybullet.changeDynamics(body, -1, lateralFriction=self.part.friction, restitution=0.05, physicsClientId=self.client)

    def _part_shape(self) -> int:
        """One compound of the convex pieces: Bullet takes every `o` group of an OBJ file as a convex hull."""
        lines, offset = [], 1
        for index, piece in enumerate(self.part.pieces):
            lines.append(f'o piece{index}')
            lines += [f'v {x:.9f} {y:.9f} {z:.9f}' for x, y, z in piece.vertices]
            lines += ['f ' + ' '.join(str(v + offset) for v in face) for face in piece.faces]
            offset += len(piece.vertices)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / 'part.obj'
            path.write_text('\n'.join(lines) + '\n')
            return pybullet.createCollisionShape(pybullet.GEOM_MESH, fileName=str(path), physicsClientId=self.client)

    def clear(self) -> None:
        """Empty the bin."""
        for body in self.bodies:
            pybullet.removeBody(body, physicsClientId=self.client)
        self.bodies = []

    def drop(self, count: int, rng: np.random.Generator, settle_s: float = 4.0) -> np.ndarray | None:
        """Empty the bin, drop `count` parts into it, wait for rest.

        Returns world-from-object poses (count, 4, 4), or None where the parts did not come to rest within settle_s.
        """
        self.clear()
        for _ in range(count):
            self._release(rng)
            self._run(0.12)
        for _ in range(int(settle_s / 0.1)):
            self._run(0.1)
            if self.at_rest():
                poses = self.poses()
                return poses if self._inside(poses) else None
        return None

    def _release(self, rng: np.random.Generator) -> None:
        part = self.part
        reach = max(self.width_m / 2 - part.diameter_m / 2, 0.1 * self.width_m)
        top = max((pose[2, 3] for pose in self.poses()), default=0.0)
        position = [*rng.uniform(-reach, reach, 2), top + part.diameter_m * 1.05]
        quaternion = rng.normal(size=4)
        quaternion /= np.linalg.norm(quaternion)
        body = pybullet.createMultiBody(part.mass_kg, self.shape, basePosition=position, baseOrientation=quaternion,
                                        physicsClientId=self.client)
        pybullet.changeDynamics(body, -1, lateralFriction=part.friction, rollingFriction=1e-3, spinningFriction=1e-3,
                                restitution=0.05, linearDamping=0.1, angularDamping=0.2, physicsClientId=self.client)
        pybullet.resetBaseVelocity(body, linearVelocity=[0, 0, -0.6], physicsClientId=self.client)
        self.bodies.append(body)

    def _run(self, seconds: float) -> None:
        for _ in range(int(round(seconds / TIME_STEP_S))):
            pybullet.stepSimulation(physicsClientId=self.client)

    def at_rest(self) -> bool:
        """Whether every part is slower than the resting speeds."""
        for body in self.bodies:
            linear, angular = pybullet.getBaseVelocity(body, physicsClientId=self.client)
            if np.linalg.norm(linear) > REST_SPEED_M_S or np.linalg.norm(angular) > REST_SPIN_RAD_S:
                return False
        return True

    def poses(self) -> np.ndarray:
        """World-from-object poses, (N, 4, 4)."""
        poses = np.tile(np.eye(4), (len(self.bodies), 1, 1))
        for pose, body in zip(poses, self.bodies):
            position, quaternion = pybullet.getBasePositionAndOrientation(body, physicsClientId=self.client)
            pose[:3, :3] = np.reshape(pybullet.getMatrixFromQuaternion(quaternion), (3, 3))
            pose[:3, 3] = position
        return poses

    def _inside(self, poses: np.ndarray) -> bool:
        return bool((np.abs(poses[:, :2, 3]) < self.width_m / 2).all() and (poses[:, 2, 3] > 0).all())

    def penetration_m(self) -> float:
        """The deepest interpenetration of two parts, in m."""
        contacts = [c for body in self.bodies for c in pybullet.getContactPoints(bodyA=body, physicsClientId=self.client)
                    if c[2] in self.bodies]
        return max((-contact[8] for contact in contacts), default=0.0)


def walls_mesh(width_m: float, height_m: float) -> trimesh.Trimesh:
    """What the camera sees of the bin: a table at the floor's height and four thin walls."""
    outer = width_m + WALL_THICKNESS_M
    table = trimesh.creation.box([20 * width_m, 20 * width_m, 0.001])
    table.apply_translation([0, 0, -0.0005])
    meshes = [table]
    for sign in (-1, 1):
        for extents, centre in (([WALL_THICKNESS_M, outer + WALL_THICKNESS_M, height_m], [sign * outer / 2, 0, height_m / 2]),
                                ([outer + WALL_THICKNESS_M, WALL_THICKNESS_M, height_m], [0, sign * outer / 2, height_m / 2])):
            wall = trimesh.creation.box(extents)
            wall.apply_translation(centre)
            meshes.append(wall)
    return trimesh.util.concatenate(meshes)
