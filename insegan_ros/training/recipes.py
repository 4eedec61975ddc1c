"""The recipes by name, each from a data folder to a checkpoint: `insegan train NAME --data ... --out ...`."""
from __future__ import annotations

import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
import yaml

from insegan_ros.datasets.shards import ShardDataset
from insegan_ros.errors import ConfigError, DatasetError
from insegan_ros.factories.insegan import InSeGANFactory
from insegan_ros.networks.insegan import IMAGE_SIZE
from insegan_ros.segmenters.checkpoint import Checkpoint, Scales
from insegan_ros.training.displacement import DisplacementStage, DisplacementTrainConfig
from insegan_ros.training.insegan import EncoderStage, GanStage, InseganConfig
from insegan_ros.training.loop import LoopConfig, make_fabric, run_stage, seed_step


@dataclass(frozen=True)
class TrainInseganConfig:
    """`insegan train insegan`: GAN, pose encoder, label factory, dense segmenter. Stopped and started again, it goes on."""

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


def train_insegan(config: TrainInseganConfig) -> Path:
    """Train all stages, or what is left of them; returns the checkpoint's folder."""
    out = Path(config.out)
    dataset = ShardDataset(config.data)
    _claim(out, config, dataset.fingerprint())
    heights, pixel_m = dataset.height_maps(IMAGE_SIZE)
    height_m = height_scale(heights)
    fabric = make_fabric(config.loop)
    images = torch.from_numpy(np.clip(heights / height_m, 0, 1) * 2 - 1)[:, None].float().to(fabric.device)

    seed_step(config.seed, 'weights', 0)
    gan = GanStage(fabric, config.insegan, images)
    seconds = run_stage(fabric, gan, config.insegan.gan.steps, out, config.seed, config.loop)
    generator = gan.average.eval()
    weights = {'generator': generator.state_dict()}
    if config.insegan.encoder.steps:
        seed_step(config.seed, 'weights', 1)
        encoder = EncoderStage(fabric, config.insegan, generator)
        seconds += run_stage(fabric, encoder, config.insegan.encoder.steps, out, config.seed, config.loop)
        weights['encoder'] = encoder.encoder.state_dict()
    seed_step(config.seed, 'weights', 2)
    factory = InSeGANFactory(generator, config.insegan.instances)
    dense = DisplacementStage(fabric, config.displacement, factory)
    seconds += run_stage(fabric, dense, config.displacement.steps, out, config.seed, config.loop)
    weights['displacement'] = dense.network.state_dict()

    scales = Scales(pixel_m, height_m, factory.median_area, factory.median_radius)
    steps = {'gan': config.insegan.gan.steps, 'encoder': config.insegan.encoder.steps, 'displacement': config.displacement.steps}
    training = {'data': f'{len(dataset)} unlabelled scenes', 'fingerprint': dataset.fingerprint(), 'seed': config.seed, 'steps': steps,
                'minutes': round(seconds / 60, 1), 'hardware': hardware(fabric.device)}
    if fabric.is_global_zero:
        Checkpoint('insegan', 'displacement', dataset.part, scales, asdict(config), weights, training).save(out / 'checkpoint')
    return out / 'checkpoint'


RECIPES = {'insegan': (TrainInseganConfig, train_insegan)}


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


def _claim(out: Path, config: TrainInseganConfig, fingerprint: str) -> None:
    """Refuse a folder that holds another training, so that nothing is mixed or written over."""
    note = out / 'config.yaml'
    text = yaml.safe_dump({**asdict(config), 'fingerprint': fingerprint}, sort_keys=False)
    if note.exists() and note.read_text() != text:
        raise ConfigError(f'{out} holds a training with another configuration or other data: expected the same as in {note}, or another --out')
    if out.is_dir() and not note.exists() and any(out.iterdir()):
        raise ConfigError(f'{out} is not empty and holds no training: expected an empty folder for --out')
    out.mkdir(parents=True, exist_ok=True)
    note.write_text(text)

