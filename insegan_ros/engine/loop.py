"""The loop that every recipe shares: device and processes (Lightning Fabric), seeds, progress,
logs, checkpoints, resume.

A step's randomness depends on the seed, the stage's name and the step's number alone, so a run that
was killed goes on as if it had not been.
"""

from __future__ import annotations

import hashlib
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies import DDPStrategy
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from insegan_ros.engine.state import load_state, save_state
from insegan_ros.errors import ConfigError, TrainingError, unknown
from insegan_ros.nn.device import choose_device

# No network of ours learns weights that are so large: they have run away, whatever the loss said of
# the step before.
LARGEST_WEIGHT = 1e4
PRECISIONS = '32-true', 'bf16-mixed', '16-mixed'


class Stage(Protocol):
    """One stage of a recipe: what a step is."""

    name: str
    images_per_step: int

    def parts(self) -> dict[str, Any]:
        """Everything that has a state_dict and must survive a kill."""

    def step(self, index: int) -> dict[str, Tensor]:
        """One optimisation step; returns the losses to show."""

    def pictures(self) -> dict[str, Tensor]:
        """Pictures (3 or 1, H, W) in [0, 1] worth a look now."""


@dataclass(frozen=True)
class LoopConfig:
    """Where and how often: the same for all recipes."""

    device: str = 'auto'
    """auto, cpu, cuda: Fabric's accelerator."""
    devices: int = 1
    """GPUs; more than one runs DDP (start it under torchrun)."""
    threads: int = 0
    """CPU threads; 0 leaves it to torch. On a CPU, two trainings with one thread each get further
    than one with two."""
    precision: str = '32-true'
    """Fabric's precision: 32-true, bf16-mixed, 16-mixed."""
    compile: bool = False
    """Compile the networks (torch.compile): a minute at the start, then faster steps on a GPU."""
    save_every: int = 200
    """Steps between saved states."""
    log_every: int = 25
    """Steps between log entries."""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise unknown('loop.precision', self.precision, list(PRECISIONS))
        if self.devices < 1 or self.threads < 0 or self.save_every < 1 or self.log_every < 1:
            raise ConfigError(
                f'loop.devices is {self.devices}, threads {self.threads}, save_every'
                f' {self.save_every}, log_every {self.log_every}: expected 1 or more, 0 or more, 1'
                ' or more, 1 or more'
            )


class CompilingFabric(Fabric):
    """Fabric that compiles every network it sets up, in place: names in a state stay what they
    are."""

    def setup(
        self, module: torch.nn.Module, *optimizers: torch.optim.Optimizer, **options: Any
    ) -> Any:
        """See Fabric."""
        module.compile()
        return super().setup(module, *optimizers, **options)


def make_fabric(config: LoopConfig) -> Fabric:
    """Fabric for this configuration, launched. Raises ConfigError for a device that is not
    there."""
    choose_device(config.device)
    if config.threads:
        torch.set_num_threads(config.threads)
    # Spectral norm's vectors are the same in all processes as it is; sending them round would
    # change them between a forward and its backward pass.
    strategy: Any = DDPStrategy(broadcast_buffers=False) if config.devices > 1 else 'auto'
    fabric = (CompilingFabric if config.compile else Fabric)(
        accelerator=config.device,
        devices=config.devices,
        precision=config.precision,
        strategy=strategy,
    )
    fabric.launch()
    return fabric


def one_cycle(
    optimiser: torch.optim.Optimizer, rate: float, steps: int
) -> torch.optim.lr_scheduler.OneCycleLR:
    """A learning rate that rises to `rate` for a twentieth of the steps and falls along a
    cosine."""
    # The scheduler divides by the length of its rise less one step, which of 20 steps is nothing.
    return torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        rate,
        total_steps=steps,
        pct_start=0.05 if steps != 20 else 0.1,
        cycle_momentum=False,
    )


def own_share(fabric: Fabric, everything: Tensor) -> Tensor:
    """This process's part of what all processes drew alike: N processes do what one would with N
    times the batch."""
    return everything.chunk(fabric.world_size)[fabric.global_rank]


