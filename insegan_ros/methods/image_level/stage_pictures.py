"""What the stages of IRNet and CCGR made of a few pictures, side by side, to be looked at before
the next stage begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from insegan_ros.data.folders import read_png
from insegan_ros.data.image_sets import ImageSet
from insegan_ros.data.mask_sets import MaskSet
from insegan_ros.drawing.overlay import draw_masks, palette
from insegan_ros.drawing.panels import sheet
from insegan_ros.methods.image_level.irnet import IRNet
from insegan_ros.methods.image_level.proposals import Proposals
from insegan_ros.methods.image_level.relations import IGNORED
from insegan_ros.methods.image_level.run import padded, to_picture

# Pictures that are shown.
SHOWN = 6


def chosen(images: ImageSet) -> list[int]:
    """Which pictures are shown: from all over the set."""
    return np.linspace(0, len(images) - 1, min(SHOWN, len(images))).astype(int).tolist()


def coloured(labels: np.ndarray) -> np.ndarray:
    """Class labels (H, W) in colours, what is unknown in grey."""
    out = palette(IGNORED)[labels]
    out[labels == IGNORED] = 90
    return out


def heated(picture: np.ndarray, share: np.ndarray) -> np.ndarray:
    """A picture (H, W, C) under a map (h, w) in [0, 1]."""
    heat = cv2.applyColorMap(
        (cv2.resize(share, picture.shape[1::-1]) * 255).clip(0, 255).astype(np.uint8),
        cv2.COLORMAP_INFERNO,
    )[..., ::-1]
    return (0.35 * picture[..., :3] + 0.65 * heat).astype(np.uint8)


def directions(displacement: np.ndarray) -> np.ndarray:
    """Displacements (2, h, w) as colours: hue is where to, brightness how far."""
    angle, length = np.arctan2(displacement[1], displacement[0]), np.hypot(*displacement)
    hsv = np.stack(
        [
            (angle + np.pi) * 90 / np.pi,
            np.full_like(angle, 255),
            (length / max(float(np.percentile(length, 99)), 1e-6)).clip(0, 1) * 255,
        ],
        -1,
    )
    return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)


def with_attention(run: Path, picture: np.ndarray, name: str) -> dict[str, np.ndarray]:
    """What every row begins with: the picture, and where the classifier looks, if that is made."""
    path, cells = run / 'cams' / f'{name}.npz', {'picture': picture[..., :3].copy()}
    if path.is_file():
        with np.load(path, allow_pickle=False) as file:
            cells['attention'] = heated(picture, file['maps'].max(0).astype(np.float32) / 255)
    return cells


def draw_irnet(
    run: Path, images: ImageSet, network: IRNet | None = None, labels: MaskSet | None = None
) -> Path:
    """`pictures.png` in a run's folder: picture, attention, what is sure, boundary, displacement,
    labels, as far as they are made. Returns the run's folder."""
    rows = []
    for index in chosen(images):
        picture, name = images.picture(index), images.names[index]
        row = with_attention(run, picture, name)
        if (run / 'relations' / f'{name}.png').is_file():
            row['sure'] = coloured(read_png(run / 'relations' / f'{name}.png'))
        if network is not None:
            boundary, displacement = network.predict(
                padded(to_picture(images, index, next(network.parameters()).device))
            )
            row |= {
                'boundary': heated(picture, boundary.cpu().numpy()),
                'displacement': directions(displacement.cpu().numpy()),
            }
        if labels is not None:
            row['labels'] = draw_masks(picture, labels.masks[index], len(images.classes))
        rows.append(row)
    sheet(rows, run / 'pictures.png')
    return run


def draw_ccgr(
    run: Path,
    images: ImageSet,
    round_: int = 0,
    labels: MaskSet | None = None,
    boxes: Sequence[Sequence[np.ndarray]] = (),
) -> Path:
    """The same for CCGR: picture, attention, first semantic labels, the best proposals, and of a
    round the boxes of every picture, chosen and refined, and the labels. Returns the run's
    folder."""
    rows = []
    for index in chosen(images):
        picture, name = images.picture(index), images.names[index]
        row = with_attention(run, picture, name)
        if (run / 'semantic' / f'{name}.png').is_file():
            row['semantic'] = coloured(read_png(run / 'semantic' / f'{name}.png'))
        if (run / 'proposals' / f'{name}.npz').is_file():
            proposals = Proposals.load(run / 'proposals' / f'{name}.npz')
            row['proposals'] = draw_boxes(
                picture, proposals.boxes[:20] if proposals else np.zeros((0, 4)), (90, 200, 255)
            )
        row |= {
            title: draw_boxes(picture, some[index], colour)
            for title, some, colour in zip(
                ('chosen', 'refined'), boxes, ((255, 255, 255), (60, 255, 60))
            )
        }
        if labels is not None:
            row['labels'] = draw_masks(picture, labels.masks[index], len(images.classes))
        rows.append(row)
    sheet(rows, run / (f'pictures-{round_}.png' if round_ else 'pictures.png'))
    return run


def draw_boxes(picture: np.ndarray, boxes: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """A picture (H, W, C) with boxes (N, 4), as (H, W, 3)."""
    out = picture[..., :3].copy()
    for box in np.round(boxes).astype(int):
        cv2.rectangle(out, box[:2].tolist(), (box[2:] - 1).tolist(), colour, 2)
    return out
