"""Improved layered GANs with alternate training (Yang et al., 2022, Algorithm 1): unlabelled
pictures of single objects in, a foreground segmenter out.

In each of K rounds the layered GAN learns to generate pictures with masks, and a U-Net learns from
these; from the second round on the U-Net of the round before, frozen, keeps the generated
backgrounds empty. No mask is read.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.nn.functional import softplus

from insegan_ros.drawing.tiles import save_picture, tile_colour
from insegan_ros.engine.checkpoint import Scales
from insegan_ros.engine.inputs import PictureImages, PicturesConfig, read_picture_images
from insegan_ros.engine.loop import Stage
from insegan_ros.engine.run import RunContext
from insegan_ros.engine.state import Record, average_into
from insegan_ros.errors import ConfigError
from insegan_ros.methods.foreground.layered import (
    Codes,
    LayeredConfig,
    LayeredDiscriminator,
    LayeredGenerator,
    Layers,
    code_loss,
    draw_codes,
)
from insegan_ros.methods.foreground.layered_labels import LayeredFactory
from insegan_ros.methods.foreground.random_features import RandomFeatures, frechet
from insegan_ros.methods.foreground.stage import ForegroundStage, ForegroundTrainConfig
from insegan_ros.nn.adversarial import discriminator_loss, generator_loss
from insegan_ros.nn.augmentation import in_range, random_views
from insegan_ros.nn.perturbation import PerturbationConfig, draw_motions

# Where the share of the picture that masks cover on average is beyond these, the decomposition has
# failed: all is background, or all is foreground.
ALARM = (0.01, 0.95)
# Pictures, real ones and generated ones, whose distance tells which snapshot is best.
SNAPSHOT_PICTURES = 512


@dataclass(frozen=True)
class LayeredGanConfig:
    """How the layered GAN is trained. The weights' names are the paper's."""

    steps: int = 4000
    """Steps a round; the paper's is 62,500 (2M pictures of batch 32)."""
    batch: int = 16
    """Pictures a step; the paper's is 32."""
    rate: float = 2e-4
    """Adam's learning rate of generator and discriminator."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's β₁ and β₂."""
    discriminator_width: int = 32
    """Channels of the discriminator's first layer."""
    gamma_mi: float = 1.0
    """Weight of the mutual information of private code and picture and of parent code and mask; 0
    leaves it out."""
    gamma_b: float = 2.0
    """Weight of the binarisation of masks."""
    gamma_bg: float = 2.0
    """Weight of the loss by which the U-Net keeps backgrounds empty, from the second round on; 0 is
    no alternate training."""
    gamma_size: float = 0.0
    """Weight of PerturbGAN's mask-size loss instead of mutual information (2 there)."""
    smallest_mask: float = 0.25
    """Share of the picture below which a mask is too small for that loss."""
    gamma_border: float = 0.0
    """Weight of the share of the picture's border that the mask covers: an object lies within its
    picture. 0 is the paper's. Where a background is patterned, a mask that reaches beyond the
    picture can be moved without a seam that would stand out."""
    average: float = 0.995
    """Decay of the exponential moving average of the generator's weights, which is what is used."""
    views: bool = True
    """Whether real pictures are flipped and cropped at random."""
    snapshots: int = 500
    """Steps between snapshots of the generator; the round ends with the one whose pictures are
    nearest to the real ones (random-conv distance). 0 takes the last."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 2 or self.snapshots < 0:
            raise ConfigError(
                f'gan.steps {self.steps}, batch {self.batch}, snapshots {self.snapshots}: expected'
                ' 1 or more, 2 or more, 0 or more, in that order'
            )
        for name in ('gamma_mi', 'gamma_b', 'gamma_bg', 'gamma_size', 'gamma_border'):
            if getattr(self, name) < 0:
                raise ConfigError(f'gan.{name} is {getattr(self, name)}: expected 0 or more')


def border_share(masks: Tensor) -> Tensor:
    """Mean of soft masks (B, 1, S, S) over the outermost px of the picture, a scalar."""
    rows, columns = masks[..., [0, -1], :], masks[..., 1:-1, [0, -1]]
    return torch.cat([rows.flatten(1), columns.flatten(1)], 1).mean()


class LayeredGanStage(Stage):
    """One round of lines 3 to 5 of Algorithm 1; `best` is the generator that it ends with.

    images (N, 3, S, S) uint8 on the device; round_: its number, from 1; segmenter: the U-Net of the
    round before, frozen, or None in the first; before: that round's stage, whose networks and
    optimisers are taken over.
    """

    def __init__(
        self,
        fabric: Fabric,
        config: LayeredGanConfig,
        network: LayeredConfig,
        perturbation: PerturbationConfig,
        images: Tensor,
        round_: int,
        segmenter: nn.Module | None = None,
        before: LayeredGanStage | None = None,
    ) -> None:
        self.fabric = fabric
        self.config = config
        self.network = network
        self.perturbation = perturbation
        self.images = images
        self.segmenter = segmenter
        self.name = f'gan-{round_}'
        self.steps = config.steps
        self.images_per_step = config.batch
        generator = LayeredGenerator(network, perturbation)
        discriminator = LayeredDiscriminator(network, config.discriminator_width)
        self.average = copy.deepcopy(generator).to(fabric.device).requires_grad_(False)
        self.best = copy.deepcopy(self.average)
        self.generator, self.optimiser_g = fabric.setup(
            generator, torch.optim.Adam(generator.parameters(), config.rate, config.betas)
        )
        self.discriminator, self.optimiser_d = fabric.setup(
            discriminator, torch.optim.Adam(discriminator.parameters(), config.rate, config.betas)
        )
        self.discriminator.mark_forward_method('encode_mask')
        self.distance = Record(float('inf'))
        self.features = RandomFeatures().to(fabric.device)
        self._real: Tensor | None = None
        if before is not None:
            for name, part in before.parts().items():
                if name not in ('best', 'distance'):
                    self.parts()[name].load_state_dict(part.state_dict())

    def parts(self) -> dict[str, Any]:
        """Both networks and their optimisers, the generator's exponential moving average, its best
        snapshot so far and that one's distance."""
        return {
            'generator': self.generator,
            'discriminator': self.discriminator,
            'average': self.average,
            'best': self.best,
            'distance': self.distance,
            'optimiser_g': self.optimiser_g,
            'optimiser_d': self.optimiser_d,
        }

    def step(self, index: int) -> dict[str, Tensor]:
        """One step of G_b and G_f, then one of D, E_x and E_pi on the same composites (Eq. 6)."""
        config = self.config
        chosen = torch.randint(len(self.images), (config.batch,), device=self.images.device)
        real = in_range(self.images[chosen])
        if config.views:
            real = random_views(real)
        codes = draw_codes(self.network, config.batch, real.device)
        layers = self.generator(codes, draw_motions(self.perturbation, config.batch, real.device))
        losses = self._step_generator(codes, layers)
        losses['L_D'] = self._step_discriminator(real, codes, layers)
        average_into(self.average, self.generator, min(config.average, index / (index + 10)))
        if config.snapshots and ((index + 1) % config.snapshots == 0 or index + 1 == config.steps):
            self._keep_best()
        elif not config.snapshots and index + 1 == config.steps:
            self.best.load_state_dict(self.average.state_dict())
        mask = layers.mask.detach().mean()
        return {**{name: loss.detach() for name, loss in losses.items()}, 'mask': mask}

    def _step_generator(self, codes: Codes, layers: Layers) -> dict[str, Tensor]:
        """One step of G_b and G_f; returns its losses."""
        config = self.config
        logits, estimate = self.discriminator(layers.image)
        losses = {
            'L_adv': generator_loss([logits], 'hinge'),
            'L_b': torch.minimum(layers.mask, 1 - layers.mask).mean(),
        }
        total = losses['L_adv'] + config.gamma_b * losses['L_b']
        if config.gamma_mi:
            losses['L_mi x'] = code_loss(self.network, estimate, codes.child)
            losses['L_mi pi'] = code_loss(
                self.network, self.discriminator.encode_mask(layers.mask), codes.parent
            )
            total = total + config.gamma_mi * (losses['L_mi x'] + losses['L_mi pi'])
        if config.gamma_size:
            losses['L_size'] = (config.smallest_mask - layers.mask.mean((1, 2, 3))).relu().mean()
            total = total + config.gamma_size * losses['L_size']
        if config.gamma_border:
            losses['L_border'] = border_share(layers.mask)
            total = total + config.gamma_border * losses['L_border']
        if self.segmenter is not None and config.gamma_bg:
            losses['L_bg'] = background_loss(self.segmenter, layers.background)
            total = total + config.gamma_bg * losses['L_bg']
        self.optimiser_g.zero_grad()
        self.fabric.backward(total)
        self.optimiser_g.step()
        return losses

    def _step_discriminator(self, real: Tensor, codes: Codes, layers: Layers) -> Tensor:
        """One step of D on real pictures (B, 3, S, S) and generated ones, and of E_x and E_pi on
        generated ones, whose codes alone are known; returns D's loss."""
        fake, estimate = self.discriminator(layers.image.detach())
        loss = discriminator_loss([self.discriminator(real)[0]], [fake], 'hinge')
        total = loss
        if self.config.gamma_mi:
            parents = self.discriminator.encode_mask(layers.mask.detach())
            total = total + self.config.gamma_mi * (
                code_loss(self.network, estimate, codes.child)
                + code_loss(self.network, parents, codes.parent)
            )
        self.optimiser_d.zero_grad()
        self.fabric.backward(total)
        self.optimiser_d.step()
        return loss.detach()

    @torch.no_grad()
    def _keep_best(self) -> None:
        """Keep the averaged generator if its pictures are no farther from the real ones than those
        of the best snapshot."""
        if self._real is None:
            # From all over the set: folders of photographs are in order of their kinds, and the
            # first so many would be of few of them.
            count = len(self.images)
            chosen = torch.linspace(0, count - 1, min(SNAPSHOT_PICTURES, count)).round().long()
            self._real = self.features(in_range(self.images[chosen.to(self.images.device)]))
        self.average.eval()
        generated = [
            self.features(self.average.sample(64)[1].image) for _ in range(SNAPSHOT_PICTURES // 64)
        ]
        distance = frechet(self._real, torch.cat(generated))
        if distance <= float(self.distance.value):
            self.distance.value.fill_(distance)
            self.best.load_state_dict(self.average.state_dict())

    @torch.no_grad()
    def pictures(self) -> dict[str, Tensor]:
        """Rows: real pictures, composites, backgrounds, foregrounds, masks."""
        layers = self.average.sample(8)[1]
        rows = [
            in_range(self.images[:8]),
            layers.image,
            layers.background,
            layers.foreground,
            layers.mask.expand(-1, 3, -1, -1) * 2 - 1,
        ]
        return {'real, composite, background, foreground, mask': tile_colour(torch.cat(rows), 8)}


def background_loss(segmenter: nn.Module, background: Tensor) -> Tensor:
    """−log(1 − F(x_b)), mean over pixels, of backgrounds (B, 3, S, S): Eq. 8 with the minus that a
    loss needs. segmenter: F, which gives logits; its weights must be frozen."""
    return softplus(segmenter(background)).mean()


def mask_alarm(share: float) -> str:
    """What is wrong where masks cover this share of the pictures on average, in one line; empty
    where nothing is."""
    if share < ALARM[0]:
        return (
            f'masks cover {share:.1%} of the pictures on average: all is background; raise'
            ' gan.gamma_mi'
        )
    if share > ALARM[1]:
        return (
            f'masks cover {share:.1%} of the pictures on average: all is foreground; widen the'
            ' perturbation'
        )
    return ''


@dataclass(frozen=True)
class TrainLayeredGanConfig(PicturesConfig):
    """`insegan train layered-gan`: pictures of single objects in, a foreground segmenter out.
    Stopped and started again, it goes on."""

    out: str = 'runs/layered-gan'
    """Folder of the run: states, logs, and at the end the checkpoint."""
    rounds: int = 2
    """K, rounds of GAN and U-Net; the paper's is 5."""
    generator: LayeredConfig = field(default_factory=LayeredConfig)
    """Shape of the generators, and the private code."""
    perturbation: PerturbationConfig = field(default_factory=PerturbationConfig)
    """How far the foreground is moved; ranges of zero leave it where it is."""
    gan: LayeredGanConfig = field(default_factory=LayeredGanConfig)
    """The layered GAN's training."""
    unet: ForegroundTrainConfig = field(default_factory=ForegroundTrainConfig)
    """The U-Net's training."""
    between_steps: int = 0
    """Steps of the U-Net in all rounds but the last, where it only regularises the next GAN; the
    paper's are 2,000 of 12,000. 0: as many as in the last."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rounds < 1:
            raise ConfigError(f'rounds is {self.rounds}: expected 1 or more')
        if not 0 <= self.between_steps <= self.unet.steps:
            raise ConfigError(
                f'between_steps is {self.between_steps}: expected 0 to {self.unet.steps}, the'
                ' steps of the last round'
            )

    def unet_in(self, round_: int) -> ForegroundTrainConfig:
        """The U-Net's training in a round, counted from 1."""
        steps = self.between_steps if round_ < self.rounds and self.between_steps else 0
        return replace(self.unet, steps=steps) if steps else self.unet

    @property
    def size(self) -> int:
        """Side of the pictures in px."""
        return self.generator.size


def train_layered_gan(config: TrainLayeredGanConfig) -> Path:
    """Run Algorithm 1, or what is left of it; returns the checkpoint's folder. Raises DatasetError
    for pictures that cannot be read."""
    run = RunContext(config)
    data = read_picture_images(config, config.size, run.device)
    rounds = range(1, config.rounds + 1)
    # The first round's generator has no U-Net to heed.
    alone = tuple(f'gan.{name}' for name in asdict(config.gan) if name != 'gamma_bg')
    layers = ('generator', 'perturbation', 'view', 'context')
    stages: dict[str, tuple[str, ...]] = {}
    for round_ in rounds:
        stages[f'gan-{round_}'] = (*layers, *(alone if round_ == 1 else ('gan',)))
        stages[f'unet-{round_}'] = ('unet',)
    run.claim(data.fingerprint, begin=config.begin, stages=stages)
    gan: LayeredGanStage | None = None
    unet: ForegroundStage | None = None
    alarms: list[str] = []
    for round_ in rounds:
        gan, alarm = _train_gan(run, data, round_, unet, gan)
        alarms += [alarm] if alarm else []
        start = unet.best.state_dict() if unet is not None else None
        factory = LayeredFactory(gan.best)
        unet = ForegroundStage(run.fabric, config.unet_in(round_), factory, f'unet-{round_}', start)
        run.stage(unet)
    assert gan is not None and unet is not None, 'there is one round or more'
    weights = {
        'unet': unet.best.state_dict(),
        'generator': gan.best.state_dict(),
        'reader': gan.discriminator.module.image.state_dict(),
    }
    return run.save(
        'layered-gan',
        'foreground',
        data.name,
        Scales.none(),
        weights,
        data=f'{len(data.images)} unlabelled pictures',
        synthetic_seed=config.seed,
        alarms=alarms,
    )


def _train_gan(
    run: RunContext,
    data: PictureImages,
    round_: int,
    unet: ForegroundStage | None,
    before: LayeredGanStage | None,
) -> tuple[LayeredGanStage, str]:
    """The layered GAN of a round, trained, and what is wrong with its masks, in one line, empty
    where nothing is; draws round-N.png. unet, before: the round before's stages, or None."""
    config: TrainLayeredGanConfig = run.config
    run.seed('weights', round_)
    gan = LayeredGanStage(
        run.fabric,
        config.gan,
        config.generator,
        config.perturbation,
        data.images,
        round_,
        unet.best.eval() if unet is not None else None,
        before,
    )
    run.stage(gan)
    run.seed('alarm', round_)
    alarm = mask_alarm(float(gan.best.eval().sample(256)[1].mask.mean()))
    if run.speaks:
        save_picture(run.out / f'round-{round_}.png', next(iter(gan.pictures().values())))
    if alarm:
        alarm = f'round {round_}: {alarm}'
    run.say(alarm)
    return gan, alarm
