"""The recipes by name, each from a data folder to a checkpoint: `insegan train NAME --data ... --out ...`."""
from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import yaml
from lightning.fabric import Fabric

from insegan_ros.datasets.shards import ShardDataset
from insegan_ros.errors import ConfigError, DatasetError
from insegan_ros.factories import LabelFactory, MixedFactory
from insegan_ros.factories.cutouts import FEWEST, CutoutFactory, find_cutouts
from insegan_ros.factories.images import LabelledImages
from insegan_ros.factories.insegan import InSeGANFactory
from insegan_ros.networks.composition import single_masks, sizes
from insegan_ros.networks.insegan import IMAGE_SIZE
from insegan_ros.networks.reconstruction import RECONSTRUCTIONS
from insegan_ros.segmenters.checkpoint import Checkpoint, Scales
from insegan_ros.segmenters.displacement import DisplacementSegmenter
from insegan_ros.training.displacement import DisplacementStage, DisplacementTrainConfig
from insegan_ros.training.insegan import EncoderStage, GanStage, InseganConfig
from insegan_ros.training.loop import LoopConfig, make_fabric, run_stage, seed_step
from insegan_ros.training.reconstruction import (ReconstructionStage, TrainIodineConfig, TrainPointTemplateConfig, TrainReconstructionConfig,
                                                 TrainSlotAttentionConfig)
from insegan_ros.training.rounds import relabel


@dataclass(frozen=True)
class TrainInseganConfig:
    """`insegan train insegan`: GAN, pose encoder, label factory, dense segmenter, alternate rounds. Stopped and started again, it goes on."""

    data: str = 'data/nut'
    """Folder of shards. Depth alone is read, never a label."""
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
    """What teaches the dense segmenter: the generator, parts that lie alone in the data (cutouts), or both; auto takes cut-outs
    where there are enough, else the generator."""

    def __post_init__(self) -> None:
        if self.scenes < 0:
            raise ConfigError(f'scenes is {self.scenes}: expected 0 (all) or more')
        if self.factory in ('both', 'generator') and not self.insegan.gan.steps:
            raise ConfigError(f'factory is {self.factory} and insegan.gan.steps is 0: expected steps for the generator, or factory cutouts')


def train_insegan(config: TrainInseganConfig) -> Path:
    """Train all stages, or what is left of them; returns the checkpoint's folder.

    Raises DatasetError where the data cannot teach what the configuration asks for.
    """
    out, dataset = Path(config.out), ShardDataset(config.data)
    heights, pixel_m = dataset.height_maps(IMAGE_SIZE, config.scenes or None)
    height_m = height_scale(heights)
    fingerprint = dataset.fingerprint()
    fabric = make_fabric(config.loop)
    images = to_images(heights, height_m).to(fabric.device)
    cutouts = find_cutouts(images, config.insegan.instances)
    enough = len(cutouts) >= FEWEST
    if not enough and (config.factory in ('both', 'cutouts') or not config.insegan.gan.steps):
        raise DatasetError(f'{len(cutouts)} parts lie alone in {len(images)} height maps of {config.insegan.instances} parts: expected {FEWEST} '
                           'or more to cut out; give more or emptier scenes, or factory generator')
    claim(out, config, fingerprint)
    if fabric.is_global_zero:
        print(f'{len(images)} height maps, {len(cutouts)} parts lie alone in them')

    weights: dict[str, dict[str, torch.Tensor]] = {}
    sources: list[LabelFactory] = []
    seconds, steps = 0.0, {'gan': config.insegan.gan.steps, 'encoder': config.insegan.encoder.steps}
    if config.insegan.gan.steps:
        seed_step(config.seed, 'weights', 0)
        gan = GanStage(fabric, config.insegan, images, cutouts if enough else None)
        seconds += run_stage(fabric, gan, config.insegan.gan.steps, out, config.seed, config.loop)
        generator = gan.average.eval()
        weights['generator'] = generator.state_dict()
        if config.insegan.encoder.steps:
            seed_step(config.seed, 'weights', 1)
            encoder = EncoderStage(fabric, config.insegan, generator, images)
            seconds += run_stage(fabric, encoder, config.insegan.encoder.steps, out, config.seed, config.loop)
            weights['encoder'] = encoder.encoder.state_dict()
        if (config.factory in ('both', 'generator') or not enough) and generator.config.composition == 'z_order':
            seed_step(config.seed, 'weights', 2)
            sources.append(InSeGANFactory(generator, config.insegan.instances))
    if config.factory != 'generator' and enough:
        sources.append(CutoutFactory(cutouts, config.insegan.instances, IMAGE_SIZE))

    taught_by = ' and '.join(f'{len(source.cutouts)} parts that lie alone in the data' if isinstance(source, CutoutFactory) else 'the generator'
                             for source in sources)
    checkpoint = Checkpoint('insegan', 'insegan', dataset.part, Scales(pixel_m, height_m, 0.0, 0.0), asdict(config), weights, {})
    if sources:
        # The cut-outs know the part's size best.
        scales = Scales(pixel_m, height_m, sources[-1].median_area, sources[-1].median_radius)
        checkpoint = replace(checkpoint, segmenter='displacement', scales=scales)
        network, took, done = _train_displacement(fabric, config, checkpoint, sources, images, heights, out)
        seconds, steps = seconds + took, {**steps, **done}
        checkpoint.weights['displacement'] = network
        if any(name.startswith('displacement-') for name in steps):
            taught_by += ', then its own sure answers on real height maps'
    training = {'data': f'{len(images)} unlabelled scenes', 'fingerprint': fingerprint, 'seed': config.seed, 'steps': steps,
                'minutes': round(seconds / 60, 1), 'hardware': hardware(fabric.device), **({'taught_by': taught_by} if taught_by else {})}
    if fabric.is_global_zero:
        replace(checkpoint, training=training).save(out / 'checkpoint')
    return out / 'checkpoint'


