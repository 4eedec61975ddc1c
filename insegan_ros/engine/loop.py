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
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies import DDPStrategy
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from insegan_ros.engine.memory import keep_freed_memory
from insegan_ros.engine.state import load_state, save_state
from insegan_ros.errors import ConfigError, TrainingError, unknown
from insegan_ros.nn.device import choose_device

# No network of ours learns weights that are so large: they have run away, whatever the loss said of
# the step before.
LARGEST_WEIGHT = 1e4
Precision = Literal['32-true', 'bf16-mixed', '16-mixed']
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


class Stage(ABC):
    """One stage of a recipe: what a step is. name: of its state and logs; steps: how many it takes;
    images_per_step: for the images per second that are shown."""

    name: str
    steps: int
    images_per_step: int

    @property
    def stream(self) -> str:
        """What its random numbers are drawn by, beside the seed and the step."""
        return self.name

    @abstractmethod
    def parts(self) -> dict[str, Any]:
        """Everything that has a state_dict and is saved and loaded with the state, by its name."""

    @abstractmethod
    def step(self, index: int) -> dict[str, Tensor]:
        """One optimisation step; returns the losses to show, scalars by name."""

    def pictures(self) -> dict[str, Tensor]:
        """Pictures (3 or 1, H, W) in [0, 1] for TensorBoard, of what it has learnt so far. The
        modules among its parts are in evaluation mode."""
        return {}


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
                ' or more, 1 or more, in that order'
            )


class CompilingFabric(Fabric):
    """Fabric that compiles every network it sets up, in place: names in a state stay what they
    are."""

    def setup(
        self, module: torch.nn.Module, *optimizers: torch.optim.Optimizer, **options: Any
    ) -> Any:
        """The module compiled and set up, and its optimisers."""
        module.compile()
        return super().setup(module, *optimizers, **options)


def make_fabric(config: LoopConfig) -> Fabric:
    """Fabric for this configuration, launched; on a CPU the process keeps the memory that it frees.
    Raises ConfigError for a device that is not there."""
    choose_device(config.device)
    if config.threads:
        torch.set_num_threads(config.threads)
    # Spectral norm's vectors are the same in all processes as it is; sending them round would
    # change them between a forward and its backward pass.
    fabric = (CompilingFabric if config.compile else Fabric)(
        accelerator=config.device,
        devices=config.devices,
        precision=next(one for one in PRECISIONS if one == config.precision),
        strategy=DDPStrategy(broadcast_buffers=False) if config.devices > 1 else 'auto',
    )
    fabric.launch()
    if fabric.device.type == 'cpu':
        keep_freed_memory()
    return fabric


def one_cycle(
    optimiser: torch.optim.Optimizer, rate: float, steps: int, rise: float = 0.05
) -> torch.optim.lr_scheduler.OneCycleLR:
    """A learning rate that rises to `rate` for a share of the steps and falls along a cosine."""
    # The scheduler divides by the length of its rise less one step, which may be nothing.
    share = rise if rise * steps != 1 else 2 * rise
    return torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rate, total_steps=steps, pct_start=share, cycle_momentum=False
    )


def own_share(fabric: Fabric, everything: Tensor) -> Tensor:
    """This process's part (B, ...) of what all processes drew alike, (N B, ...): N processes do
    what one would with N times the batch."""
    return everything.chunk(fabric.world_size)[fabric.global_rank]


def seed_step(seed: int, stage: str, step: int) -> None:
    """Seed torch's generators for this one step, in all processes alike."""
    digest = hashlib.sha256(f'{seed}/{stage}/{step}/0'.encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:8], 'little') >> 1)


def run_stage(
    fabric: Fabric, stage: Stage, steps: int, folder: Path, seed: int, config: LoopConfig
) -> float:
    """Run a stage to `steps`, continuing where a former run stopped. Returns the seconds that all
    its steps took. Raises TrainingError where it diverges, KeyboardInterrupt where it is
    stopped."""
    progress = _Progress(fabric, stage, steps, folder)
    with _stopped_between_steps(fabric) as asked, progress:
        for index in range(progress.start, steps):
            seed_step(seed, stage.stream, index)
            losses = stage.step(index)
            done = index + 1
            progress.bar.update()
            # Decided once a step: a signal that comes later ends the next one, or the stage.
            stop = bool(asked)
            logs, saves = (
                done % every == 0 or done == steps
                for every in (config.log_every, config.save_every)
            )
            if logs or saves or stop:
                progress.check(losses, done)
            if logs:
                progress.log(losses, done)
            if saves or stop:
                progress.save(done)
            if stop:
                raise KeyboardInterrupt
        if asked:  # while the last step was saved: what follows the stage is no longer wanted
            raise KeyboardInterrupt
    return progress.seconds()


