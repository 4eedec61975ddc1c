"""The HOC learner: one picture of a heap of equal objects in, a segmenter of whole pictures out
(the independence prior, second application).

1. gan: providers with shared weights make one object each; what they compose must look like patches
of the picture, and their masks
   stay small;
2. displacement: the generator is the label factory that teaches the dense segmenter, as InSeGAN's
does.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor

from insegan_ros.data.heap import LEAST_OBJECT_PX, Look, estimate_size, read_heap
from insegan_ros.drawing.tiles import save_picture, tile, tile_colour
from insegan_ros.engine.checkpoint import Checkpoint, Scales
from insegan_ros.engine.loop import LoopConfig, make_fabric, run_stage, seed_step
from insegan_ros.engine.run import claim, history
from insegan_ros.engine.state import average_into
from insegan_ros.errors import ConfigError
from insegan_ros.methods.hoc.generator import HocConfig, HocGenerator, black_disk
from insegan_ros.methods.hoc.labels import HocFactory
from insegan_ros.methods.hoc.patches import cut_patches, draw_size
from insegan_ros.nn.adversarial import area_penalty, fooling_loss, judge_loss
from insegan_ros.nn.augmentation import random_colours
from insegan_ros.nn.discriminator import Discriminator
from insegan_ros.offsets.network import DisplacementConfig
from insegan_ros.offsets.stage import DisplacementStage, DisplacementTrainConfig, degrade

# Patches cut out of the picture before training; windows overlap, so there are always as many.
PATCHES = 8192
# A patch is so many objects wide (the paper).
WINDOW = 1.5


@dataclass(frozen=True)
class HocGanConfig:
    """The adversarial stage. λ, a, batch and steps the paper leaves open."""

    steps: int = 3000
    """Optimisation steps."""
    batch: int = 8
    """Patches a step."""
    rate_g: float = 4e-4
    """Adam's learning rate of the generator."""
    rate_d: float = 2e-4
    """Adam's learning rate of the discriminator."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's."""
    discriminator_width: int = 32
    """Channels of the discriminator's first layer."""
    area: float = 10.0
    """λ, weight of the penalty on a mask's area; 0 leaves it out."""
    smallest: float = 0.22
    """a, the share of a patch that a mask covers for nothing; a disk as wide as an object has
    .35."""
    binary: float = 0.5
    """Weight of the binarisation of masks, as layered GANs have it: objects are opaque."""
    average: float = 0.995
    """Decay of the moving average of the generator's weights, which is what is used."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 2 or self.area < 0 or not 0 <= self.smallest < 1:
            raise ConfigError(
                f'gan.steps {self.steps}, batch {self.batch}, area {self.area}, smallest'
                f' {self.smallest}: expected 1 or more, 2 or more, 0 or more, 0 to below 1'
            )


@dataclass(frozen=True)
class TrainHocConfig:
    """`insegan train hoc`: one picture of a heap in, a segmenter out. Stopped and started again, it
    goes on."""

    image: str = 'heap.png'
    """The picture, or a folder of shards of which the first scene is read."""
    out: str = 'runs/hoc'
    """Folder of the run: states, logs, contact sheet, and at the end the checkpoint."""
    look: Look = 'colour'
    """What of it is looked at: colour (grey too), depth, or both."""
    instance_px: float = 0.0
    """Width of one object in the picture's px; 0 estimates it from the picture's autocorrelation,
    and says what it found."""
    flips: bool = True
    """Whether patches are mirrored and turned by quarters: not for objects that have a right way
    up."""
    seed: int = 0
    """Seed of everything."""
    generator: HocConfig = field(default_factory=HocConfig)
    """Shape of the generator, the objects in a patch, the layout."""
    gan: HocGanConfig = field(default_factory=HocGanConfig)
    """The adversarial stage."""
    displacement: DisplacementTrainConfig = field(
        default_factory=lambda: DisplacementTrainConfig(
            network=DisplacementConfig(height_votes=False), steps=1000, batch=8, rounds=0
        )
    )
    """The dense segmenter's training; it has no later rounds."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Device, precision, how often to save."""

    def __post_init__(self) -> None:
        if self.instance_px and self.instance_px < LEAST_OBJECT_PX:
            raise ConfigError(
                f'instance_px is {self.instance_px:g}: expected {LEAST_OBJECT_PX} px or more'
                ' (enlarge the picture), or 0 to estimate it'
            )
        if self.displacement.network.height_votes:
            raise ConfigError(
                'displacement.network.height_votes is true: expected false, instances of a heap'
                ' vote in the picture'
            )
        if self.displacement.rounds:
            raise ConfigError(
                f'displacement.rounds is {self.displacement.rounds}: expected 0, there is no second'
                ' picture that could be labelled'
            )
        if not self.displacement.steps:
            raise ConfigError(
                'displacement.steps is 0: expected 1 or more, the dense segmenter is what this'
                ' recipe ends in'
            )
        if self.loop.devices > 1:
            raise ConfigError(
                f'loop.devices is {self.loop.devices}: these networks are trained on one device,'
                ' expected 1'
            )


