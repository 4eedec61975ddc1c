"""A foreground segmenter as a gate: another method sees the floor wherever the gate sees no
object."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from insegan_ros.frame import Frame, Instances
from insegan_ros.tasks.segmenter import Segmenter, WrappedSegmenter
from insegan_ros.workspace import Workspace, resolve_workspace


class GatedSegmenter(WrappedSegmenter):
    """`inner` on frames whose depth is the floor's outside of what `gate` finds: clutter, hands and
    liners that a camera sees beside the parts."""

    def __init__(self, inner: Segmenter, gate: Segmenter) -> None:
        super().__init__(inner)
        self.gate = gate

    @property
    def needs_colour(self) -> bool:
        """Of either."""
        return super().needs_colour or getattr(self.gate, 'needs_colour', False)

    @property
    def workspace(self) -> Workspace | None:
        """Of both."""
        return self.inner.workspace

    @workspace.setter
    def workspace(self, workspace: Workspace | None) -> None:
        self.inner.workspace = self.gate.workspace = workspace

    def segment(self, frame: Frame) -> Instances:
        """See Segmenter. Raises InputError for a frame without the colour that a gate of colour
        needs."""
        found = self.gate.segment(frame).labels > 0
        floor = resolve_workspace(self.workspace, frame).floor_depth(frame.intrinsics)
        return self.inner.segment(
            replace(frame, depth_m=np.where(found | np.isnan(frame.depth_m), frame.depth_m, floor))
        )