def _train_displacement(fabric: Fabric, config: TrainInseganConfig, checkpoint: Checkpoint, sources: list[LabelFactory], images: torch.Tensor,
                        heights_m: np.ndarray, out: Path) -> tuple[dict[str, torch.Tensor], float, dict[str, int]]:
    """The dense segmenter: taught by the factories, then in rounds by its own sure answers on real height maps as well.

    Returns its weights, the seconds that its steps took, and the steps of every stage.
    """
    weights, seconds, steps = None, 0.0, {}
    for round_ in range(config.displacement.rounds + 1):
        taught_by = list(sources)
        if round_:
            segmenter = DisplacementSegmenter(replace(checkpoint, weights={'displacement': weights}), device=str(fabric.device))
            kept, labels, centres = relabel(heights_m, segmenter.divide, config.insegan.instances, config.displacement.agreement,
                                            progress=fabric.is_global_zero)
            if fabric.is_global_zero:
                print(f'round {round_}: sure of {len(kept)} of {len(heights_m)} height maps')
            if len(kept) < FEWEST:
                break
            taught_by.append(LabelledImages(images[torch.from_numpy(kept).to(images.device)], labels, centres))
        seed_step(config.seed, 'weights', 3 + round_)
        stage = DisplacementStage(fabric, config.displacement, MixedFactory(taught_by), round_, weights)
        seconds += run_stage(fabric, stage, stage.steps, out, config.seed, config.loop)
        weights = {name: value.detach().clone() for name, value in stage.network.state_dict().items()}
        steps[stage.name] = stage.steps
    return weights, seconds, steps


@dataclass(frozen=True)
class TrainSupervisedConfig:
    """`insegan train supervised`: the same dense segmenter, taught by the simulator's truth. The ceiling, and the way where a mesh is known."""

    data: str = 'data/nut'
    """Folder of labelled shards."""
    out: str = 'runs/nut-supervised'
    """Folder of the run: states, logs, and at the end the checkpoint."""
    seed: int = 0
    """Seed of everything."""
    displacement: DisplacementTrainConfig = field(default_factory=DisplacementTrainConfig)
    """The dense segmenter's training; its later rounds go on with the truth."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Device, precision, how often to save."""
    scenes: int = 0
    """Scenes of the data to learn from, the first ones; 0 is all of them."""


def train_supervised(config: TrainSupervisedConfig) -> Path:
    """Train the dense segmenter on true labels, or what is left of it; returns the checkpoint's folder."""
    out, dataset = Path(config.out), ShardDataset(config.data)
    heights, pixel_m = dataset.height_maps(IMAGE_SIZE, config.scenes or None)
    labels, centres = dataset.truth_maps(IMAGE_SIZE, config.scenes or None)
    height_m = height_scale(heights)
    fingerprint = dataset.fingerprint()
    claim(out, config, fingerprint)
    fabric = make_fabric(config.loop)
    images = to_images(heights, height_m).to(fabric.device)
    labels = np.where(single_masks(images[:, 0]).cpu().numpy(), labels, 0).astype(np.int64)
    masks = torch.from_numpy(np.concatenate([labels[:200] == part + 1 for part in range(int(labels.max()))]))
    area, radius = sizes(masks)
    scales = Scales(pixel_m, height_m, float(area[area > 4].median()), float(radius[area > 4].median()))
    seconds, weights, steps = 0.0, None, {}
    for round_ in range(config.displacement.rounds + 1):
        seed_step(config.seed, 'weights', 3 + round_)
        stage = DisplacementStage(fabric, config.displacement, LabelledImages(images, labels, centres), round_, weights)
        seconds += run_stage(fabric, stage, stage.steps, out, config.seed, config.loop)
        weights = {name: value.detach().clone() for name, value in stage.network.state_dict().items()}
        steps[stage.name] = stage.steps
    training = {'data': f'{len(images)} scenes with their true labels', 'fingerprint': fingerprint, 'seed': config.seed, 'steps': steps,
                'minutes': round(seconds / 60, 1), 'hardware': hardware(fabric.device)}
    if fabric.is_global_zero:
        Checkpoint('supervised', 'displacement', dataset.part, scales, asdict(config), {'displacement': weights}, training).save(out / 'checkpoint')
    return out / 'checkpoint'