class _Progress:
    """A stage on its way: its state, which is loaded and saved, its bar and its logs. Of several
    processes the first alone shows and writes them."""

    def __init__(self, fabric: Fabric, stage: Stage, steps: int, folder: Path) -> None:
        self.fabric = fabric
        self.stage = stage
        self.path = folder / f'{stage.name}.state.safetensors'
        # A run of an earlier version called it by the name of its random numbers.
        earlier = folder / f'{stage.stream}.state.safetensors'
        found = self.path if self.path.exists() else earlier
        self.start, self.before_s = load_state(found, stage.parts()) if found.exists() else (0, 0.0)
        self.writer: SummaryWriter | None = None
        if fabric.is_global_zero:
            self.writer = SummaryWriter(str(folder / 'logs' / stage.name), purge_step=self.start)
        self.begun = time.perf_counter()
        self.bar = tqdm(
            total=steps,
            initial=self.start,
            desc=stage.name,
            unit='step',
            disable=not fabric.is_global_zero,
        )

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            state = (
                f'the state is in {self.path}; the same command continues from there'
                if self.path.exists()
                else 'nothing was saved yet'
            )
            self.bar.write(f'stopped in {self.stage.name} at step {self.bar.n}: {state}')
        if self.writer is not None:
            self.writer.close()
        self.bar.close()

    def seconds(self) -> float:
        """The seconds that all steps took so far, those of former runs among them."""
        return self.before_s + time.perf_counter() - self.begun

    def check(self, losses: dict[str, Tensor], done: int) -> None:
        """Raise TrainingError where a loss is no longer a number, or the weights that came of it
        cannot be right; what was saved before is kept."""
        bad = [name for name, value in losses.items() if not bool(torch.isfinite(value))]
        bad += [
            f'{name}.{weight}'
            for name, part in self.stage.parts().items()
            if isinstance(part, torch.nn.Module)
            for weight, value in part.named_parameters()
            if not bool((value.detach().abs() < LARGEST_WEIGHT).all())
        ]
        if bad:
            kept = 'nothing was saved yet'
            if self.path.exists():
                kept = f'the last good state is in {self.path}'
            raise TrainingError(
                f'{self.stage.name} diverged at step {done}: {", ".join(bad[:3])} is not a number'
                f' or beyond all bounds; {kept}; lower the rate, or try another seed, in a new'
                ' --out'
            )

    def log(self, losses: dict[str, Tensor], done: int) -> None:
        """Show the losses after so many steps."""
        if self.writer is None:
            return
        steps_per_s = (done - self.start) / (time.perf_counter() - self.begun)
        images_per_s = steps_per_s * self.fabric.world_size * self.stage.images_per_step
        values = {name: float(value) for name, value in losses.items()}
        shown = {name: f'{value:.3g}' for name, value in values.items()}
        self.bar.set_postfix({**shown, 'images/s': f'{images_per_s:.0f}'})
        for name, value in values.items():
            self.writer.add_scalar(name, value, done)

    def save(self, done: int) -> None:
        """Save the state after so many steps, and show the stage's pictures."""
        if self.writer is not None:
            with _only_looked_at(self.stage.parts().values()):
                pictures = self.stage.pictures()
            for name, picture in pictures.items():
                self.writer.add_image(name, picture, done)
            save_state(self.path, self.stage.parts(), done, self.seconds())
        self.fabric.barrier()


@contextmanager
def _only_looked_at(parts: Iterable[Any]) -> Iterator[None]:
    """Modules in evaluation mode while it lasts: a picture that moved the means of batch norm would
    make how often a training is saved, and where it is stopped, part of what it learns."""
    modules = [one for part in parts if isinstance(part, torch.nn.Module) for one in part.modules()]
    before = [module.training for module in modules]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, training in zip(modules, before):
            module.training = training


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
