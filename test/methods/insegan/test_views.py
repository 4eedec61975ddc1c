"""Poses without a mesh: which view of the template explains an instance."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from insegan_ros.data.scene import visible_fractions
from insegan_ros.engine.checkpoint import Checkpoint, Scales
from insegan_ros.errors import CheckpointError
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.methods.insegan.generator import Generator, GeneratorConfig
from insegan_ros.methods.insegan.views import (
    AGAIN,
    Views,
    ViewSegmenter,
    _cropped,
    _errors,
    find_view,
    views_of,
)
from insegan_ros.methods.registry import find_checkpoint, load_segmenter
from insegan_ros.metrics.poses import match
from insegan_ros.workspace import Workspace
from insegan_sim.scenes import bin_setup, scene_stream


def ells() -> Views:
    """An L of two heights in a picture of 12 px, in four quarter turns."""
    ell = torch.zeros(12, 12)
    ell[1:11, 2:5], ell[8:11, 5:9] = 0.4, 0.2
    heights = torch.stack([torch.rot90(ell, turns) for turns in range(4)])
    return Views(heights, torch.eye(3).repeat(4, 1, 1), torch.full((4,), 0.2))


@pytest.mark.parametrize('view', range(4))
def test_the_view_its_place_and_its_height_are_found_though_a_third_is_hidden(view):
    views = ells()
    shown = views.heights[view] > 0
    picture, mask = torch.zeros(40, 40), torch.zeros(40, 40, dtype=torch.bool)
    mask[9:21, 14:26] = shown
    picture[9:21, 14:26][shown] = views.heights[view][shown] + 0.15
    # Something higher lies across it.
    picture[:, 23:30] = 0.9
    mask[:, 23:30] = False
    found = find_view(views, picture, mask, picture == 0)
    assert (found.view, found.corner) == (view, (14, 9))
    assert found.raised == pytest.approx(0.15, abs=1e-5)


def test_an_instance_at_the_rim_is_found():
    views = ells()
    picture = torch.zeros(40, 40)
    picture[:7, :12] = views.heights[1][5:]
    found = find_view(views, picture, picture > 0, picture == 0)
    assert (found.view, found.corner) == (1, (0, -5))


def test_an_error_is_what_is_left_where_the_instance_and_the_floor_are_seen():
    """Against sums over pixels, for the raise that leaves least; what is hidden counts nothing."""
    rng = np.random.default_rng(0)
    views = rng.uniform(0.1, 1, (3, 4, 4)) * (rng.random((3, 4, 4)) < 0.6)
    own, bare = rng.random((6, 6)) < 0.5, rng.random((6, 6)) < 0.5
    bare &= ~own
    heights = rng.uniform(0, 1, (6, 6)) * own
    seen = torch.from_numpy(np.stack([heights, own, bare])).float()
    error, raised = _errors(torch.from_numpy(views).float(), seen)
    assert error.shape == raised.shape == (3, 9)
    for number, view in enumerate(views):
        for place in range(9):
            window = np.s_[place // 3 : place // 3 + 4, place % 3 : place % 3 + 4]
            target, there, floor = heights[window], own[window], bare[window]
            both = there & (view > 0)
            best = (target - view)[both].mean() if both.any() else 0
            left = ((view + best - target)[both] ** 2).sum() + (view[floor] ** 2).sum()
            left += (target[there & ~both] ** 2).sum() - (target**2).sum()
            assert float(error[number, place]) == pytest.approx(left, abs=1e-5)
            assert float(raised[number, place]) == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize('place', [0, 50])
def test_one_view_of_many_is_found(place):
    """More than are compared at full resolution; all of one outline, which does not tell them."""
    views = ells()
    torch.manual_seed(0)
    others = (views.heights[:1] > 0) * torch.rand(60, 12, 12)
    heights = torch.cat([others[:place], views.heights[2:3], others[place:]])
    picture = torch.zeros(40, 40)
    picture[9:21, 14:26] = views.heights[2]
    many = Views(heights, torch.eye(3).repeat(61, 1, 1), torch.full((61,), 0.2))
    found = find_view(many, picture, picture > 0, picture == 0)
    assert (found.view, found.corner) == (place, (14, 9)) and AGAIN < 61


@pytest.mark.parametrize('last, rim', [(5, 2), (6, 1), (7, 0)])
def test_what_no_view_reaches_is_cut_off_alike_all_around(last, rim):
    heights = torch.zeros(2, 8, 8)
    heights[0, 3:5, 2:4], heights[1, 4 : last + 1, 3] = 0.5, 0.5
    assert torch.equal(_cropped(heights), heights[:, rim : 8 - rim, rim : 8 - rim])


def test_a_generator_that_shows_nothing_is_refused():
    generator = Generator(GeneratorConfig(width=8, patch=32))
    for weight in generator.parameters():
        weight.data.zero_()
    generator.render[-1].bias.data.fill_(-9.0)
    with pytest.raises(CheckpointError, match='collapsed'):
        views_of(generator, 4)


def test_a_generator_without_single_parts_of_their_own_is_refused():
    checkpoint = Checkpoint.load(find_checkpoint('insegan-generator-nut'))
    shape = {**checkpoint.config['insegan']['generator'], 'placement': 'volume'}
    config = {**checkpoint.config, 'insegan': {**checkpoint.config['insegan'], 'generator': shape}}
    with pytest.raises(CheckpointError, match='placement volume: expected patch'):
        ViewSegmenter(replace(checkpoint, config=config))


class Divided:
    """The dense network's answer where it is known: what stands higher than 5 cm lies across the
    part."""

    min_height_m = 0.004

    def field(self, small_m: np.ndarray) -> None:
        self.small_m = small_m

    def instances(self, field: None, height_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        labels = np.where(height_m > 0.05, 1, np.where(height_m > 0.004, 2, 0)).astype(np.uint16)
        return labels, np.array([0.9, 0.8], np.float32)


@pytest.mark.parametrize('corner', [(40, 30), (91, 56)])
def test_a_view_is_laid_in_the_frame_to_the_pixel(corner):
    """An L at twice the views' resolution, a bar across its foot; a camera half a metre above."""
    views, (x, y) = ells(), corner
    segmenter = ViewSegmenter.__new__(ViewSegmenter)
    segmenter.views, segmenter.device = views, torch.device('cpu')
    segmenter.scales, segmenter.inference = Scales(2 * 0.5 / 200, 0.1, 50.0, 4.0), Divided()
    segmenter.part = 'ell'
    heights = np.zeros((120, 160), np.float32)
    shown = np.kron(views.heights[2].numpy(), np.ones((2, 2)))
    heights[y : y + 24, x : x + 24] = 0.1 * shown
    whole = heights > 0
    # Within the L's own outline, so that nothing else of the picture is cut out.
    heights[y + 10 : y + 14, x + 14 : x + 22] = 0.08
    frame = Frame(0.5 - heights, Intrinsics(200.0, 200.0, 79.5, 59.5, 160, 120))
    found = segmenter.segment(frame, Workspace((0.0, 0.0, -1.0, 0.5)))
    assert np.array_equal(found.amodal[1], whole)
    assert found.amodal[1].sum() > found.masks()[1].sum()
    # Its middle lies between four pixels, two tenths of the scale above the floor.
    ray = np.array([(x + 11.5 - 79.5) / 200, (y + 11.5 - 59.5) / 200, 1.0])
    assert found.poses[1, :3, 3] == pytest.approx(ray * (0.5 - 0.02), abs=1e-6)
    assert found.poses[1, :3, :3] == pytest.approx(np.eye(3))


@pytest.mark.slow
def test_hidden_parts_and_places_of_nuts_are_told_without_a_mesh():
    views = load_segmenter('insegan-generator-nut', 'insegan-views')
    dense = load_segmenter('insegan-generator-nut')
    whole, seen, off_m = [], [], []
    for scene in islice(scene_stream(bin_setup('nut', seed=5)), 6):
        truth, found = scene.labelled(), views.segment(scene.frame, scene.workspace)
        assert (found.labels == dense.segment(scene.frame, scene.workspace).labels).all()
        assert not (found.masks() & ~found.amodal).any()
        visible = visible_fractions(truth)
        for true, own in match(truth.labels, found.labels):
            off_m.append(np.linalg.norm((truth.poses[true] - found.poses[own])[:3, 3]))
            if 0.5 <= visible[true] < 0.9:
                amodal = truth.amodal[true]
                for values, mask in ((whole, found.amodal[own]), (seen, found.masks()[own])):
                    values.append((amodal & mask).sum() / (amodal | mask).sum())
    # A nut is 65 mm across.
    assert np.median(off_m) < 0.006
    assert len(whole) > 3 and np.mean(whole) > np.mean(seen) + 0.1