def seed_step(seed: int, stage: str, step: int) -> None:
    """Seed torch's generators for this one step, in all processes alike."""
    digest = hashlib.sha256(f'{seed}/{stage}/{step}/0'.encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:8], 'little') >> 1)


def run_stage(
    fabric: Fabric, stage: Stage, steps: int, folder: Path, seed: int, config: LoopConfig
) -> float:
    """Run a stage to `steps`, continuing where a former run stopped. Returns the seconds that all
    its steps took."""
    path = folder / f'{stage.name}.state.safetensors'
    start, before = load_state(path, stage.parts()) if path.exists() else (0, 0.0)
    writer = (
        SummaryWriter(str(folder / 'logs' / stage.name), purge_step=start)
        if fabric.is_global_zero
        else None
    )
    begun = time.perf_counter()
    with (
        _stopped_between_steps(fabric) as asked,
        tqdm(
            total=steps,
            initial=start,
            desc=stage.name,
            unit='step',
            disable=not fabric.is_global_zero,
        ) as bar,
    ):
        try:
            for index in range(start, steps):
                seed_step(seed, stage.name, index)
                losses = stage.step(index)
                bar.update()
                done = index + 1
                # Decided once a step: a signal that comes later ends the next one.
                stop = bool(asked)
                logs, saves = (
                    done % every == 0 or done == steps
                    for every in (config.log_every, config.save_every)
                )
                if logs or saves or stop:
                    _check(losses, stage, done, path)
                if logs:
                    _log(
                        bar,
                        writer,
                        stage,
                        losses,
                        done,
                        (done - start) / (time.perf_counter() - begun) * fabric.world_size,
                    )
                if saves or stop:
                    _save(fabric, writer, stage, path, done, before + time.perf_counter() - begun)
                if stop:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            state = (
                f'the state is in {path}; the same command goes on from there'
                if path.exists()
                else 'nothing was saved yet'
            )
            bar.write(f'stopped in {stage.name} at step {bar.n}: {state}')
            raise
        finally:
            if writer is not None:
                writer.close()
    return before + time.perf_counter() - begun


@contextmanager
def _stopped_between_steps(fabric: Fabric) -> Iterator[list[int]]:
    """While it lasts, the first SIGINT or SIGTERM only fills the list, so that the step is ended
    and saved; the second interrupts at once.

    Several processes would stop at different steps, and threads have no signals: there everything
    stays as it is.
    """
    asked: list[int] = []
    if fabric.world_size > 1 or threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(number: int, _: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _check(losses: dict[str, Tensor], stage: Stage, done: int, path: Path) -> None:
    """Raise TrainingError where a loss is no longer a number, or the weights that came of it cannot
    be right; what was saved before is kept."""
    bad = [name for name, value in losses.items() if not bool(torch.isfinite(value))]
    bad += [
        f'{name}.{weight}'
        for name, part in stage.parts().items()
        if isinstance(part, torch.nn.Module)
        for weight, value in part.named_parameters()
        if not bool((value.detach().abs() < LARGEST_WEIGHT).all())
    ]
    if bad:
        kept = f'the last good state is in {path}' if path.exists() else 'nothing was saved yet'
        raise TrainingError(
            f'{stage.name} diverged at step {done}: {", ".join(bad[:3])} is no number or beyond all'
            f' bounds; {kept}; lower the rate, or try another seed, in a new --out'
        )


def _log(
    bar: tqdm,
    writer: SummaryWriter | None,
    stage: Stage,
    losses: dict[str, Tensor],
    done: int,
    steps_per_s: float,
) -> None:
    if writer is None:
        return
    values = {name: float(value) for name, value in losses.items()}
    bar.set_postfix(
        {
            **{name: f'{value:.3g}' for name, value in values.items()},
            'images/s': f'{steps_per_s * stage.images_per_step:.0f}',
        }
    )
    for name, value in values.items():
        writer.add_scalar(name, value, done)


def _save(
    fabric: Fabric,
    writer: SummaryWriter | None,
    stage: Stage,
    path: Path,
    done: int,
    seconds: float,
) -> None:
    if writer is not None:
        for name, picture in stage.pictures().items():
            writer.add_image(name, picture, done)
        save_state(path, stage.parts(), done, seconds)
    fabric.barrier()
