"""Drawn pictures of two kinds of flat objects, with the truth, and with what a classifier looks at
in them: a blob in the middle of every object."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

SIDE, STRIDE = 96, 4
COLOURS = ((200, 60, 50), (50, 90, 200))


class Drawn(NamedTuple):
    """picture (SIDE, SIDE, 3) uint8; label (SIDE, SIDE) uint8: 0 background, class + 1; maps (2, h,
    w) in [0, 1] of both classes at a quarter of the size."""

    picture: np.ndarray
    label: np.ndarray
    maps: np.ndarray


def draw_one(rng: np.random.Generator) -> Drawn:
    """Discs and squares, four places of which some are empty, on a grey floor with noise."""
    picture = np.full((SIDE, SIDE, 3), 130.0)
    label, heat = np.zeros((SIDE, SIDE), np.uint8), np.zeros((2, SIDE, SIDE), np.float32)
    for place in rng.permutation(4)[: rng.integers(1, 4)]:
        x, y = 26 + 44 * (place % 2), 26 + 44 * (place // 2)
        x, y = int(x + rng.integers(-4, 5)), int(y + rng.integers(-4, 5))
        half, kind = int(rng.integers(12, 17)), int(rng.integers(2))
        shape = np.zeros((SIDE, SIDE), np.uint8)
        if kind:
            cv2.rectangle(shape, (x - half, y - half), (x + half, y + half), 1, -1)
        else:
            cv2.circle(shape, (x, y), half, 1, -1)
        picture[shape > 0] = COLOURS[kind]
        label[shape > 0] = kind + 1
        cv2.circle(heat[kind], (x, y), half // 2, 1, -1)
    picture = (picture + rng.normal(0, 8, picture.shape)).clip(0, 255).astype(np.uint8)
    small = [cv2.resize(cv2.GaussianBlur(one, (0, 0), 7), (24, 24)) for one in heat]
    highest = [max(float(one.max()), 1e-6) for one in small]
    maps = np.stack([one / most for one, most in zip(small, highest)]).astype(np.float32)
    return Drawn(picture, label, maps)


def write_drawn(folder: Path, count: int = 24) -> list[Drawn]:
    """A folder of such pictures with a labels.csv; of the first two each shows one kind alone."""
    rng, out, lines = np.random.default_rng(0), list[Drawn](), []
    folder.mkdir(parents=True)
    while len(out) < count:
        one, number = draw_one(rng), len(out)
        if number < 2 and kinds_of(one) != [number]:
            continue
        cv2.imwrite(str(folder / f'{number:02d}.png'), one.picture[..., ::-1])
        names = [('disc', 'square')[kind] for kind in kinds_of(one)]
        lines.append(','.join([f'{number:02d}.png', *names]))
        out.append(one)
    (folder / 'labels.csv').write_text('\n'.join(lines) + '\n')
    return out


def kinds_of(one: Drawn) -> list[int]:
    """The ids of the classes that are in a picture."""
    return [kind for kind in range(2) if (one.label == kind + 1).any()]


def write_maps(drawn: list[Drawn], run: Path) -> None:
    """Their attention maps, as the run in a folder would have made them."""
    (run / 'cams').mkdir()
    for number, one in enumerate(drawn):
        kinds = kinds_of(one)
        maps = (one.maps[kinds] * 255).round().astype(np.uint8)
        np.savez(run / 'cams' / f'{number:02d}.npz', maps=maps, kinds=kinds)
