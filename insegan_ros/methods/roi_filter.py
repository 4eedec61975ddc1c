"""A foreground segmenter as a region-of-interest filter: another method sees the floor wherever the
filter sees no object."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from insegan_ros.frame import Frame, Instances
from insegan_ros.segmenters.base import Segmenter, WrappedSegmenter
from insegan_ros.workspace import Workspace, resolve_workspace


class RoiFilteredSegmenter(WrappedSegmenter):
    """`inner` on frames whose depth is the floor's outside of what `roi_filter` finds: clutter,
    hands and liners that a camera sees beside the parts."""

    def __init__(self, inner: Segmenter, roi_filter: Segmenter) -> None:
        super().__init__(inner)
        self.roi_filter = roi_filter

    @property
    def needs_colour(self) -> bool:
        """Whether the method or its filter looks at colour."""
        return super().needs_colour or self.roi_filter.needs_colour

    def segment(self, frame: Frame, workspace: Workspace | None = None) -> Instances:
        """The method's instances in what the filter takes for foreground. Raises InputError for a
        frame without the colour that a filter of colour needs."""
        found = self.roi_filter.segment(frame, workspace).labels > 0
        floor = resolve_workspace(workspace, frame).floor_depth(frame.intrinsics)
        depth = np.where(found | np.isnan(frame.depth_m), frame.depth_m, floor)
        return self.inner.segment(replace(frame, depth_m=depth), workspace)
