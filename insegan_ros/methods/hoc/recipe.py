"""The HOC learner (homogeneous object cluster; the independence prior's second application): one
picture of a heap of equal objects in, a segmenter of whole pictures out.

1. gan: providers with shared weights make one object each; what is composed of them must look like
   patches of the picture, and their masks stay small;
2. offsets: the generator is the label factory that teaches the dense network of centre offsets.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from insegan_ros.data.heap import MIN_OBJECT_PX, HeapPicture, estimate_size, read_heap
from insegan_ros.drawing.tiles import save_picture, tile, tile_colour
from insegan_ros.engine.checkpoint import Scales
from insegan_ros.engine.loop import LoopConfig, Stage
from insegan_ros.engine.run import RunContext
from insegan_ros.engine.state import average_into
from insegan_ros.errors import ConfigError
from insegan_ros.frame import Modality
from insegan_ros.methods.hoc.generator import CHANNELS, Heap, HocConfig, HocGenerator, black_disk
from insegan_ros.methods.hoc.labels import HocFactory
from insegan_ros.methods.hoc.patches import cut_patches, draw_size
from insegan_ros.methods.hoc.segmenter import USUAL
from insegan_ros.nn.adversarial import area_penalty, discriminator_loss, generator_loss
from insegan_ros.nn.augmentation import random_colours
from insegan_ros.nn.discriminator import Discriminator
from insegan_ros.offsets.inference import VoteRule
from insegan_ros.offsets.network import OffsetNetConfig
from insegan_ros.offsets.stage import OffsetStage, OffsetTrainConfig, degrade

# Patches cut out of the picture before training; windows overlap, so there are always as many.
PATCHES = 8192
# Width of a patch in objects (the paper's).
WINDOW = 1.5
# Heights above this, of [-1, 1], are an object's.
ABOVE_FLOOR = -0.98


@dataclass(frozen=True)
class HocGanConfig:
    """The adversarial stage. The paper leaves λ, a, batch and steps open."""

    steps: int = 3000
    """Optimisation steps."""
    batch: int = 8
    """Patches a step."""
    rate_g: float = 4e-4
    """Adam's learning rate of the generator."""
    rate_d: float = 2e-4
    """Adam's learning rate of the discriminator."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's β₁ and β₂."""
    discriminator_width: int = 32
    """Channels of the discriminator's first layer."""
    area: float = 10.0
    """λ, weight of the penalty on a mask's area; 0 leaves it out."""
    smallest: float = 0.22
    """a, the share of a patch at which a mask's penalty is zero; a disk as wide as an object covers
    .35."""
    binary: float = 0.5
    """Weight of the binarisation of masks, as layered GANs have it: objects are opaque."""
    average: float = 0.995
    """Decay of the exponential moving average of the generator's weights, which is what is used."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 2 or self.area < 0 or not 0 <= self.smallest < 1:
            raise ConfigError(
                f'gan.steps {self.steps}, batch {self.batch}, area {self.area}, smallest'
                f' {self.smallest}: expected 1 or more, 2 or more, 0 or more, 0 to below 1, in'
                ' that order'
            )


@dataclass(frozen=True)
class TrainHocConfig:
    """`insegan train hoc`: one picture of a heap in, a segmenter out.
    Stopped and started again, it goes on."""

    image: str = 'heap.png'
    """The picture, or a folder of shards of which the first scene is read."""
    out: str = 'runs/hoc'
    """Folder of the run: states, logs, contact sheet, and at the end the checkpoint."""
    modality: Modality = 'colour'
    """What of it is looked at: colour (grey too), depth, or both."""
    instance_px: float = 0.0
    """Width of one object in the picture's px; 0 estimates it from the picture's autocorrelation,
    and says what it found."""
    flatten: bool = False
    """Whether brightness is equalised locally, in colour, before anything is looked at: dark
    objects on a bright floor, or light that falls from one side."""
    flips: bool = True
    """Whether patches are flipped and rotated by quarter turns: not for objects that have a right
    way up."""
    seed: int = 0
    """Seed of everything."""
    generator: HocConfig = field(default_factory=HocConfig)
    """Shape of the generator, the objects in a patch, the layout."""
    gan: HocGanConfig = field(default_factory=HocGanConfig)
    """The adversarial stage."""
    offsets: OffsetTrainConfig = field(
        default_factory=lambda: OffsetTrainConfig(
            network=OffsetNetConfig(height_votes=False), steps=1000, batch=8, self_training=0
        )
    )
    """The dense network's training; it has no rounds of self-training."""
    votes: VoteRule = USUAL
    """The rule that turns votes into centres; only centre_radius, min_votes and cover count. The
    segmenter takes it from the checkpoint. Chosen with the labels of three simulated heaps of seed
    77, for objects whose width is known; widths that are estimated too small need more."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Device, precision, how often to save."""

    def __post_init__(self) -> None:
        if self.instance_px and self.instance_px < MIN_OBJECT_PX:
            raise ConfigError(
                f'instance_px is {self.instance_px:g}: expected {MIN_OBJECT_PX} px or more'
                ' (enlarge the picture), or 0 to estimate it'
            )
        if self.offsets.network.height_votes:
            raise ConfigError(
                'offsets.network.height_votes is true: expected false, instances of a heap'
                ' vote in the picture'
            )
        if self.offsets.self_training:
            raise ConfigError(
                f'offsets.self_training is {self.offsets.self_training}: expected 0, there is no'
                ' second picture that could be labelled'
            )
        if not self.offsets.steps:
            raise ConfigError(
                'offsets.steps is 0: expected 1 or more, the dense segmenter is what this'
                ' recipe ends in'
            )
        if self.loop.devices > 1:
            raise ConfigError(
                f'loop.devices is {self.loop.devices}: these networks are trained on one device,'
                ' expected 1'
            )


