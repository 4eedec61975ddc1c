"""Metric 6-DoF poses where a mesh of the part is known: every instance's own points are registered
to it.

Hypotheses over all rotations are ranked by how near the points lie to the surface, the best ones
refined by ICP (Open3D, point to plane), and the one is taken whose rendered depth explains the
instance's pixels without standing before anything that the camera sees farther away.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import open3d as o3d
import trimesh
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from insegan_ros.errors import InputError
from insegan_ros.frame import Frame

SURFACE_POINTS, OBSERVED_POINTS, MAX_RAYS = 3000, 250, 900
STARTS, TURNS, RANKED, REFINED = 60, 12, 160, 16
# Turns about the line of sight that are tried last, in degrees: a flat face tells ICP nothing of
# them.
LAST_TURNS = (12.0, -12.0, 6.0, -6.0, 3.0, -3.0, 1.5, -1.5)
MIN_POINTS = 12
# Depths that differ by this share of the part's diameter agree.
TOLERANCE = 0.03


def read_mesh(path: Path, scale: float = 1.0) -> trimesh.Trimesh:
    """A mesh file in metres after `scale`, about its own origin. Raises InputError where it cannot
    be read."""
    try:
        mesh = trimesh.load(path, force='mesh')
    except Exception as error:  # trimesh raises what its many readers raise
        raise InputError(
            f'{path} cannot be read as a mesh ({error}): expected STL, OBJ or PLY'
        ) from error
    if not isinstance(mesh, trimesh.Trimesh) or not len(mesh.faces):
        raise InputError(f'{path} holds no surface: expected STL, OBJ or PLY with faces')
    return mesh.apply_scale(scale)


@dataclass(frozen=True)
class Registered:
    """A pose (4, 4) camera-from-object in metres, and as its score the share of the instance's
    pixels that it explains, less the share that it contradicts."""

    pose: np.ndarray
    score: float


class _Rays(NamedTuple):
    """Rays (M, 3) in and around an instance with z = 1, the depths (M,) in m that the camera has
    there, and which of them are the instance's own, (M,) bool."""

    direction: np.ndarray
    depth_m: np.ndarray
    own: np.ndarray

    def every(self, step: int) -> _Rays:
        """One ray in so many."""
        return _Rays(self.direction[::step], self.depth_m[::step], self.own[::step])