def train_reconstruction(method: str, config: TrainReconstructionConfig) -> Path:
    """Train one of the learned baselines, or what is left of it; returns the checkpoint's folder."""
    out, dataset = Path(config.out), ShardDataset(config.data)
    heights, pixel_m = dataset.height_maps(IMAGE_SIZE, config.scenes or None)
    height_m = height_scale(heights)
    fingerprint = dataset.fingerprint()
    claim(out, config, fingerprint)
    fabric = make_fabric(config.loop)
    shape = config.network
    if method == 'point-template':
        shape = replace(shape, relief=height_m / (IMAGE_SIZE / 2 * pixel_m))
    seed_step(config.seed, 'weights', 0)
    stage = ReconstructionStage(fabric, config, RECONSTRUCTIONS[method][0](shape), to_images(heights, height_m).to(fabric.device))
    seconds = run_stage(fabric, stage, config.steps, out, config.seed, config.loop)
    training = {'data': f'{len(heights)} unlabelled scenes', 'fingerprint': fingerprint, 'seed': config.seed, 'steps': {stage.name: config.steps},
                'minutes': round(seconds / 60, 1), 'hardware': hardware(fabric.device)}
    if fabric.is_global_zero:
        Checkpoint(method, 'reconstruction', dataset.part, Scales(pixel_m, height_m, 0.0, 0.0), {**asdict(config), 'network': asdict(shape)},
                   {'network': stage.network.state_dict()}, training).save(out / 'checkpoint')
    return out / 'checkpoint'


# name -> (configuration, what trains it)
RECIPES: dict[str, tuple[type, Callable[[Any], Path]]] = {
    'insegan': (TrainInseganConfig, train_insegan),
    'supervised': (TrainSupervisedConfig, train_supervised),
    'slot-attention': (TrainSlotAttentionConfig, partial(train_reconstruction, 'slot-attention')),
    'iodine': (TrainIodineConfig, partial(train_reconstruction, 'iodine')),
    'point-template': (TrainPointTemplateConfig, partial(train_reconstruction, 'point-template'))}


def to_images(heights_m: np.ndarray, height_m: float) -> torch.Tensor:
    """Height maps (N, S, S) in metres as what networks see, (N, 1, S, S) in [-1, 1]."""
    return torch.from_numpy(np.clip(heights_m / height_m, 0, 1) * 2 - 1)[:, None].float()


def height_scale(heights: np.ndarray) -> float:
    """The height in metres that becomes +1: nearly the highest thing in the data. Raises DatasetError on an empty bin."""
    above = heights[heights > 0.005]
    if above.size < 100:
        raise DatasetError('nothing in the data stands 5 mm or more above the floor: expected parts in the bin')
    return float(np.quantile(above, 0.995))


def hardware(device: torch.device) -> str:
    """The machine in words, for a model card."""
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    return f'{torch.get_num_threads()} CPU cores ({platform.machine()})'


def claim(out: Path, config: Any, fingerprint: str) -> None:
    """Refuse a folder that holds another training, so that nothing is mixed or written over; says what differs."""
    note = out / 'config.yaml'
    wanted = {**asdict(config), 'fingerprint': fingerprint}
    if note.exists():
        changed = _differences(yaml.safe_load(note.read_text()) or {}, yaml.safe_load(yaml.safe_dump(_plain(wanted))))
        if changed:
            raise ConfigError(f'{out} holds a training with another configuration or other data ({"; ".join(changed[:4])}): expected the same '
                              f'as in {note}, or another --out')
    if out.is_dir() and not note.exists() and any(out.iterdir()):
        raise ConfigError(f'{out} is not empty and holds no training: expected an empty folder for --out')
    out.mkdir(parents=True, exist_ok=True)
    note.write_text(yaml.safe_dump(_plain(wanted), sort_keys=False))


def _plain(value: Any) -> Any:
    """Tuples as lists, which is what YAML knows."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _differences(before: Any, now: Any, name: str = '') -> list[str]:
    """What differs between two configurations, as "insegan.gan.steps was 10, is 20"."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [line for key in {**before, **now} for line in _differences(before.get(key), now.get(key), f'{name}.{key}' if name else str(key))]
    return [] if before == now else [f'{name} was {before}, is {now}']
