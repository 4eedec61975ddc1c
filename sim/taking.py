"""A simulated bin from which parts are taken one after another, as a robot would: what is left
falls anew."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import open3d as o3d

from insegan_ros.data.scene import Scene, visible_fractions
from insegan_ros.geometry.rays import ray_scene
from insegan_ros.metrics.picks import FREE
from insegan_sim.scenes import Setup, photograph
from insegan_sim.world import World

# A tool that is farther away from a part takes nothing.
WITHIN_M = 0.01


@dataclass(frozen=True)
class Taken:
    """What came of one try. distance_m: from the tool to the nearest part, 0 within it, infinite in
    an empty bin; part: its index in the truth before, None where it was too far away; seen: the
    share of that part that was seen; left: how many parts lie in the bin now."""

    distance_m: float
    part: int | None
    seen: float
    left: int

    @property
    def free(self) -> bool:
        """Whether a part came on which nothing lay."""
        return self.part is not None and self.seen > FREE


class BinToEmpty:
    """One bin of one kind of part, before a camera that is not jittered. poses: where the parts are
    now, world-from-object (N, 4, 4)."""

    def __init__(self, setup: Setup, scene: Scene, seed: int = 0) -> None:
        (self.part,) = setup.parts
        self.setup, self.rng = setup, np.random.default_rng(seed)
        world_from_camera = np.linalg.inv(setup.camera.camera_from_world)
        self.poses = world_from_camera @ scene.labelled().require_poses().astype(float)

    @cached_property
    def surface(self) -> o3d.t.geometry.RaycastingScene:
        """The part's mesh, to measure distances to. Only bins from which is taken need it."""
        return ray_scene(self.part.mesh)

    def photograph(self) -> Scene:
        """The bin as it is now."""
        return photograph(self.setup, [self.part] * len(self.poses), self.poses, self.rng)

    def take(self, point_m: np.ndarray) -> Taken:
        """Take the part that is nearest to a point (3,) of the camera's frame; what is left falls
        to rest."""
        distances = self._distances(np.asarray(point_m, float))
        if not len(distances) or distances.min() > WITHIN_M:
            return Taken(float(distances.min(initial=np.inf)), None, 0.0, len(distances))
        part = int(distances.argmin())
        seen = float(visible_fractions(self.photograph().labelled())[part])
        others = np.delete(self.poses, part, axis=0)
        with World(self.setup.container) as world:
            self.poses = world.settle([self.part] * len(others), others)
        return Taken(float(distances[part]), part, seen, len(others))

    def _distances(self, point_m: np.ndarray) -> np.ndarray:
        """From a point of the camera's frame to the surface of each part (N,) in m, 0 within."""
        if not len(self.poses):
            return np.empty(0)
        world = np.linalg.inv(self.setup.camera.camera_from_world) @ [*point_m, 1]
        own = np.einsum('nji,nj->ni', self.poses[:, :3, :3], world[:3] - self.poses[:, :3, 3])
        query = o3d.core.Tensor.from_numpy(own.astype(np.float32))
        return np.maximum(self.surface.compute_signed_distance(query).numpy(), 0)
