"""The scenes that all methods of a benchmark meet: unseen random bins, and those among them on
which K-means fails."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from insegan_ros.data.scene import Scene
from insegan_ros.data.shards import ShardDataset, ShardInfo, pack_shard, shard_path
from insegan_ros.errors import DatasetError
from insegan_ros.files import write_whole
from insegan_ros.metrics.hard import kmeans_fails
from insegan_ros.tasks.base import TEST_SEED
from insegan_ros.texts import read_json
from insegan_sim.generate import SimulateConfig
from insegan_sim.scenes import scene_stream


@dataclass(frozen=True)
class HeldOut:
    """Labelled scenes, and for each whether it is among the first (random) and among those on which
    K-means fails (hard)."""

    scenes: list[Scene]
    random: list[bool]
    hard: list[bool]
    looked_at: int


def held_out(folder: Path, part: str, sensor: str, limit: int, max_scenes: int) -> HeldOut:
    """The first `limit` scenes, and the first `limit` hard ones among `max_scenes`, made once and
    kept in the folder."""
    note = folder / 'sets.json'
    wanted = {
        'part': part,
        'sensor': sensor,
        'limit': limit,
        'max_scenes': max_scenes,
        'seed': TEST_SEED,
    }
    if note.exists():
        known = read_json(note, DatasetError)
        if {key: known.get(key) for key in wanted} == wanted:
            return HeldOut(
                list(ShardDataset(folder)), known['random'], known['hard'], known['looked_at']
            )
    config = SimulateConfig(part=part, sensor=sensor, seed=TEST_SEED)
    setup = config.setup(config.parts())
    scenes, random, hard, index = list[Scene](), list[bool](), list[bool](), -1
    with tqdm(total=2 * limit, desc=f'test scenes {part}', unit='scene') as bar:
        for index, scene in enumerate(scene_stream(setup)):
            fails = sum(hard) < limit and kmeans_fails(scene)
            if index < limit or fails:
                scenes.append(scene)
                random.append(index < limit)
                hard.append(fails)
                bar.update(int(index < limit) + int(fails))
            if index + 1 >= max_scenes or (index + 1 >= limit and sum(hard) >= limit):
                break
    folder.mkdir(parents=True, exist_ok=True)
    # What it says of the former scenes must not stand beside others, should this be stopped.
    note.unlink(missing_ok=True)
    for path in folder.glob('scenes-*.h5'):
        path.unlink()
    write_whole(shard_path(folder, 0), pack_shard(scenes, ShardInfo(setup.classes, TEST_SEED, 0)))
    write_whole(
        note,
        json.dumps({**wanted, 'random': random, 'hard': hard, 'looked_at': index + 1}).encode(),
    )
    return HeldOut(list(ShardDataset(folder)), random, hard, index + 1)
