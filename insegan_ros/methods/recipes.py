"""The recipes by name, each from a data folder to a checkpoint: `insegan train NAME --data ...
--out ...`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from insegan_ros.engine.checkpoint import Checkpoint, Scales
from insegan_ros.engine.loop import LoopConfig, run_stage, seed_step
from insegan_ros.engine.run import Prepared, claim, prepare
from insegan_ros.errors import CheckpointError, ConfigError, DatasetError
from insegan_ros.heights import FOREGROUND_SHARE, IMAGE_SIZE, above_floor
from insegan_ros.methods.baselines.reconstruction_recipe import (
    TrainIodineConfig,
    TrainPointTemplateConfig,
    TrainSlotAttentionConfig,
    train_reconstruction,
)
from insegan_ros.methods.baselines.supervised import TrainSupervisedConfig, train_supervised
from insegan_ros.methods.foreground.independence_recipe import (
    TrainIndependenceConfig,
    train_independence,
)
from insegan_ros.methods.foreground.layered_recipe import TrainLayeredGanConfig, train_layered_gan
from insegan_ros.methods.foreground.stage import TrainForegroundConfig, train_supervised_foreground
from insegan_ros.methods.hoc.recipe import TrainHocConfig, train_hoc
from insegan_ros.methods.image_level.ccgr_recipe import TrainCcgrConfig, train_ccgr
from insegan_ros.methods.image_level.irnet_recipe import TrainIRNetConfig, train_irnet
from insegan_ros.methods.image_level.mask_rcnn_stage import (
    TrainMaskRcnnConfig,
    train_supervised_masks,
)
from insegan_ros.methods.insegan.generator import Generator
from insegan_ros.methods.insegan.labels import InSeGANFactory
from insegan_ros.methods.insegan.stages import EncoderStage, GanStage, InseganConfig
from insegan_ros.methods.registry import find_checkpoint
from insegan_ros.offsets.isolated import (
    FEWEST,
    CutoutFactory,
    find_cutouts,
    find_tops,
    part_share,
    together,
)
from insegan_ros.offsets.labelled_images import LabelledImages
from insegan_ros.offsets.labels import LabelFactory, MixedFactory
from insegan_ros.offsets.segmenter import DisplacementSegmenter
from insegan_ros.offsets.self_training import relabel
from insegan_ros.offsets.stage import DisplacementStage, DisplacementTrainConfig

# What is learnt from must be sure: a sliver is no instance, and a part in two pieces shows as two.
# Where the number of parts is not known, an answer may have so many times as the foreground would
# hold side by side.
FEWER, MORE = 0.75, 1.6
# An equal share of the foreground is so many times what stands alone where the number of parts is
# right: from .85 to 1.06 on the ten parts of the paper.
LEAST_EQUAL, MOST_EQUAL = 0.78, 1.28
# Pictures whose metres a pixel and whose height differ by no more show parts of one size.
SAME_SCALE = 0.1
STRICT = {'centre_radius': 0.75, 'min_votes': 0.08, 'min_height': FOREGROUND_SHARE}


@dataclass(frozen=True)
class TrainInseganConfig:
    """`insegan train insegan`: GAN, pose encoder, label factory, dense segmenter, alternate rounds.
    Stopped and started again, it goes on."""

    data: str = 'data/nut'
    """Folder of shards, a file of height maps, or a recording (rosbag2 folder, RealSense .bag).
    Depth alone is read, never a label."""
    out: str = 'runs/nut'
    """Folder of the run: states, logs, and at the end the checkpoint."""
    seed: int = 0
    """Seed of everything."""
    insegan: InseganConfig = field(default_factory=InseganConfig)
    """The generator's and the encoder's training."""
    displacement: DisplacementTrainConfig = field(default_factory=DisplacementTrainConfig)
    """The dense segmenter's training."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Device, precision, how often to save."""
    scenes: int = 0
    """Scenes of the data to learn from, the first ones; 0 is all of them."""
    factory: Literal['auto', 'both', 'generator', 'cutouts'] = 'auto'
    """What teaches the dense segmenter: the generator, parts that lie alone in the data (cutouts),
    or both; auto takes cut-outs where there are enough, else the generator."""
    generator: str = ''
    """Checkpoint, by its folder, its run or its shipped name, whose generator is taken over instead
    of training one."""
    workspace: str = ''
    """For a recording: the YAML of `insegan calibrate`; empty takes the recording's own
    workspace.yaml."""
    size: int = IMAGE_SIZE
    """Side in px of the height maps that are learnt from, a multiple of 16. A part should be 12 px
    wide or more: raise it for bins of many small parts. The generator is made for 64."""

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 16 or (self.size != IMAGE_SIZE and self.insegan.gan.steps):
            raise ConfigError(
                f'size is {self.size}: expected a multiple of 16 from 32 on, and {IMAGE_SIZE} where'
                ' insegan.gan.steps is above 0'
            )
        if self.scenes < 0:
            raise ConfigError(f'scenes is {self.scenes}: expected 0 (all) or more')
        if self.factory in ('both', 'generator') and not self.insegan.gan.steps:
            raise ConfigError(
                f'factory is {self.factory} and insegan.gan.steps is 0: expected steps for the'
                ' generator, or factory cutouts'
            )


