"""InSeGAN, from unlabelled height maps to a checkpoint: a generator that must explain every picture
as n copies of one thing, the pose encoder that inverts it, and the dense network that it
teaches."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from insegan_ros.engine.checkpoint import Checkpoint, Scales
from insegan_ros.engine.inputs import HeightImages, read_height_images
from insegan_ros.engine.loop import LoopConfig
from insegan_ros.engine.run import RunContext
from insegan_ros.errors import CheckpointError, ConfigError, DatasetError
from insegan_ros.heights import IMAGE_SIZE
from insegan_ros.methods.insegan.generator import Generator
from insegan_ros.methods.insegan.joint import JointStage
from insegan_ros.methods.insegan.labels import InSeGANFactory
from insegan_ros.methods.insegan.stages import EncoderStage, GanStage, InseganConfig
from insegan_ros.methods.registry import find_checkpoint
from insegan_ros.offsets.isolated import (
    MIN_CROPS,
    CropFactory,
    find_isolated,
    find_unoccluded,
    together,
)
from insegan_ros.offsets.stage import OffsetStage, OffsetTrainConfig
from insegan_ros.offsets.training import BinContent, label_itself, taught_by, train_offsets

# Pictures whose metres per pixel and whose height differ by no more show parts of one size.
SAME_SCALE = 0.1
Weights = dict[str, dict[str, Tensor]]


@dataclass(frozen=True)
class TrainInseganConfig:
    """`insegan train insegan`: unlabelled depth of bins in, an instance segmenter out.
    Trains a generator, a pose encoder and a dense segmenter; every bin holds a known number of
    parts. Stopped and started again, it goes on."""

    data: str = 'data/nut'
    """Folder of shards, a file of height maps, or a recording (rosbag2 folder, RealSense .bag).
    Depth alone is read, never a label."""
    out: str = 'runs/nut'
    """Folder of the run: states, logs, and at the end the checkpoint."""
    seed: int = 0
    """Seed of everything."""
    insegan: InseganConfig = field(default_factory=InseganConfig)
    """The generator's and the encoder's training."""
    offsets: OffsetTrainConfig = field(default_factory=OffsetTrainConfig)
    """The dense segmenter's training."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Device, precision, how often to save."""
    scenes: int = 0
    """How many scenes of the data to learn from, the first ones; 0 is all of them."""
    factory: Literal['auto', 'both', 'generator', 'isolated'] = 'auto'
    """What teaches the dense segmenter: the generator, parts that lie alone in the data (isolated),
    or both; auto takes isolated parts where there are enough, else the generator."""
    generator: str = ''
    """Checkpoint, by its folder, its run or its shipped name, whose generator is taken over instead
    of training one."""
    workspace: str = ''
    """For a recording: the YAML of `insegan calibrate`; empty takes the recording's own
    workspace.yaml."""

    def __post_init__(self) -> None:
        if self.scenes < 0:
            raise ConfigError(f'scenes is {self.scenes}: expected 0 (all) or more')
        if self.offsets.steps or self.insegan.gan.rounds:
            self.offsets.check_side(IMAGE_SIZE)


def train_insegan(config: TrainInseganConfig) -> Path:
    """Train all stages, or what is left of them; returns the checkpoint's folder.

    Raises DatasetError where the data cannot teach what the configuration asks for.
    """
    run = RunContext(config)
    data = read_height_images(config, run.device, workspace=config.workspace)
    content = BinContent.of(data.images, config.insegan.instances, data.flat)
    crops = find_isolated(data.images, content.share_px)
    enough = len(crops) >= MIN_CROPS
    if not enough and config.factory in ('both', 'isolated'):
        raise DatasetError(
            f'{len(crops)} parts lie alone in {len(data.images)} height maps of'
            f' {config.insegan.instances} parts: expected {MIN_CROPS} or more to cut out; give more'
            ' or emptier scenes, or factory generator'
        )
    taken = _generator_of(config, data) if config.generator else None
    run.claim(data.maps.fingerprint)
    run.say(
        f'{len(data.images)} height maps, {len(crops)} parts lie alone in them; one covers some'
        f' {content.share_px:.0f} px'
    )
    run.say(content.doubt(data.images, needed=True))
    counts = data.maps.counts
    if counts is not None and (counts != config.insegan.instances).any():
        run.say(
            f'is instances {config.insegan.instances} right? The data hold {counts.min()} to'
            f' {counts.max()} parts per height map, but the generator always makes the same number'
        )
    generator, weights = _train_generator(run, data, content, crops if enough else None, taken)
    sources = _sources(run, data, content, generator, crops) if config.offsets.steps else []
    scales = Scales.of_share(data.maps.pixel_m, data.height_m, content.share_px)
    # Without an encoder, what the generator renders can still be searched.
    alone = 'encoder' not in weights and generator.config.renders_alone
    segmenter = 'insegan-searched' if alone else 'insegan'
    if sources:
        # Isolated crops know the part's size best.
        scales = replace(
            scales, part_area_px=sources[-1].median_area, part_radius_px=sources[-1].median_radius
        )
        segmenter, new_crops = 'offsets', config.factory != 'generator'
        weights['offsets'] = train_offsets(
            run, data, config.offsets, sources, scales, content, new_crops
        )
    return run.save(
        'insegan',
        segmenter,
        data.maps.part,
        scales,
        weights,
        data=f'{len(data.images)} unlabelled scenes',
        **taught_by(sources, run),
    )


