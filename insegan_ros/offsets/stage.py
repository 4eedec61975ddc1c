"""The dense segmenter, taught by any label factory: foreground, and at every pixel the way to its
instance's centre.

Noise and slight blur on the composites bridge the gap between rendered and measured depth. No real
image has a label, so none is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from lightning.fabric import Fabric
from torch import Tensor
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits, max_pool2d, pad

from insegan_ros.drawing.tiles import tile
from insegan_ros.engine.loop import Stage, one_cycle, own_share
from insegan_ros.errors import ConfigError
from insegan_ros.heights import unsigned
from insegan_ros.offsets.labels import UNSURE, LabelFactory, LabelledBatch
from insegan_ros.offsets.network import OffsetNet, OffsetNetConfig

# Heights that differ by so much of 2 within 3x3 px are a step. At steps so many readings are lost,
# or lie between the sides, where a D435 is at its worst (config/sensors/d435.yaml).
STEP, LOST, FLYING = 0.2, 0.7, 0.3


@dataclass(frozen=True)
class OffsetTrainConfig:
    """How the dense network is taught."""

    network: OffsetNetConfig = field(default_factory=OffsetNetConfig)
    """Shape of the network."""
    steps: int = 1500
    """Optimisation steps; 0 leaves the dense segmenter out."""
    batch: int = 16
    """Composites a step."""
    rate: float = 2e-3
    """Adam's highest learning rate; it rises for a twentieth of the steps and falls along a
    cosine."""
    noise: float = 0.02
    """Standard deviation of the noise on the foreground, in shares of the height scale times 2."""
    blur: float = 0.5
    """Share of images that are blurred by 3x3 px."""
    sensor: Literal['smooth', 'stereo'] = 'smooth'
    """What else a camera does to composites: nothing, or what a stereo camera such as the D435
    does, edges that are lost or fly and noise with a grain. For composites of a generator or of
    ideal depth; those cut out of a camera's own depth have its edges."""
    self_training: int = 1
    """Rounds of self-training after the first, in which the network also learns from real height
    maps that it labels itself; 0 stays with composites."""
    self_training_steps: int = 600
    """Optimisation steps of each of these rounds, at half the rate."""
    unoccluded: bool = True
    """Whether piles are composed in these rounds of what lies on top in these height maps too, cut
    out along the network's own outlines: poses that no part has alone."""
    agreement: float = 0.9
    """A real height map is learnt from if the known number of parts is found in it and the answers
    for its quarter turns agree to this mean IoU."""

    def __post_init__(self) -> None:
        if self.self_training < 0 or self.self_training_steps < 1 or not 0 <= self.agreement <= 1:
            raise ConfigError(
                f'offsets.self_training {self.self_training}, self_training_steps'
                f' {self.self_training_steps}, agreement {self.agreement}: expected 0 or more, 1'
                ' or more, 0 to 1, in that order'
            )
        if self.steps < 0 or self.batch < 1 or self.noise < 0 or not 0 <= self.blur <= 1:
            raise ConfigError(
                f'offsets.steps {self.steps}, batch {self.batch}, noise {self.noise}, blur'
                f' {self.blur}: expected 0 or more, 1 or more, 0 or more, 0 to 1, in that order'
            )

    def check_side(self, side_px: int) -> None:
        """Raise ConfigError where the network cannot see height maps of so many px a side."""
        if side_px % self.network.stride:
            raise ConfigError(
                f'offsets.network has {self.network.levels} levels and cells of'
                f' {self.network.cell} px, for sides that are multiples of {self.network.stride}'
                f' px: expected fewer, for height maps of {side_px} px'
            )

    def check_steps(self) -> None:
        """Raise ConfigError where there is nothing to do."""
        if not self.steps:
            raise ConfigError('offsets.steps is 0: expected 1 or more')


def offset_targets(batch: LabelledBatch, relief_px: float = 0.0) -> tuple[Tensor, Tensor]:
    """Foreground (B, H, W) float and the offset (B, 2, H, W) in px from every pixel to its
    instance's amodal centre.

    With relief_px, the height scale in px, the offset (B, 3, H, W) also leads to the mean
    height of what is seen of it.
    """
    count, height, width = batch.labels.shape
    slot = (batch.labels - 1).clamp(min=0).flatten(1)
    target = batch.centres.gather(1, slot[..., None].expand(-1, -1, 2)).reshape(
        count, height, width, 2
    )
    y, x = torch.meshgrid(
        torch.arange(height, device=slot.device),
        torch.arange(width, device=slot.device),
        indexing='ij',
    )
    offset = (target - torch.stack([x, y], -1)).permute(0, 3, 1, 2)
    foreground = (batch.labels > 0).float()
    if relief_px:
        own = unsigned(batch.images[:, 0].flatten(1)) * relief_px
        seen = foreground.flatten(1)
        empty = own.new_zeros(count, batch.centres.shape[1])
        mean = empty.scatter_add(1, slot, own * seen) / empty.scatter_add(1, slot, seen).clamp(
            min=1
        )
        upwards = (mean.gather(1, slot) - own).reshape(count, 1, height, width)
        offset = torch.cat([offset, upwards], 1)
    return foreground, offset * foreground[:, None]


def degrade(images: Tensor, noise: float, blur: float) -> Tensor:
    """Composites (B, 1, H, W) as a camera might see them: some blurred, the foreground noisy; a
    random strength an image."""
    count = len(images)
    strength = noise * 2 * torch.rand(count, 1, 1, 1, device=images.device)
    blurred = avg_pool2d(pad(images, (1, 1, 1, 1), mode='replicate'), 3, 1)
    amount = torch.rand(count, 1, 1, 1, device=images.device)
    soft = torch.where(
        torch.rand(count, 1, 1, 1, device=images.device) < blur,
        torch.lerp(images, blurred, amount),
        images,
    )
    noisy = soft + strength * torch.randn_like(soft) * (soft > -0.98)
    return noisy.clamp(min=-1)


