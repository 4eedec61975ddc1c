"""Self-training on a recording's own frames: what the network that piles have taught is sure of in
them becomes labels beside the piles'. Depth alone is read."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from insegan_ros.data.height_maps import HeightMaps, read_height_maps
from insegan_ros.data.scene import Scene
from insegan_ros.engine.checkpoint import Scales
from insegan_ros.engine.inputs import HeightImages
from insegan_ros.engine.run import RunContext
from insegan_ros.heights import pixel_size_m
from insegan_ros.methods.piles.recording import Recording
from insegan_ros.offsets.inference import HeightInference, VoteRule
from insegan_ros.offsets.labelled_images import LabelledImages
from insegan_ros.offsets.labels import LabelFactory
from insegan_ros.offsets.network import OffsetNet
from insegan_ros.offsets.self_training import SureInstances, sure_instances
from insegan_ros.offsets.stage import OffsetTrainConfig
from insegan_ros.offsets.training import train_round
from insegan_ros.workspace import TRAINING_MARGIN

# So few frames show little that the piles do not; so many show enough.
MIN_FRAMES, MAX_FRAMES = 30, 200
# Larger frames take too long to learn from, in px.
LARGEST_PX = 384


def window_side_m(scene: Scene) -> float:
    """The longer side in m of what a training's picture of a scene's bin shows."""
    workspace = scene.require_workspace()
    left, top, right, bottom = workspace.window(scene.frame.intrinsics, TRAINING_MARGIN)
    return max(right - left, bottom - top) * pixel_size_m(workspace, scene.frame.intrinsics)


def real_frames(
    recording: Recording, scales: Scales, device: torch.device, stride_px: int = 1
) -> HeightImages | None:
    """The recording's frames at the scales of the piles, their sides filled up with floor to
    multiples of the network's stride_px; None, said aloud, where they are too few or too large."""
    size = round(window_side_m(next(recording.scenes()[1])) / scales.pixel_m)
    if size > LARGEST_PX:
        recording.speak(
            f'no self-training: a frame of the whole bin has {size} px at this resolution, expected'
            f' {LARGEST_PX} or fewer'
        )
        return None
    maps = read_height_maps(Path(recording.data), size, MAX_FRAMES, workspace=recording.bin)
    if len(maps.heights_m) < MIN_FRAMES:
        recording.speak(
            f'no self-training: {len(maps.heights_m)} different frames, expected {MIN_FRAMES} or'
            ' more'
        )
        return None
    # Those of usual networks are filled up alike.
    rest = -size % math.lcm(16, stride_px)
    heights = np.pad(maps.heights_m, ((0, 0), (0, rest), (0, rest)))
    whole = HeightMaps(heights, scales.pixel_m, maps.part, maps.fingerprint)
    return HeightImages.of(whole, scales.height_m, device)


def self_train(
    run: RunContext,
    config: OffsetTrainConfig,
    piles: LabelFactory,
    frames: HeightImages,
    scales: Scales,
    votes: VoteRule,
    weights: dict[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor], int]:
    """Rounds of training on piles and on what the network is sure of in the frames in turn; the
    weights, and how many rounds they have gone through. A round after which the answers on the
    frames agree with themselves less than before is not taken."""
    label = _labeller(run, config, frames, scales, votes)
    sure = label(weights)
    for round_ in range(1, config.self_training + 1):
        run.say(
            f'round {round_}: sure of {sure.number} of {sure.found} instances in'
            f' {len(frames.images)} frames, which agree with themselves to {sure.agreement:.3f}'
        )
        if not sure.number:
            return weights, round_ - 1
        chosen = frames.images[torch.from_numpy(sure.kept).to(run.device)]
        real = LabelledImages(chosen, sure.labels, sure.centres)
        later = train_round(run, frames, config, [piles, real], round_, weights)
        after = label(later)
        better = after.agreement >= sure.agreement
        run.say(
            f'round {round_}: after it they agree to {after.agreement:.3f}'
            f'{"" if better else ", which is less: the network stays as it was"}'
        )
        if not better:
            return weights, round_ - 1
        weights, sure = later, after
    return weights, config.self_training


def _labeller(
    run: RunContext,
    config: OffsetTrainConfig,
    frames: HeightImages,
    scales: Scales,
    votes: VoteRule,
) -> Callable[[dict[str, torch.Tensor]], SureInstances]:
    """What a network of given weights is sure of in the frames."""

    def label(weights: dict[str, torch.Tensor]) -> SureInstances:
        network = OffsetNet(config.network)
        network.load_state_dict(weights)
        inference = HeightInference(network.to(run.device).eval(), scales, votes)
        return sure_instances(
            frames.maps.heights_m,
            inference.divide,
            scales.part_area_px,
            inference.min_height_m,
            config.agreement,
            progress=run.speaks,
        )

    return label