def _sources(
    run: RunContext, data: HeightImages, content: BinContent, generator: Generator, crops: Tensor
) -> list[InSeGANFactory | CropFactory]:
    """What teaches the dense network, as TrainInseganConfig.factory says."""
    config, sources = run.config, list[InSeGANFactory | CropFactory]()
    enough = len(crops) >= MIN_CROPS
    if config.factory in ('both', 'generator') or not enough:
        insegan = config.insegan
        if not generator.config.renders_alone:
            run.say(
                'what a 2-D generator of averaged pictures renders alone is as many times too high'
                ' as there are instances: it teaches no dense network'
            )
        else:
            run.seed('weights', 2)
            sources.append(InSeGANFactory(generator, insegan.instances, insegan.candidates))
    if config.factory != 'generator' and enough:
        sources.append(content.composer(crops, data.images))
    return sources


def _train_generator(
    run: RunContext,
    data: HeightImages,
    content: BinContent,
    crops: Tensor | None,
    taken: Generator | None,
) -> tuple[Generator, Weights]:
    """The generator, trained unless one is taken over, and the pose encoder that inverts it; and
    their weights."""
    config = run.config.insegan
    # Named in the history also where one is taken over, or none is trained.
    if not config.encoder.joint:
        run.steps |= {'gan': config.gan.steps, 'encoder': config.encoder.steps}
    images = data.images.clamp(max=1)
    if taken is not None:
        generator = taken.to(run.device)
    elif config.encoder.steps and config.encoder.joint:
        run.seed('weights', 0)
        joint = run.stage(JointStage(run.fabric, config, images, crops))
        generator = joint.gan.average.eval()
        return generator, {
            'generator': generator.state_dict(),
            'encoder': joint.inverse.encoder.state_dict(),
        }
    else:
        run.seed('weights', 0)
        gan = run.stage(GanStage(run.fabric, config, images, crops))
        for round_ in range(1, config.gan.rounds + 1):
            gan = _another_round(run, data, content, gan, crops, round_)
        generator = gan.average.eval()
    weights = {'generator': generator.state_dict()}
    if config.encoder.steps:
        run.seed('weights', 1)
        encoder = run.stage(EncoderStage(run.fabric, config, generator, images))
        weights['encoder'] = encoder.encoder.state_dict()
    return generator, weights


def _another_round(
    run: RunContext,
    data: HeightImages,
    content: BinContent,
    gan: GanStage,
    crops: Tensor | None,
    round_: int,
) -> GanStage:
    """An alternate round: a dense network that the generator has taught finds parts in the real
    height maps, and the generator goes on with those on top beside the isolated crops. The stage as
    it was where the network is sure of too few."""
    config = run.config
    run.seed('weights', 100 + round_)
    insegan = config.insegan
    factory = InSeGANFactory(gan.average.eval(), insegan.instances, insegan.candidates)
    teaching = replace(config.offsets, steps=insegan.gan.round_steps)
    teacher = OffsetStage(run.fabric, teaching, factory, data.relief_px)
    teacher.name = f'teacher-{round_}'
    run.stage(teacher)
    scales = Scales(data.maps.pixel_m, data.height_m, factory.median_area, factory.median_radius)
    kept, labels, _ = label_itself(
        run, data, teacher.network.module, scales, content, config.offsets.agreement
    )
    run.seed('tops', 100 + round_)
    images = data.images.clamp(max=1)
    found = find_unoccluded(images[torch.from_numpy(kept).to(run.device)], labels)
    run.say(
        f'round {round_} of the generator: sure of {len(kept)} of {len(images)} height maps,'
        f' {len(found)} parts lie on top in them'
    )
    if len(found) < MIN_CROPS:
        return gan
    more = found if crops is None else together(crops, found)
    return run.stage(GanStage(run.fabric, config.insegan, images, more, round_, gan))


def _generator_of(config: TrainInseganConfig, data: HeightImages) -> Generator:
    """The generator of another checkpoint. Raises CheckpointError where it is of another part or
    shape, was trained at another scale, or averages another number of instances."""
    other = Checkpoint.load(find_checkpoint(config.generator))
    shape = other.config.get('insegan', {}).get('generator')
    if other.part != data.maps.part or shape != asdict(config.insegan.generator):
        raise CheckpointError(
            f'{config.generator} was trained on {other.part}, with generator {shape}: expected'
            f' {data.maps.part}, {asdict(config.insegan.generator)}'
        )
    averaged, count = other.config['insegan'].get('instances'), config.insegan.instances
    # In an average of more, each would be too low by as much.
    if config.insegan.generator.composition == 'average' and averaged != count:
        raise CheckpointError(
            f'{config.generator} averages the features of {averaged} instances: expected'
            f' insegan.instances {averaged}, not {count}'
        )
    scales, own = (other.scales.pixel_m, other.scales.height_m), (data.maps.pixel_m, data.height_m)
    if not np.allclose(scales, own, rtol=SAME_SCALE):
        raise CheckpointError(
            f'{config.generator} was trained at {1000 * scales[0]:.2f} mm a pixel and'
            f' {1000 * scales[1]:.1f} mm of height, {config.data} has {1000 * own[0]:.2f} and'
            f' {1000 * own[1]:.1f}: expected the same bin and the same parts'
        )
    return other.restore('generator', lambda: Generator(config.insegan.generator))
