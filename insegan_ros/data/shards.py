"""HDF5 shards of scenes: written whole or not at all, read back one scene at a time or as height
maps for training.

A shard `scenes-00003.h5` holds, for N scenes of up to n instances in (H, W) pictures:

    depth       (N, H, W) uint16 in units of 0.1 mm, 0 = no reading, as cameras have it
    colour      (N, H, W, 3) uint8 RGB, where the set has colour
    cameras     (N, 4) float64: fx fy cx cy in px
    workspaces  (N, 8) float64: floor a b c d, bounds x0 y0 x1 y1 in m; (N, 10) where a bin is
                turned before the camera or has walls, (N, 13) where it is moulded: what
                `insegan_ros.workspace.SCALARS` names as well, in its order
    present     (N, C) bool: which of the C classes lie in the bin
    counts      (N,) int32: instances of each scene
    labels      (N, H, W) uint16, 0 = background, 65535 = not known
    classes     (N, n) int16, -1 beyond the count
    poses       (N, n, 4, 4) float32, camera-from-object
    amodal      (N, n, H, ceil(W / 8)) uint8: whole masks, eight pixels per byte; missing, or of a
                scene all 0, where they are not known
    quality     (N, 2) float32, of the physics: speed of the fastest point in m/s, deepest
                interpenetration in m

and as attributes the format's name and what the shard has in common, as JSON. Where only
image-level labels are given, counts, labels, classes, poses and amodal are missing.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from insegan_ros.data.hdf5 import opened_hdf5, readable
from insegan_ros.data.scene import Scene
from insegan_ros.data.whole_sets import check_scenes
from insegan_ros.errors import DatasetError
from insegan_ros.frame import IGNORE, Frame, Instances, Intrinsics, highest_label, metres
from insegan_ros.heights import square_height_map
from insegan_ros.workspace import SCALARS, TRAINING_MARGIN, Workspace, four

DEPTH_UNIT_M = 1e-4
FORMAT = 'insegan-shard-2'
# How many columns `workspaces` may have, see above.
COLUMNS = (8, 10, 8 + len(SCALARS))
AGAIN = 'delete it and run `insegan simulate` again, which makes only what is missing'


@dataclass(frozen=True)
class ShardInfo:
    """What a whole shard has in common. rejected: how many piles were thrown away on the way, by
    reason."""

    classes: tuple[str, ...]
    seed: int
    first_scene: int
    rejected: dict[str, int] = field(default_factory=dict)


def shard_path(folder: Path, index: int) -> Path:
    """Where the shard of this number lies."""
    return folder / f'scenes-{index:05d}.h5'


def is_shards(folder: Path) -> bool:
    """Whether a folder holds shards."""
    return any(folder.glob('scenes-*.h5'))


def pack_shard(
    scenes: Sequence[Scene], info: ShardInfo, quality: np.ndarray | None = None
) -> bytes:
    """The shard as a file's bytes. The same scenes make the same bytes. quality (N, 2): of the
    physics, as in the module's table. Raises DatasetError for scenes that cannot share a shard."""
    if (
        len({scene.frame.depth_m.shape for scene in scenes}) != 1
        or len({scene.truth is None for scene in scenes}) != 1
    ):
        raise DatasetError(
            'scenes of different sizes, or with and without truth, cannot share a shard: expected'
            ' one kind'
        )
    deepest = max(float(np.nanmax(scene.frame.depth_m, initial=0)) for scene in scenes)
    if deepest > 65535 * DEPTH_UNIT_M:
        raise DatasetError(
            f'depth goes up to {deepest:.1f} m: a shard holds up to {65535 * DEPTH_UNIT_M:.2f} m'
        )
    buffer = io.BytesIO()
    with h5py.File(buffer, 'w', track_order=True) as file:
        file.attrs['format'] = FORMAT
        file.attrs['info'] = json.dumps(asdict(info))
        for name, data in _arrays(scenes, info.classes):
            _store(file, name, data)
        if quality is not None:
            _store(file, 'quality', quality.astype(np.float32))
    return buffer.getvalue()


def _store(file: h5py.File, name: str, data: np.ndarray) -> None:
    """Write an array: a large one compressed, scene by scene."""
    options: dict[str, Any] = {}
    if data.ndim > 2 and data.size > 0:
        options = {'compression': 'gzip', 'compression_opts': 3, 'shuffle': True}
        options['chunks'] = (1, *data.shape[1:])
    file.create_dataset(name, data=data, **options)


