"""Metric 6-DoF poses where a mesh of the part is known: the points of every instance are registered
to it.

Hypotheses over all rotations are ranked by how near the points lie to the surface, the best ones
refined by ICP (point to plane), all at once, and the one is taken whose rendered depth explains the
instance's pixels without standing before anything that the camera sees farther away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
import open3d as o3d
import trimesh
from scipy.spatial.transform import Rotation

from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.geometry.rays import ray_scene
from insegan_ros.geometry.rotations import looking_along, spread
from insegan_ros.geometry.surface_grid import SurfaceGrid
from insegan_ros.limits import check_time

SURFACE_POINTS, OBSERVED_POINTS, MAX_RAYS = 3000, 250, 900
# Directions and turns of the first hypotheses; how many observed points they are ranked by; how
# many of them go on.
STARTS, TURNS, RANKING_POINTS, RANKED = 60, 12, 60, 100
# (steps of ICP, its reach in diameters, observed points, hypotheses kept then), one round after
# another; how many rays those are chosen by.
ROUNDS = ((8, 0.2, 80, 16), (6, 0.1, 120, 6), (10, 0.05, 250, 6))
COARSE_RAYS = 200
# Share of the readings that is added to what ICP solves: where a face tells nothing of a shift,
# it stays.
DAMPING = 1e-3
# Turns about the line of sight that are tried last, in degrees: a flat face tells ICP nothing of
# them.
LAST_TURNS = (12.0, 6.0, 3.0, 1.5)
MIN_POINTS = 12
# Instances that are registered at once: more take memory, not less time.
BATCH = 16
# A pose that explains less, beyond what it contradicts, is none: by hand, of 258 parts in piles
# (four kinds, twelve a bin, a D435's noise, seed 4242) none below it was within a tenth of a
# diameter of the true pose, and above .9 99 % were.
LEAST_SCORE = 0.2
# Depths that differ by this share of the part's diameter agree.
TOLERANCE = 0.03


@dataclass(frozen=True)
class Registered:
    """A pose (4, 4) camera-from-object in metres, and as its score the share of the instance's
    pixels that it explains, less the share that it contradicts."""

    pose: np.ndarray
    score: float


class _Observed(NamedTuple):
    """What the camera sees of an instance, all float32: points (OBSERVED_POINTS, 3) of it in m;
    their middle (3,); rays (M, 3) in and around it with z = 1, the depths (M,) in m there, and
    which rays are its own, (M,) bool."""

    points: np.ndarray
    middle: np.ndarray
    rays: np.ndarray
    depth_m: np.ndarray
    own: np.ndarray


class MeshRegistration:
    """Finds poses of one mesh, in metres about its own origin. Seeded: equal input, equal
    output."""

    def __init__(self, mesh: trimesh.Trimesh, seed: int = 0) -> None:
        self.mesh = mesh
        points, faces = trimesh.sample.sample_surface(mesh, SURFACE_POINTS, seed=seed)
        self.points, self.normals = np.asarray(points), np.asarray(mesh.face_normals[faces])
        self.diameter = float(
            np.linalg.norm(mesh.vertices - mesh.vertices.mean(0), axis=1).max() * 2
        )
        self.grid = SurfaceGrid(self.points, self.normals)
        self.scene = ray_scene(mesh)
        # Parts lie and stand along their own axes, and a flat face seen at a slant lies no nearer
        # to the surface than any other side.
        axes = np.linalg.svd(self.points - self.points.mean(0), full_matrices=False)[2]
        self.starts = np.concatenate(
            [
                looking_along(spread(STARTS), TURNS),
                looking_along(np.concatenate([axes, -axes]), TURNS),
            ]
        ).astype(np.float32)

    def register(
        self, frame: Frame, mask: np.ndarray, extra: np.ndarray | None = None, search: bool = True
    ) -> Registered | None:
        """The pose of the instance that covers `mask` (H, W): `register_all` of one."""
        return self.register_all(frame, [mask], [extra], search)[0]

    def register_all(
        self,
        frame: Frame,
        masks: Sequence[np.ndarray],
        extra: Sequence[np.ndarray | None] | None = None,
        search: bool = True,
    ) -> list[Registered | None]:
        """The poses of the instances that cover masks (H, W); None for one with too few readings,
        or where no pose explains a fifth more of them than it contradicts: a mesh flung out of
        sight contradicts nothing.

        extra: per instance, rotations (N, 3, 3) camera-from-object to try beside all others, as a
        pose encoder gives them, or None; without `search`, these alone.
        """
        found = list[Registered | None]([None] * len(masks))
        hints = extra or [None] * len(masks)
        seen = ((index, _observe(frame, mask)) for index, mask in enumerate(masks))
        measured = ((index, one) for index, one in seen if one is not None)
        while jobs := dict(islice(measured, BATCH)):
            check_time()
            near = [self._hypotheses(one, hints[index], search) for index, one in jobs.items()]
            for index, best in zip(jobs, self._refined(list(jobs.values()), near)):
                if best.score > LEAST_SCORE:
                    pose = np.linalg.inv(best.pose.astype(float)).astype(np.float32)
                    found[index] = Registered(pose, best.score)
        return found

    def silhouette(self, pose: np.ndarray, camera: Intrinsics) -> np.ndarray:
        """Which pixels (H, W) of a camera the mesh covers at a pose (4, 4) camera-from-object,
        whatever stands before it."""
        covered = np.zeros((camera.height, camera.width), bool)
        corners = trimesh.transform_points(self.mesh.vertices, pose)
        size = (camera.width, camera.height)
        first, last = np.zeros(2, int), np.array(size)
        # What reaches behind the camera may cover any pixel.
        if (corners[:, 2] > 0).all():
            seen = (corners / corners[:, 2:] @ camera.matrix.T)[:, :2]
            first = np.clip(np.floor(seen.min(0)), 0, size).astype(int)
            last = np.clip(np.ceil(seen.max(0)) + 1, 0, size).astype(int)
        window = slice(first[1], last[1]), slice(first[0], last[0])
        turn = pose[:3, :3].astype(np.float32)
        if covered[window].size:
            hit = self._hit(-turn.T @ pose[:3, 3], camera.rays()[window] @ turn)
            covered[window] = np.isfinite(hit)
        return covered

    def _hit(self, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """How far rays (..., 3) in the object's frame go before they meet the mesh, in lengths of
        their directions; infinite for those that do not."""
        cast = np.empty((*directions.shape[:-1], 6), np.float32)
        cast[..., :3], cast[..., 3:] = origins, directions
        return self.scene.cast_rays(o3d.core.Tensor.from_numpy(cast), nthreads=1)['t_hit'].numpy()

    def _hypotheses(
        self, observed: _Observed, extra: np.ndarray | None, search: bool
    ) -> np.ndarray:
        """The likeliest first poses (N, 4, 4) object-from-camera."""
        starts, mean = self.starts, observed.middle
        if extra is not None and len(extra):
            starts = np.concatenate([starts, extra]) if search else extra
            starts = starts.astype(np.float32)
        middles = self._middles(starts, mean / np.linalg.norm(mean))
        some = observed.points[:: max(len(observed.points) // RANKING_POINTS, 1)] - mean
        # Observed points in every hypothetical object frame: R^T (p - p_mean) + middle.
        placed = some @ starts + middles[:, None]
        distance = np.minimum(self.grid.distance(placed), 0.1 * self.diameter)
        nearest = np.argsort((distance**2).mean(1))[:RANKED]
        poses = np.tile(np.eye(4, dtype=np.float32), (len(nearest), 1, 1))
        poses[:, :3, :3] = starts[nearest].transpose(0, 2, 1)
        poses[:, :3, 3] = middles[nearest] - poses[:, :3, :3] @ mean
        return poses

    def _middles(self, rotations: np.ndarray, sight: np.ndarray) -> np.ndarray:
        """Where the middle of what the camera sees lies in the object (N, 3), under rotations (N,
        3, 3) and looking along the unit vector sight (3,): a face counts by its shadow, so that
        walls seen at a grazing angle weigh little. Near a picture's rim the walls of what stands
        are seen too."""
        points, normals = self.points[::6].astype(np.float32), self.normals[::6].astype(np.float32)
        weight = (-normals @ (sight @ rotations).T).clip(0)
        # An open surface has sides from which it is seen from behind alone.
        weight[:, ~weight.any(0)] = 1
        return weight.T @ points / weight.sum(0)[:, None]

    def _refined(self, seen: list[_Observed], near: list[np.ndarray]) -> list[Registered]:
        """The best pose object-from-camera of every instance, from its hypotheses `near`: ICP with
        ever shorter reach, after each round of which those remain that explain most. Points near
        the surface do not tell a flat face's turns apart; the outline does."""
        coarse = [_every(one, len(one.rays) // COARSE_RAYS) for one in seen]
        for steps, reach, count, kept in ROUNDS:
            points = [one.points[:: OBSERVED_POINTS // count] for one in seen]
            moved = self._icp(points, near, steps, reach * self.diameter)
            near = [
                poses[np.argsort(-self._agreement(poses, one), kind='stable')[:kept]]
                for poses, one in zip(moved, coarse)
            ]
        return [self._turned(one, poses) for one, poses in zip(seen, near)]

    def _icp(
        self, seen: list[np.ndarray], near: list[np.ndarray], steps: int, reach: float
    ) -> list[np.ndarray]:
        """All hypotheses (N, 4, 4) of all instances, seen at points (P, 3), after some steps, in
        which what is farther from the surface than `reach` does not count."""
        poses = np.concatenate(near)
        counts = [len(some) for some in near]
        points = np.repeat(np.stack(seen), counts, 0)
        sight = points.mean(1, keepdims=True)
        for _ in range(steps):
            turn = poses[:, :3, :3].transpose(0, 2, 1)
            placed = points @ turn + poses[:, None, :3, 3]
            normal, gap = self.grid.planes(placed, (sight @ turn)[:, 0], reach)
            poses = _step(placed, normal, gap, self.diameter) @ poses
        return np.split(poses, np.cumsum(counts)[:-1])

    def _turned(self, seen: _Observed, poses: np.ndarray) -> Registered:
        """The best of poses (N, 4, 4), and of small turns of it about the line of sight."""
        scores = self._agreement(poses, seen)
        best, score = poses[scores.argmax()], scores.max()
        for degrees in LAST_TURNS:
            turns = np.tile(np.eye(4, dtype=np.float32), (2, 1, 1))
            turns[:, :3, :3] = Rotation.from_euler(
                'z', [[degrees], [-degrees]], degrees=True
            ).as_matrix()
            turns[:, :3, 3] = seen.middle - turns[:, :3, :3] @ seen.middle
            turned = best @ turns
            scores = self._agreement(turned, seen)
            if scores.max() > score:
                best, score = turned[scores.argmax()], scores.max()
        return Registered(best, float(score))

    def _agreement(self, poses: np.ndarray, seen: _Observed) -> np.ndarray:
        """For each of poses (N, 4, 4) object-from-camera, the pixels of the instance whose depth
        the mesh explains, less the pixels where it stands before what is seen, as a share (N,)."""
        hit = self._hit(poses[:, None, :3, 3], seen.rays @ poses[:, :3, :3].transpose(0, 2, 1))
        before = seen.depth_m - hit
        tolerance = TOLERANCE * self.diameter
        explained = (np.abs(before) < tolerance) & seen.own
        contradicted = before > 2 * tolerance
        return (explained.sum(1) - contradicted.sum(1).astype(float)) / max(seen.own.sum(), 1)


def _observe(frame: Frame, mask: np.ndarray) -> _Observed | None:
    """What is seen of the instance that covers mask (H, W), and around it; None where hardly
    anything was measured."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return None
    pad = max(int(0.3 * max(np.ptp(rows), np.ptp(columns))), 3)
    top, bottom = max(rows.min() - pad, 0), min(rows.max() + pad + 1, mask.shape[0])
    left, right = max(columns.min() - pad, 0), min(columns.max() + pad + 1, mask.shape[1])
    window = slice(top, bottom), slice(left, right)
    rays, depth_m, own = frame.intrinsics.rays()[window], frame.depth_m[window], mask[window]
    points = (rays * depth_m[..., None])[own & np.isfinite(depth_m)]
    if len(points) < MIN_POINTS:
        return None
    points = points[np.linspace(0, len(points) - 1, OBSERVED_POINTS).astype(int)]
    step = max(int(np.ceil(np.sqrt(own.size / MAX_RAYS))), 1)
    rays, depth_m, own = (one[::step, ::step] for one in (rays, depth_m, own))
    read = np.isfinite(depth_m)
    return _Observed(
        points.astype(np.float32),
        points.mean(0).astype(np.float32),
        rays[read].astype(np.float32),
        depth_m[read],
        own[read],
    )


def _every(seen: _Observed, step: int) -> _Observed:
    """With one ray in so many."""
    step = max(step, 1)
    return seen._replace(rays=seen.rays[::step], depth_m=seen.depth_m[::step], own=seen.own[::step])


def _step(placed: np.ndarray, normal: np.ndarray, gap: np.ndarray, scale: float) -> np.ndarray:
    """A step of point-to-plane ICP (Chen and Medioni, 1992), as motions (B, 4, 4): points placed
    (B, P, 3), the normals of the planes near them, zero where a point does not count, and how far
    below their plane they lie (B, P). scale: the length beside which a turn weighs as a shift."""
    jacobian = np.empty((*gap.shape, 6), np.float32)
    jacobian[..., 3:] = normal
    x, y, z = np.moveaxis(placed * np.float32(1 / scale), -1, 0)
    u, v, w = np.moveaxis(normal, -1, 0)
    jacobian[..., 0], jacobian[..., 1], jacobian[..., 2] = (
        y * w - z * v,
        z * u - x * w,
        x * v - y * u,
    )
    matrix = jacobian.transpose(0, 2, 1) @ jacobian
    matrix += DAMPING * gap.shape[1] * np.eye(6, dtype=np.float32)
    step = np.linalg.solve(matrix, jacobian.transpose(0, 2, 1) @ gap[..., None])[..., 0]
    motion = np.tile(np.eye(4, dtype=np.float32), (len(step), 1, 1))
    motion[:, :3, :3] = Rotation.from_rotvec(step[:, :3] / scale).as_matrix()
    motion[:, :3, 3] = step[:, 3:]
    return motion
