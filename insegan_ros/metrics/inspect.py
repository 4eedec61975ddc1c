"""`insegan dataset inspect`: what is in a data set, in numbers and as a contact sheet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from insegan_ros.data.convert import open_dataset
from insegan_ros.data.scene import Scene, visible_fractions
from insegan_ros.data.shards import ShardDataset, is_shards
from insegan_ros.drawing.overlay import overlay
from insegan_ros.errors import DatasetError
from insegan_ros.files import check_new, write_png
from insegan_ros.frame import IGNORE

COLUMNS, ROWS, TILE_PX = 6, 4, 160


def inspect(folder: Path, sheet: Path | None = None) -> dict[str, Any]:
    """Counts, sizes, fill, occlusion of a data set in any format that can be read, by name; writes
    a contact sheet (PNG) if asked for one.

    fill: pixels of parts by pixels of the floor (what stands high looks larger: above 1 is
    possible); occlusion: 1 - visible fraction, over all instances. Raises DatasetError.
    """
    if sheet is not None:
        check_new(sheet, '.png')
    # Shards know more than other formats, and opening them reads them all: once.
    dataset = ShardDataset(folder) if is_shards(folder) else None
    classes, scenes = (dataset.classes, iter(dataset)) if dataset else open_dataset(folder)
    seen, tiles = _Seen(), list[np.ndarray]()
    # Spread over the whole set where its length is known at once, else the first ones.
    places = np.linspace(0, len(dataset) - 1, COLUMNS * ROWS).round().astype(int) if dataset else ()
    keep = {int(place) for place in places}
    for index, scene in enumerate(tqdm(scenes, desc='inspect', unit='scene')):
        seen.add(scene)
        if sheet is not None and len(tiles) < COLUMNS * ROWS and (not dataset or index in keep):
            tiles.append(_tile(scene))
    if not seen.scenes:
        raise DatasetError(f'{folder} holds no scenes: expected at least one')
    size = sum(path.stat().st_size for path in folder.rglob('*') if path.is_file())
    result = seen.summary(classes, size)
    if dataset:
        rejected = sum((Counter(info.rejected) for info in dataset.infos), Counter[str]())
        result['rejected'] = dict(rejected)
        if (quality := dataset.quality()) is not None:
            result |= {
                'fastest_mm_s': _round(1000 * quality[:, 0].max()),
                'deepest_mm': _round(1000 * quality[:, 1].max()),
            }
    if sheet is not None:
        write_png(sheet, _sheet(tiles))
    return result


@dataclass
class _Seen:
    """What the scenes so far hold: how many there were; of the last its size in px and whether it
    had colour; instances by class; of every scene its number of instances, fill and share of pixels
    without a reading; of every instance its occlusion."""

    scenes: int = 0
    width: int = 0
    height: int = 0
    colour: bool = False
    kinds: Counter[str] = field(default_factory=Counter)
    counts: list[int] = field(default_factory=list)
    fills: list[float] = field(default_factory=list)
    unread: list[float] = field(default_factory=list)
    occlusions: list[float] = field(default_factory=list)

    def add(self, scene: Scene) -> None:
        """Count a scene."""
        frame, truth = scene.frame, scene.truth
        self.scenes += 1
        self.width, self.height = frame.intrinsics.width, frame.intrinsics.height
        self.colour = frame.colour is not None
        self.unread.append(float(np.isnan(frame.depth_m).mean()))
        if truth is None:
            self.kinds.update(scene.present)
            return
        self.counts.append(len(truth))
        self.kinds.update(truth.classes or ())
        self.fills.append(_fill(scene))
        if truth.amodal is not None:
            self.occlusions += (1 - visible_fractions(truth)).tolist()

    def summary(self, classes: tuple[str, ...], size_bytes: int) -> dict[str, Any]:
        """The numbers by name."""
        result: dict[str, Any] = {
            'scenes': self.scenes,
            'width': self.width,
            'height': self.height,
            'colour': self.colour,
            'classes': {name: self.kinds[name] for name in classes},
            'no_reading_share': _mean(self.unread),
            'bytes': size_bytes,
        }
        if self.counts:
            result |= {
                'instances': sum(self.counts),
                'instances_a_scene': [min(self.counts), _mean(self.counts), max(self.counts)],
                'fill': _mean(self.fills),
            }
        if self.occlusions:
            occlusions = np.array(self.occlusions)
            result |= {
                'occlusion': _mean(occlusions),
                'half_hidden_share': _mean(occlusions > 0.5),
                'hidden_share': _mean(occlusions >= 1),
            }
        return result


def describe(result: dict[str, Any]) -> str:
    """The numbers of `inspect` in words, a few lines."""
    lines = [
        (
            f'{result["scenes"]} scenes of {result["width"]}x{result["height"]},'
            f' depth{" and colour" if result["colour"] else ""}, {result["bytes"] / 1e6:.1f} MB'
        ),
        'parts: ' + _kinds(result['classes']),
    ]
    if 'instances' in result:
        low, mean, high = result['instances_a_scene']
        lines.append(
            f'{result["instances"]} instances, {low} to {high} a scene, {mean:g} on average; in the'
            f' picture they cover as much as {100 * result["fill"]:.0f} % of the floor'
        )
    else:
        lines.append('image-level labels only')
    if 'occlusion' in result:
        lines.append(
            f'{100 * result["occlusion"]:.0f} % of the average instance is hidden;'
            f' {100 * result["half_hidden_share"]:.1f} % are hidden by half and more,'
            f' {100 * result["hidden_share"]:.1f} % wholly'
        )
    lines.append(f'no reading: {100 * result["no_reading_share"]:.1f} % of the pixels')
    if result.get('rejected'):
        lines.append(
            'discarded in simulation: '
            + ', '.join(f'{count} {reason}' for reason, count in result['rejected'].items())
        )
    if 'fastest_mm_s' in result:
        lines.append(
            f'physics: no part faster than {result["fastest_mm_s"]:.2f} mm/s, no interpenetration'
            f' above {result["deepest_mm"]:.3f} mm'
        )
    return '\n'.join(lines)


def _kinds(classes: dict[str, int], max_named: int = 12) -> str:
    there = [f'{count} {name}' for name, count in classes.items() if count]
    named = ', '.join(there[:max_named]) or 'none'
    rest = f' and {len(there) - max_named} kinds more' if len(there) > max_named else ''
    possible = f' ({len(classes)} kinds could be there)' if len(there) < len(classes) else ''
    return named + rest + possible


def _round(value: float) -> float:
    return round(float(value), 4)


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return _round(float(np.mean(values)))


def _fill(scene: Scene) -> float:
    labels = scene.labelled().labels % IGNORE
    if scene.workspace is None or scene.workspace.bounds is None:
        return float((labels > 0).mean())
    k, depth = scene.frame.intrinsics, scene.workspace.floor_distance_m
    x_min, y_min, x_max, y_max = scene.workspace.bounds
    return float(
        (labels > 0).sum() / ((x_max - x_min) * k.fx / depth * (y_max - y_min) * k.fy / depth)
    )


def _tile(scene: Scene) -> np.ndarray:
    panels = [overlay(scene.frame.depth_m, scene.known_labels())]
    if scene.frame.colour is not None:
        panels.append(scene.frame.colour)
    height, width = panels[0].shape[:2]
    scale = TILE_PX / max(height, width)
    size = round(width * scale), round(height * scale)
    return np.hstack([cv2.resize(panel, size, interpolation=cv2.INTER_AREA) for panel in panels])


def _sheet(tiles: list[np.ndarray]) -> np.ndarray:
    height, width = (max(tile.shape[axis] for tile in tiles) for axis in (0, 1))
    columns = min(COLUMNS, len(tiles))
    sheet = np.full(
        (-(-len(tiles) // columns) * (height + 4), columns * (width + 4), 3), 255, np.uint8
    )
    for index, tile in enumerate(tiles):
        top, left = index // columns * (height + 4), index % columns * (width + 4)
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet
