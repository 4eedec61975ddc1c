"""The independence prior's first application ("Learning instance segmentation by the independence
prior", 2019): foregrounds out of crops, without a mask.

A U-Net cuts the foreground out of a picture, it is laid on a background that has nothing to do with
it, and a discriminator tells whether the composite looks real. What is missing of the object shows,
what is too much shows too where the other background begins, and a penalty on the mask's area ends
the rest. The teacher's answers, averaged over several views, then teach a student (data
distillation).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.nn.functional import interpolate
from tqdm import tqdm

from insegan_ros.data.pictures import read_pictures
from insegan_ros.drawing.tiles import save_picture, tile_colour
from insegan_ros.engine.checkpoint import Checkpoint, Scales
from insegan_ros.engine.loop import run_stage, seed_step
from insegan_ros.engine.run import PicturesConfig, claim, prepare_pictures, take_over, to_tensor
from insegan_ros.errors import ConfigError, DatasetError
from insegan_ros.methods.foreground.labelled_pictures import LabelledPictures
from insegan_ros.methods.foreground.network import ForegroundConfig, ForegroundNet, inner_square
from insegan_ros.methods.foreground.stage import ForegroundStage, ForegroundTrainConfig
from insegan_ros.nn.adversarial import area_penalty, fooling_loss, judge_loss
from insegan_ros.nn.augmentation import in_range, random_views
from insegan_ros.nn.composition import blend
from insegan_ros.nn.discriminator import Discriminator

# One background would be learnt by heart.
FEWEST_BACKGROUNDS = 10
# A teacher's mask beyond these shares of the picture says that it has no answer.
SURE = (0.002, 0.9)


@dataclass(frozen=True)
class IndependenceGanConfig:
    """The adversarial stage. λ, a, batch and steps the paper leaves open; its rates are 4e-4 for
    the U-Net and 2e-4 for the discriminator, with which the discriminator was left behind here.
    Ours were chosen on validation pictures."""

    steps: int = 2000
    """Optimisation steps."""
    batch: int = 32
    """Pictures a step."""
    rate_g: float = 1e-4
    """Adam's learning rate of the U-Net."""
    rate_d: float = 4e-4
    """Adam's learning rate of the discriminator."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's."""
    discriminator_width: int = 48
    """Channels of the discriminator's first layer."""
    area: float = 5.0
    """λ, weight of the penalty on the mask's area; 0 leaves it out."""
    smallest: float = 0.15
    """a, the share of the picture that a mask may cover for nothing."""
    patch: float = 0.5
    """Least side of the patch that is cut at random out of a background, as a share of it."""
    within_box: bool = True
    """Whether masks are cut to the object's box, where crops are larger than it (view box, context
    above 1): around it is background by the box's word."""
    background: Literal['independent', 'dependent'] = 'independent'
    """independent: any background; dependent: the mirrored picture itself, the ablation in which
    layers can help each other."""

    def __post_init__(self) -> None:
        if (
            self.steps < 1
            or self.batch < 2
            or self.area < 0
            or not 0 <= self.smallest < 1
            or not 0 < self.patch <= 1
        ):
            raise ConfigError(
                f'gan.steps {self.steps}, batch {self.batch}, area {self.area}, smallest'
                f' {self.smallest}, patch {self.patch}: expected 1 or more, 2 or more, 0 or more, 0'
                ' to below 1, above 0 to 1'
            )


