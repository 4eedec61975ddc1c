"""How good 6-DoF poses are (BOP's measures). Poses are (4, 4) object to camera, lengths in
metres.

Poses are answered in the frame of the mesh that was given, and true ones stand in that of the
data's own model. `TruePart` knows the motion between the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import trimesh
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from insegan_ros.data.scene import visible_fractions
from insegan_ros.frame import Instances, counted
from insegan_ros.geometry.meshes import model_from_mesh
from insegan_ros.metrics.masks import iou_matrix

# Parts of which less is seen are not judged.
JUDGED = 0.5
# Points of the surface that ADD-S and MSSD are measured on: MSSD costs one distance a point and
# symmetry.
POINTS, MSSD_POINTS = 3000, 1000
# Pairs of poses, and points, that tell in which frame poses are answered without a mesh.
FRAMED, FRAMED_POINTS = 60, 300


def transform(pose: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (N, 3) under a pose (4, 4)."""
    return points @ pose[:3, :3].T + pose[:3, 3]


def add_s(truth: np.ndarray, found: np.ndarray, points: np.ndarray) -> float:
    """ADD-S (Hinterstoisser et al., 2012): mean distance of the model's points (N, 3) under one
    pose to the nearest under the other, in their unit."""
    return float(cKDTree(transform(found, points)).query(transform(truth, points))[0].mean())


def mssd(truth: np.ndarray, found: np.ndarray, points: np.ndarray, symmetries: np.ndarray) -> float:
    """Maximum symmetry-aware surface distance (Hodan et al., 2020): the largest distance of a
    point of points (N, 3), in their unit, for the best of the symmetries, the identity among them:
    rotations (S, 3, 3), or motions (S, 4, 4) for axes that miss the origin."""
    moved = transform(found, points)
    turned = points @ symmetries[:, :3, :3].transpose(0, 2, 1)
    if symmetries.shape[-1] == 4:
        turned = turned + symmetries[:, None, :3, 3]
    return float(min(np.linalg.norm(transform(truth, one) - moved, axis=1).max() for one in turned))


@dataclass(frozen=True)
class TruePart:
    """A part as the true poses know it. points (N, 3): of its surface, in m; symmetries (S, 3, 3)
    or (S, 4, 4), None where they are not known; mesh_from_model (4, 4): from its frame to that of
    the mesh that poses are answered for, found once for all poses."""

    points: np.ndarray
    diameter_m: float
    symmetries: np.ndarray | None = None
    mesh_from_model: np.ndarray = field(default_factory=lambda: np.eye(4))

    @classmethod
    def of(
        cls,
        model: trimesh.Trimesh,
        diameter_m: float,
        symmetries: np.ndarray | None = None,
        mesh: trimesh.Trimesh | None = None,
    ) -> TruePart:
        """Of the mesh in m whose frame the true poses are in. mesh: what poses are answered for,
        where it is another: the file that the model came from, or a reconstruction; it is laid on
        the model once. Raises InputError where it is of another part."""
        points = np.asarray(trimesh.sample.sample_surface(model, POINTS, seed=0)[0])
        frame = np.eye(4) if mesh is None else np.linalg.inv(model_from_mesh(mesh, model))
        return cls(points, diameter_m, symmetries, frame)

    def error(self, truth: np.ndarray, found: np.ndarray | None) -> tuple[float, float]:
        """ADD-S and MSSD in diameters of a pose (4, 4) of the mesh; MSSD is NaN without
        symmetries, and a pose that was not found is a diameter off."""
        if found is None:
            return 1.0, 1.0
        own = found @ self.mesh_from_model
        largest = np.nan
        if self.symmetries is not None:
            largest = mssd(truth, own, self.points[:MSSD_POINTS], self.symmetries)
        return add_s(truth, own, self.points) / self.diameter_m, largest / self.diameter_m


def frame_between(pairs: Sequence[tuple[np.ndarray, np.ndarray]], part: TruePart) -> np.ndarray:
    """The motion (4, 4) from the data's model to the frame that poses are answered in, where no
    mesh tells it: one for all pairs (true pose, found pose). It is a template's own frame, which
    nothing but a comparison can relate to the model's.

    Its rotation is that of the pair under which all agree best by ADD-S, its translation the median
    of all. pairs: not none.
    """
    truth, found = (np.array(poses, float) for poses in zip(*pairs))
    inverse = found[:, :3, :3].transpose(0, 2, 1)
    frame = np.eye(4)
    frame[:3, 3] = np.median((inverse @ (truth - found)[:, :3, 3:])[..., 0], 0)
    few = list(zip(truth, found))[:FRAMED]
    frames = [frame.copy() for _ in few]
    for one, own, (true, _) in zip(frames, inverse, few):
        one[:3, :3] = own @ true[:3, :3]
    points = part.points[:FRAMED_POINTS]

    def apart(candidate: np.ndarray) -> float:
        return sum(add_s(true, own @ candidate, points) for true, own in few)

    return min(frames, key=apart)


def errors_of(truth: Instances, found: Instances, part: TruePart) -> list[tuple[float, float]]:
    """(ADD-S, MSSD) in diameters of every true instance that is found (IoU of half or more) and,
    where amodal masks tell, seen by half or more; none where true poses are not known."""
    if truth.poses is None or found.poses is None:
        return []
    visible = visible_fractions(truth) if truth.amodal is not None else np.ones(len(truth))
    return [
        part.error(truth.poses[true], found.poses[own])
        for true, own in match(*counted(truth.labels, found.labels))
        if visible[true] >= JUDGED
    ]


def match(truth: np.ndarray, predicted: np.ndarray, min_iou: float = 0.5) -> list[tuple[int, int]]:
    """Pairs (true instance, predicted instance), from 0, of labels (H, W), one to one and with IoU
    of min_iou or more."""
    iou = iou_matrix(truth, predicted)
    true_ids, found_ids = (np.unique(labels[labels > 0]) - 1 for labels in (truth, predicted))
    rows, columns = linear_sum_assignment(iou, maximize=True)
    return [
        (int(true_ids[r]), int(found_ids[c])) for r, c in zip(rows, columns) if iou[r, c] >= min_iou
    ]
