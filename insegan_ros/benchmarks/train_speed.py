"""What a training step of the paper's InSeGAN costs, against the machine's own matrix products and
against a plain implementation.

Plain is what one writes first: fp32, the template's layers run for every instance, one instance's
volume after the other, the alignment in a Python loop over images and permutations. Both do the
same step: one of D, one of G, one of E, at the paper's widths.
"""

from __future__ import annotations

import time
from itertools import permutations

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample
from torch.utils.flop_counter import FlopCounterMode

from insegan_ros.engine.loop import LoopConfig, make_fabric, seed_step
from insegan_ros.methods.insegan import alignment
from insegan_ros.methods.insegan.generator import Generator, GeneratorConfig
from insegan_ros.methods.insegan.stages import (
    EncoderConfig,
    EncoderStage,
    GanConfig,
    GanStage,
    InseganConfig,
)

INSTANCES = 5


class PlainGenerator(Generator):
    """The same function, every instance on its own."""

    def features_of_pose(self, rotation: Tensor, translation: Tensor) -> Tensor:
        """See Generator."""
        features = []
        for turn, move in zip(rotation.reshape(-1, 3, 3), translation.reshape(-1, 3)):
            volume = self.template_volume()
            inverse = turn.T
            theta = torch.cat([inverse, -inverse @ move[:, None]], 1)[None]
            grid = affine_grid(
                theta, [1, volume.shape[0], *[self.feature_side] * 3], align_corners=False
            )
            features.append(
                self.project(grid_sample(volume[None], grid, align_corners=False).flatten(1, 2))[0]
            )
        return torch.stack(features).reshape(*rotation.shape[:2], *features[0].shape)


def plain_align(cost: Tensor) -> Tensor:
    """The best permutation of every image, found one by one."""
    out = []
    for matrix in cost.detach():
        totals = {
            order: sum(float(matrix[i, j]) for i, j in enumerate(order))
            for order in permutations(range(len(matrix)))
        }
        out.append(min(totals, key=totals.get))
    return torch.tensor(out, device=cost.device)


def benchmark_train_rows(small: bool) -> list[tuple[str, str, str, float, str, str]]:
    """(method, protocol, metric, value, unit, reference) a figure."""
    cuda = torch.cuda.is_available()
    batch = 2 if small else 128 if cuda else 32
    protocol = f"paper's widths, batch {batch}, n = {INSTANCES}"
    rows: list[tuple[str, str, str, float, str, str]] = []
    products = {
        name: _matmul_rate(kind, 512 if small else 4096 if cuda else 2048)
        for name, kind in (('fp32', torch.float32), ('bf16', torch.bfloat16))
    }
    for name, rate in products.items():
        rows.append(('matrix product', name, 'rate', rate / 1e9, 'GFLOP/s', ''))
    plain, _ = _step_time(batch, 'plain', '32-true', repeats=1)
    rows.append(('plain', protocol, 'time of a step', plain, 's', ''))
    for name, precision, compiled in (
        ('fp32', '32-true', False),
        ('bf16', 'bf16-mixed', False),
        *((('bf16, compiled', 'bf16-mixed', True),) if cuda else ()),
    ):
        seconds, work = _step_time(
            batch, 'ours', precision, repeats=1 if small else 3, compiled=compiled
        )
        rate = work / seconds
        rows.append(
            (
                f'ours, {name}',
                protocol,
                'arithmetic of a step',
                work / 1e9,
                'GFLOP',
                'convolutions and matrix products, forward and backward',
            )
        )
        rows.append((f'ours, {name}', protocol, 'time of a step', seconds, 's', ''))
        rows.append((f'ours, {name}', protocol, 'rate', rate / 1e9, 'GFLOP/s', ''))
        for product, best in products.items():
            rows.append(
                (
                    f'ours, {name}',
                    protocol,
                    f'share of the {product} matrix rate',
                    rate / best,
                    '',
                    'same run',
                )
            )
        rows.append((f'ours, {name}', protocol, 'speed', plain / seconds, 'x', 'plain, same run'))
    return rows


def _matmul_rate(kind: torch.dtype, size: int) -> float:
    """Multiply-adds, counted as two, a second of a square matrix product."""
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    a, b = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
    a @ b
    best = float('inf')
    for _ in range(3):
        begun = _now()
        a @ b
        best = min(best, _now() - begun)
    return 2 * size**3 / best


def _step_time(
    batch: int, form: str, precision: str, repeats: int, compiled: bool = False
) -> tuple[float, float]:
    """Seconds of the quickest of some steps, and the floating-point operations of one."""
    fabric = make_fabric(LoopConfig(precision=precision, compile=compiled))
    config = InseganConfig(
        INSTANCES,
        GeneratorConfig(width=64, composition='average', placement='volume'),
        GanConfig(
            batch=batch,
            discriminator_width=64,
            loss='cross_entropy',
            scope='image',
            candidates=1,
            alone=0.0,
            average=0.0,
        ),
        EncoderConfig(batch=batch),
    )
    images = (torch.rand(max(batch, 8), 1, 64, 64) * 2 - 1).to(fabric.device)
    seed_step(0, 'weights', 0)
    gan = GanStage(fabric, config, images)
    if form == 'plain':
        gan.generator.module.__class__ = PlainGenerator
        gan.average.__class__ = PlainGenerator
    encoder = EncoderStage(fabric, config, gan.average)
    exact = alignment.METHODS['exact']
    alignment.METHODS['exact'] = plain_align if form == 'plain' else exact
    try:

        def step(index: int) -> None:
            gan.step(index)
            encoder.step(index)

        counter = FlopCounterMode(display=False)
        if compiled:
            step(0)
            work = _work(batch, precision)
        else:
            with counter:
                step(0)
            work = float(counter.get_total_flops())
        best = float('inf')
        for index in range(repeats):
            begun = _now()
            step(index + 1)
            best = min(best, _now() - begun)
    finally:
        alignment.METHODS['exact'] = exact
    return best, work


def _work(batch: int, precision: str) -> float:
    """The operations of a step, counted on the form that is not compiled: a compiled one hides
    them."""
    return _step_time(batch, 'ours', precision, repeats=1)[1]


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
