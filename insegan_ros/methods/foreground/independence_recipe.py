"""The independence prior's first application ("Learning instance segmentation by the independence
prior", 2019): foreground masks of crops, learnt without a mask.

A U-Net cuts the foreground out of a picture, it is blended over a background that has nothing to do
with it, and a discriminator tells composites from real pictures. A mask that misses part of the
object shows in the composite, and so does one that takes some of the old background along; a
penalty on the mask's area settles what remains. The teacher's predictions, averaged over several
views, then teach a student (data distillation).
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

from insegan_ros.data.pictures import Pictures, read_pictures
from insegan_ros.drawing.tiles import save_picture, tile_colour
from insegan_ros.engine.checkpoint import Scales
from insegan_ros.engine.inputs import PictureImages, PicturesConfig, read_picture_images, to_tensor
from insegan_ros.engine.loop import Stage
from insegan_ros.engine.run import RunContext
from insegan_ros.errors import ConfigError, DatasetError
from insegan_ros.methods.foreground.labelled_pictures import LabelledPictures
from insegan_ros.methods.foreground.network import ForegroundConfig, ForegroundNet, inner_square
from insegan_ros.methods.foreground.stage import ForegroundStage, ForegroundTrainConfig
from insegan_ros.nn.adversarial import area_penalty, discriminator_loss, generator_loss
from insegan_ros.nn.augmentation import in_range, random_views
from insegan_ros.nn.composition import blend
from insegan_ros.nn.discriminator import Discriminator

# Fewer backgrounds would be learnt by heart.
MIN_BACKGROUNDS = 10
# Backgrounds are read at so many times the size of the pictures.
SHARPER = 2
# A mask of the teacher that covers a share of the picture beyond these is no prediction.
SURE = (0.002, 0.9)


@dataclass(frozen=True)
class IndependenceGanConfig:
    """The adversarial stage. The paper leaves λ, a, batch and steps open; ours were chosen on
    validation pictures. Its rates are 4e-4 for the U-Net and 2e-4 for the discriminator, with which
    the discriminator fell behind here."""

    steps: int = 2000
    """Optimisation steps."""
    batch: int = 32
    """Pictures a step."""
    rate_g: float = 1e-4
    """Adam's learning rate of the U-Net."""
    rate_d: float = 4e-4
    """Adam's learning rate of the discriminator."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's β₁ and β₂."""
    discriminator_width: int = 48
    """Channels of the discriminator's first layer."""
    area: float = 5.0
    """λ, weight of the penalty on the mask's area; 0 leaves it out."""
    smallest: float = 0.15
    """a, the share of the picture at which a mask's penalty is zero."""
    patch: float = 0.5
    """Minimum side of the random crop of a background, as a share of the background's."""
    max_patch: float = 1.0
    """Maximum of it. With both crops show as much of a background as the pictures do around their
    object; a discriminator that can tell them apart by that learns nothing of masks."""
    within_box: bool = True
    """Whether masks are cut to the object's box where crops are larger than it (view box, context
    above 1): what lies outside of the box is known to be background."""
    background: Literal['independent', 'dependent'] = 'independent'
    """independent: any background; dependent: the mirrored picture itself, the ablation in which
    foreground and background are not independent."""

    def __post_init__(self) -> None:
        if (
            self.steps < 1
            or self.batch < 2
            or self.area < 0
            or not 0 <= self.smallest < 1
            or not 0 < self.patch <= self.max_patch <= 1
        ):
            raise ConfigError(
                f'gan.steps {self.steps}, batch {self.batch}, area {self.area}, smallest'
                f' {self.smallest}, patch {self.patch}, max_patch {self.max_patch}: expected 1 or'
                ' more, 2 or more, 0 or more, 0 to below 1, above 0, from there to 1, in that'
                ' order'
            )