@dataclass(frozen=True)
class TrainIndependenceConfig(PicturesConfig):
    """`insegan train independence-foreground`: pictures of single objects and backgrounds in, a
    foreground segmenter out."""

    out: str = 'runs/independence-foreground'
    """Folder of the run: states, logs, and at the end the checkpoint."""
    backgrounds: str = 'data/single-tote-empty'
    """Pictures without an object: a folder or file as for `data`; of simulated sets those scenes in
    which nothing lies are taken."""
    size: int = 64
    """Side of the pictures in px, a multiple of 16; the paper's is 128."""
    provider: ForegroundConfig = field(default_factory=ForegroundConfig)
    """Shape of the U-Net that cuts foregrounds out."""
    gan: IndependenceGanConfig = field(default_factory=IndependenceGanConfig)
    """The adversarial stage."""
    distillation: bool = True
    """Whether a student learns from the teacher's averaged answers; without, the teacher itself is
    the segmenter."""
    student: ForegroundTrainConfig = field(default_factory=ForegroundTrainConfig)
    """The student's training."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size < 32 or self.size % 16:
            raise ConfigError(f'size is {self.size}: expected a multiple of 16 from 32 on')


class IndependenceStage:
    """`images` and `backgrounds` (N, 3, S, S), (M, 3, S, S) uint8 on the device; box (1, 1, S, S),
    where a foreground can be, or None for anywhere."""

    name = 'gan'

    def __init__(
        self,
        fabric: Fabric,
        config: IndependenceGanConfig,
        provider: ForegroundConfig,
        images: Tensor,
        backgrounds: Tensor,
        box: Tensor | None = None,
    ) -> None:
        self.box = torch.ones(1, 1, *images.shape[2:], device=images.device) if box is None else box
        self.fabric, self.config, self.images, self.backgrounds, self.images_per_step = (
            fabric,
            config,
            images,
            backgrounds,
            config.batch,
        )
        network = ForegroundNet(provider)
        discriminator = Discriminator(
            config.discriminator_width, 'spectral', 'both', images.shape[-1], 3
        )
        self.provider, self.optimiser_g = fabric.setup(
            network, torch.optim.Adam(network.parameters(), config.rate_g, config.betas)
        )
        self.discriminator, self.optimiser_d = fabric.setup(
            discriminator, torch.optim.Adam(discriminator.parameters(), config.rate_d, config.betas)
        )

    def parts(self) -> dict[str, Any]:
        """See Stage."""
        return {
            'provider': self.provider,
            'discriminator': self.discriminator,
            'optimiser_g': self.optimiser_g,
            'optimiser_d': self.optimiser_d,
        }

    def _draw(self, pictures: Tensor, least: float = 0.85) -> Tensor:
        return random_views(
            in_range(
                pictures[torch.randint(len(pictures), (self.config.batch,), device=pictures.device)]
            ),
            least,
        )

    def composites(self) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures, their soft masks (B, 1, S, S), and composites of their foregrounds on
        backgrounds; no layout correction, as boxes leave none to be made."""
        chosen = in_range(
            self.images[
                torch.randint(len(self.images), (self.config.batch,), device=self.images.device)
            ]
        )
        both = random_views(torch.cat([chosen, self.box.expand(len(chosen), -1, -1, -1)], 1))
        inputs = both[:, :3]
        masks = torch.sigmoid(self.provider(inputs)) * (both[:, 3:] > 0.5)
        below = (
            self._draw(self.backgrounds, self.config.patch)
            if self.config.background == 'independent'
            else inputs.flip(3)
        )
        return inputs, masks, blend(below, inputs, masks)

    def step(self, index: int) -> dict[str, Tensor]:
        """One step of D on real pictures and composites of others (Eq. 6), one of the U-Net through
        the new D (Eq. 7, with −log D)."""
        _, masks, composites = self.composites()
        real, fake = (
            self.discriminator(self._draw(self.images)),
            self.discriminator(composites.detach()),
        )
        loss_d = judge_loss(real, fake, 'cross_entropy')
        self.optimiser_d.zero_grad()
        self.fabric.backward(loss_d)
        self.optimiser_d.step()
        loss_g = fooling_loss(self.discriminator(composites), 'cross_entropy')
        penalty = area_penalty(masks, self.config.smallest)
        self.optimiser_g.zero_grad()
        self.fabric.backward(loss_g + self.config.area * penalty)
        self.optimiser_g.step()
        return {
            'L_D': loss_d.detach(),
            'L_G': loss_g.detach(),
            'L_area': penalty.detach(),
            'mask': masks.detach().mean(),
        }

    @torch.no_grad()
    def pictures(self) -> dict[str, Tensor]:
        """Rows: pictures, masks, composites."""
        inputs, masks, composites = self.composites()
        return {
            'pictures, masks, composites': tile_colour(
                torch.cat([inputs[:8], masks[:8].expand(-1, 3, -1, -1) * 2 - 1, composites[:8]]), 8
            )
        }


