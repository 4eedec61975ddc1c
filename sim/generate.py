"""The generator of data sets: scenes from a seed, in shards, on any number of processes."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
from tqdm import tqdm

from insegan_ros.datasets.shards import ShardInfo, shard_path, write_shard
from insegan_ros.errors import ConfigError, DatasetError
from insegan_ros.frame import Frame, Instances
from insegan_sim.bin import Bin
from insegan_sim.camera import DepthCamera
from insegan_sim.parts import load_part


@dataclass(frozen=True)
class SimulateConfig:
    """A data set of bins. Scene k depends on seed and k alone, whatever the number of workers."""

    part: str = 'nut'
    """Which part lies in the bin."""
    scenes: int = 1000
    """Number of scenes."""
    out: str = 'data/nut'
    """Folder of the shards; a folder that was begun with the same settings is continued."""
    instances: int = 5
    """Parts in a bin."""
    size: int = 224
    """Width and height of the depth image in px."""
    seed: int = 0
    """Seed of the whole set."""
    workers: int = 2
    """Processes on this machine."""
    shard_scenes: int = 250
    """Scenes in a shard."""

    def __post_init__(self) -> None:
        load_part(self.part)
        for name, low, high in (('scenes', 1, 10**7), ('instances', 1, 50), ('size', 16, 4096), ('workers', 1, 1024), ('shard_scenes', 1, 10**5)):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f'{name} is {getattr(self, name)}: expected {low} to {high}')


def simulate_scene(world: Bin, camera: DepthCamera, instances: int, seed: int, index: int) -> tuple[Frame, Instances]:
    """The scene of this seed and index. Piles that do not come to rest are drawn again from the same stream."""
    rng = np.random.default_rng([seed, index])
    for _ in range(20):
        poses = world.drop(instances, rng)
        if poses is not None:
            return camera.render(poses, stamp_ns=index)
    raise ConfigError(f'{instances} x {world.part.name} did not come to rest in a bin of {world.width_m:.2f} m in 20 tries: expected fewer instances')


def scene_stream(part_name: str, camera: DepthCamera, instances: int, seed: int) -> Iterator[tuple[Frame, Instances]]:
    """Scenes without end, for a simulated camera."""
    with Bin(load_part(part_name)) as world:
        index = 0
        while True:
            yield simulate_scene(world, camera, instances, seed, index)
            index += 1


def simulate_shard(config: SimulateConfig, index: int) -> int:
    """Make one shard; returns its number of scenes."""
    first = index * config.shard_scenes
    count = min(config.shard_scenes, config.scenes - first)
    part = load_part(config.part)
    camera = DepthCamera.over_bin(part, config.size)
    scenes = []
    for scene in range(first, first + count):
        # A fresh world a scene: what the solver keeps from the last one must not depend on who made it.
        with Bin(part) as world:
            scenes.append(simulate_scene(world, camera, config.instances, config.seed, scene))
    info = ShardInfo(config.part, config.seed, first, camera.intrinsics, camera.workspace)
    write_shard(shard_path(Path(config.out), index), scenes, info)
    return count


def simulate(config: SimulateConfig) -> Path:
    """Make the data set, or what is missing of it. Returns its folder."""
    folder = Path(config.out)
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, config)
    shards = range(-(-config.scenes // config.shard_scenes))
    missing = [index for index in shards if not shard_path(folder, index).exists()]
    done = config.scenes - sum(min(config.shard_scenes, config.scenes - i * config.shard_scenes) for i in missing)
    with tqdm(total=config.scenes, initial=done, unit='scene', desc=f'simulate {config.part}') as bar:
        jobs = (joblib.delayed(simulate_shard)(config, index) for index in missing)
        for count in joblib.Parallel(n_jobs=min(config.workers, max(len(missing), 1)), return_as='generator_unordered')(jobs):
            bar.update(count)
    return folder


def _claim(folder: Path, config: SimulateConfig) -> None:
    """Refuse a folder that holds another set: nothing is ever written over."""
    identity = (f'part: {config.part}\nscenes: {config.scenes}\ninstances: {config.instances}\nsize: {config.size}\n'
                f'seed: {config.seed}\nshard_scenes: {config.shard_scenes}\n')
    note = folder / 'dataset.yaml'
    if note.exists() and note.read_text() != identity:
        raise DatasetError(f'{folder} holds another data set ({" ".join(note.read_text().split())}): expected an empty folder or the same settings')
    if not note.exists() and any(folder.iterdir()):
        raise DatasetError(f'{folder} is not empty and holds no data set of ours: expected an empty folder')
    note.write_text(identity)