@dataclass(frozen=True)
class TrainIndependenceConfig(PicturesConfig):
    """`insegan train independence-foreground`: pictures and backgrounds in, a segmenter out.
    The pictures show single objects; the segmenter tells foreground from background."""

    out: str = 'runs/independence-foreground'
    """Folder of the run: states, logs, and at the end the checkpoint."""
    backgrounds: str = 'data/single-tote-empty'
    """Pictures without an object: a folder or file as for `data`; of simulated sets only the scenes
    in which nothing lies are taken."""
    size: int = 64
    """Side of the pictures in px, a multiple of 16; the paper's is 128."""
    provider: ForegroundConfig = field(default_factory=ForegroundConfig)
    """Shape of the U-Net that cuts foregrounds out."""
    gan: IndependenceGanConfig = field(default_factory=IndependenceGanConfig)
    """The adversarial stage."""
    distillation: bool = True
    """Whether a student learns from the teacher's averaged predictions; without, the teacher itself
    is the segmenter."""
    student: ForegroundTrainConfig = field(default_factory=ForegroundTrainConfig)
    """The student's training."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size < 32 or self.size % 16:
            raise ConfigError(f'size is {self.size}: expected a multiple of 16, at least 32')


class IndependenceStage(Stage):
    """The adversarial stage: the U-Net (`provider`) against a discriminator of composites.

    images (N, 3, S, S) and backgrounds (M, 3, S', S'), which may be larger, uint8 on the device;
    box (1, 1, S, S): 1 where foreground may be, None for everywhere.
    """

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
        self.fabric = fabric
        self.config = config
        self.images = images
        self.backgrounds = backgrounds
        self.box = torch.ones(1, 1, *images.shape[2:], device=images.device) if box is None else box
        self.steps = config.steps
        self.images_per_step = config.batch
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
        """Both networks and their optimisers."""
        return {
            'provider': self.provider,
            'discriminator': self.discriminator,
            'optimiser_g': self.optimiser_g,
            'optimiser_d': self.optimiser_d,
        }

    def _draw(self, pictures: Tensor) -> Tensor:
        """A random batch of pictures (N, 3, S, S) uint8, in [-1, 1]."""
        chosen = torch.randint(len(pictures), (self.config.batch,), device=pictures.device)
        return in_range(pictures[chosen])

    def composites(self) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures (B, 3, S, S), their soft masks (B, 1, S, S), and composites (B, 3, S, S) of
        their foregrounds on backgrounds, without the paper's layout correction: a box leaves no
        layout to be corrected."""
        chosen = self._draw(self.images)
        box = self.box.expand(len(chosen), -1, -1, -1)
        views = random_views(torch.cat([chosen, box], 1))
        inputs, inside = views[:, :3], views[:, 3:] > 0.5
        masks = torch.sigmoid(self.provider(inputs)) * inside
        if self.config.background == 'independent':
            below = random_views(
                self._draw(self.backgrounds),
                self.config.patch,
                self.config.max_patch,
                inputs.shape[-1],
            )
        else:
            below = inputs.flip(3)
        return inputs, masks, blend(below, inputs, masks)

    def step(self, index: int) -> dict[str, Tensor]:
        """One step of D on real pictures and on composites of others (Eq. 6), then one of the U-Net
        through the updated D (Eq. 7, with −log D)."""
        _, masks, composites = self.composites()
        real = self.discriminator(random_views(self._draw(self.images)))
        fake = self.discriminator(composites.detach())
        loss_d = discriminator_loss(real, fake, 'cross_entropy')
        self.optimiser_d.zero_grad()
        self.fabric.backward(loss_d)
        self.optimiser_d.step()
        loss_g = generator_loss(self.discriminator(composites), 'cross_entropy')
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
        rows = [inputs[:8], masks[:8].expand(-1, 3, -1, -1) * 2 - 1, composites[:8]]
        return {'pictures, masks, composites': tile_colour(torch.cat(rows), 8)}


@torch.no_grad()
def teacher_predictions(network: nn.Module, images: Tensor, progress: bool = False) -> Tensor:
    """Predictions for data distillation (Radosavovic et al., CVPR 2018): foreground probabilities
    (N, S, S) of pictures (N, 3, S, S) uint8, averaged over flips and, from 64 px on, two sizes."""
    out, size = [], images.shape[-1]
    # At 32 px an enlarged picture is harder for the teacher, and the average with it is worse.
    larger = size + size // 4 // 16 * 16
    for batch in tqdm(images.split(64), desc='teacher', unit='batch', disable=not progress):
        pictures, found = in_range(batch), []
        for side in sorted({size, larger}):
            scaled = _resized(pictures, side)
            for flips in ((), (3,), (2,), (2, 3)):
                one = torch.sigmoid(network(scaled.flip(flips))).flip(flips)
                found.append(_resized(one, size))
        out.append(torch.stack(found).mean(0)[:, 0])
    return torch.cat(out)


