"""The dense network's training: what lies in the bins, and rounds of self-training."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from insegan_ros.engine.checkpoint import Scales
from insegan_ros.offsets import training
from insegan_ros.offsets.labels import UNSURE
from insegan_ros.offsets.training import BinContent, believed_number, label_itself


def three_disks() -> torch.Tensor:
    """Forty signed height maps with three disks of 97 px each, some of them touching."""
    y, x = np.mgrid[:64, :64]
    images = -torch.ones(40, 1, 64, 64)
    for index, image in enumerate(images):
        for row, column in ((12, 12), (12, 24 if index % 4 == 0 else 45), (45, 20 + index % 20)):
            image[0][torch.from_numpy((y - row) ** 2 + (x - column) ** 2 <= 31)] = 0.5
    return images


def test_a_wrong_number_of_parts_is_doubted():
    images = three_disks()

    def doubt(instances: int, some: torch.Tensor = images, needed: bool = False) -> str:
        return BinContent.of(some, instances).doubt(some, needed)

    assert doubt(3) == doubt(0) == ''
    assert (
        'is instances 5 right? An equal share of the foreground is 58 px, but what stands alone'
        ' covers mostly 9' in doubt(5)
    )
    assert 'with 0 it is not needed' in doubt(5) and 'not needed' not in doubt(5, needed=True)
    assert 'is instances 2 right?' in doubt(2) and doubt(9, images[:3]) == ''


def test_a_flat_part_that_stands_on_edge_speaks_against_no_number():
    """Sheets of 12 x 12 px, and one in two on its edge, 12 x 2 px, as often alone."""
    images = -torch.ones(40, 1, 64, 64)
    for index, image in enumerate(images[:, 0]):
        image[4:16, 4:16] = image[30:42, 30:42] = 0.2
        image[20 + index % 8 : 32 + index % 8, 50:52] = 0.9
    told = BinContent.of(images, 3), BinContent.of(images, 3, flat=True)
    assert 'is instances 3 right?' in told[0].doubt(images) and told[1].doubt(images) == ''
    assert 'is instances 1 right?' in BinContent.of(images, 1, flat=True).doubt(images)
    # Where nobody has counted, the sheet is the part, not its edge.
    edge, sheet = BinContent.of(images, 0), BinContent.of(images, 0, flat=True)
    assert edge.share_px == pytest.approx(24, rel=0.1)
    assert sheet.share_px == pytest.approx(144, rel=0.1)


def test_how_many_parts_there_are_is_known_or_told_by_what_they_cover():
    images = three_disks()
    known, unknown = BinContent.of(images, 3), BinContent.of(images, 0)
    assert known.max_parts(images) == unknown.max_parts(images) == 3
    assert known.likely_numbers(images, 97.0).tolist() == [[3, 3]] * 40
    # Half hidden parts cover less, so that there may be more than would lie side by side.
    assert unknown.likely_numbers(images, 97.0).tolist() == [[2, 5]] * 40


def test_the_data_know_better_how_many_parts_they_hold():
    said: list[str] = []

    def number(instances: int, *counts: int) -> int:
        return believed_number(instances, np.array(counts) if counts else None, said.append)

    assert number(5) == 5 and number(5, 5, 5) == 5 and number(0, 1, 12) == 0 and not said
    assert number(5, 1, 7, 12) == 0 and 'hold 1 to 12 parts per height map' in said[-1]
    assert number(5, 8, 8) == 8 and "not instances 5: the data's number is used" in said[-1]


def test_where_no_height_map_is_sure_as_a_whole_single_parts_teach(monkeypatch):
    class Pieces:
        """A network that finds what hangs together."""

        min_height_m = 0.01

        def __init__(self, *_: object) -> None:
            pass

        def divide(self, height_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            _, labels, _, centres = cv2.connectedComponentsWithStats(
                (height_m > self.min_height_m).astype(np.uint8)
            )
            return labels.astype(np.uint16), centres[1:].astype(np.float32)

    monkeypatch.setattr(training, 'HeightInference', Pieces)
    images, said = three_disks(), list[str]()
    images[::4, 0, 12, 12:24] = 0.5
    run = SimpleNamespace(speaks=False, say=said.append)

    def sure(instances: int, some: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        heights_m = 0.02 * (images[:some, 0] + 1).numpy()
        data = SimpleNamespace(images=images[:some], maps=SimpleNamespace(heights_m=heights_m))
        content, scales = BinContent.of(images, instances), Scales(0.003, 0.04, 97.0, 5.6)
        return label_itself(run, data, torch.nn.Module(), scales, content, 0.9)

    # Where two disks hang together they are not three, and larger than a part.
    kept, labels, _ = sure(3)
    assert len(kept) == 30 and (labels[:, 12, 12] > 0).all() and not said
    kept, labels, centres = sure(5)
    assert 'in 0 of 40 height maps: too few' in said[-1] and 'of some, 100, in 40' in said[-1]
    assert len(kept) == 40 and (labels[0, 12, 12], labels[1, 12, 12]) == (UNSURE, 1)
    assert centres[1, 0].tolist() == [12, 12]
    assert len(sure(5, 29)[0]) == 0