def train_insegan(config: TrainInseganConfig) -> Path:
    """Train all stages, or what is left of them; returns the checkpoint's folder.

    Raises DatasetError where the data cannot teach what the configuration asks for.
    """
    data, out = prepare(config), Path(config.out)
    fabric, images = data.fabric, data.images
    share = part_share(images, config.insegan.instances)
    cutouts = find_cutouts(images, share)
    enough = len(cutouts) >= FEWEST
    if not enough and (config.factory in ('both', 'cutouts') or not config.insegan.gan.steps):
        raise DatasetError(
            f'{len(cutouts)} parts lie alone in {len(images)} height maps of'
            f' {config.insegan.instances or "any number of"} parts: expected {FEWEST} or more to'
            ' cut out; give more or emptier scenes, or factory generator'
        )
    taken = _generator_of(config, data) if config.generator else None
    claim(out, config, data.maps.fingerprint)
    if fabric.is_global_zero:
        print(
            f'{len(images)} height maps, {len(cutouts)} parts lie alone in them; one covers some'
            f' {share:.0f} px'
        )
        if doubt := doubted(images, config.insegan.instances, bool(config.insegan.gan.steps)):
            print(doubt)

    weights: dict[str, dict[str, torch.Tensor]] = {}
    sources: list[LabelFactory] = []
    seconds, steps = 0.0, {'gan': config.insegan.gan.steps, 'encoder': config.insegan.encoder.steps}
    if config.insegan.gan.steps:
        generator, weights, seconds, done = _train_generator(
            data, config, cutouts if enough else None, taken, out
        )
        steps |= done
        if config.displacement.steps and (config.factory in ('both', 'generator') or not enough):
            if generator.config.composition == 'z_order':
                seed_step(config.seed, 'weights', 2)
                sources.append(InSeGANFactory(generator, config.insegan.instances))
            elif fabric.is_global_zero:
                print(
                    'averaged pictures hold no single renders: this generator teaches no dense'
                    ' network'
                )
    if config.displacement.steps and config.factory != 'generator' and enough:
        sources.append(
            CutoutFactory(
                cutouts,
                _most_parts(config, images, share),
                config.size,
                varying=not config.insegan.instances,
            )
        )

    taught_by = ' and '.join(
        (
            f'{len(source.cutouts)} parts that lie alone in the data'
            if isinstance(source, CutoutFactory)
            else 'the generator'
        )
        for source in sources
    )
    checkpoint = Checkpoint(
        'insegan',
        'insegan',
        data.maps.part,
        Scales.of_share(data.maps.pixel_m, data.height_m, share),
        asdict(config),
        weights,
        {},
    )
    if sources:
        # The cut-outs know the part's size best.
        scales = Scales(
            data.maps.pixel_m, data.height_m, sources[-1].median_area, sources[-1].median_radius
        )
        checkpoint = replace(checkpoint, segmenter='displacement', scales=scales)
        network, took, done = _train_displacement(data, config, checkpoint, sources, out)
        seconds, steps = seconds + took, {**steps, **done}
        checkpoint.weights['displacement'] = network
        if any(name.startswith('displacement-') for name in steps):
            taught_by += ', then its own sure answers on real height maps'
    training = data.describe(config, seconds, steps)
    if taught_by:
        training['taught_by'] = taught_by
    if fabric.is_global_zero:
        replace(checkpoint, training=training).save(out / 'checkpoint')
    return out / 'checkpoint'


def doubted(images: torch.Tensor, instances: int, needed: bool = False) -> str:
    """Why height maps (N, 1, S, S) may not hold `instances` parts each; empty where nothing speaks
    against it, or the number is not known (0). needed: for a generator, which cannot learn
    without."""
    equal, alone = (part_share(images, number) for number in (instances, 0))
    if not instances or not np.isfinite(alone) or LEAST_EQUAL < equal / alone < MOST_EQUAL:
        return ''
    return (
        f'is insegan.instances {instances} right? An equal share of the foreground is {equal:.0f}'
        f' px, but what stands alone covers mostly {alone:.0f} px: a wrong number spoils the'
        f' segmenter{"" if needed else ", with 0 it is not needed"}'
    )