class HocStage:
    """`patches` (N, C, S, S) in [-1, 1] on the device, all of one picture."""

    name = 'gan'

    def __init__(
        self, fabric: Fabric, config: HocGanConfig, shape: HocConfig, patches: Tensor, flips: bool
    ) -> None:
        self.fabric, self.config, self.shape, self.patches, self.flips, self.images_per_step = (
            fabric,
            config,
            shape,
            patches,
            flips,
            config.batch,
        )
        generator = HocGenerator(shape, patches.shape[1])
        discriminator = Discriminator(
            config.discriminator_width, 'spectral', 'both', shape.size, patches.shape[1]
        )
        self.average = copy.deepcopy(generator).to(fabric.device).requires_grad_(False)
        self.generator, self.optimiser_g = fabric.setup(
            generator, torch.optim.Adam(generator.parameters(), config.rate_g, config.betas)
        )
        self.discriminator, self.optimiser_d = fabric.setup(
            discriminator, torch.optim.Adam(discriminator.parameters(), config.rate_d, config.betas)
        )

    def parts(self) -> dict[str, Any]:
        """See Stage."""
        return {
            'generator': self.generator,
            'discriminator': self.discriminator,
            'average': self.average,
            'optimiser_g': self.optimiser_g,
            'optimiser_d': self.optimiser_d,
        }

    def real(self) -> Tensor:
        """Patches of the picture, turned by chance."""
        patches = self.patches[
            torch.randint(len(self.patches), (self.config.batch,), device=self.patches.device)
        ]
        if not self.flips:
            return patches
        patches = torch.rot90(patches, int(torch.randint(4, ())), (2, 3))
        return patches.flip(3) if torch.rand(()) < 0.5 else patches

    def heap(self, generator: Any, count: int) -> Any:
        """Composites of random objects on real patches with a black disk, or on black."""
        z = torch.randn(count, self.shape.providers, self.shape.z, device=self.patches.device)
        places = self.average.draw_places(
            count, self.shape.providers, self.shape.padding, self.patches.device
        )
        return generator(z, places, black_disk(self.real()[:count], self.shape.disk))

    def step(self, index: int) -> dict[str, Tensor]:
        """One step of D (Eq. 6), one of the providers through the new D (Eq. 7, with −log D)."""
        heap = self.heap(self.generator, self.config.batch)
        loss_d = judge_loss(
            self.discriminator(self.real()),
            self.discriminator(heap.image.detach()),
            'cross_entropy',
        )
        self.optimiser_d.zero_grad()
        self.fabric.backward(loss_d)
        self.optimiser_d.step()
        loss_g = fooling_loss(self.discriminator(heap.image), 'cross_entropy')
        penalty = area_penalty(heap.mask.flatten(0, 1), self.config.smallest)
        self.optimiser_g.zero_grad()
        soft = torch.minimum(heap.mask, 1 - heap.mask).mean()
        self.fabric.backward(loss_g + self.config.area * penalty + self.config.binary * soft)
        self.optimiser_g.step()
        average_into(self.average, self.generator, min(self.config.average, index / (index + 10)))
        return {
            'L_D': loss_d.detach(),
            'L_G': loss_g.detach(),
            'L_area': penalty.detach(),
            'L_b': soft.detach(),
            'mask': heap.mask.detach().mean(),
        }

    @torch.no_grad()
    def pictures(self) -> dict[str, Tensor]:
        """The contact sheet: real patches, composites, appearances on black, masks."""
        self.average.eval()
        heap = self.heap(self.average, min(8, self.config.batch))
        alone = (
            heap.appearance[:, :2].flatten(0, 1) * heap.mask[:, :2].flatten(0, 1)
            + heap.mask[:, :2].flatten(0, 1)
            - 1
        )
        masks = heap.mask[:, :2].flatten(0, 1) * 2 - 1
        rows = torch.cat(
            [self.real()[:8], heap.image, alone, masks.expand(-1, alone.shape[1], -1, -1)]
        )
        return {
            'real, composites, appearances, masks': (
                tile_colour(rows[:, :3], 8) if rows.shape[1] >= 3 else tile(rows[:, 0], 8)
            )
        }


