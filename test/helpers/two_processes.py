"""Three steps of every kind of stage, alone or in one of two processes that torchrun has started:
`two_processes.py PROCESSES BATCH` prints their losses."""

from __future__ import annotations

import json
import sys

import torch

from insegan_ros.engine.loop import LoopConfig, Stage, make_fabric, seed_step
from insegan_ros.methods.baselines.point_template import PointTemplateConfig
from insegan_ros.methods.baselines.reconstruction_recipe import (
    ReconstructionStage,
    TrainPointTemplateConfig,
)
from insegan_ros.methods.baselines.reconstructions import RECONSTRUCTIONS
from insegan_ros.methods.insegan.generator import GeneratorConfig
from insegan_ros.methods.insegan.stages import (
    EncoderConfig,
    EncoderStage,
    GanConfig,
    GanStage,
    InseganConfig,
)
from insegan_ros.offsets.isolated import CropFactory
from insegan_ros.offsets.network import OffsetNetConfig
from insegan_ros.offsets.stage import OffsetStage, OffsetTrainConfig


def losses(processes: int, batch: int) -> list[dict[str, float]]:
    """The losses of the steps, averaged over the processes; batch: of each of them."""
    fabric = make_fabric(LoopConfig(device='cpu', devices=processes, threads=1))
    gan = GanConfig(batch=batch, discriminator_width=8, noise=0.1)
    encoder = EncoderConfig(batch=batch)
    shape = GeneratorConfig(width=8, patch=32)
    config = InseganConfig(3, generator=shape, gan=gan, encoder=encoder)
    torch.manual_seed(0)
    images, crops = torch.rand(8, 1, 64, 64) * 2 - 1, torch.rand(9, 1, 20, 20) * 2 - 1
    rows = []

    def run(stage: Stage) -> None:
        for index in range(3):
            seed_step(0, stage.name, index)
            found = stage.step(index).items()
            rows.append({k: float(fabric.all_reduce(v, reduce_op='mean')) for k, v in found})

    seed_step(0, 'weights', 0)
    stage = GanStage(fabric, config, images, crops)
    seed_step(0, 'weights', 1)
    run(stage)
    run(EncoderStage(fabric, config, stage.average))
    seed_step(0, 'weights', 2)
    dense = OffsetTrainConfig(OffsetNetConfig(8, 2), steps=8, batch=batch)
    run(OffsetStage(fabric, dense, CropFactory(crops, 3, 64), 20.0))
    seed_step(0, 'weights', 3)
    network = RECONSTRUCTIONS['point-template'][0](PointTemplateConfig())
    settings = TrainPointTemplateConfig(steps=8, batch=batch)
    run(ReconstructionStage(fabric, settings, network, images))
    return rows if fabric.is_global_zero else []


if __name__ == '__main__':
    if found := losses(int(sys.argv[1]), int(sys.argv[2])):
        print('ROWS' + json.dumps(found))
