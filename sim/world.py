"""The physics: parts dropped one after another by PyBullet until they rest, and the reasons why a
pile is no good."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from insegan_ros.files import silenced
from insegan_sim.container import Container
from insegan_sim.parts import Part

# It says when it was built.
with silenced():
    import pybullet

TIME_STEP_S = 1 / 120
REST_SPEED_M_S = 0.002
MAX_PENETRATION_M = 0.0005
SETTLE_S = 5.0
REASONS = ('unsettled', 'lost', 'interpenetrating')


@dataclass(frozen=True)
class Pile:
    """Parts at rest: world-from-object poses (N, 4, 4), the fastest point's speed in m/s, the
    deepest interpenetration in m."""

    poses: np.ndarray
    speed_m_s: float
    penetration_m: float


class World:
    """A container in a physics world of its own. Use as a context manager: it holds a PyBullet
    client.

    `drop` begins from an empty world each time, so a pile depends on its random numbers alone, not
    on those before it.
    """

    def __init__(self, container: Container) -> None:
        self.container = container
        # Every call names the client: a second world in the same process would otherwise pile onto
        # the first.
        self.client = pybullet.connect(pybullet.DIRECT)
        self.folder = tempfile.TemporaryDirectory(prefix='insegan-')
        self.files: dict[int, str] = {}
        self.walls: list[int] = []
        self.bodies: list[int] = []
        self.radii: list[float] = []

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        pybullet.disconnect(physicsClientId=self.client)
        self.folder.cleanup()

    def drop(self, parts: Sequence[Part], rng: np.random.Generator) -> Pile | str:
        """Empty the container, drop these parts one after another, wait for rest. Returns the pile,
        or one of REASONS."""
        self._empty(parts)
        # What falls on a heap of hundreds needs not wait for the last one to lie; the heap then
        # takes many rounds of the solver to carry its own weight, which would be wasted while it
        # grows.
        heap = len(parts) > 20
        gap_s = 0.04 if heap else 0.08
        shapes = {id(part): self._shape(part) for part in parts}
        for part in parts:
            self._release(part, shapes[id(part)], rng)
            self._run(gap_s)
        if heap:
            pybullet.setPhysicsEngineParameter(numSolverIterations=150, physicsClientId=self.client)
        if not self._settle():
            return 'unsettled'
        poses = self.poses()
        if self._lost(poses):
            return 'lost'
        penetration = self.penetration_m()
        if penetration > MAX_PENETRATION_M:
            return 'interpenetrating'
        return Pile(poses, self.speed_m_s(), penetration)

    def settle(self, parts: Sequence[Part], poses: np.ndarray) -> np.ndarray:
        """Put parts where they lie by these world-from-object poses (N, 4, 4), as after one of them
        was taken away, and let them fall; where they lie then. A part that does not come to rest is
        left where it is after SETTLE_S."""
        self._empty(parts)
        quaternions = Rotation.from_matrix(poses[:, :3, :3]).as_quat() if len(poses) else []
        for part, pose, quaternion in zip(parts, poses, quaternions):
            self._place(part, self._shape(part), pose[:3, 3].tolist(), quaternion)
        pybullet.setPhysicsEngineParameter(numSolverIterations=150, physicsClientId=self.client)
        self._settle()
        return self.poses()

    def _empty(self, parts: Sequence[Part]) -> None:
        call = {'physicsClientId': self.client}
        pybullet.resetSimulation(**call)
        pybullet.setGravity(0, 0, -9.81, **call)
        # Plain rigid bodies (maximal coordinates) below; here fixed steps, an early end of the
        # solver where it has converged, pyramid friction: twice as fast as the defaults, and parts
        # still stay within a fraction of a millimetre of each other.
        pybullet.setPhysicsEngineParameter(
            fixedTimeStep=TIME_STEP_S,
            numSolverIterations=20 if len(parts) <= 20 else 10,
            solverResidualThreshold=1e-5,
            contactERP=0.3,
            enableConeFriction=0,
            deterministicOverlappingPairs=1,
            **call,
        )
        self.walls, self.bodies, self.radii = [], [], []
        friction = float(np.mean([part.friction for part in parts])) if parts else 0.4
        for half_extents, position, turn in self.container.guides():
            shape = pybullet.createCollisionShape(
                pybullet.GEOM_BOX, halfExtents=half_extents, **call
            )
            self.walls.append(
                pybullet.createMultiBody(
                    0,
                    shape,
                    basePosition=position,
                    baseOrientation=turn,
                    useMaximalCoordinates=1,
                    **call,
                )
            )
            pybullet.changeDynamics(
                self.walls[-1], -1, lateralFriction=friction, restitution=0.05, **call
            )

    def _shape(self, part: Part) -> int:
        """One compound of the convex pieces: Bullet takes every `o` group of an OBJ file as a
        convex hull."""
        if id(part) not in self.files:
            lines, offset = [], 1
            for index, piece in enumerate(part.pieces):
                lines.append(f'o piece{index}')
                lines += [f'v {x:.9f} {y:.9f} {z:.9f}' for x, y, z in piece.vertices]
                lines += ['f ' + ' '.join(str(v + offset) for v in face) for face in piece.faces]
                offset += len(piece.vertices)
            path = Path(self.folder.name) / f'{len(self.files)}.obj'
            path.write_text('\n'.join(lines) + '\n')
            self.files[id(part)] = str(path)
        return pybullet.createCollisionShape(
            pybullet.GEOM_MESH, fileName=self.files[id(part)], physicsClientId=self.client
        )

    def _release(self, part: Part, shape: int, rng: np.random.Generator) -> None:
        call = {'physicsClientId': self.client}
        radius = part.diameter_m / 2
        reach = np.maximum(
            np.array([self.container.width_m, self.container.depth_m]) / 2 - radius,
            0.1 * self.container.width_m,
        )
        xy = rng.uniform(-reach, reach)
        # Just above what lies or still falls below it.
        below = [
            pose[2, 3] + other + radius
            for pose, other in zip(self.poses(), self.radii)
            if np.linalg.norm(pose[:2, 3] - xy) < radius + other
        ]
        position = [*xy, max(below, default=radius) * 1.02]
        quaternion = rng.normal(size=4)
        quaternion /= np.linalg.norm(quaternion)
        body = self._place(part, shape, position, quaternion)
        pybullet.resetBaseVelocity(body, linearVelocity=[0, 0, -0.6], **call)

    def _place(
        self, part: Part, shape: int, position: Sequence[float], quaternion: np.ndarray
    ) -> int:
        """A body at rest; quaternion: x, y, z, w."""
        call = {'physicsClientId': self.client}
        body = pybullet.createMultiBody(
            part.mass_kg,
            shape,
            basePosition=position,
            baseOrientation=quaternion,
            useMaximalCoordinates=1,
            **call,
        )
        # No rolling friction: it doubles the solver's work, and damping brings round parts to rest
        # as well.
        pybullet.changeDynamics(
            body,
            -1,
            lateralFriction=part.friction,
            restitution=0.05,
            linearDamping=0.3,
            angularDamping=0.6,
            **call,
        )
        self.bodies.append(body)
        self.radii.append(part.diameter_m / 2)
        return body

    def _settle(self) -> bool:
        """Run until every part is slower than REST_SPEED_M_S at two moments one after another;
        False after SETTLE_S."""
        self._run(0.15)
        calm = 0
        for tick in range(int(SETTLE_S / 0.05)):
            if tick % 10 == 0:
                # A part that rolls or rocks for long is braked more and more, as by the friction
                # that it does not have.
                damping = 1 - 0.5 * 0.05 ** (1 + tick / 10)
                for body in self.bodies:
                    pybullet.changeDynamics(
                        body,
                        -1,
                        linearDamping=damping,
                        angularDamping=damping,
                        physicsClientId=self.client,
                    )
            self._run(0.05)
            calm = calm + 1 if self.speed_m_s() < REST_SPEED_M_S else 0
            if calm == 2:
                return True
        return not self.bodies

    def _run(self, seconds: float) -> None:
        for _ in range(int(round(seconds / TIME_STEP_S))):
            pybullet.stepSimulation(physicsClientId=self.client)

    def speed_m_s(self) -> float:
        """The speed of the fastest point of any part: linear speed plus spin times radius."""
        fastest = 0.0
        for body, radius in zip(self.bodies, self.radii):
            linear, angular = pybullet.getBaseVelocity(body, physicsClientId=self.client)
            fastest = max(fastest, float(np.linalg.norm(linear) + radius * np.linalg.norm(angular)))
        return fastest

    def poses(self) -> np.ndarray:
        """World-from-object poses, (N, 4, 4)."""
        poses = np.tile(np.eye(4), (len(self.bodies), 1, 1))
        for pose, body in zip(poses, self.bodies):
            position, quaternion = pybullet.getBasePositionAndOrientation(
                body, physicsClientId=self.client
            )
            pose[:3, :3] = np.reshape(pybullet.getMatrixFromQuaternion(quaternion), (3, 3))
            pose[:3, 3] = position
        return poses

    def _lost(self, poses: np.ndarray) -> bool:
        """Whether a part lies outside, or against the unseen continuation of a wall: over the rim,
        it would have fallen out."""
        inner = np.array([self.container.width_m, self.container.depth_m]) / 2
        if not ((np.abs(poses[:, :2, 3]) < inner).all() and (poses[:, 2, 3] > 0).all()):
            return True
        # The shelf's open side is the first wall towards -y.
        open_side = self.walls[2] if self.container.kind == 'shelf' else None
        for wall in self.walls[1:]:
            for contact in pybullet.getContactPoints(bodyA=wall, physicsClientId=self.client):
                if contact[8] < 0.0005 and (
                    contact[6][2] > self.container.height_m or wall == open_side
                ):
                    return True
        return False

    def penetration_m(self) -> float:
        """The deepest interpenetration of two parts, or of a part and a wall, in m."""
        contacts = (
            contact
            for body in self.bodies
            for contact in pybullet.getContactPoints(bodyA=body, physicsClientId=self.client)
        )
        return max((-contact[8] for contact in contacts), default=0.0)
