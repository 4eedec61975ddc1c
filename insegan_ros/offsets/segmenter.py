"""The product's default: one dense network, one rule from its centre offsets to instances."""

from __future__ import annotations

import numpy as np

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.frame import Frame, Instances
from insegan_ros.geometry.label_images import to_instances
from insegan_ros.heights import pixel_size_m, resize_height
from insegan_ros.nn.device import choose_device
from insegan_ros.offsets.inference import HeightInference, VoteRule
from insegan_ros.offsets.network import OffsetNet, OffsetNetConfig
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.workspace import Workspace, resolve_workspace

# Longest side in px that the network is given: six bins wide.
MAX_WORKING_PX = 384
# Floor that the network sees around the parts, in its own pixels.
RIM_PX = 6


def crop_to_parts(
    window: tuple[int, int, int, int], height: np.ndarray, min_height_m: float, rim: int
) -> tuple[tuple[int, int, int, int], np.ndarray]:
    """The window (left, top, right, bottom) in px and its height map (H, W) in metres cut to what
    stands above the floor and `rim` px around it; empty where nothing does."""
    above = height > min_height_m
    rows, columns = np.flatnonzero(above.any(1)), np.flatnonzero(above.any(0))
    if not len(rows):
        return window, height[:0, :0]
    top, bottom = max(rows[0] - rim, 0), min(rows[-1] + 1 + rim, height.shape[0])
    left, right = max(columns[0] - rim, 0), min(columns[-1] + 1 + rim, height.shape[1])
    return (
        (window[0] + left, window[1] + top, window[0] + right, window[1] + bottom),
        height[top:bottom, left:right],
    )


def network_config(checkpoint: Checkpoint) -> OffsetNetConfig:
    """The shape of a checkpoint's dense network; the first ones had no height votes and did not say
    so."""
    return checkpoint.settings(OffsetNetConfig, 'offsets', 'network', height_votes=False)


def vote_rule(checkpoint: Checkpoint) -> VoteRule:
    """The rule that a checkpoint was trained for: its configuration's `votes`, the usual one where
    it has none."""
    return checkpoint.settings(VoteRule, 'votes') if 'votes' in checkpoint.config else VoteRule()


class OffsetSegmenter(Segmenter):
    """Segments frames of any size and any camera: the image is brought to the metres per pixel of
    the training. Needs no number of instances. rule: when votes are a centre, in place of the
    checkpoint's own, see VoteRule. runtime: what runs the network, see choose_runtime."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = 'auto',
        rule: VoteRule | None = None,
        runtime: str = 'torch',
    ) -> None:
        checkpoint.require('offsets')
        self.part, self.scales = checkpoint.part, checkpoint.require_scales()
        self.device = choose_device(device)
        shape = network_config(checkpoint)
        network = checkpoint.restore('offsets', lambda: OffsetNet(shape))
        rule = rule or vote_rule(checkpoint)
        self.inference = HeightInference(network.to(self.device), self.scales, rule, runtime)
        self.runtime = 'torch' if self.inference.network is network else 'onnx'

    def segment(self, frame: Frame, workspace: Workspace | None = None) -> Instances:
        """The parts that the offset votes gather to, the floor fitted where no workspace is
        given."""
        window, height, small = self._seen(frame, resolve_workspace(workspace, frame))
        if not height.size:
            return Instances.none(frame.depth_m.shape)
        labels, scores = self.inference.instances(self.inference.field(small), height)
        return to_instances(frame, window, labels, scores)

    def _seen(
        self, frame: Frame, workspace: Workspace
    ) -> tuple[tuple[int, int, int, int], np.ndarray, np.ndarray]:
        """The window (left, top, right, bottom) in px that parts stand in, its height map (H, W) in
        m, empty where none does, and the same at the training's metres per pixel."""
        window = workspace.view(frame)
        height = workspace.height_map(frame, window=window)
        scale = pixel_size_m(workspace, frame.intrinsics) / self.scales.pixel_m
        rim = int(np.ceil(RIM_PX / scale))
        window, height = crop_to_parts(window, height, self.inference.min_height_m, rim)
        if not height.size:
            return window, height, height
        # A room in place of a bin must not become a picture of many megapixels.
        return window, height, resize_height(height, min(scale, MAX_WORKING_PX / max(height.shape)))