def train_hoc(config: TrainHocConfig) -> Path:
    """Both stages, or what is left of them; returns the checkpoint's folder. Raises DatasetError
    for a picture that cannot be used."""
    picture, out, shape = (
        read_heap(Path(config.image), config.look),
        Path(config.out),
        config.generator,
    )
    size_px = config.instance_px * picture.zoom or estimate_size(picture.pixels)
    window = WINDOW * size_px
    patches = cut_patches(picture.pixels, window, shape.size, PATCHES, config.seed)
    fabric = make_fabric(config.loop)
    claim(out, config, picture.fingerprint())
    if fabric.is_global_zero:
        estimated = (
            '' if config.instance_px else ' (estimated, see size.png; --instance_px overrides it)'
        )
        print(
            f'{picture.name}: one object is some {size_px / picture.zoom:.0f} px wide{estimated},'
            f' patches show {window / picture.zoom:.0f} px'
        )
        save_picture(
            out / 'size.png',
            torch.from_numpy(draw_size(picture.pixels, size_px, window)).permute(2, 0, 1) / 255,
            1,
        )
    seed_step(config.seed, 'weights', 0)
    gan = HocStage(fabric, config.gan, shape, patches.to(fabric.device), config.flips)
    seconds = run_stage(fabric, gan, config.gan.steps, out, config.seed, config.loop)
    seed_step(config.seed, 'factory', 0)
    factory = HocFactory(gan.average, 2 * shape.size)
    if fabric.is_global_zero:
        if factory.warning:
            print(factory.warning)
        save_picture(out / 'contact.png', next(iter(gan.pictures().values())).expand(3, -1, -1))
    network = replace(config.displacement.network, channels=patches.shape[1])
    seed_step(config.seed, 'weights', 1)
    dense = config.displacement
    stage = DisplacementStage(
        fabric,
        replace(dense, network=network),
        factory,
        0.0,
        spoil=lambda images: spoil(images, dense.noise, dense.blur, shape.relief),
    )
    seconds += run_stage(fabric, stage, config.displacement.steps, out, config.seed, config.loop)
    if fabric.is_global_zero:
        scales = Scales(0.0, picture.relief_m, factory.median_area, factory.median_radius)
        values = {
            **asdict(config),
            'zoom': shape.size / window * picture.zoom,
            'displacement': {**asdict(config.displacement), 'network': asdict(network)},
        }
        training = history(
            fabric,
            config.seed,
            f'one picture, {picture.pixels.shape[1]}x{picture.pixels.shape[0]} px',
            picture.fingerprint(),
            seconds,
            {'gan': config.gan.steps, 'displacement': config.displacement.steps},
        )
        Checkpoint(
            'hoc',
            'hoc',
            Path(config.image).stem,
            scales,
            values,
            {'displacement': stage.network.state_dict(), 'generator': gan.average.state_dict()},
            training,
        ).save(out / 'checkpoint')
    return out / 'checkpoint'


def spoil(images: Tensor, noise: float, blur: float, relief: float) -> Tensor:
    """Composites (B, C, H, W) as another camera might see another heap: colours changed; heights
    noisy, blurred, and raised or lowered as a whole by up to `relief`, but for the floor."""
    colour, height = (
        (images[:, :3], images[:, 3:]) if images.shape[1] != 1 else (images[:, :0], images)
    )
    parts = [random_colours(colour, 0.2)] if colour.shape[1] else []
    if height.shape[1]:
        offset = relief * (2 * torch.rand(len(height), 1, 1, 1, device=height.device) - 1)
        parts.append(
            degrade(torch.where(height > -0.98, height + offset, height).clamp(min=-1), noise, blur)
        )
    return torch.cat(parts, 1)
