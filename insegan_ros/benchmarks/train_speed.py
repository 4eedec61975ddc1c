"""`insegan benchmark train`: what a training step of the paper's InSeGAN costs, against the
machine's own matrix products and against a plain implementation.

Plain is what one writes first: fp32, the template's layers run for every instance, one instance's
volume after the other, the alignment in a Python loop over images and permutations. Both do the
same step: one of D, one of G, one of E, at the paper's widths.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import permutations

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample
from torch.utils.flop_counter import FlopCounterMode

from insegan_ros.benchmarks.budgets import training_config
from insegan_ros.benchmarks.rows import Row, row
from insegan_ros.engine.loop import LoopConfig, make_fabric, seed_step
from insegan_ros.methods.insegan import alignment
from insegan_ros.methods.insegan.generator import Generator
from insegan_ros.methods.insegan.stages import EncoderStage, GanStage, InseganConfig

PRECISIONS = {'fp32': torch.float32, 'bf16': torch.bfloat16}


class PlainGenerator(Generator):
    """The same function, every instance on its own."""

    def features_of_pose(self, rotation: Tensor, translation: Tensor) -> Tensor:
        """rotation (B, n, 3, 3), translation (B, n, 3) -> features (B, n, C, H, W), as of
        Generator."""
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
    """The best permutation (B, n) of every image, found one by one. cost (B, n, n)."""
    out = []
    for matrix in cost.detach():
        totals = {
            order: sum(float(matrix[i, j]) for i, j in enumerate(order))
            for order in permutations(range(len(matrix)))
        }
        out.append(min(totals, key=lambda order: totals[order]))
    return torch.tensor(out, device=cost.device)


def benchmark_train(small: bool) -> list[Row]:
    """Arithmetic of a training step, its rate against the machine's own matrix products, and
    against a plain implementation."""
    cuda = torch.cuda.is_available()
    batch = 2 if small else 128 if cuda else 32
    config = paper_config(batch)
    protocol = f"paper's widths, batch {batch}, n = {config.instances}"
    figure = partial(row, 'train', part='', small=small)
    side = 512 if small else 4096 if cuda else 2048
    products = {name: matmul_rate(kind, side) for name, kind in PRECISIONS.items()}
    rows = [
        figure('matrix product', protocol=name, metric='rate', value=rate / 1e9, unit='GFLOP/s')
        for name, rate in products.items()
    ]
    plain_s, _ = step_time(config, '32-true', repeats=1, plain=True)
    time_of = partial(figure, protocol=protocol, metric='time of a step', unit='s')
    rows.append(time_of('plain', value=plain_s))
    forms = [('fp32', '32-true', False), ('bf16', 'bf16-mixed', False)]
    forms += [('bf16, compiled', 'bf16-mixed', True)] if cuda else []
    for name, precision, compiled in forms:
        seconds, work = step_time(config, precision, 1 if small else 3, compiled=compiled)
        ours = partial(figure, f'ours, {name}', protocol=protocol)
        counted = 'convolutions and matrix products, forward and backward'
        rows += [
            ours(metric='arithmetic of a step', value=work / 1e9, unit='GFLOP', reference=counted),
            ours(metric='time of a step', value=seconds, unit='s'),
            ours(metric='rate', value=work / seconds / 1e9, unit='GFLOP/s'),
            *(
                ours(
                    metric=f'share of the {product} matrix rate',
                    value=work / seconds / best,
                    unit='',
                    reference='same run',
                )
                for product, best in products.items()
            ),
            ours(metric='speed', value=plain_s / seconds, unit='x', reference='plain, same run'),
        ]
    return rows


def paper_config(batch: int) -> InseganConfig:
    """The paper's form at its widths; instances are aligned exactly by their poses, which is what a
    plain implementation is slow at."""
    of_gan, of_encoder = (
        {'batch': batch},
        {'batch': batch, 'align_in': 'pose', 'alignment': 'exact'},
    )
    own = {'insegan': {'gan': of_gan, 'encoder': of_encoder}}
    return training_config('insegan', 'insegan-paper', own).insegan


def matmul_rate(kind: torch.dtype, side: int) -> float:
    """Floating-point operations a second, of a product of two square matrices, a multiply-add
    counted as two; the quickest of three."""
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
    torch.mm(a, b)
    return 2 * side**3 / quickest(lambda _: torch.mm(a, b), 3)


def step_time(
    config: InseganConfig, precision: str, repeats: int, compiled: bool = False, plain: bool = False
) -> tuple[float, float]:
    """Seconds of the quickest of some steps, and the floating-point operations of one. plain: of
    the plain implementation."""
    fabric = make_fabric(LoopConfig(precision=precision, compile=compiled))
    images = (torch.rand(max(config.gan.batch, 8), 1, 64, 64) * 2 - 1).to(fabric.device)
    seed_step(0, 'weights', 0)
    gan = GanStage(fabric, config, images)
    if plain:
        gan.generator.module.__class__ = PlainGenerator
        gan.average.__class__ = PlainGenerator
    encoder = EncoderStage(fabric, config, gan.average)

    def step(index: int) -> None:
        gan.step(index)
        encoder.step(index)

    with _exact_alignment(plain):
        if compiled:
            step(0)
            # A compiled step hides its operations: they are those of the form that is not compiled.
            work = step_time(config, precision, repeats=1)[1]
        else:
            with (counter := FlopCounterMode(display=False)):
                step(0)
            work = float(counter.get_total_flops())
        return quickest(lambda index: step(index + 1), repeats), work


@contextmanager
def _exact_alignment(plain: bool) -> Iterator[None]:
    """While it lasts, the exact alignment is the plain one."""
    ours = alignment.METHODS['exact']
    alignment.METHODS['exact'] = plain_align if plain else ours
    try:
        yield
    finally:
        alignment.METHODS['exact'] = ours


def quickest(work: Callable[[int], object], repeats: int) -> float:
    """Seconds of the quickest of some calls, which are given their number."""
    best = float('inf')
    for index in range(repeats):
        begun = _now()
        work(index)
        best = min(best, _now() - begun)
    return best


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