class HocStage(Stage):
    """The adversarial stage; `average` is the generator that it ends with. patches (N, C, S, S) in
    [-1, 1] on the device, all of one picture; flips: whether these may be flipped and rotated."""

    name = 'gan'

    def __init__(
        self, fabric: Fabric, config: HocGanConfig, shape: HocConfig, patches: Tensor, flips: bool
    ) -> None:
        self.fabric = fabric
        self.config = config
        self.shape = shape
        self.patches = patches
        self.flips = flips
        self.steps = config.steps
        self.images_per_step = config.batch
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
        """Both networks and their optimisers, and the generator's exponential moving average."""
        return {
            'generator': self.generator,
            'discriminator': self.discriminator,
            'average': self.average,
            'optimiser_g': self.optimiser_g,
            'optimiser_d': self.optimiser_d,
        }

    def real(self) -> Tensor:
        """A random batch of patches (B, C, S, S), flipped and rotated at random where they may
        be."""
        count, device = len(self.patches), self.patches.device
        patches = self.patches[torch.randint(count, (self.config.batch,), device=device)]
        if not self.flips:
            return patches
        patches = torch.rot90(patches, int(torch.randint(4, ())), (2, 3))
        return patches.flip(3) if torch.rand(()) < 0.5 else patches

    def composites(self, generator: nn.Module, count: int) -> Heap:
        """`count` heaps of random objects, laid on real patches with a black disk, or on bare
        ground."""
        shape, device = self.shape, self.patches.device
        z = torch.randn(count, shape.providers, shape.z, device=device)
        places = self.average.draw_places(count, shape.providers, shape.padding, device)
        patches = self.real()[:count]
        if shape.disk:
            return generator(z, places, black_disk(patches, shape.disk))
        bare = self.average if generator is self.average else self.generator.module
        return generator(z, places, bare.bare(patches))

    def step(self, index: int) -> dict[str, Tensor]:
        """One step of D (Eq. 6), then one of the providers through the updated D (Eq. 7, with −log
        D)."""
        heap = self.composites(self.generator, self.config.batch)
        real = self.discriminator(self.real())
        fake = self.discriminator(heap.image.detach())
        loss_d = discriminator_loss(real, fake, 'cross_entropy')
        self.optimiser_d.zero_grad()
        self.fabric.backward(loss_d)
        self.optimiser_d.step()
        loss_g = generator_loss(self.discriminator(heap.image), 'cross_entropy')
        penalty = area_penalty(heap.mask.flatten(0, 1), self.config.smallest)
        binary = torch.minimum(heap.mask, 1 - heap.mask).mean()
        self.optimiser_g.zero_grad()
        self.fabric.backward(loss_g + self.config.area * penalty + self.config.binary * binary)
        self.optimiser_g.step()
        average_into(self.average, self.generator, min(self.config.average, index / (index + 10)))
        return {
            'L_D': loss_d.detach(),
            'L_G': loss_g.detach(),
            'L_area': penalty.detach(),
            'L_b': binary.detach(),
            'mask': heap.mask.detach().mean(),
        }

    @torch.no_grad()
    def pictures(self) -> dict[str, Tensor]:
        """The contact sheet: real patches, composites, appearances on black, masks."""
        heap = self.composites(self.average, min(8, self.config.batch))
        appearance, mask = heap.appearance[:, :2].flatten(0, 1), heap.mask[:, :2].flatten(0, 1)
        alone = appearance * mask + mask - 1
        masks = (mask * 2 - 1).expand(-1, alone.shape[1], -1, -1)
        rows = torch.cat([self.real()[:8], heap.image, alone, masks])
        sheet = tile_colour(rows[:, :3], 8) if rows.shape[1] >= 3 else tile(rows[:, 0], 8)
        return {'real, composites, appearances, masks': sheet}


