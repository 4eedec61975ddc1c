"""The depth camera: ray casting (Embree through Open3D) at any resolution."""
from __future__ import annotations

import numpy as np
import open3d as o3d
import trimesh

from insegan_ros.frame import Frame, Instances, Intrinsics
from insegan_ros.workspace import Workspace
from insegan_sim.bin import walls_mesh
from insegan_sim.parts import Part

# The bounds keep this distance from the walls, so that the walls themselves are no part.
WALL_CLEARANCE_M = 0.003


class DepthCamera:
    """A camera that looks straight down on the centre of a bin from `distance_m` above its floor.

    Optical frame: x right, y down in the image, z into the bin; world x is the image's x, world y points up in the image.
    """

    def __init__(self, part: Part, intrinsics: Intrinsics, distance_m: float) -> None:
        self.part, self.intrinsics, self.distance_m = part, intrinsics, distance_m
        self.camera_from_world = np.diag([1.0, -1.0, -1.0, 1.0])
        self.camera_from_world[2, 3] = distance_m
        half = part.bin_width_m / 2 - WALL_CLEARANCE_M
        self.workspace = Workspace((0.0, 0.0, -1.0, distance_m), (-half, -half, half, half))
        self._bin = walls_mesh(part.bin_width_m, 0.6 * part.diameter_m)
        self._rays = self._ray_tensor()

    @classmethod
    def over_bin(cls, part: Part, size: int = 224) -> DepthCamera:
        """A square picture that holds the bin with a rim: the data sets' camera."""
        distance_m = 2.6 * part.bin_width_m
        focal = size * distance_m / (part.bin_width_m * 1.16)
        centre = (size - 1) / 2
        return cls(part, Intrinsics(focal, focal, centre, centre, size, size), distance_m)

    @classmethod
    def realsense(cls, part: Part, width: int = 640, height: int = 480) -> DepthCamera:
        """Intrinsics of a D435 whose depth is aligned to colour, as near to the bin as its smallest distance allows."""
        focal = 615.0 * width / 640
        centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
        distance_m = max(0.28 + part.diameter_m, focal * part.bin_width_m * 1.2 / height)
        return cls(part, Intrinsics(focal, focal, centre_x, centre_y, width, height), distance_m)

    def _ray_tensor(self) -> o3d.core.Tensor:
        directions = self.intrinsics.rays() @ self.camera_from_world[:3, :3].astype(np.float32)
        origin = np.broadcast_to(np.array([0, 0, self.distance_m], np.float32), directions.shape)
        return o3d.core.Tensor(np.ascontiguousarray(np.concatenate([origin, directions], -1)))

    def render(self, world_poses: np.ndarray, stamp_ns: int = 0) -> tuple[Frame, Instances]:
        """Ideal depth and the truth of it. world_poses: world-from-object, (N, 4, 4).

        The truth has labels 1..N in the order of the poses and camera-from-object poses; a hidden part keeps its number.
        """
        scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        _add(scene, self._bin, np.eye(4))
        for pose in world_poses:
            _add(scene, self.part.mesh, pose)
        hit = scene.cast_rays(self._rays, nthreads=1)
        # Rays have z = 1 in the optical frame, so the hit parameter is the depth itself.
        depth = hit['t_hit'].numpy().astype(np.float32)
        labels = hit['geometry_ids'].numpy()
        depth[~np.isfinite(depth)] = np.nan
        labels = np.where(labels > len(world_poses), 0, labels).astype(np.uint16)
        poses = (self.camera_from_world @ world_poses).astype(np.float32)
        frame = Frame(depth, self.intrinsics, stamp_ns=stamp_ns)
        return frame, Instances(labels, np.ones(len(world_poses), np.float32), poses=poses)


def _add(scene: o3d.t.geometry.RaycastingScene, mesh: trimesh.Trimesh, pose: np.ndarray) -> None:
    vertices = trimesh.transform_points(mesh.vertices, pose).astype(np.float32)
    scene.add_triangles(o3d.core.Tensor(vertices), o3d.core.Tensor(np.asarray(mesh.faces, np.uint32)))