def _train_generator(
    data: Prepared,
    config: TrainInseganConfig,
    cutouts: torch.Tensor | None,
    taken: Generator | None,
    out: Path,
) -> tuple[Generator, dict[str, dict[str, torch.Tensor]], float, dict[str, int]]:
    """The generator, trained unless one is taken over, and the pose encoder that inverts it: also
    their weights, the seconds, and the steps of alternate rounds."""
    fabric, weights, seconds, steps = data.fabric, {}, 0.0, {}
    if taken is not None:
        generator = taken.to(fabric.device)
    else:
        seed_step(config.seed, 'weights', 0)
        gan = GanStage(fabric, config.insegan, data.images.clamp(max=1), cutouts)
        seconds += run_stage(fabric, gan, gan.steps, out, config.seed, config.loop)
        for round_ in range(1, config.insegan.gan.rounds + 1):
            gan, took, done = _another_round(data, config, gan, cutouts, round_, out)
            seconds, steps = seconds + took, {**steps, **done}
        generator = gan.average.eval()
    weights['generator'] = generator.state_dict()
    if config.insegan.encoder.steps:
        seed_step(config.seed, 'weights', 1)
        encoder = EncoderStage(fabric, config.insegan, generator, data.images.clamp(max=1))
        seconds += run_stage(
            fabric, encoder, config.insegan.encoder.steps, out, config.seed, config.loop
        )
        weights['encoder'] = encoder.encoder.state_dict()
    return generator, weights, seconds, steps


def _another_round(
    data: Prepared,
    config: TrainInseganConfig,
    gan: GanStage,
    cutouts: torch.Tensor | None,
    round_: int,
    out: Path,
) -> tuple[GanStage, float, dict[str, int]]:
    """An alternate round: a dense network that the generator has taught finds parts in the real
    height maps, and the generator goes on with those on top beside the cut-outs. Also the seconds
    and the steps; the stage as it was where the network is sure of too few."""
    fabric = data.fabric
    seed_step(config.seed, 'weights', 100 + round_)
    factory = InSeGANFactory(gan.average.eval(), config.insegan.instances)
    teacher = DisplacementStage(
        fabric,
        replace(config.displacement, steps=config.insegan.gan.round_steps),
        factory,
        data.relief_px,
    )
    teacher.name = f'teacher-{round_}'
    seconds, steps = (
        run_stage(fabric, teacher, teacher.steps, out, config.seed, config.loop),
        {teacher.name: teacher.steps},
    )
    scales = Scales(data.maps.pixel_m, data.height_m, factory.median_area, factory.median_radius)
    checkpoint = Checkpoint(
        'insegan',
        'displacement',
        data.maps.part,
        scales,
        asdict(config),
        {'displacement': teacher.network.state_dict()},
    )
    kept, labels, _ = _sure_answers(data, config, checkpoint)
    seed_step(config.seed, 'tops', 100 + round_)
    tops = find_tops(
        data.images[torch.from_numpy(kept).to(data.images.device)].clamp(max=1), labels
    )
    if fabric.is_global_zero:
        print(
            f'round {round_} of the generator: sure of {len(kept)} of {len(data.images)} height'
            f' maps, {len(tops)} parts lie on top in them'
        )
    if len(tops) < FEWEST:
        return gan, seconds, steps
    later = GanStage(
        fabric,
        config.insegan,
        data.images.clamp(max=1),
        tops if cutouts is None else together(cutouts, tops),
        round_,
        gan,
    )
    seconds += run_stage(fabric, later, later.steps, out, config.seed, config.loop)
    return later, seconds, {**steps, later.name: later.steps}


def _generator_of(config: TrainInseganConfig, data: Prepared) -> Generator:
    """The generator of another checkpoint. Raises CheckpointError where it is of another part or
    shape, or was trained at another scale."""
    other = Checkpoint.load(find_checkpoint(config.generator))
    shape = other.config.get('insegan', {}).get('generator')
    if other.part != data.maps.part or shape != asdict(config.insegan.generator):
        raise CheckpointError(
            f'{config.generator} is of {other.part}, generator {shape}: expected {data.maps.part},'
            f' {asdict(config.insegan.generator)}'
        )
    scales, own = (other.scales.pixel_m, other.scales.height_m), (data.maps.pixel_m, data.height_m)
    if not np.allclose(scales, own, rtol=SAME_SCALE):
        raise CheckpointError(
            f'{config.generator} was trained at {1000 * scales[0]:.2f} mm a pixel and'
            f' {1000 * scales[1]:.1f} mm of height, {config.data} has {1000 * own[0]:.2f} and'
            f' {1000 * own[1]:.1f}: expected the same bin and the same parts'
        )
    return other.restore('generator', Generator(config.insegan.generator))


