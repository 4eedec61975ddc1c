"""Any segmenter, with poses of a part whose mesh is known."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from insegan_ros.errors import InputError
from insegan_ros.frame import Frame, Instances
from insegan_ros.geometry.registration import MeshRegistration, Registered
from insegan_ros.segmenters.base import MeshFile, Segmenter, WrappedSegmenter
from insegan_ros.workspace import Workspace

# A decoded pose that ICP brings to explain so much of an instance needs no search over all
# rotations.
SURE = 0.8
# A mesh that is so many times larger or smaller than the parts, or larger than any bin, is in
# another unit.
FAR_OFF, LARGEST_M = 10.0, 5.0


class PosedSegmenter(WrappedSegmenter):
    """Any segmenter, with the poses of its instances registered to a mesh; the rest stays as it is.

    InSeGAN's pose encoder decodes how its template is turned; the template is registered to the
    mesh once, and each instance is begun with what was decoded. file: the mesh's, `scale` metres
    in its unit. Raises InputError for a mesh in another unit.
    """

    def __init__(
        self,
        inner: Segmenter,
        registration: MeshRegistration,
        file: Path | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__(inner)
        if file is not None:
            self.mesh = MeshFile(file, scale, registration.mesh.bounds)
        area_m2 = self.scales.part_area_m2
        usual = 2 * math.sqrt(area_m2 / math.pi) if area_m2 else None
        if (
            registration.diameter > LARGEST_M
            or usual
            and not usual / FAR_OFF < registration.diameter < usual * FAR_OFF
        ):
            parts = f', the parts that the model knows {usual:.3g} m' if usual else ''
            raise InputError(
                f'the mesh is {registration.diameter:.3g} m across{parts}: expected metres; the'
                ' scale is 0.001 for a file in millimetres'
            )
        self.registration = registration
        self.template_from_object = inner.template_rotation(registration)

    def segment(self, frame: Frame, workspace: Workspace | None = None) -> Instances:
        """The wrapped method's instances, each with the pose to which the mesh fits best, and with
        what of the mesh is hidden there in its amodal mask. One that cannot be registered keeps the
        pose that it had, and what is seen for its whole."""
        found = self.inner.segment(frame, workspace)
        poses = (
            found.poses.copy()
            if found.poses is not None
            else np.tile(np.eye(4, dtype=np.float32), (len(found), 1, 1))
        )
        masks = found.masks()
        amodal, registered = masks.copy(), np.zeros(len(found), bool)
        for index, one in enumerate(self._register(frame, list(masks), poses[:, :3, :3])):
            if one is not None:
                poses[index], registered[index] = one.pose, True
                amodal[index] |= self.registration.silhouette(one.pose, frame.intrinsics)
        return replace(found, poses=poses, amodal=amodal, registered=registered)

    def _register(
        self, frame: Frame, masks: list[np.ndarray], decoded: np.ndarray
    ) -> list[Registered | None]:
        """What is registered of each of masks (H, W); decoded (N, 3, 3): how the wrapped method
        says that they are turned."""
        if self.template_from_object is None:
            return self.registration.register_all(frame, masks)
        likely = list((decoded @ self.template_from_object)[:, None])
        found = self.registration.register_all(frame, masks, likely, search=False)
        unsure = [i for i, one in enumerate(found) if one is None or one.score < SURE]
        again = self.registration.register_all(
            frame, [masks[i] for i in unsure], [likely[i] for i in unsure]
        )
        for index, one in zip(unsure, again):
            found[index] = one
        return found
