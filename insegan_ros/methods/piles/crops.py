"""What teaches where the part's mesh cannot be told: isolated crops, by the recipe of that name."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.engine.loop import LoopConfig
from insegan_ros.errors import DatasetError
from insegan_ros.heights import IMAGE_SIZE, PART_M, signed, square_height_map
from insegan_ros.methods.piles.recording import Recording, RefusedMesh
from insegan_ros.methods.registry import METHODS
from insegan_ros.offsets.isolated import part_share
from insegan_ros.offsets.stage import OffsetTrainConfig

# The folder, in that of the run, of the other recipe's own run.
CROPS = 'crops'
# Frames, and px of their sides, that tell how large a part is; so wide in px it should be.
PROBED, PROBE_PX, PART_PX, LARGEST_PX = 60, 256, 12.0, 192


def learn_from_crops(
    recording: Recording,
    refused: RefusedMesh,
    offsets: OffsetTrainConfig,
    loop: LoopConfig,
    seed: int,
) -> Path:
    """Run `insegan train cutpaste` in a folder of its own below the run's, and take its checkpoint
    over, with the reason in its history; returns the checkpoint's folder. Raises DatasetError where
    no part lies alone either."""
    recording.speak(
        f'no piles, since {refused}. Instead `cutpaste` learns from isolated parts, for bins of one'
        f' layer (delete {recording.out} to begin anew with more frames)'
    )
    method = METHODS['cutpaste']
    config = method.config_class(
        data=recording.data,
        out=str(recording.out / CROPS),
        instances=0,
        workspace=recording.workspace,
        seed=seed,
        size=crop_size(recording, offsets.network.stride),
        offsets=offsets,
        loop=loop,
    )
    try:
        made = Checkpoint.load(method.run(config))
    except DatasetError as error:
        raise DatasetError(f'{refused}; isolated crops cannot teach instead: {error}') from error
    taught_by = f'{made.training["taught_by"]}; not by piles, since {refused}'
    replace(made, training={**made.training, 'taught_by': taught_by}).save(
        recording.out / 'checkpoint'
    )
    return recording.out / 'checkpoint'


def crop_size(recording: Recording, stride_px: int = 1) -> int:
    """The side in px, a multiple of 16 and of the network's stride_px, of height maps in which a
    part is some PART_PX wide, by what lies alone in the first frames; about the usual one where too
    little does."""
    heights = [
        square_height_map(scene.frame, scene.require_workspace(), PROBE_PX)[0]
        for scene in islice(recording.scenes()[1], PROBED)
    ]
    usual = np.stack(heights) if heights else np.zeros((1, PROBE_PX, PROBE_PX), np.float32)
    highest = max(float(np.quantile(usual, 0.999)), PART_M)
    area_px = part_share(torch.from_numpy(signed(usual / highest))[:, None], 0)
    wanted = float(IMAGE_SIZE)
    if not math.isnan(area_px):
        wanted = min(max(PROBE_PX * PART_PX / math.sqrt(area_px), IMAGE_SIZE), LARGEST_PX)
    step = math.lcm(16, stride_px)
    return step * math.ceil(wanted / step)