class MeshRegistration:
    """Finds poses of one mesh, in metres about its own origin. Seeded: equal input, equal
    output."""

    def __init__(self, mesh: trimesh.Trimesh, seed: int = 0) -> None:
        points, faces = trimesh.sample.sample_surface(mesh, SURFACE_POINTS, seed=seed)
        self.points, self.normals = np.asarray(points), np.asarray(mesh.face_normals[faces])
        self.diameter = float(
            np.linalg.norm(mesh.vertices - mesh.vertices.mean(0), axis=1).max() * 2
        )
        self.tree = cKDTree(self.points)
        self.scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        self.scene.add_triangles(
            o3d.t.geometry.TriangleMesh.from_legacy(
                o3d.geometry.TriangleMesh(
                    o3d.utility.Vector3dVector(mesh.vertices),
                    o3d.utility.Vector3iVector(mesh.faces),
                )
            )
        )
        # Parts lie and stand along their own axes, and a flat face seen at a slant lies no nearer
        # to the surface than any other side.
        axes = np.linalg.svd(self.points - self.points.mean(0), full_matrices=False)[2]
        self.starts = np.concatenate(
            [_rotations(_spread(STARTS), TURNS), _rotations(np.concatenate([axes, -axes]), TURNS)]
        )

    def _middles(self, rotations: np.ndarray, sight: np.ndarray) -> np.ndarray:
        """Where the middle of what the camera sees lies in the object (N, 3), under rotations (N,
        3, 3) and looking along the unit vector sight (3,): a face counts by its shadow, so that
        walls seen at a grazing angle weigh little. Near a picture's rim the walls of what stands
        are seen too."""
        points, normals = self.points[::3], self.normals[::3]
        weight = (-normals @ (sight @ rotations).T).clip(0)
        return weight.T @ points / weight.sum(0)[:, None]

    def register(
        self, frame: Frame, mask: np.ndarray, extra: np.ndarray | None = None, search: bool = True
    ) -> Registered | None:
        """The pose of the instance that covers `mask` (H, W); None with too few readings, or where
        no pose explains more of them than it contradicts: a mesh flung out of sight contradicts
        nothing.

        extra: rotations (N, 3, 3) camera-from-object to try beside all others, as a pose encoder
        gives them; without `search`, these alone.
        """
        rows, columns = np.nonzero(mask & np.isfinite(frame.depth_m))
        if len(rows) < MIN_POINTS:
            return None
        every = np.linspace(0, len(rows) - 1, min(len(rows), OBSERVED_POINTS)).astype(int)
        points = frame.intrinsics.rays()[rows, columns] * frame.depth_m[rows, columns, None]
        observed = points[every].astype(float)
        rays = self._rays(frame, mask)
        near = self._hypotheses(observed, rays, extra, search)
        source = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(observed))
        refined = (self._refined(source, start) for start in near)
        best = max(
            (Registered(found, self._agreement(found, rays)) for found in refined),
            key=lambda one: one.score,
        )
        if best.score <= 0:
            return None
        best = self._turned(best, observed.mean(0), rays)
        return Registered(np.linalg.inv(best.pose).astype(np.float32), best.score)

    def _hypotheses(
        self, observed: np.ndarray, rays: _Rays, extra: np.ndarray | None, search: bool
    ) -> list[np.ndarray]:
        """The likeliest first poses (4, 4) object-from-camera for observed points (P, 3)."""
        starts, mean = self.starts, observed.mean(0)
        if extra is not None and len(extra):
            starts = np.concatenate([starts, extra]) if search else extra
        middles = self._middles(starts, mean / np.linalg.norm(mean))
        # Observed points in every hypothetical object frame: R^T (p - p_mean) + middle.
        placed = np.einsum('nji,pj->npi', starts, observed - mean) + middles[:, None]
        distance = np.minimum(
            self.tree.query(placed.reshape(-1, 3), workers=1)[0].reshape(placed.shape[:2]),
            0.1 * self.diameter,
        )
        nearest = np.argsort((distance**2).mean(1))[:RANKED]
        poses = np.tile(np.eye(4), (len(nearest), 1, 1))
        poses[:, :3, :3] = starts[nearest].transpose(0, 2, 1)
        poses[:, :3, 3] = middles[nearest] - poses[:, :3, :3] @ mean
        # Points near the surface do not tell a flat face's turns apart; the outline does.
        coarse = rays.every(3)
        return sorted(poses, key=lambda pose: -self._agreement(pose, coarse))[:REFINED]

    def _refined(self, source: o3d.geometry.PointCloud, start: np.ndarray) -> np.ndarray:
        """A pose (4, 4) object-from-camera after ICP with ever shorter reach."""
        found = start
        for reach in (0.2, 0.1, 0.05):
            # Only what faces the camera: the far side of a thin part is as near as its own.
            facing = found[:3, 2] @ self.normals.T < 0.1
            target = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(self.points[facing]))
            target.normals = o3d.utility.Vector3dVector(self.normals[facing])
            found = o3d.pipelines.registration.registration_icp(
                source,
                target,
                reach * self.diameter,
                found,
                o3d.pipelines.registration.TransformationEstimationPointToPlane(),
                o3d.pipelines.registration.ICPConvergenceCriteria(max_iteration=15),
            ).transformation
        return found

    def _turned(self, best: Registered, middle: np.ndarray, rays: _Rays) -> Registered:
        """The best of small turns about the line of sight through the observed middle (3,)."""
        for degrees in LAST_TURNS:
            turn = np.eye(4)
            turn[:3, :3] = Rotation.from_rotvec((0, 0, np.radians(degrees))).as_matrix()
            turn[:3, 3] = middle - turn[:3, :3] @ middle
            turned = Registered(best.pose @ turn, self._agreement(best.pose @ turn, rays))
            best = max(best, turned, key=lambda one: one.score)
        return best

    def _rays(self, frame: Frame, mask: np.ndarray) -> _Rays:
        """Rays in and around the instance that covers mask (H, W)."""
        rows, columns = np.nonzero(mask)
        pad = max(int(0.3 * max(np.ptp(rows), np.ptp(columns))), 3)
        top, bottom = max(rows.min() - pad, 0), min(rows.max() + pad + 1, mask.shape[0])
        left, right = max(columns.min() - pad, 0), min(columns.max() + pad + 1, mask.shape[1])
        step = max(int(np.ceil(np.sqrt((bottom - top) * (right - left) / MAX_RAYS))), 1)
        window = slice(top, bottom, step), slice(left, right, step)
        return _Rays(
            frame.intrinsics.rays()[window].reshape(-1, 3),
            frame.depth_m[window].ravel(),
            mask[window].ravel(),
        )

    def _agreement(self, object_from_camera: np.ndarray, rays: _Rays) -> float:
        """Pixels of the instance whose depth the mesh explains, less pixels where it stands before
        what is seen, as a share."""
        direction, depth, own = rays
        origin = np.broadcast_to(object_from_camera[:3, 3], direction.shape)
        cast = np.concatenate([origin, direction @ object_from_camera[:3, :3].T], 1).astype(
            np.float32
        )
        hit = self.scene.cast_rays(o3d.core.Tensor.from_numpy(cast), nthreads=1)['t_hit'].numpy()
        seen = np.isfinite(depth)
        tolerance = TOLERANCE * self.diameter
        explained = own & seen & (np.abs(hit - depth) < tolerance)
        contradicted = seen & (hit < depth - 2 * tolerance)
        return float((explained.sum() - contradicted.sum()) / max((own & seen).sum(), 1))


def _spread(count: int) -> np.ndarray:
    """Directions (count, 3) spread evenly over the sphere (Fibonacci)."""
    index = np.arange(count) + 0.5
    polar, azimuth = np.arccos(1 - 2 * index / count), np.pi * (1 + 5**0.5) * index
    return np.stack(
        [np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], -1
    )


def _rotations(directions: np.ndarray, turns: int) -> np.ndarray:
    """(N * turns, 3, 3): views along directions (N, 3) of the object, each turned about the line of
    sight."""
    polar = np.arccos(directions[:, 2].clip(-1, 1))
    azimuth = np.arctan2(directions[:, 1], directions[:, 0])
    tilt = Rotation.from_euler('zy', np.stack([azimuth, polar], -1)).inv()
    spins = Rotation.from_rotvec(np.outer(np.arange(turns) * 2 * np.pi / turns, (0, 0, 1)))
    return np.stack([(spin * one).as_matrix() for one in tilt for spin in spins])
