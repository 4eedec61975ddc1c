"""Targets, loss and a camera's marks: what the dense network is taught."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from known_generators import TwoSquares
from small_trainings import LOOP

from insegan_ros.engine.loop import make_fabric
from insegan_ros.nn.composition import centres, compose
from insegan_ros.offsets.network import OffsetNetConfig
from insegan_ros.offsets.stage import (
    OffsetStage,
    OffsetTrainConfig,
    degrade,
    offset_loss,
    offset_targets,
)


def test_targets_point_to_the_amodal_centre_even_where_hidden():
    singles = TwoSquares().render_alone(torch.zeros(1, 2, 128))
    _, labels = compose(singles)
    from insegan_ros.offsets.labels import LabelledBatch

    foreground, displacement = offset_targets(
        LabelledBatch(singles.amax(1, keepdim=True), labels, centres(singles > -0.9))
    )
    # The hidden part of slot 0 still counts: its centre is at x = 13.5, not at the visible part's
    # 11.5.
    assert displacement[0, 0, 15, 9] == pytest.approx(4.5) and displacement[
        0, 1, 10, 9
    ] == pytest.approx(5.5)
    assert displacement[0, 0, 15, 18] == pytest.approx(3.5) and foreground.sum() == 240
    assert (displacement[0, :, 40] == 0).all()


def test_targets_lead_to_the_mean_height_of_what_is_seen():
    from insegan_ros.offsets.labels import LabelledBatch

    image = torch.full((1, 1, 8, 8), -1.0)
    image[0, 0, 2:4, 2:4], image[0, 0, 2, 2] = 0.0, 0.4
    image[0, 0, 6, 6] = 2.0
    labels = (image[:, 0] > -1).long()
    labels[0, 6, 6] = 3
    _, displacement = offset_targets(
        LabelledBatch(image, labels, torch.zeros(1, 4, 2)), relief_px=20.0
    )
    # Heights are 10 px, one of them 14: the mean is 11.
    assert displacement.shape == (1, 3, 8, 8)
    assert displacement[0, 2, 3, 3] == pytest.approx(1.0) and displacement[
        0, 2, 2, 2
    ] == pytest.approx(-3.0)
    assert (
        displacement[0, 2, 6, 6] == pytest.approx(0.0, abs=1e-5)
        and (displacement[0, 2, :2] == 0).all()
    )


def test_a_perfect_answer_has_a_smaller_loss_than_a_wrong_one():
    foreground = torch.zeros(1, 8, 8)
    foreground[0, 2:5, 2:5] = 1
    displacement = torch.ones(1, 2, 8, 8) * foreground
    right = torch.cat(
        [20 * foreground[:, None] - 10, displacement, torch.full((1, 1, 8, 8), -2.0)], 1
    )
    wrong = torch.cat(
        [10 - 20 * foreground[:, None], -displacement, torch.full((1, 1, 8, 8), -2.0)], 1
    )
    good = offset_loss(right, foreground, displacement)
    bad = offset_loss(wrong, foreground, displacement)
    assert good['foreground'] < 0.01 < bad['foreground'] and good['offsets'] < bad['offsets']
    assert good['error_px'] == 0 and bad['error_px'] == pytest.approx(4.0)


def test_noise_stays_on_the_foreground():
    torch.manual_seed(0)
    image = torch.full((4, 1, 32, 32), -1.0)
    image[..., 8:16, 8:16] = 0.3
    noisy = degrade(image, 0.05, 0.0)
    assert (noisy[..., :6, :] == -1).all() and noisy[..., 8:16, 8:16].std() > 0.005


def test_a_stereo_cameras_composites_lose_edges_and_keep_faces():
    from insegan_ros.offsets.stage import as_stereo

    torch.manual_seed(0)
    images = torch.full((64, 1, 32, 32), -1.0)
    images[..., 8:24, 8:24] = 0.5
    seen = as_stereo(images, 0.0)
    middle, rim, floor = seen[..., 10:22, 10:22], seen[..., 8, 8:24], seen[..., :6, :]
    assert (middle == 0.5).all() and (floor == -1).all()
    lost, between = (rim == -1).float().mean(), ((rim > -1) & (rim < 0.5)).float().mean()
    # A strength of a half on average.
    assert 0.25 < lost < 0.45 and 0.1 < between < 0.2
    noisy = as_stereo(images, 0.02)[..., 10:22, 10:22] - 0.5
    beside = (noisy[..., 1:] * noisy[..., :-1]).mean() / noisy.var()
    assert 0.005 < noisy.std() < 0.05 and 0.4 < beside < 0.8
    assert (as_stereo(images, 0.02)[..., :6, :] == -1).all()


@pytest.mark.parametrize('steps', [1, 2, 19, 20, 21, 40])
def test_the_dense_network_is_taught_any_number_of_steps(steps):
    from insegan_ros.offsets.labelled_images import LabelledImages

    config = OffsetTrainConfig(OffsetNetConfig(8, 2, height_votes=False), steps=steps, batch=1)
    labels = np.zeros((2, 16, 16), np.int64)
    labels[:, 4:12, 4:12] = 1
    images = torch.from_numpy(labels[:, None] * 2 - 1).float()
    stage = OffsetStage(
        make_fabric(LOOP),
        config,
        LabelledImages(images, labels, np.full((2, 1, 2), 7.5, np.float32)),
        0.0,
    )
    for index in range(steps):
        stage.step(index)
    # Too few steps cannot fall all the way.
    assert stage.schedule.get_last_lr()[0] < (0.1 if steps > 2 else 1) * config.rate
