"""What training reads: small height maps of the bin. From shards, or from one small file that holds
nothing else.

Two thousand scenes with their truth are some 6 MB, a sixth of the shards: light enough to train on
another machine.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
from tqdm import tqdm

from insegan_ros.data.one_file import opened
from insegan_ros.data.recordings import is_recording, read_recording
from insegan_ros.data.shards import ShardDataset
from insegan_ros.errors import DatasetError
from insegan_ros.files import check_new, write_whole
from insegan_ros.heights import PART_M, TALL, square_height_map
from insegan_ros.workspace import Workspace

FORMAT = 'insegan-heights-1'
UNIT_M = 1e-4
# A picture in which less of the bin has a reading shows nothing.
MIN_READ = 0.5
# So many different pictures of nuts taught as much as three and eight times as many
# (docs/training.md).
ADVISED = 100


@dataclass(frozen=True)
class HeightMaps:
    """heights_m (N, S, S) float32 above the floor; pixel_m, metres per pixel; part, its name;
    fingerprint, of the data they come from; labels (N, S, S) and amodal centres (N, n, 2) as (x, y)
    px where they were asked for, else None; counts (N,), the number of parts in each, None where
    the data do not say. Raises DatasetError for heights that are no
    numbers."""

    heights_m: np.ndarray
    pixel_m: float
    part: str
    fingerprint: str
    labels: np.ndarray | None = None
    centres: np.ndarray | None = None
    counts: np.ndarray | None = None

    def __post_init__(self) -> None:
        broken = np.flatnonzero(~np.isfinite(self.heights_m).all((1, 2)))
        if len(broken):
            raise DatasetError(
                f'{len(broken)} of {len(self.heights_m)} height maps hold values that are not'
                f' numbers, the first is {broken[0]}: expected heights in metres'
            )

    def chosen(self, which: np.ndarray) -> HeightMaps:
        """Those of a mask (N,) bool."""
        return replace(
            self,
            heights_m=self.heights_m[which],
            labels=None if self.labels is None else self.labels[which],
            centres=None if self.centres is None else self.centres[which],
            counts=None if self.counts is None else self.counts[which],
        )


def joined(sets: Sequence[HeightMaps]) -> HeightMaps:
    """Several sets of one part and one scale as one; labels and centres where all have them."""
    first = sets[0]
    labels = [one.labels for one in sets if one.labels is not None]
    centres = [one.centres for one in sets if one.centres is not None]
    slots = max((some.shape[1] for some in centres), default=0)
    wide = [np.pad(some, ((0, 0), (0, slots - some.shape[1]), (0, 0))) for some in centres]
    return HeightMaps(
        np.concatenate([one.heights_m for one in sets]),
        float(np.mean([one.pixel_m for one in sets])),
        first.part,
        hashlib.sha256(''.join(one.fingerprint for one in sets).encode()).hexdigest()[:16],
        np.concatenate(labels) if len(labels) == len(sets) else None,
        np.concatenate(wide) if len(wide) == len(sets) else None,
    )


def read_height_maps(
    source: str | Path,
    size: int,
    limit: int = 0,
    truth: bool = False,
    workspace: Workspace | None = None,
) -> HeightMaps:
    """Height maps of `size` px of a folder of shards, of a file of `write_height_maps`, or of a
    recording, the first `limit` (0: all). Labels are opened for `truth` alone. workspace: a
    recording's bin, if not in its own file. Raises DatasetError for what cannot be read."""
    path = Path(source)
    if not path.exists():
        raise DatasetError(
            f'{path} does not exist: expected a folder of shards (`insegan simulate`), a file of'
            ' height maps, or a recording'
        )
    if is_recording(path):
        if truth:
            raise DatasetError(
                f'{path} is a recording: expected labelled shards or height maps, for training with'
                ' the truth'
            )
        return _read_recording(path, size, limit, workspace)
    if workspace is not None:
        raise DatasetError(
            f'a workspace is given but {path} is not a recording: leave it out, data sets hold the'
            ' bin of every scene themselves'
        )
    if path.suffix == '.h5' and path.is_file():
        return _read_file(path, size, limit, truth)
    dataset = ShardDataset(path)
    heights, pixel_m = dataset.height_maps(size, limit or None)
    labels, centres = dataset.truth_maps(size, limit or None) if truth else (None, None)
    counts = dataset.counts(limit or None)
    return HeightMaps(
        heights, pixel_m, dataset.part, dataset.fingerprint(), labels, centres, counts
    )