@torch.no_grad()
def teacher_answers(network: nn.Module, images: Tensor, progress: bool = False) -> Tensor:
    """Data distillation (Radosavovic et al., CVPR 2018): probabilities (N, S, S) of pictures (N, 3,
    S, S) uint8, averaged over mirror images and two sizes."""
    out, size = [], images.shape[-1]
    for some in tqdm(images.split(64), desc='teacher', unit='batch', disable=not progress):
        pictures, answers = in_range(some), []
        for side in (size, size + size // 4 // 16 * 16):
            scaled = (
                pictures
                if side == size
                else interpolate(pictures, (side, side), mode='bilinear', align_corners=False)
            )
            for flips in ((), (3,), (2,), (2, 3)):
                found = torch.sigmoid(network(scaled.flip(flips))).flip(flips)
                answers.append(
                    found
                    if side == size
                    else interpolate(found, (size, size), mode='bilinear', align_corners=False)
                )
        out.append(torch.stack(answers).mean(0)[:, 0])
    return torch.cat(out)


def train_independence(config: TrainIndependenceConfig) -> Path:
    """Both stages, or what is left of them; returns the checkpoint's folder. Raises DatasetError
    for pictures or backgrounds that cannot be used."""
    data, out = prepare_pictures(config, config.size), Path(config.out)
    empty = read_pictures(config.backgrounds, config.size, 'scene', empty=True)
    if len(empty.images) < FEWEST_BACKGROUNDS:
        raise DatasetError(
            f'{config.backgrounds} holds {len(empty.images)} backgrounds: expected'
            f' {FEWEST_BACKGROUNDS} or more, some hundreds to learn well'
        )
    claim(out, config, f'{data.fingerprint}, backgrounds {empty.fingerprint()}')
    take_over(config.begin, out, ('gan', 'student'))
    seed_step(config.seed, 'weights', 0)
    box = (
        inner_square(config.size, config.context).to(data.fabric.device)
        if config.view == 'box' and config.gan.within_box
        else None
    )
    gan = IndependenceStage(
        data.fabric,
        config.gan,
        config.provider,
        data.images,
        to_tensor(empty.images).to(data.fabric.device),
        box,
    )
    seconds = run_stage(data.fabric, gan, config.gan.steps, out, config.seed, config.loop)
    steps, network = {'gan': config.gan.steps}, gan.provider.module
    seed_step(config.seed, 'picture', 0)
    if data.fabric.is_global_zero:
        save_picture(out / 'gan.png', next(iter(gan.pictures().values())))
    if config.distillation:
        answers = (
            teacher_answers(network.eval(), data.images, data.fabric.is_global_zero) > 0.5
        ) & (gan.box[:, 0] > 0)
        share = answers.float().mean((1, 2))
        sure = (share > SURE[0]) & (share < SURE[1])
        if sure.sum() < FEWEST_BACKGROUNDS:
            raise DatasetError(
                f'the teacher finds a foreground in {int(sure.sum())} of {len(sure)} pictures:'
                ' expected most; change gan.area or the backgrounds, in a new --out'
            )
        seed_step(config.seed, 'weights', 1)
        student = ForegroundStage(
            data.fabric,
            config.student,
            LabelledPictures(data.images[sure], answers[sure]),
            'student',
        )
        seconds += run_stage(
            data.fabric, student, config.student.steps, out, config.seed, config.loop
        )
        network, steps['student'] = student.best, config.student.steps
    if data.fabric.is_global_zero:
        shape = config.student.network if config.distillation else config.provider
        training = data.describe(config, seconds, steps) | {'backgrounds': len(empty.images)}
        weights = {
            'unet': network.state_dict(),
            **({'teacher': gan.provider.module.state_dict()} if config.distillation else {}),
        }
        Checkpoint(
            'independence-foreground',
            'foreground',
            data.name,
            Scales.none(),
            {**asdict(config), 'unet': {'network': asdict(shape)}},
            weights,
            training,
        ).save(out / 'checkpoint')
    return out / 'checkpoint'
