"""What the stages of IRNet and CCGR made of a few pictures, side by side, to be looked at before
the next stage begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from insegan_ros.data.folders import read_png
from insegan_ros.data.image_sets import ImageSet
from insegan_ros.data.mask_sets import IGNORED, MaskSet
from insegan_ros.drawing.overlay import draw_masks, palette
from insegan_ros.drawing.panels import sheet
from insegan_ros.methods.image_level.backbone import padded
from insegan_ros.methods.image_level.irnet import IRNet
from insegan_ros.methods.image_level.proposals import Proposals
from insegan_ros.methods.image_level.run import ImageRun, read_arrays

# Pictures that are shown.
SHOWN = 6
# Colours of boxes: proposals, chosen, refined.
BLUE, WHITE, GREEN = (90, 200, 255), (255, 255, 255), (60, 255, 60)


def _shown(images: ImageSet) -> list[int]:
    """Which pictures are shown: from all over the set."""
    return np.linspace(0, len(images) - 1, min(SHOWN, len(images))).astype(int).tolist()


def _coloured(labels: np.ndarray) -> np.ndarray:
    """Class labels (H, W) in colours, what is ignored in grey."""
    out = palette(IGNORED)[labels]
    out[labels == IGNORED] = 90
    return out


def _heated(picture: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A picture (H, W, C) under a map (h, w) in [0, 1]."""
    grey = (cv2.resize(heat, picture.shape[1::-1]) * 255).clip(0, 255).astype(np.uint8)
    colours = cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO)[..., ::-1]
    return (0.35 * picture[..., :3] + 0.65 * colours).astype(np.uint8)


def _directions(displacement: np.ndarray) -> np.ndarray:
    """Displacements (2, h, w) as colours: hue is the direction, brightness the length."""
    angle, length = np.arctan2(displacement[1], displacement[0]), np.hypot(*displacement)
    far = max(float(np.percentile(length, 99)), 1e-6)
    value = (length / far).clip(0, 1) * 255
    hsv = np.stack([(angle + np.pi) * 90 / np.pi, np.full_like(angle, 255), value], -1)
    return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)


def _boxed(picture: np.ndarray, boxes: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """A picture (H, W, C) with boxes (N, 4) px, as (H, W, 3)."""
    out = picture[..., :3].copy()
    for box in np.round(boxes).astype(int):
        cv2.rectangle(out, box[:2].tolist(), (box[2:] - 1).tolist(), colour, 2)
    return out


def _with_attention(run: ImageRun, index: int) -> dict[str, np.ndarray]:
    """What every row begins with: the picture, and where the classifier looks, if that is made."""
    picture = run.images.picture(index)
    path, cells = run.out / 'cams' / f'{run.images.names[index]}.npz', {}
    cells['picture'] = picture[..., :3].copy()
    if path.is_file():
        maps = read_arrays(path, 'maps')[0]
        cells['attention'] = _heated(picture, maps.max(0).astype(np.float32) / 255)
    return cells


def draw_irnet(run: ImageRun, network: IRNet | None = None, labels: MaskSet | None = None) -> Path:
    """`pictures.png` in a run's folder: picture, attention, relations, boundary, displacement,
    pseudo-masks, as far as they are made. Returns the run's folder."""
    rows, images = [], run.images
    for index in _shown(images):
        picture, row = images.picture(index), _with_attention(run, index)
        relations = run.out / 'relations' / f'{images.names[index]}.png'
        if relations.is_file():
            row['relations'] = _coloured(read_png(relations))
        if network is not None:
            boundary, displacement = network.predict(padded(run.picture(index)))
            row['boundary'] = _heated(picture, boundary.cpu().numpy())
            row['displacement'] = _directions(displacement.cpu().numpy())
        if labels is not None:
            row['labels'] = draw_masks(picture, labels.pixels(index), len(images.classes))
        rows.append(row)
    sheet(rows, run.out / 'pictures.png')
    return run.out


def draw_ccgr(
    run: ImageRun,
    round_: int = 0,
    labels: MaskSet | None = None,
    chosen: Sequence[np.ndarray] = (),
    refined: Sequence[np.ndarray] = (),
) -> Path:
    """The same for CCGR: picture, attention, first semantic labels, the best proposals, and of a
    round the boxes (N, 4) px of every picture, chosen and refined, and the pseudo-masks. Returns
    the run's folder."""
    rows, images = [], run.images
    for index in _shown(images):
        picture, name = images.picture(index), images.names[index]
        row = _with_attention(run, index)
        semantic, proposed = run.out / f'semantic/{name}.png', run.out / f'proposals/{name}.npz'
        if semantic.is_file():
            row['semantic'] = _coloured(read_png(semantic))
        if proposed.is_file():
            proposals = Proposals.load(proposed)
            best = proposals.boxes[:20] if proposals else np.zeros((0, 4))
            row['proposals'] = _boxed(picture, best, BLUE)
        if chosen:
            row['chosen'] = _boxed(picture, chosen[index], WHITE)
        if refined:
            row['refined'] = _boxed(picture, refined[index], GREEN)
        if labels is not None:
            row['labels'] = draw_masks(picture, labels.pixels(index), len(images.classes))
        rows.append(row)
    sheet(rows, run.out / (f'pictures-{round_}.png' if round_ else 'pictures.png'))
    return run.out
