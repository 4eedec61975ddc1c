"""InSeGAN and the dense network, so small that they train in seconds; what they learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import torch

from insegan_ros.engine.loop import LoopConfig
from insegan_ros.methods.cutpaste.recipe import TrainCutPasteConfig
from insegan_ros.methods.insegan.generator import GeneratorConfig
from insegan_ros.methods.insegan.recipe import TrainInseganConfig
from insegan_ros.methods.insegan.stages import EncoderConfig, GanConfig, InseganConfig
from insegan_ros.offsets.network import OffsetNetConfig
from insegan_ros.offsets.stage import OffsetTrainConfig

LOOP = LoopConfig(device='cpu', save_every=5, log_every=5)
SMALL = InseganConfig(
    instances=3,
    generator=GeneratorConfig(width=8, patch=32),
    gan=GanConfig(steps=10, batch=4, discriminator_width=8),
    encoder=EncoderConfig(steps=4, batch=4),
)
DENSE = OffsetTrainConfig(OffsetNetConfig(8, 2), steps=4, batch=4)


def small_insegan(data: Path | str, out: Path) -> TrainInseganConfig:
    """All stages on bins of five parts, of seconds."""
    return TrainInseganConfig(
        data=str(data), out=str(out), insegan=replace(SMALL, instances=5), offsets=DENSE, loop=LOOP
    )


def small_cutpaste(data: Path | str, out: Path, instances: int = 3) -> TrainCutPasteConfig:
    """The dense network taught by isolated crops, of seconds."""
    return TrainCutPasteConfig(
        data=str(data), out=str(out), instances=instances, offsets=DENSE, loop=LOOP
    )


def weights_of(module: torch.nn.Module) -> torch.Tensor:
    """All of a module's weights, (N,), as they are now."""
    return torch.cat([p.detach().flatten().clone() for p in module.parameters()])


def noise_images() -> torch.Tensor:
    """(8, 1, 64, 64) in [-1, 1]."""
    torch.manual_seed(0)
    return torch.rand(8, 1, 64, 64) * 2 - 1


def heights_file(path: Path, heights: np.ndarray, fingerprint: str = 'made here') -> str:
    """A file of height maps (N, S, S) in metres, as floats."""
    with h5py.File(path, 'w') as file:
        file.attrs.update(
            {
                'format': 'insegan-heights-1',
                'pixel_m': 0.002,
                'part': 'disk',
                'fingerprint': fingerprint,
            }
        )
        file.create_dataset('heights', data=np.asarray(heights, np.float32) / 1e-4)
    return str(path)


def disks(
    count: int, corners: Sequence[tuple[int, int]] = ((12, 12), (12, 50), (50, 12))
) -> np.ndarray:
    """Height maps (count, 64, 64) of disks of 97 px and 20 mm, none on another."""
    y, x = np.mgrid[:64, :64]
    one = sum(0.02 * (np.hypot(x - a, y - b) < 5.6) for a, b in corners)
    return np.repeat(one[None], count, 0)