def train_hoc(config: TrainHocConfig) -> Path:
    """Train both stages, or what is left of them; returns the checkpoint's folder. Raises
    DatasetError for a picture that cannot be used."""
    run, shape = RunContext(config), config.generator
    picture = read_heap(Path(config.image), config.modality, config.flatten)
    size_px = config.instance_px * picture.zoom or _estimated_size(config, picture)
    window_px = WINDOW * size_px
    patches = cut_patches(picture.pixels, window_px, shape.size, PATCHES, config.seed)
    run.claim(picture.fingerprint())
    _show_size(run, picture, size_px, window_px)
    run.seed('weights', 0)
    gan = run.stage(HocStage(run.fabric, config.gan, shape, patches.to(run.device), config.flips))
    run.seed('factory', 0)
    factory = HocFactory(gan.average, 2 * shape.size)
    run.say(factory.warning)
    if run.speaks:
        sheet = next(iter(gan.pictures().values()))
        save_picture(run.out / 'contact.png', sheet.expand(3, -1, -1))
    network = replace(config.offsets.network, channels=patches.shape[1])
    dense = replace(config.offsets, network=network)
    run.seed('weights', 1)
    stage = OffsetStage(
        run.fabric,
        dense,
        factory,
        0.0,
        augment=lambda images: augment(images, dense.noise, dense.blur, shape.relief),
    )
    run.stage(stage)
    height, width = picture.pixels.shape[:2]
    return run.save(
        'hoc',
        'hoc',
        Path(config.image).stem,
        Scales(0.0, picture.relief_m, factory.median_area, factory.median_radius),
        {'offsets': stage.weights(), 'generator': gan.average.state_dict()},
        data=f'one picture, {width}x{height} px',
        values={'zoom': shape.size / window_px * picture.zoom, 'offsets': asdict(dense)},
    )


def _estimated_size(config: TrainHocConfig, picture: HeapPicture) -> float:
    """About how wide an object is, in the read picture's px. Local contrast shows facets and holes,
    so the picture as it was is looked at."""
    plain = read_heap(Path(config.image), config.modality) if config.flatten else picture
    return estimate_size(plain.pixels)


def _show_size(run: RunContext, picture: HeapPicture, size_px: float, window_px: float) -> None:
    """Say how wide an object is taken to be, and draw it (size.png). Lengths in the read picture's
    px."""
    estimated = (
        '' if run.config.instance_px else ' (estimated, see size.png; --instance_px overrides it)'
    )
    run.say(
        f'{picture.name}: one object is some {size_px / picture.zoom:.0f} px wide{estimated},'
        f' patches show {window_px / picture.zoom:.0f} px'
    )
    if run.speaks:
        drawn = torch.from_numpy(draw_size(picture.pixels, size_px, window_px))
        save_picture(run.out / 'size.png', drawn.permute(2, 0, 1) / 255, 1)


def augment(images: Tensor, noise: float, blur: float, relief: float) -> Tensor:
    """Composites (B, C, H, W) in [-1, 1] as another camera might see another heap: colours changed;
    heights noisy, blurred, and raised or lowered as a whole by up to `relief`, but for the
    floor."""
    channels = images.shape[1]
    colour = images[:, :3] if channels != CHANNELS['depth'] else images[:, :0]
    height = images[:, colour.shape[1] :]
    parts = []
    if colour.shape[1]:
        parts.append(random_colours(colour, 0.2))
    if height.shape[1]:
        offset = relief * (2 * torch.rand(len(height), 1, 1, 1, device=height.device) - 1)
        raised = torch.where(height > ABOVE_FLOOR, height + offset, height).clamp(min=-1)
        parts.append(degrade(raised, noise, blur))
    return torch.cat(parts, 1)