def _train_displacement(
    data: Prepared,
    config: TrainInseganConfig,
    checkpoint: Checkpoint,
    sources: list[LabelFactory],
    out: Path,
) -> tuple[dict[str, torch.Tensor], float, dict[str, int]]:
    """The dense segmenter: taught by the factories, then in rounds by its own sure answers on real
    height maps as well.

    Returns its weights, the seconds that its steps took, and the steps of every stage.
    """
    fabric, images, weights, seconds, steps = data.fabric, data.images, None, 0.0, {}
    for round_ in range(config.displacement.rounds + 1):
        taught_by = list(sources)
        if round_:
            kept, labels, centres = _sure_answers(
                data, config, replace(checkpoint, weights={'displacement': weights})
            )
            if fabric.is_global_zero:
                print(f'round {round_}: sure of {len(kept)} of {len(images)} height maps')
            if len(kept) < FEWEST:
                break
            sure = images[torch.from_numpy(kept).to(images.device)]
            if config.displacement.tops:
                seed_step(config.seed, 'tops', round_)
                taught_by = _with_tops(config, sources, find_tops(sure, labels))
            taught_by.append(LabelledImages(sure, labels, centres))
        seed_step(config.seed, 'weights', 3 + round_)
        stage = DisplacementStage(
            fabric, config.displacement, MixedFactory(taught_by), data.relief_px, round_, weights
        )
        seconds += run_stage(fabric, stage, stage.steps, out, config.seed, config.loop)
        weights = {
            name: value.detach().clone() for name, value in stage.network.state_dict().items()
        }
        steps[stage.name] = stage.steps
    return weights, seconds, steps


def _sure_answers(
    data: Prepared, config: TrainInseganConfig, checkpoint: Checkpoint
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a checkpoint's dense network is sure of in the real height maps: see relabel."""
    segmenter = DisplacementSegmenter(checkpoint, device=str(data.fabric.device), **STRICT)
    return relabel(
        data.maps.heights_m,
        segmenter.divide,
        _numbers(config, data.images, checkpoint.scales),
        config.displacement.agreement,
        progress=data.fabric.is_global_zero,
    )


def _most_parts(config: TrainInseganConfig, images: torch.Tensor, share: float) -> int:
    """How many parts a picture holds; where that is not known, as many as cover the fullest ones of
    the height maps."""
    if config.insegan.instances:
        return config.insegan.instances
    covered = above_floor(images).flatten(1).float().sum(1)
    return max(int(round(float(covered.quantile(0.95)) / share)), 1)


def _numbers(config: TrainInseganConfig, images: torch.Tensor, scales: Scales) -> np.ndarray:
    """The fewest and the most parts (N, 2) that may be in each height map: the number that is
    known, or what its foreground could hold, some of them half hidden."""
    if config.insegan.instances:
        return np.full((len(images), 2), config.insegan.instances)
    likely = (above_floor(images).flatten(1).float().sum(1) / scales.part_area_px).cpu().numpy()
    return np.stack([np.floor(FEWER * likely), np.ceil(MORE * likely)], 1).astype(int)


def _with_tops(
    config: TrainInseganConfig, sources: list[LabelFactory], tops: torch.Tensor
) -> list[LabelFactory]:
    """The factories, the one of cut-outs with parts that lie on top (M, 1, P, P) besides; where no
    part lay alone, a new one of these, unless the generator is to teach alone."""
    out = [
        (
            CutoutFactory(
                together(source.cutouts, tops), source.instances, source.size, source.varying
            )
            if isinstance(source, CutoutFactory)
            else source
        )
        for source in sources
    ]
    if (
        config.factory != 'generator'
        and len(tops) >= FEWEST
        and not any(isinstance(source, CutoutFactory) for source in sources)
    ):
        out.append(CutoutFactory(tops, config.insegan.instances, config.size))
    return out


# name -> (configuration, what trains it)
RECIPES: dict[str, tuple[type, Callable[[Any], Path]]] = {
    'insegan': (TrainInseganConfig, train_insegan),
    'hoc': (TrainHocConfig, train_hoc),
    'independence-foreground': (TrainIndependenceConfig, train_independence),
    'irnet': (TrainIRNetConfig, train_irnet),
    'ccgr': (TrainCcgrConfig, train_ccgr),
    'layered-gan': (TrainLayeredGanConfig, train_layered_gan),
    'supervised': (TrainSupervisedConfig, train_supervised),
    'supervised-masks': (TrainMaskRcnnConfig, train_supervised_masks),
    'supervised-foreground': (TrainForegroundConfig, train_supervised_foreground),
    'slot-attention': (TrainSlotAttentionConfig, partial(train_reconstruction, 'slot-attention')),
    'iodine': (TrainIodineConfig, partial(train_reconstruction, 'iodine')),
    'point-template': (TrainPointTemplateConfig, partial(train_reconstruction, 'point-template')),
}
