"""The camera: ray casting (Embree through Open3D) at any resolution; exact depth, labels, amodal
masks, normals.

Every kind of part is one ray-casting scene that is built once. An instance is rendered by turning
the rays of its window into the part's frame, which leaves their parameter, the depth, as it is. No
scene is built per picture, and what an instance hides comes for free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import open3d as o3d
import trimesh
from scipy.spatial.transform import Rotation

from insegan_ros.errors import ConfigError, InputError
from insegan_ros.frame import Intrinsics
from insegan_ros.geometry.rays import ray_scene
from insegan_ros.workspace import Workspace, four
from insegan_sim.container import Container
from insegan_sim.parts import Part

# The bounds keep this distance from the walls, so that the walls themselves are no part; less where
# readings of walls are told by their noise, as `insegan calibrate` does.
WALL_CLEARANCE_M, KNOWN_WALL_CLEARANCE_M = 0.003, 0.0015


@dataclass(frozen=True)
class Jitter:
    """How much a camera's mount and calibration differ from scene to scene: uniform in plus and
    minus these."""

    position_m: float = 0.0
    """Shift along each axis in m."""
    tilt_deg: float = 0.0
    """Turn about each of the image's axes, and about the optical axis."""
    focal_share: float = 0.0
    """Share of the focal length."""
    centre_px: float = 0.0
    """Shift of the principal point in px."""

    def __post_init__(self) -> None:
        for name, maximum in (
            ('position_m', 1.0),
            ('tilt_deg', 45.0),
            ('focal_share', 0.5),
            ('centre_px', 1000.0),
        ):
            if not 0 <= getattr(self, name) <= maximum:
                raise ConfigError(
                    f'jitter.{name} is {getattr(self, name):g}: expected 0 to {maximum:g}'
                )


@dataclass(frozen=True)
class Rendering:
    """What the camera sees without a sensor's faults.

    depth_m (H, W) float32, NaN where nothing is; labels (H, W) uint16; amodal (N, H, W) bool, each
    instance as if alone; normals (H, W, 3) float32 in the camera's frame, and surface (H, W, 3)
    float32, the point in the part's own frame (in the world's where no part is), for textures: both
    None unless asked for.
    """

    depth_m: np.ndarray
    labels: np.ndarray
    amodal: np.ndarray
    normals: np.ndarray | None = None
    surface: np.ndarray | None = None

    def require_surfaces(self) -> tuple[np.ndarray, np.ndarray]:
        """The normals and the surface points (H, W, 3). Raises InputError where they were not asked
        for."""
        if self.normals is None or self.surface is None:
            raise InputError('the rendering has no normals: expected one with surfaces')
        return self.normals, self.surface


