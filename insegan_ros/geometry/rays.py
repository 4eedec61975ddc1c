"""Rays against a mesh."""

from __future__ import annotations

import numpy as np
import open3d as o3d
import trimesh


def ray_scene(mesh: trimesh.Trimesh) -> o3d.t.geometry.RaycastingScene:
    """A mesh, ready for rays and questions of what is inside, on one thread."""
    scene = o3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(
        o3d.core.Tensor.from_numpy(np.array(mesh.vertices, np.float32)),
        o3d.core.Tensor.from_numpy(np.array(mesh.faces, np.uint32)),
    )
    return scene
