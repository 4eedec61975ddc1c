"""What training reads: small height maps of the bin. From shards, or from one small file that holds nothing else.

Two thousand scenes with their truth are some 6 MB, a sixth of the shards: light enough to train on another machine.
"""
from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from insegan_ros.datasets.folders import check_new
from insegan_ros.datasets.shards import ShardDataset, write_whole
from insegan_ros.errors import DatasetError

FORMAT = 'insegan-heights-1'
UNIT_M = 1e-4


@dataclass(frozen=True)
class HeightMaps:
    """heights_m (N, S, S) float32 above the floor; pixel_m, metres a pixel; the part's name; the fingerprint of the data they come
    from; labels (N, S, S) and amodal centres (N, n, 2) in px where they were asked for, else None."""

    heights_m: np.ndarray
    pixel_m: float
    part: str
    fingerprint: str
    labels: np.ndarray | None = None
    centres: np.ndarray | None = None


def read_height_maps(source: str | Path, size: int, most: int = 0, truth: bool = False) -> HeightMaps:
    """Height maps of a folder of shards or of a file of `write_height_maps`, the first `most` (0: all). Labels are opened for
    `truth` alone. Raises DatasetError."""
    path = Path(source)
    if path.suffix == '.h5' and path.is_file():
        return _read_file(path, size, most, truth)
    dataset = ShardDataset(path)
    heights, pixel_m = dataset.height_maps(size, most or None)
    labels, centres = dataset.truth_maps(size, most or None) if truth else (None, None)
    return HeightMaps(heights, pixel_m, dataset.part, dataset.fingerprint(), labels, centres)


def write_height_maps(source: Path, out: Path, size: int, truth: bool) -> int:
    """One file with the height maps of a folder of shards, and their truth if asked for. Returns their number.

    Raises ConfigError where `out` exists, DatasetError for shards that cannot be read.
    """
    check_new(out, '.h5')
    maps = read_height_maps(source, size, truth=truth)
    buffer = io.BytesIO()
    with h5py.File(buffer, 'w') as file:
        file.attrs.update({'format': FORMAT, 'pixel_m': maps.pixel_m, 'part': maps.part, 'fingerprint': maps.fingerprint})
        file.create_dataset('heights', data=np.round(maps.heights_m / UNIT_M).clip(0, 65535).astype(np.uint16), compression='gzip', shuffle=True,
                            chunks=(min(64, len(maps.heights_m)), size, size))
        if truth:
            file.create_dataset('labels', data=maps.labels, compression='gzip', chunks=(min(64, len(maps.heights_m)), size, size))
            file.create_dataset('centres', data=maps.centres)
    write_whole(out, buffer.getvalue())
    return len(maps.heights_m)


def _read_file(path: Path, size: int, most: int, truth: bool) -> HeightMaps:
    try:
        with h5py.File(path, 'r') as file:
            if file.attrs.get('format') != FORMAT:
                raise DatasetError(f'{path} holds no height maps ({file.attrs.get("format")}): expected a file of `insegan dataset heights`, or a folder of shards')
            if truth and 'labels' not in file:
                raise DatasetError(f'{path} holds no labels: expected a file made with --truth')
            chosen = slice(0, most or len(file['heights']))
            heights = file['heights'][chosen].astype(np.float32) * np.float32(UNIT_M)
            labels, centres = (file['labels'][chosen], file['centres'][chosen]) if truth else (None, None)
            part, pixel_m, fingerprint = str(file.attrs['part']), float(file.attrs['pixel_m']), str(file.attrs['fingerprint'])
    except (OSError, KeyError, ValueError) as error:
        raise DatasetError(f'{path} cannot be read, it is cut short or damaged ({error}): make it again') from error
    if heights.shape[1:] != (size, size):
        raise DatasetError(f'{path} holds maps of {heights.shape[1:]} px: expected {size} x {size}')
    return HeightMaps(heights, pixel_m, part, fingerprint, labels, centres)