def _resized(images: Tensor, side: int) -> Tensor:
    """Images (B, C, S, S) at another side, (B, C, side, side)."""
    if images.shape[-1] == side:
        return images
    return interpolate(images, (side, side), mode='bilinear', align_corners=False)


def train_independence(config: TrainIndependenceConfig) -> Path:
    """Train both stages, or what is left of them; returns the checkpoint's folder. Raises
    DatasetError for pictures or backgrounds that cannot be used."""
    run = RunContext(config)
    data = read_picture_images(config, config.size, run.device)
    empty = _read_backgrounds(config)
    fingerprint = f'{data.fingerprint}, backgrounds {empty.fingerprint()}'
    seen = ('size', 'view', 'context')
    stages = {'gan': (*seen, 'provider', 'gan'), 'student': (*seen, 'student')}
    run.claim(fingerprint, begin=config.begin, stages=stages)
    gan = _train_teacher(run, data, to_tensor(empty.images).to(run.device))
    teacher, shape = gan.provider.module, config.provider
    weights = {'unet': teacher.state_dict()}
    if config.distillation:
        student, shape = _train_student(run, data, gan), config.student.network
        weights = {'unet': student.best.state_dict(), 'teacher': teacher.state_dict()}
    return run.save(
        'independence-foreground',
        'foreground',
        data.name,
        Scales.none(),
        weights,
        data=f'{len(data.images)} unlabelled pictures',
        values={'unet': {'network': asdict(shape)}},
        fingerprint=data.fingerprint,
        backgrounds=len(empty.images),
    )


def _read_backgrounds(config: TrainIndependenceConfig) -> Pictures:
    """The pictures without an object. Raises DatasetError where they are too few."""
    # Crops of them are as sharp as the pictures are: what was read small would be blurred, and
    # known by that. A file has the size that it was written with.
    size = config.size if Path(config.backgrounds).is_file() else SHARPER * config.size
    empty = read_pictures(config.backgrounds, size, 'scene', empty=True)
    if len(empty.images) < MIN_BACKGROUNDS:
        raise DatasetError(
            f'{config.backgrounds} holds {len(empty.images)} backgrounds: expected'
            f' {MIN_BACKGROUNDS} or more, some hundreds to learn well'
        )
    return empty


def _train_teacher(run: RunContext, data: PictureImages, backgrounds: Tensor) -> IndependenceStage:
    """The adversarial stage, trained; draws gan.png. backgrounds (M, 3, S', S') uint8."""
    config: TrainIndependenceConfig = run.config
    run.seed('weights', 0)
    box = None
    if config.view == 'box' and config.gan.within_box:
        box = inner_square(config.size, config.context).to(run.device)
    stage = IndependenceStage(
        run.fabric, config.gan, config.provider, data.images, backgrounds, box
    )
    run.stage(stage)
    run.seed('picture', 0)
    if run.speaks:
        save_picture(run.out / 'gan.png', next(iter(stage.pictures().values())))
    return stage


def _train_student(
    run: RunContext, data: PictureImages, teacher: IndependenceStage
) -> ForegroundStage:
    """A student, taught by the teacher's predictions where these can be masks. Raises DatasetError
    where too few can."""
    found = teacher_predictions(teacher.provider.module.eval(), data.images, run.speaks)
    masks = (found > 0.5) & (teacher.box[:, 0] > 0)
    share = masks.float().mean((1, 2))
    sure = (share > SURE[0]) & (share < SURE[1])
    if sure.sum() < MIN_BACKGROUNDS:
        raise DatasetError(
            f'the teacher finds a foreground in {int(sure.sum())} of {len(sure)} pictures: expected'
            ' one in nearly all; change gan.area or the backgrounds, in a new --out'
        )
    run.seed('weights', 1)
    factory = LabelledPictures(data.images[sure], masks[sure])
    return run.stage(ForegroundStage(run.fabric, run.config.student, factory, 'student'))
