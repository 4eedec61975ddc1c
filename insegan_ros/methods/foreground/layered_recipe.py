"""Improved layered GANs with alternate training (Yang et al., 2022, Algorithm 1): unlabelled
pictures of single objects in, a foreground segmenter out.

K rounds: the layered GAN learns to make pictures with masks, a U-Net learns from these, and from
the second round on the U-Net, frozen, keeps the generated backgrounds empty. No mask is opened.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.nn.functional import softplus

from insegan_ros.drawing.tiles import save_picture, tile_colour
from insegan_ros.engine.checkpoint import Checkpoint, Scales
from insegan_ros.engine.loop import run_stage, seed_step
from insegan_ros.engine.run import PicturesConfig, claim, prepare_pictures, take_over
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
from insegan_ros.nn.adversarial import fooling_loss, judge_loss
from insegan_ros.nn.augmentation import in_range, random_views
from insegan_ros.nn.perturbation import PerturbationConfig, draw_motions

# A mean mask beyond these is a decomposition that failed: all is background, or all is foreground.
ALARM = (0.01, 0.95)
# So many pictures on either side tell which snapshot is best.
SNAPSHOT_PICTURES = 512


@dataclass(frozen=True)
class LayeredGanConfig:
    """How the layered GAN is trained. The weights' names are the paper's."""

    steps: int = 4000
    """Steps a round; the paper's is 62,500 (2M pictures of batch 32)."""
    batch: int = 16
    """Pictures a step; the paper's is 32."""
    rate: float = 2e-4
    """Adam's learning rate of both."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's."""
    discriminator_width: int = 32
    """Channels of the discriminator's first layer."""
    gamma_mi: float = 1.0
    """Weight of the mutual information of private code and picture, private code and mask; 0 leaves
    it out."""
    gamma_b: float = 2.0
    """Weight of the binarisation of masks."""
    gamma_bg: float = 2.0
    """Weight of the U-Net's word that backgrounds are empty, from the second round on; 0 is no
    alternate training."""
    gamma_size: float = 0.0
    """Weight of PerturbGAN's mask-size loss instead of mutual information (2 there)."""
    smallest_mask: float = 0.25
    """Share of the picture below which a mask is too small for that loss."""
    average: float = 0.995
    """Decay of the moving average of the generator's weights, which is what is used."""
    views: bool = True
    """Whether real pictures are mirrored and cut at random."""
    snapshots: int = 500
    """Steps between looks at the image distance; the round ends with the generator of the smallest.
    0 takes the last."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 2 or self.snapshots < 0:
            raise ConfigError(
                f'gan.steps {self.steps}, batch {self.batch}, snapshots {self.snapshots}: expected'
                ' 1 or more, 2 or more, 0 or more'
            )
        for name in ('gamma_mi', 'gamma_b', 'gamma_bg', 'gamma_size'):
            if getattr(self, name) < 0:
                raise ConfigError(f'gan.{name} is {getattr(self, name)}: expected 0 or more')


class LayeredGanStage:
    """One round of lines 3 to 5 of Algorithm 1. `pictures` (N, 3, S, S) uint8 on the device;
    segmenter: the U-Net of the round before, or None in the first; before: that round's stage,
    whose networks go on."""

    def __init__(
        self,
        fabric: Fabric,
        config: LayeredGanConfig,
        network: LayeredConfig,
        perturbation: PerturbationConfig,
        pictures: Tensor,
        round_: int,
        segmenter: nn.Module | None = None,
        before: LayeredGanStage | None = None,
    ) -> None:
        self.fabric, self.config, self.network, self.pictures_seen, self.images_per_step = (
            fabric,
            config,
            network,
            pictures,
            config.batch,
        )
        self.name, self.segmenter, self.perturbation = f'gan-{round_}', segmenter, perturbation
        generator, discriminator = (
            LayeredGenerator(network, perturbation),
            LayeredDiscriminator(network, config.discriminator_width),
        )
        self.average = copy.deepcopy(generator).to(fabric.device).requires_grad_(False)
        self.best = copy.deepcopy(self.average)
        self.generator, self.optimiser_g = fabric.setup(
            generator, torch.optim.Adam(generator.parameters(), config.rate, config.betas)
        )
        self.discriminator, self.optimiser_d = fabric.setup(
            discriminator, torch.optim.Adam(discriminator.parameters(), config.rate, config.betas)
        )
        self.discriminator.mark_forward_method('read_mask')
        self.distance = Record(float('inf'))
        self.features = RandomFeatures().to(fabric.device)
        self._real: Tensor | None = None
        if before is not None:
            for name, part in before.parts().items():
                if name not in ('best', 'distance'):
                    self.parts()[name].load_state_dict(part.state_dict())

    def parts(self) -> dict[str, Any]:
        """See Stage."""
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
        """One step of G_b and G_f, one of D, E_x and E_pi on the same composites (Eq. 6)."""
        config = self.config
        chosen = torch.randint(
            len(self.pictures_seen), (config.batch,), device=self.pictures_seen.device
        )
        real = in_range(self.pictures_seen[chosen])
        real = random_views(real) if config.views else real
        codes = draw_codes(self.network, config.batch, real.device)
        layers = self.generator(codes, draw_motions(self.perturbation, config.batch, real.device))
        judged, guess = self.discriminator(layers.image)
        losses = {
            'L_adv': fooling_loss([judged], 'hinge'),
            'L_b': torch.minimum(layers.mask, 1 - layers.mask).mean(),
        }
        total = losses['L_adv'] + config.gamma_b * losses['L_b']
        if config.gamma_mi:
            losses['L_mi x'] = code_loss(self.network, guess, codes.child)
            losses['L_mi pi'] = code_loss(
                self.network, self.discriminator.read_mask(layers.mask), codes.parent
            )
            total = total + config.gamma_mi * (losses['L_mi x'] + losses['L_mi pi'])
        if config.gamma_size:
            losses['L_size'] = (config.smallest_mask - layers.mask.mean((1, 2, 3))).relu().mean()
            total = total + config.gamma_size * losses['L_size']
        if self.segmenter is not None and config.gamma_bg:
            losses['L_bg'] = background_loss(self.segmenter, layers.background)
            total = total + config.gamma_bg * losses['L_bg']
        self.optimiser_g.zero_grad()
        self.fabric.backward(total)
        self.optimiser_g.step()
        losses['L_D'] = self._step_discriminator(real, codes, layers)
        average_into(self.average, self.generator, min(config.average, index / (index + 10)))
        if config.snapshots and ((index + 1) % config.snapshots == 0 or index + 1 == config.steps):
            self._keep_best()
        elif not config.snapshots and index + 1 == config.steps:
            self.best.load_state_dict(self.average.state_dict())
        return {
            **{name: loss.detach() for name, loss in losses.items()},
            'mask': layers.mask.detach().mean(),
        }

    def _step_discriminator(self, real: Tensor, codes: Codes, layers: Layers) -> Tensor:
        """Hinge loss of D, and E_x and E_pi on what G made, which is all that can be read."""
        fake, guess = self.discriminator(layers.image.detach())
        loss = judge_loss([self.discriminator(real)[0]], [fake], 'hinge')
        total = loss
        if self.config.gamma_mi:
            total = total + self.config.gamma_mi * (
                code_loss(self.network, guess, codes.child)
                + code_loss(
                    self.network, self.discriminator.read_mask(layers.mask.detach()), codes.parent
                )
            )
        self.optimiser_d.zero_grad()
        self.fabric.backward(total)
        self.optimiser_d.step()
        return loss.detach()

    @torch.no_grad()
    def _keep_best(self) -> None:
        """Keep the averaged generator if its pictures are nearer to the real ones than those of the
        snapshots before."""
        if self._real is None:
            self._real = self.features(in_range(self.pictures_seen[:SNAPSHOT_PICTURES]))
        self.average.eval()
        made = torch.cat(
            [
                self.features(self.average.sample(64)[1].image)
                for _ in range(SNAPSHOT_PICTURES // 64)
            ]
        )
        distance = frechet(self._real, made)
        if distance <= float(self.distance.value):
            self.distance.value.fill_(distance)
            self.best.load_state_dict(self.average.state_dict())

    @torch.no_grad()
    def pictures(self) -> dict[str, Tensor]:
        """Rows: real pictures, composites, backgrounds, foregrounds, masks."""
        self.average.eval()
        layers = self.average.sample(8)[1]
        rows = [
            in_range(self.pictures_seen[:8]),
            layers.image,
            layers.background,
            layers.foreground,
            layers.mask.expand(-1, 3, -1, -1) * 2 - 1,
        ]
        return {'real, composite, background, foreground, mask': tile_colour(torch.cat(rows), 8)}


def background_loss(segmenter: nn.Module, background: Tensor) -> Tensor:
    """-log(1 - F(x_b)), mean over pixels: Eq. 8 with the minus that a loss needs. F (logits) takes
    no gradient of its weights."""
    return softplus(segmenter(background)).mean()


def mask_alarm(share: float) -> str:
    """What is wrong with a mean mask, in a line; empty where nothing is."""
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rounds < 1:
            raise ConfigError(f'rounds is {self.rounds}: expected 1 or more')

    @property
    def size(self) -> int:
        """Side of the pictures in px."""
        return self.generator.size


def train_layered_gan(config: TrainLayeredGanConfig) -> Path:
    """Algorithm 1, or what is left of it; returns the checkpoint's folder. Raises DatasetError for
    pictures that cannot be read."""
    data, out = prepare_pictures(config, config.size), Path(config.out)
    stages = [
        f'{name}-{round_}' for round_ in range(1, config.rounds + 1) for name in ('gan', 'unet')
    ]
    claim(out, config, data.fingerprint)
    take_over(config.begin, out, stages)
    gan: LayeredGanStage | None = None
    unet: ForegroundStage | None = None
    seconds, steps, alarms = 0.0, {}, []
    for round_ in range(1, config.rounds + 1):
        seed_step(config.seed, 'weights', round_)
        judge = unet.best.eval() if unet is not None else None
        gan = LayeredGanStage(
            data.fabric,
            config.gan,
            config.generator,
            config.perturbation,
            data.images,
            round_,
            judge,
            gan,
        )
        seconds += run_stage(data.fabric, gan, config.gan.steps, out, config.seed, config.loop)
        seed_step(config.seed, 'alarm', round_)
        alarm = mask_alarm(float(gan.best.eval().sample(256)[1].mask.mean()))
        if data.fabric.is_global_zero:
            save_picture(out / f'round-{round_}.png', next(iter(gan.pictures().values())))
            if alarm:
                print(f'round {round_}: {alarm}')
        alarms += [f'round {round_}: {alarm}'] if alarm else []
        start = unet.best.state_dict() if unet is not None else None
        unet = ForegroundStage(
            data.fabric, config.unet, LayeredFactory(gan.best), f'unet-{round_}', start
        )
        seconds += run_stage(data.fabric, unet, config.unet.steps, out, config.seed, config.loop)
        steps |= {gan.name: config.gan.steps, unet.name: config.unet.steps}
    if data.fabric.is_global_zero:
        training = data.describe(config, seconds, steps) | {
            'synthetic_seed': config.seed,
            'alarms': alarms,
        }
        weights = {
            'unet': unet.best.state_dict(),
            'generator': gan.best.state_dict(),
            'reader': gan.discriminator.module.image.state_dict(),
        }
        Checkpoint(
            'layered-gan', 'foreground', data.name, Scales.none(), asdict(config), weights, training
        ).save(out / 'checkpoint')
    return out / 'checkpoint'