@dataclass(frozen=True)
class Camera:
    """A pinhole camera before a container. camera_from_world (4, 4); optical frame: x right, y down
    in the image, z forward. wall_noise_m: the workspace's, see Workspace."""

    container: Container
    intrinsics: Intrinsics
    camera_from_world: np.ndarray
    wall_noise_m: float = 0.0
    _casters: dict[int, Caster] = field(default_factory=dict, compare=False, repr=False)

    def __getstate__(self) -> dict[str, object]:
        # What was prepared for rays cannot travel to another process, and is quickly made there.
        return {**self.__dict__, '_casters': {}}

    @classmethod
    def over_bin(
        cls, container: Container, width: int = 224, height: int = 224, nearest_m: float = 0.0
    ) -> Camera:
        """A picture that holds the container's opening with a rim, from 2.6 times its width: the
        data sets' camera.

        nearest_m: a sensor's smallest distance; the camera then stands back, with a longer lens,
        until the rim is beyond it.
        """
        shelf = container.kind == 'shelf'
        side = max(
            container.width_m, (container.height_m if shelf else container.depth_m) * width / height
        )
        # A shelf's opening is nearer than its back, a bin's rim nearer than its floor; parts may
        # stand above the rim.
        opening_m = max(2.6 * side, nearest_m + (0.0 if shelf else 1.2 * container.height_m))
        focal = width * opening_m / (side * 1.16)
        distance_m = opening_m + (container.depth_m if shelf else 0)
        middle = (width - 1) / 2, (height - 1) / 2
        return cls._at(container, Intrinsics(focal, focal, *middle, width, height), distance_m)

    @classmethod
    def realsense(cls, container: Container, width: int = 640, height: int = 480) -> Camera:
        """Intrinsics of a D435 whose depth is aligned to colour, as near to the container as its
        smallest distance allows."""
        focal = 615.0 * width / 640
        distance_m = max(
            0.28 + 1.2 * container.height_m, focal * container.width_m * 1.2 / min(height, width)
        )
        middle = (width - 1) / 2, (height - 1) / 2
        return cls._at(container, Intrinsics(focal, focal, *middle, width, height), distance_m)

    @classmethod
    def _at(cls, container: Container, intrinsics: Intrinsics, distance_m: float) -> Camera:
        camera_from_world = np.diag([1.0, -1.0, -1.0, 1.0])
        if container.kind == 'shelf':
            # Level, before the open side: world x is the image's x, world y points into the
            # picture, world z up in it.
            camera_from_world[:3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
            back_m = distance_m - container.depth_m / 2
            camera_from_world[:3, 3] = [0, container.height_m / 2, back_m]
        else:
            camera_from_world[2, 3] = distance_m
        return cls(container, intrinsics, camera_from_world)

    def jittered(self, jitter: Jitter, rng: np.random.Generator) -> Camera:
        """This camera after a knock."""
        if jitter == Jitter():
            return self
        move = np.eye(4)
        tilt_deg = rng.uniform(-1, 1, 3) * jitter.tilt_deg
        move[:3, :3] = Rotation.from_euler('xyz', tilt_deg, degrees=True).as_matrix()
        # The tilt is about the point looked at, so that the container stays in view.
        centre = np.array([0, 0, self.distance_m])
        move[:3, 3] = centre - move[:3, :3] @ centre + rng.uniform(-1, 1, 3) * jitter.position_m
        k = self.intrinsics
        scale = 1 + rng.uniform(-1, 1) * jitter.focal_share
        shift = rng.uniform(-1, 1, 2) * jitter.centre_px
        intrinsics = replace(
            k,
            fx=k.fx * scale,
            fy=k.fy * scale,
            cx=k.cx + float(shift[0]),
            cy=k.cy + float(shift[1]),
        )
        return replace(self, intrinsics=intrinsics, camera_from_world=move @ self.camera_from_world)

    @property
    def distance_m(self) -> float:
        """Distance in m of the backdrop (the floor, the shelf's back) on the optical axis, before
        any jitter."""
        return float(np.linalg.norm(self._plane_point()))

    def _plane_point(self) -> np.ndarray:
        anchor = (
            [0, self.container.depth_m / 2, self.container.height_m / 2, 1]
            if self.container.kind == 'shelf'
            else [0, 0, 0, 1]
        )
        return (self.camera_from_world @ anchor)[:3]

    @property
    def workspace(self) -> Workspace:
        """The floor's plane and the container's inside; for a shelf the back's plane and the
        opening."""
        shelf = self.container.kind == 'shelf'
        normal = self.camera_from_world[:3, :3] @ ([0, -1, 0] if shelf else [0, 0, 1])
        anchor = self._plane_point()
        clearance_m = self.clearance_m(self.wall_noise_m)
        half_x = self.container.width_m / 2 - clearance_m
        long_m = self.container.height_m if shelf else self.container.depth_m
        half_y = long_m / 2 - clearance_m
        floor = four((*normal, -normal @ anchor))
        # The container's width runs along the world's x.
        along = Workspace(floor).axes @ self.camera_from_world[:3, 0]
        turn_deg = float(np.degrees(np.arctan2(along[1], along[0])))
        x, y = (float(v) for v in Workspace(floor, None, turn_deg).on_floor(anchor))
        bounds = x - half_x, y - half_y, x + half_x, y + half_y
        corner_m, foot_m, slope_deg = self.container.rounding
        corner_m = max(corner_m - self.clearance_m(self.wall_noise_m), 0.0)
        return Workspace(floor, bounds, turn_deg, self.wall_noise_m, corner_m, foot_m, slope_deg)

    @staticmethod
    def clearance_m(wall_noise_m: float) -> float:
        """How far the bounds of a workspace with this wall_noise_m keep off the walls."""
        return KNOWN_WALL_CLEARANCE_M if wall_noise_m else WALL_CLEARANCE_M

    def render(
        self, parts: Sequence[Part], world_poses: np.ndarray, surfaces: bool = False
    ) -> Rendering:
        """The ideal picture of N parts. world_poses: world-from-object, (N, 4, 4), one for each;
        labels 1..N in their order. surfaces: normals and surface points too."""
        k = self.intrinsics
        rays = k.rays()
        back = self._caster(self.container)
        depth, normals = back.cast(rays, self.camera_from_world, surfaces)
        surface = self._points(depth, self.camera_from_world) if surfaces else None
        labels = np.zeros(depth.shape, np.uint16)
        amodal = np.zeros((len(parts), *depth.shape), bool)
        for index, (part, pose) in enumerate(zip(parts, world_poses)):
            camera_from_object = self.camera_from_world @ pose
            window = self._window(part, camera_from_object)
            if window is None:
                continue
            caster = self._caster(part)
            own_depth, own_normals = caster.cast(rays[window], camera_from_object, surfaces)
            amodal[index][window] = np.isfinite(own_depth)
            nearer = own_depth < np.nan_to_num(depth[window], nan=np.inf)
            depth[window] = np.where(nearer, own_depth, depth[window])
            labels[window] = np.where(nearer, index + 1, labels[window])
            if normals is not None and own_normals is not None and surface is not None:
                normals[window] = np.where(nearer[..., None], own_normals, normals[window])
                seen = rays[window] * own_depth[..., None] - camera_from_object[:3, 3]
                points = seen @ camera_from_object[:3, :3]
                surface[window] = np.where(nearer[..., None], points, surface[window])
        return Rendering(depth, labels, amodal, normals, surface)

    def _caster(self, thing: Part | Container) -> Caster:
        if id(thing) not in self._casters:
            # A container stands still before a fixed camera: its picture is made once.
            self._casters[id(thing)] = Caster(
                thing,
                thing.mesh if isinstance(thing, Part) else thing.mesh(),
                keep=isinstance(thing, Container),
            )
        return self._casters[id(thing)]

    def _window(self, part: Part, camera_from_object: np.ndarray) -> tuple[slice, slice] | None:
        """The pixels that an instance can cover, or None where it is out of the picture."""
        k = self.intrinsics
        points = part.mesh.vertices @ camera_from_object[:3, :3].T + camera_from_object[:3, 3]
        if (points[:, 2] <= 0).any():
            return slice(0, k.height), slice(0, k.width)
        u, v = points[:, 0] / points[:, 2] * k.fx + k.cx, points[:, 1] / points[:, 2] * k.fy + k.cy
        left, right = max(int(u.min()), 0), min(int(u.max()) + 2, k.width)
        top, bottom = max(int(v.min()), 0), min(int(v.max()) + 2, k.height)
        return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None

    def _points(self, depth: np.ndarray, camera_from_object: np.ndarray) -> np.ndarray:
        return (
            (self.intrinsics.points(depth) - camera_from_object[:3, 3]) @ camera_from_object[:3, :3]
        ).astype(np.float32)


class _Cast(NamedTuple):
    """What rays have met."""

    rays: np.ndarray
    camera_from_object: np.ndarray
    depth: np.ndarray
    normals: np.ndarray | None


class Caster:
    """One mesh, ready for rays. `thing` is held so that its id stays its own. With `keep` the last
    answer is kept, for the same rays and pose again."""

    def __init__(self, thing: object, mesh: trimesh.Trimesh, keep: bool) -> None:
        self.thing, self.keep = thing, keep
        self.scene = ray_scene(mesh)
        self.kept: _Cast | None = None

    def cast(
        self, rays: np.ndarray, camera_from_object: np.ndarray, normals: bool = False
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """What rays (H, W, 3) with z = 1 in the optical frame meet, under camera_from_object (4,
        4): depth (H, W) float32 in m, NaN where nothing is hit, and normals (H, W, 3) float32 in
        the camera's frame if asked for."""
        kept = self.kept
        if (
            kept is not None
            and kept.rays is rays
            and np.array_equal(kept.camera_from_object, camera_from_object)
            and (not normals or kept.normals is not None)
        ):
            return kept.depth.copy(), None if kept.normals is None else kept.normals.copy()
        rotation = camera_from_object[:3, :3]
        # Rays have z = 1 in the optical frame, so the hit's parameter is the depth itself.
        turned = np.empty((*rays.shape[:2], 6), np.float32)
        turned[..., :3] = -rotation.T @ camera_from_object[:3, 3]
        turned[..., 3:] = rays @ rotation.astype(np.float32)
        hit = self.scene.cast_rays(o3d.core.Tensor.from_numpy(turned), nthreads=1)
        depth = hit['t_hit'].numpy().astype(np.float32)
        depth[~np.isfinite(depth)] = np.nan
        hit_normals = None
        if normals:
            hit_normals = hit['primitive_normals'].numpy() @ rotation.T.astype(np.float32)
        if self.keep:
            copied = None if hit_normals is None else hit_normals.copy()
            self.kept = _Cast(rays, camera_from_object.copy(), depth.copy(), copied)
        return depth, hit_normals
