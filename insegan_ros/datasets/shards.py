"""HDF5 shards of scenes: written whole or not at all, read back one frame at a time or as height maps for training.

A shard `scenes-00003.h5` holds depth (N, H, W) uint16 in units of 0.1 mm (0 = no reading, as cameras have it),
labels (N, H, W) uint8, poses (N, n, 4, 4) camera-from-object, and the part, seed, camera and workspace as attributes.
"""
from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np

from insegan_ros.errors import DatasetError
from insegan_ros.frame import Frame, Instances, Intrinsics
from insegan_ros.workspace import Workspace, square_height_map

DEPTH_UNIT_M = 1e-4
FORMAT = 'insegan-shard-1'


@dataclass(frozen=True)
class ShardInfo:
    """What a whole shard has in common."""

    part: str
    seed: int
    first_scene: int
    intrinsics: Intrinsics
    workspace: Workspace


def shard_path(folder: Path, index: int) -> Path:
    """Where the shard of this number lies."""
    return folder / f'scenes-{index:05d}.h5'


def write_shard(path: Path, scenes: list[tuple[Frame, Instances]], info: ShardInfo) -> None:
    """Write a shard under another name and rename it when whole: a kill leaves no half shard."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f'.{os.getpid()}.part')
    depth = np.stack([np.nan_to_num(frame.depth_m / DEPTH_UNIT_M).round().clip(0, 65535).astype(np.uint16) for frame, _ in scenes])
    with h5py.File(temporary, 'w', track_order=True) as file:
        file.attrs['format'] = FORMAT
        file.attrs['info'] = json.dumps(asdict(info))
        options = {'compression': 'gzip', 'compression_opts': 3, 'shuffle': True, 'chunks': (1, *depth.shape[1:])}
        file.create_dataset('depth', data=depth, **options)
        file.create_dataset('labels', data=np.stack([truth.labels for _, truth in scenes]).astype(np.uint8), **options)
        file.create_dataset('poses', data=np.stack([truth.poses for _, truth in scenes]).astype(np.float32))
    os.replace(temporary, path)


class ShardDataset:
    """All scenes in a folder of shards, in order. Raises DatasetError where there is none or one is not whole."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.paths = sorted(self.folder.glob('scenes-*.h5')) if self.folder.is_dir() else []
        if not self.paths:
            raise DatasetError(f'{self.folder} holds no scenes: expected scenes-*.h5 shards; make some with `insegan simulate --out {self.folder}`')
        opened = [_open(path) for path in self.paths]
        self.lengths = [length for length, _ in opened]
        self.info = opened[0][1]
        for path, (_, info) in zip(self.paths, opened):
            if (info.part, info.intrinsics) != (self.info.part, self.info.intrinsics):
                raise DatasetError(f'{path} holds {info.part} but {self.paths[0].name} holds {self.info.part}, or their cameras differ: '
                                   'expected one part and one camera a folder')

    def __len__(self) -> int:
        return sum(self.lengths)

    def __iter__(self) -> Iterator[tuple[Frame, Instances]]:
        for path in self.paths:
            with h5py.File(path, 'r') as file:
                for index in range(len(file['depth'])):
                    frame = self._frame(file['depth'][index])
                    labels = file['labels'][index].astype(np.uint16)
                    poses = file['poses'][index]
                    yield frame, Instances(labels, np.ones(len(poses), np.float32), poses=poses)

    def _frame(self, depth: np.ndarray) -> Frame:
        metres = np.where(depth > 0, depth.astype(np.float32) * np.float32(DEPTH_UNIT_M), np.float32(np.nan))
        return Frame(metres, self.info.intrinsics)

    @property
    def workspace(self) -> Workspace:
        """Floor and bounds of the simulated bin."""
        return self.info.workspace

    def height_maps(self, size: int) -> tuple[np.ndarray, float]:
        """(N, size, size) float32 height maps in metres and the metres a pixel. Opens depth alone, never a label."""
        maps, pixel_m = [], 0.0
        for path in self.paths:
            with h5py.File(path, 'r') as file:
                for depth in file['depth']:
                    height, pixel_m = square_height_map(self._frame(depth), self.workspace, size)
                    maps.append(height)
        return np.stack(maps), pixel_m

    def fingerprint(self) -> str:
        """A short hash of the depth that training sees: which data a checkpoint was made from."""
        digest = hashlib.sha256()
        for path in self.paths:
            with h5py.File(path, 'r') as file:
                digest.update(file['depth'][:].tobytes())
        return digest.hexdigest()[:16]


def _open(path: Path) -> tuple[int, ShardInfo]:
    try:
        with h5py.File(path, 'r') as file:
            if file.attrs.get('format') != FORMAT:
                raise DatasetError(f'{path} is no shard of ours: expected format {FORMAT}, found {file.attrs.get("format")}')
            raw = json.loads(file.attrs['info'])
            info = ShardInfo(raw['part'], raw['seed'], raw['first_scene'], Intrinsics(**raw['intrinsics']),
                             Workspace(tuple(raw['workspace']['floor']), tuple(raw['workspace']['bounds'])))
            length = len(file['depth'])
            # The last chunk of each: a file cut short opens well and fails only here.
            _ = file['depth'][-1], file['labels'][-1], file['poses'][-1]
            return length, info
    except (OSError, KeyError, ValueError) as error:
        raise DatasetError(f'{path} cannot be read, it is cut short or damaged ({error}): delete it and run `insegan simulate` again, which makes only what is missing') from error
