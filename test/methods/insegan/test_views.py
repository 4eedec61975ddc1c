"""Poses without a mesh: which view of the template explains an instance."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from insegan_ros.data.scene import visible_fractions
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import CheckpointError
from insegan_ros.methods.insegan.generator import Generator, GeneratorConfig
from insegan_ros.methods.insegan.views import Views, ViewSegmenter, find_view, views_of
from insegan_ros.methods.registry import find_checkpoint, load_segmenter
from insegan_ros.metrics.poses import match
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