def as_stereo(images: Tensor, noise: float) -> Tensor:
    """Composites (B, 1, H, W) as a stereo camera might see them: at steps a share of the pixels has
    the farther side's height, as a lost reading that is closed from there, another share any height
    between the sides; noise is correlated over 3x3 px. A random strength an image, from none."""
    count, shape = len(images), images.shape
    strength = torch.rand(count, 1, 1, 1, device=images.device)
    high, low = max_pool2d(images, 3, 1, 1), -max_pool2d(-images, 3, 1, 1)
    step, chance = high - low > STEP, torch.rand(shape, device=images.device)
    seen = torch.where(step & (chance < LOST * strength), low, images)
    seen = torch.where(
        step & (chance > 1 - FLYING * strength),
        torch.lerp(low, high, torch.rand(shape, device=images.device)),
        seen,
    )
    grain = 3 * avg_pool2d(torch.randn_like(images), 3, 1, 1)
    return (seen + 2 * noise * strength * grain * (seen > -0.98)).clamp(min=-1)


def offset_loss(
    output: Tensor,
    foreground: Tensor,
    offset: Tensor,
    area: Tensor | None = None,
    known: Tensor | None = None,
) -> dict[str, Tensor]:
    """The losses of a network's output (B, 1 + D + 1, H, W) for foreground (B, H, W) and offset (B,
    D, H, W) in px, scalars by name: `foreground`, cross-entropy, of the pixels of `known` (B, H, W)
    alone if given, as a share of all; `offsets`, Laplace likelihood of
    the offset's error on the foreground, mean over its pixels, or sum over `area`, where several
    processes share a batch; `error_px`, the mean error, without gradient."""
    log_error = output[:, -1].clamp(-3, 5)
    distance = (output[:, 1:-1] - offset).abs().sum(1)
    likelihood = distance * torch.exp(-log_error) + log_error
    area = foreground.sum().clamp(min=1) if area is None else area
    return {
        'foreground': binary_cross_entropy_with_logits(output[:, 0], foreground, known),
        'offsets': (likelihood * foreground).sum() / area,
        'error_px': ((distance * foreground).sum() / area).detach(),
    }


class OffsetStage(Stage):
    """The stage that every label factory ends in; relief_px: the height scale in px. Rounds after
    the first go on from the weights `start`. augment: what a camera does to composites, noise and
    blur on heights if left out."""

    def __init__(
        self,
        fabric: Fabric,
        config: OffsetTrainConfig,
        factory: LabelFactory,
        relief_px: float,
        round_: int = 0,
        start: dict[str, Tensor] | None = None,
        augment: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.config = config
        self.fabric = fabric
        self.factory = factory
        self.images_per_step = config.batch
        self.relief_px = relief_px if config.network.height_votes else 0.0
        camera = as_stereo if config.sensor == 'stereo' else lambda images, _: images
        self.augment = augment or (
            lambda images: degrade(camera(images, config.noise), config.noise, config.blur)
        )
        self.name = f'offsets-{round_}' if round_ else 'offsets'
        self.steps = config.self_training_steps if round_ else config.steps
        network = OffsetNet(config.network)
        if start is not None:
            network.load_state_dict(start)
        # Later rounds refine what is there.
        rate = config.rate / 2 if round_ else config.rate
        self.network, self.optimiser = fabric.setup(
            network, torch.optim.AdamW(network.parameters(), rate, weight_decay=1e-4)
        )
        self.schedule = one_cycle(self.optimiser, rate, self.steps)

    @property
    def stream(self) -> str:
        """The name that earlier versions had: the same seed makes the same weights."""
        return self.name.replace('offsets', 'displacement')

    def weights(self) -> dict[str, Tensor]:
        """A copy of the network's weights as they are now."""
        state = self.network.state_dict()
        return {name: value.detach().clone() for name, value in state.items()}

    def parts(self) -> dict[str, Any]:
        """The network, its optimiser and the schedule of its rate."""
        return {'network': self.network, 'optimiser': self.optimiser, 'schedule': self.schedule}

    def step(self, index: int) -> dict[str, Tensor]:
        """One step on fresh composites."""
        world = self.fabric.world_size
        batch = self.factory.sample(world * self.config.batch)
        foreground, offset = offset_targets(batch, self.relief_px)
        area = foreground.sum().clamp(min=1) / world
        known = (batch.labels != UNSURE).float()
        images, foreground, offset, known = (
            own_share(self.fabric, one)
            for one in (self.augment(batch.images), foreground, offset, known)
        )
        losses = offset_loss(self.network(images), foreground, offset, area, known)
        self.optimiser.zero_grad()
        self.fabric.backward(losses['foreground'] + losses['offsets'])
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.schedule.step()
        return {name: loss.detach() for name, loss in losses.items()}

    @torch.no_grad()
    def pictures(self) -> dict[str, Tensor]:
        """Eight composites, their labels, the foreground that the network finds, as one picture (1,
        h, w)."""
        batch = self.factory.sample(8)
        found = torch.sigmoid(self.network(batch.images)[:, 0]) * 2 - 1
        labels = batch.labels.float() / batch.labels.max().clamp(min=1) * 2 - 1
        return {
            'composites, labels, foreground': tile(
                torch.cat([batch.images[:, 0], labels, found]), 8
            )
        }
