"""What divides one square picture of the bin: where its answer is laid in the frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from insegan_ros.engine.checkpoint import Checkpoint, Scales
from insegan_ros.errors import InputError
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.geometry.principal_axes import camera_from_picture
from insegan_ros.segmenters.square import Division, SquareSegmenter
from insegan_ros.workspace import TRAINING_MARGIN, Workspace

CAMERA = Intrinsics(615.0, 615.0, 319.5, 239.5, 640, 480)
BIN = Workspace((0.0, 0.0, -1.0, 0.5), bounds=(-0.15, -0.15, 0.15, 0.15))
SCALE_M = 0.05


class HighAndLow(SquareSegmenter):
    """One that divides its picture by height: what is high is the second instance."""

    def divide(self, image: Tensor) -> Division:
        return Division((image[0, 0] > 0.2).to(torch.int64))


def seen_at(side_px: float) -> HighAndLow:
    """The segmenter for a training in which this bin's window would have had so many px."""
    left, _, right, _ = BIN.window(CAMERA, TRAINING_MARGIN)
    pixel_m = (right - left) / side_px * 0.5 / 615
    scales = Scales(pixel_m, SCALE_M, 50.0, 4.0)
    return HighAndLow(Checkpoint('insegan', 'insegan', 'nut', scales, {}, {}), 'cpu')


@pytest.mark.parametrize('side_px', [50.0, 64.0, 64.7, 66.2])
def test_what_the_network_says_is_laid_where_it_saw_it(side_px):
    left, top, right, bottom = BIN.window(CAMERA, TRAINING_MARGIN)
    depth_m = np.full((480, 640), 0.5, np.float32)
    depth_m[top + 10 : bottom - 10, left + 10 : right - 10] = 0.48
    depth_m[top + 10 : bottom - 10, right - 100 : right - 10] = 0.455
    found = seen_at(side_px).segment(Frame(depth_m, CAMERA), BIN)
    row = found.labels[240]
    border = int(np.flatnonzero(row == row[right - 50])[0])
    # To within one of the network's own pixels.
    assert abs(border - (right - 100)) < (right - left) / min(side_px, 64)


def test_a_bin_that_is_much_larger_is_refused():
    with pytest.raises(InputError, match='window is 0.34 x 0.34 m: this network was trained on'):
        seen_at(70.0).segment(Frame(np.full((480, 640), 0.5, np.float32), CAMERA), BIN)


class Turned(HighAndLow):
    """It also knows what is hidden, a band across each, and how each is turned."""

    def divide(self, image: Tensor) -> Division:
        self.shown = image[0, 0].numpy()
        amodal = torch.zeros(2, 64, 64, dtype=torch.bool)
        amodal[0, 20:30], amodal[1, :, 40:44] = True, True
        turned = torch.from_numpy(
            Rotation.from_euler('xyz', [(10, 20, 30), (40, 50, 60)], degrees=True).as_matrix()
        )
        return Division(torch.ones(64, 64, dtype=torch.int64), amodal, turned)


@pytest.mark.parametrize('floor', [(0.0, 0.0, -1.0, 0.5), (0.0, -0.28, -0.96, 0.48)])
def test_hidden_parts_and_turns_are_those_of_the_instance_that_is_seen(floor):
    """The second slot stands alone in the picture: the only instance is its."""
    bin_ = Workspace(floor, BIN.bounds)
    left, top, right, bottom = bin_.window(CAMERA, TRAINING_MARGIN)
    slope = CAMERA.rays() @ np.array(floor[:3], np.float32)
    depth_m = -floor[3] / slope
    depth_m[210:260, 300:360] = ((0.04 - floor[3]) / slope)[210:260, 300:360]
    scales = Scales(max(right - left, bottom - top) / 64 * 0.5 / 615, SCALE_M, 50.0, 4.0)
    segmenter = Turned(Checkpoint('insegan', 'insegan', 'nut', scales, {}, {}), 'cpu')
    found = segmenter.segment(Frame(depth_m.astype(np.float32), CAMERA), bin_)
    assert len(found) == 1 and (found.amodal[0] >= (found.labels == 1)).all()
    rows, columns = np.nonzero(found.amodal[0] & (found.labels == 0))
    cell = max(right - left, bottom - top) / 64
    assert columns.min() == pytest.approx(left + 40 * cell, abs=1)
    assert columns.max() + 1 == pytest.approx(left + 44 * cell, abs=1)
    assert (rows.min(), rows.max() + 1) == (top, bottom)
    own = Rotation.from_euler('xyz', [(40, 50, 60)], degrees=True).as_matrix()
    assert found.poses[0, :3, :3] == pytest.approx(camera_from_picture(own, floor[:3])[0])
    seen = (CAMERA.rays() * depth_m[..., None])[found.labels == 1]
    assert found.poses[0, :3, 3] == pytest.approx(seen.mean(0), abs=1e-3)


def test_the_network_sees_heights_in_its_scale_and_floor_beside_a_bin_that_is_not_square():
    """What stands higher than the scale is cut to it."""
    wide = Workspace(BIN.floor, (-0.15, -0.06, 0.15, 0.06))
    left, top, right, bottom = wide.window(CAMERA, TRAINING_MARGIN)
    depth_m = np.full((480, 640), 0.5, np.float32)
    depth_m[top + 20 : top + 60, left + 20 : left + 80] = 0.5 - SCALE_M / 2
    depth_m[top + 20 : top + 60, left + 100 : left + 160] = 0.4
    scales = Scales((right - left) / 64 * 0.5 / 615, SCALE_M, 50.0, 4.0)
    segmenter = Turned(Checkpoint('insegan', 'insegan', 'nut', scales, {}, {}), 'cpu')
    found = segmenter.segment(Frame(depth_m, CAMERA), wide)
    cell = (right - left) / 64
    rows = round((bottom - top) / cell)
    assert (segmenter.shown[rows:] == -1).all() and segmenter.shown.shape == (64, 64)
    low, high = (segmenter.shown[round(40 / cell), round(at / cell)] for at in (50, 130))
    assert low == pytest.approx(0, abs=1e-5) and high == segmenter.shown.max() == 1
    assert len(found) == 1 and found.scores.tolist() == [0.5]
    empty = segmenter.segment(Frame(np.full_like(depth_m, 0.5), CAMERA), wide)
    assert len(empty) == 0 and empty.amodal.shape == (0, 480, 640)
