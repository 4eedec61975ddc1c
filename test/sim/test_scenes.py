"""Scenes by their numbers: of piles of their own, and of piles that are emptied."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from insegan_ros.errors import ConfigError
from insegan_sim.generate import SimulateConfig
from insegan_sim.scenes import bin_setup, simulate_scenes
from insegan_sim.world import World


def test_a_pile_is_emptied_from_above_and_every_number_is_one_scene():
    setup = replace(bin_setup('cylinder', 8, seed=3), count=(2, 8), emptied=4)
    with World(setup.container) as world:
        whole = [one.scene.labelled() for one in simulate_scenes(setup, world, range(8))]
    counts = [len(truth) for truth in whole]
    for begin in (0, 4):
        full, *others = whole[begin : begin + 4]
        assert counts[begin : begin + 4] == sorted(counts[begin : begin + 4], reverse=True)
        for truth in others:
            # Those that are left lie where they lay.
            assert all(
                np.isclose(pose, full.poses, atol=1e-6).all((1, 2)).any() for pose in truth.poses
            )
    assert len(whole[3]) >= 2 and counts[0] > counts[3] and counts[4] > counts[7]
    # A worker that begins in the middle of a pile makes the same.
    with World(setup.container) as world:
        again = [one.scene.labelled() for one in simulate_scenes(setup, world, range(2, 6))]
    for first, second in zip(whole[2:6], again):
        assert np.array_equal(first.labels, second.labels)
        assert np.array_equal(first.poses, second.poses)


def test_a_pile_of_its_own_is_what_it_was():
    assert 'emptied' not in SimulateConfig(part='nut').identity()
    assert SimulateConfig(part='nut', emptied=3).identity()['emptied'] == 3
    for wrong in ({'only_hard': True}, {'paper_splits': True}):
        with pytest.raises(ConfigError, match='with emptied 2: expected 1, a hard picture'):
            SimulateConfig(part='nut', emptied=2, **wrong)