def _arrays(scenes: Sequence[Scene], classes: tuple[str, ...]) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a shard, by name, in order."""
    frames = [scene.frame for scene in scenes]
    depths = [np.nan_to_num(frame.depth_m / DEPTH_UNIT_M).round() for frame in frames]
    yield 'depth', np.stack([depth.clip(0, 65535).astype(np.uint16) for depth in depths])
    colours = [frame.colour for frame in frames if frame.colour is not None]
    if colours:
        if len(colours) < len(frames):
            raise DatasetError(
                'scenes with and without colour cannot share a shard: expected one kind'
            )
        yield 'colour', np.stack(colours)
    cameras = [frame.intrinsics for frame in frames]
    yield 'cameras', np.array([(k.fx, k.fy, k.cx, k.cy) for k in cameras], float)
    rows = np.array([_row(scene.workspace) for scene in scenes])
    # As earlier versions read it, as far as it goes.
    columns = next(n for n in COLUMNS if not rows[:, n:].any())
    yield 'workspaces', rows[:, :columns]
    present = [[name in scene.present for name in classes] for scene in scenes]
    yield 'present', np.array(present, bool).reshape(len(scenes), len(classes))
    if scenes[0].truth is not None:
        yield from _truth_arrays([scene.labelled() for scene in scenes], classes).items()


def _row(workspace: Workspace | None) -> tuple[float, ...]:
    if workspace is None:
        return (*(np.nan,) * 8, *(0.0,) * len(SCALARS))
    bounds = workspace.bounds or (np.nan,) * 4
    return (*workspace.floor, *bounds, *(getattr(workspace, name) for name in SCALARS))


def _truth_arrays(truths: Sequence[Instances], classes: tuple[str, ...]) -> dict[str, np.ndarray]:
    count, slots = len(truths), max(len(truth) for truth in truths)
    height, width = truths[0].labels.shape
    kinds = np.full((count, slots), -1, np.int16)
    poses = np.full((count, slots, 4, 4), np.nan, np.float32)
    out = {
        'counts': np.array([len(truth) for truth in truths], np.int32),
        'labels': np.stack([truth.labels for truth in truths]),
        'classes': kinds,
        'poses': poses,
    }
    # An empty bin has all the whole masks that it can have, which says nothing of the others.
    some = [truth for truth in truths if len(truth)] or truths
    known = any(truth.amodal is not None for truth in some)
    if known:
        out['amodal'] = np.zeros((count, slots, height, (width + 7) // 8), np.uint8)
    for index, truth in enumerate(truths):
        if truth.classes is not None:
            kinds[index, : len(truth)] = [classes.index(name) for name in truth.classes]
        if truth.poses is not None:
            poses[index, : len(truth)] = truth.poses
        if known and truth.amodal is not None:
            out['amodal'][index, : len(truth)] = np.packbits(truth.amodal, axis=-1)
    return out


class ShardDataset:
    """All scenes in a folder of shards, in order. classes: the names of what may lie in the bin;
    size: width and height of the pictures in px. Raises DatasetError where there is no shard or one
    is not whole.

    >>> from insegan_sim.generate import SimulateConfig, simulate
    >>> folder = simulate(SimulateConfig(part='nut', scenes=3, out='data/three-nuts'))
    >>> dataset = ShardDataset(folder)
    >>> len(dataset), dataset.part, dataset.size
    (3, 'nut', (224, 224))
    >>> [len(scene.labelled()) for scene in dataset]
    [5, 5, 5]
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.paths = sorted(self.folder.glob('scenes-*.h5')) if self.folder.is_dir() else []
        if not self.paths:
            raise DatasetError(
                f'{self.folder} holds no scenes: expected scenes-*.h5 shards; make some with'
                f' `insegan simulate --out {self.folder}`'
            )
        numbers = [
            int(path.stem.rpartition('-')[2])
            for path in self.paths
            if path.stem.rpartition('-')[2].isdigit()
        ]
        expected = range(numbers[0], max(numbers) + 1) if numbers else range(0)
        if gaps := sorted(set(expected) - set(numbers)):
            raise DatasetError(
                f'{shard_path(self.folder, gaps[0])} is missing between others: expected a whole'
                ' set; run `insegan simulate` again, which makes what is missing'
            )
        opened = [_open(path) for path in self.paths]
        self.lengths = [length for length, _, _ in opened]
        self.infos = [info for _, info, _ in opened]
        self.classes, self.size = self.infos[0].classes, opened[0][2]
        for path, (_, info, size) in zip(self.paths, opened):
            if (info.classes, size) != (self.classes, self.size):
                raise DatasetError(
                    f'{path} holds {", ".join(info.classes)} in {size[0]}x{size[1]} but'
                    f' {self.paths[0].name} holds {", ".join(self.classes)} in'
                    f' {self.size[0]}x{self.size[1]}: expected the same parts and one picture size'
                    ' per folder'
                )

        check_scenes(self.folder, len(self))

    def __len__(self) -> int:
        return sum(self.lengths)

    @property
    def part(self) -> str:
        """The name of what lies in the bin; several joined by +."""
        return '+'.join(self.classes)

    def __iter__(self) -> Iterator[Scene]:
        for path, info, length in zip(self.paths, self.infos, self.lengths):
            with _opened(path) as file:
                for index in range(length):
                    yield _scene(file, index, info.classes)

    def quality(self) -> np.ndarray | None:
        """(N, 2) speed of the fastest point in m/s and deepest interpenetration in m of every
        scene, or None where not recorded."""
        rows = []
        for path in self.paths:
            with _opened(path) as file:
                if 'quality' not in file:
                    return None
                rows.append(file['quality'][:])
        return np.concatenate(rows)

    def height_maps(self, size: int, max_scenes: int | None = None) -> tuple[np.ndarray, float]:
        """(N, size, size) float32 height maps in metres, of the first `max_scenes` scenes if given,
        and the median metres per pixel. Raises DatasetError for scenes without a floor.

        Opens depth and camera alone, never a label.
        """
        maps: list[np.ndarray] = []
        pixel_m: list[float] = []
        for path in self.paths:
            with _opened(path) as file:
                for index in range(min(len(file['depth']), (max_scenes or len(self)) - len(maps))):
                    with readable(path, AGAIN):
                        frame = _frame(file, index, colour=False)
                        workspace = _workspace(file, index)
                    if workspace is None:
                        raise DatasetError(
                            f'{path}: scene {index} has no floor: expected the workspace of every'
                            ' scene'
                        )
                    height, pixel = square_height_map(frame, workspace, size)
                    maps.append(height)
                    pixel_m.append(pixel)
        return np.stack(maps), float(np.median(pixel_m))

    def truth_maps(self, size: int, max_scenes: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """What `height_maps` shows, labelled: labels (N, size, size) int16, and the instances'
        amodal centres (N, n, 2) as (x, y) px.

        For training under supervision alone. Raises InputError for scenes without masks or floor.
        """
        labels: list[np.ndarray] = []
        centres: list[np.ndarray] = []
        for _, scene in zip(range(max_scenes or len(self)), self):
            truth, workspace = scene.labelled(), scene.require_workspace()
            left, top, right, bottom = workspace.window(scene.frame.intrinsics, TRAINING_MARGIN)
            side = max(right - left, bottom - top)
            square = np.zeros((side, side), np.int16)
            square[: bottom - top, : right - left] = np.where(
                truth.labels == IGNORE, 0, truth.labels
            )[top:bottom, left:right]
            pick = ((np.arange(size) + 0.5) * side / size).astype(int)
            labels.append(square[pick[:, None], pick])
            masks = truth.amodal if truth.amodal is not None else truth.masks()
            middle = [
                np.argwhere(mask)[:, ::-1].mean(0) if mask.any() else (0, 0) for mask in masks
            ]
            centres.append((np.reshape(middle, (-1, 2)) + 0.5 - (left, top)) * size / side - 0.5)
        slots = max(len(centre) for centre in centres)
        padded = [np.pad(centre, ((0, slots - len(centre)), (0, 0))) for centre in centres]
        return np.stack(labels), np.stack(padded).astype(np.float32)

    def counts(self, max_scenes: int | None = None) -> np.ndarray | None:
        """How many parts lie in each of the first `max_scenes` scenes (all, if not given), (N,)
        integers; None where scenes do not say. Where a part lies is not looked at."""
        rows = []
        for path in self.paths:
            with _opened(path) as file:
                if 'counts' not in file:
                    return None
                rows.append(file['counts'][:])
        return np.concatenate(rows)[: max_scenes or len(self)]

    def fingerprint(self) -> str:
        """A short hash of the depth that training sees: which data a checkpoint was made from."""
        digest = hashlib.sha256()
        for path in self.paths:
            with _opened(path) as file:
                for depth in file['depth']:
                    digest.update(depth.tobytes())
        return digest.hexdigest()[:16]


def _frame(file: h5py.File, index: int, colour: bool = True) -> Frame:
    depth = file['depth'][index]
    fx, fy, cx, cy = (float(v) for v in file['cameras'][index])
    picture = file['colour'][index] if colour and 'colour' in file else None
    return Frame(
        metres(depth, DEPTH_UNIT_M),
        Intrinsics(fx, fy, cx, cy, depth.shape[1], depth.shape[0]),
        picture,
    )


def _workspace(file: h5py.File, index: int) -> Workspace | None:
    row = [float(v) for v in file['workspaces'][index]]
    if np.isnan(row[:4]).any():
        return None
    return Workspace(four(row[:4]), None if np.isnan(row[4:8]).any() else four(row[4:8]), *row[8:])


def _scene(file: h5py.File, index: int, classes: tuple[str, ...]) -> Scene:
    truth = None
    if 'labels' in file:
        count, labels = int(file['counts'][index]), file['labels'][index].astype(np.uint16)
        kinds, poses = file['classes'][index][:count], file['poses'][index][:count]
        amodal = None
        if 'amodal' in file:
            amodal = np.unpackbits(
                file['amodal'][index][:count], axis=-1, count=labels.shape[1]
            ).astype(bool)
            # No whole mask is empty of which something is seen: this scene's were not known.
            if highest_label(labels) and not amodal.any():
                amodal = None
        truth = Instances(
            labels,
            np.ones(count, np.float32),
            tuple(classes[kind] for kind in kinds) if (kinds >= 0).all() else None,
            None if np.isnan(poses).any() else poses,
            amodal,
        )
    present = tuple(name for name, there in zip(classes, file['present'][index]) if there)
    return Scene(_frame(file, index), truth, _workspace(file, index), present)


def _opened(path: Path) -> AbstractContextManager[h5py.File]:
    return opened_hdf5(path, AGAIN)


def _open(path: Path) -> tuple[int, ShardInfo, tuple[int, int]]:
    """The number of a shard's scenes, what they have in common, and their size (W, H) in px. Raises
    DatasetError where it is none of ours or not whole."""
    with _opened(path) as file:
        found = file.attrs.get('format')
        if found != FORMAT:
            old = (
                ' (made by an older version: simulate it again)'
                if str(found).startswith('insegan-shard-')
                else ''
            )
            raise DatasetError(
                f'{path} is not an insegan shard: expected format {FORMAT}, found {found}{old}'
            )
        raw = json.loads(file.attrs['info'])
        classes = tuple(str(name) for name in raw['classes'])
        info = ShardInfo(classes, raw['seed'], raw['first_scene'], dict(raw['rejected']))
        _check_shapes(file, len(classes))
        # The last of each: a file cut short opens well and fails only here.
        for name in file:
            _ = file[name][-1]
        length, height, width = file['depth'].shape
        return length, info, (width, height)


def _check_shapes(file: h5py.File, kinds: int) -> None:
    """Raise ValueError for arrays that are not as the module's table has them; kinds: how many
    classes there are."""
    length, height, width = file['depth'].shape
    columns = next((n for n in COLUMNS if file['workspaces'].shape[1:] == (n,)), COLUMNS[0])
    slots = file['classes'].shape[1] if 'classes' in file else 0
    size = height, width
    tables = {
        'depth': ('u', size),
        'colour': ('u', (*size, 3)),
        'cameras': ('f', (4,)),
        'workspaces': ('f', (columns,)),
        'present': ('b', (kinds,)),
        'counts': ('i', ()),
        'labels': ('u', size),
        'classes': ('i', (slots,)),
        'poses': ('f', (slots, 4, 4)),
        'amodal': ('u', (slots, height, (width + 7) // 8)),
        'quality': ('f', (2,)),
    }
    for name, (kind, shape) in tables.items():
        if name in file and (file[name].dtype.kind, file[name].shape) != (kind, (length, *shape)):
            raise ValueError(f'{name} is {file[name].dtype} of shape {file[name].shape}')
    counts = file['counts'][:] if 'counts' in file else np.zeros(1, np.int32)
    if counts.min() < 0 or counts.max() > slots:
        raise ValueError(f'counts go from {counts.min()} to {counts.max()}, with room for {slots}')