def write_height_maps(source: Path, out: Path, size: int, truth: bool = False) -> int:
    """Write one file with the height maps of `size` px of a folder of shards, and their truth if
    asked for. Returns their number.

    Raises DatasetError where `out` exists or the shards cannot be read.
    """
    check_new(out, '.h5')
    maps = read_height_maps(source, size, truth=truth)
    buffer = io.BytesIO()
    with h5py.File(buffer, 'w') as file:
        file.attrs.update(
            {
                'format': FORMAT,
                'pixel_m': maps.pixel_m,
                'part': maps.part,
                'fingerprint': maps.fingerprint,
            }
        )
        file.create_dataset(
            'heights',
            data=np.round(maps.heights_m / UNIT_M).clip(0, 65535).astype(np.uint16),
            compression='gzip',
            shuffle=True,
            chunks=(min(64, len(maps.heights_m)), size, size),
        )
        if maps.counts is not None:
            file.create_dataset('counts', data=maps.counts)
        if truth:
            file.create_dataset(
                'labels',
                data=maps.labels,
                compression='gzip',
                chunks=(min(64, len(maps.heights_m)), size, size),
            )
            file.create_dataset('centres', data=maps.centres)
    write_whole(out, buffer.getvalue())
    return len(maps.heights_m)


def _read_recording(path: Path, size: int, limit: int, workspace: Workspace | None) -> HeightMaps:
    """The different pictures of a recording as it is: near-equal ones, such in which something tall
    is in view, and such without readings are left out, and counted aloud."""
    (part,), scenes = read_recording(path, workspace)
    kept: list[np.ndarray] = []
    tallest: list[float] = []
    count = 0
    blind = 0
    pixel_m = 0.0
    digest = hashlib.sha256()
    for scene in tqdm(scenes, desc=f'read {path.name}', unit='frame'):
        count += 1
        if scene.workspace is None:
            raise DatasetError(
                f'{path}: it is not known where the bin is: expected --workspace with the YAML of'
                ' `insegan calibrate`'
            )
        left, top, right, bottom = scene.workspace.window(scene.frame.intrinsics, 0.0)
        if np.isfinite(scene.frame.depth_m[top:bottom, left:right]).mean() < MIN_READ:
            blind += 1
            continue
        height, pixel_m = square_height_map(scene.frame, scene.workspace, size)
        if kept and not _differ(height, kept[-1]):
            continue
        kept.append(height)
        tallest.append(float(np.quantile(height, 0.999)))
        digest.update(np.round(height / UNIT_M).astype(np.uint16).tobytes())
        if limit and len(kept) >= limit:
            break
    if not kept:
        raise DatasetError(
            f'{path}: {count} frames, {blind} of them without readings in the bin: expected depth'
            ' of the bin'
        )
    usual = float(np.median([one for one in tallest if one > PART_M] or [PART_M]))
    chosen = [height for height, tall in zip(kept, tallest) if PART_M < tall < TALL * usual]
    empty = sum(tall <= PART_M for tall in tallest)
    print(
        f'{path}: {count} frames; {count - blind - len(kept)} nearly equal to the one before,'
        f' {blind} without readings, {empty} of an empty bin, {len(kept) - len(chosen) - empty}'
        f' with something tall in view; {len(chosen)} are'
        f' left{"" if len(chosen) >= ADVISED else f", {ADVISED} or more are advised"}'
    )
    if not chosen:
        raise DatasetError(f'{path} shows no parts in the bin: expected pictures of it with parts')
    return HeightMaps(np.stack(chosen), pixel_m, part, digest.hexdigest()[:16])


def _differ(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two height maps show different piles: more of them changed than a tenth of what
    stands there covers."""
    changed = (np.abs(first - second) > PART_M).sum()
    return bool(changed > 0.1 * max((np.maximum(first, second) > PART_M).sum(), 20))


def _read_file(path: Path, size: int, limit: int, truth: bool) -> HeightMaps:
    made_by = '`insegan dataset heights`, or a folder of shards'
    with opened(path, FORMAT, 'height maps', made_by, 'labels' if truth else '') as file:
        chosen = slice(0, limit or len(file['heights']))
        heights = file['heights'][chosen].astype(np.float32) * np.float32(UNIT_M)
        labels = file['labels'][chosen] if truth else None
        centres = file['centres'][chosen] if truth else None
        part, fingerprint = str(file.attrs['part']), str(file.attrs['fingerprint'])
        pixel_m = float(file.attrs['pixel_m'])
        counts = file['counts'][chosen] if 'counts' in file else None
    if heights.shape[1:] != (size, size):
        raise DatasetError(f'{path} holds maps of {heights.shape[1:]} px: expected {size} x {size}')
    return HeightMaps(heights, pixel_m, part, fingerprint, labels, centres, counts)
