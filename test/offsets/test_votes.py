"""From votes to centres and instances."""

from __future__ import annotations

import tracemalloc
from itertools import product

import numpy as np

from insegan_ros.offsets.votes import (
    MAX_CENTRES,
    _cheapest,
    assign,
    covering_centres,
    find_centres,
    vote_map,
)


def disks(*centres, radius=8, shape=(48, 64)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return [np.hypot(x - cx, y - cy) < radius for cx, cy in centres]


def test_every_object_of_a_heap_of_hundreds_is_found():
    places = np.stack(np.meshgrid(np.arange(21), np.arange(20)), -1).reshape(-1, 2) * 12.0 + 8
    targets = np.repeat(places, 30, 0) + np.random.default_rng(0).normal(0, 1, (12_600, 2))
    found = find_centres(targets, np.ones(len(targets), np.float32), (250, 262), 5.0, 10.0)
    assert len(found) == 420
    assert np.abs(found[:, None] - places).max(2).min(0).max() < 1
    found = covering_centres(targets, np.ones(len(targets)), 5.0, 10.0)
    assert abs(len(found) - 420) < 5, 'in a deep bin as well, by a third of the votes'
    assert np.abs(found[:, None] - places).max(2).min(0).max() < 3


def test_two_touching_disks_are_two_instances():
    left, right = disks((20, 24), (35, 24))
    pixels = left | right
    targets = np.where(left[pixels][:, None], (20.0, 24.0), (35.0, 24.0)) + np.random.default_rng(
        0
    ).normal(0, 1, (pixels.sum(), 2))
    found = find_centres(targets, np.ones(len(targets), np.float32), (48, 64), 4.0, 40)
    assert len(found) == 2
    assert np.allclose(sorted(found[:, 0]), (20, 35), atol=0.5)
    labels = assign(targets, found)
    assert (labels[left[pixels]] == labels[left[pixels]][0]).all() and len(np.unique(labels)) == 2


def test_a_centre_outside_of_its_part_is_found():
    """A nut's centre lies in its hole, where no pixel votes from."""
    y, x = np.mgrid[:48, :64]
    radius = np.hypot(x - 30, y - 20)
    ring = (radius < 12) & (radius > 6)
    targets = np.tile((30.0, 20.0), (ring.sum(), 1))
    assert np.allclose(
        find_centres(targets, np.ones(len(targets), np.float32), (48, 64), 4.0, 40),
        [(30, 20)],
        atol=0.1,
    )


def test_two_parts_on_one_another_differ_in_height():
    """What one place in the picture hides: a ring that lies exactly on another one."""
    (top,) = disks((30, 24), radius=6)
    bottom = disks((30, 24), radius=9)[0] & ~top
    targets = np.concatenate(
        [np.tile((30.0, 24.0, 12.0), (top.sum(), 1)), np.tile((30.0, 24.0, 5.0), (bottom.sum(), 1))]
    )
    targets += np.random.default_rng(0).normal(0, 0.7, targets.shape)
    found = find_centres(targets, np.ones(len(targets), np.float32), (48, 64), 4.0, 40)
    assert np.allclose(found[np.argsort(found[:, 2])], [(30, 24, 5), (30, 24, 12)], atol=0.3)
    labels = assign(targets, found)
    assert (labels[: top.sum()] == labels[0]).all() and (labels[top.sum() :] == 1 - labels[0]).all()
    assert (
        len(find_centres(targets[:, :2], np.ones(len(targets), np.float32), (48, 64), 4.0, 40)) == 1
    )


def test_votes_of_any_height_do_no_harm():
    targets = np.concatenate(
        [
            np.tile((30.0, 24.0, 5.0), (90, 1)),
            np.tile((30.0, 24.0, 1e6), (50, 1)),
            np.tile((30.0, 24.0, -1e6), (50, 1)),
        ]
    )
    assert np.allclose(
        find_centres(targets, np.ones(190, np.float32), (48, 64), 4.0, 40), [(30, 24, 5)], atol=0.1
    )


def test_every_vote_goes_to_its_nearest_centre_in_little_memory():
    rng = np.random.default_rng(0)
    targets = rng.uniform(0, 400, (30_000, 3)).astype(np.float32)
    centres = rng.uniform(0, 400, (200, 3)).astype(np.float32)
    tracemalloc.start()
    owner = assign(targets, centres)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4e6, 'all distances at once have 24 MB'
    some = slice(0, 500)
    distance = ((targets[some, None].astype(float) - centres) ** 2).sum(-1)
    assert (owner[some] == distance.argmin(1)).all()


def test_centres_of_clutter_are_those_of_a_search_of_the_whole_map():
    """The peaks as their definition has them, without any short cut."""
    rng = np.random.default_rng(3)
    places = rng.uniform((0, 0, 0), (60, 40, 20), (40, 3))
    targets = (places[rng.integers(0, 40, 3000)] + rng.normal(0, 1.5, (3000, 3))).astype(np.float32)
    weights = rng.uniform(0, 1, 3000).astype(np.float32)
    radius, least = 4.0, 12.0
    cell = np.array([1, 1, radius / 2])
    order = targets[:, [1, 0, 2]]
    layers = int(np.clip(targets[:, 2].max() / cell[2] + 3, 1, 64))
    heat = vote_map(order / cell, weights, (40, 60, layers), radius / 2)
    level = np.arange(layers)
    heat = heat @ np.exp(-((level[:, None] - level) ** 2) / 2).astype(np.float32)
    grid, left, expected = np.indices(heat.shape).reshape(3, -1).T * cell, weights.copy(), []
    while left.sum() >= least and heat.max() > 1e-6:
        peak = grid[heat.argmax()]
        near = ((order - peak) ** 2).sum(1) < radius**2
        if left[near].sum() >= least:
            expected.append(np.average(targets[near], axis=0, weights=left[near] + 1e-9))
        left[near] = 0
        heat.ravel()[((grid - peak) ** 2).sum(1) <= radius**2] = 0
    found = find_centres(targets, weights, (40, 60), radius, least)
    assert len(found) > 10 and np.allclose(found, expected, atol=1e-3)


def test_owners_looked_up_are_the_nearest():
    for seed, (count, size) in enumerate(product((1, 2, 40), (2, 3))):
        rng = np.random.default_rng(seed)
        centres = rng.uniform(0, 10 ** rng.uniform(1, 4), (count, size)).astype(np.float32)
        targets = centres[rng.integers(count, size=5000)] + rng.normal(0, 5, (5000, size))
        targets = targets.astype(np.float32)
        squared = ((targets[:, None] - centres) ** 2).sum(-1, dtype=np.float32)
        owner = assign(targets, centres)
        own = np.take_along_axis(squared, owner[:, None], 1)[:, 0]
        assert np.allclose(own, squared.min(1), rtol=1e-5)
    assert (assign(np.full((9, 3), np.nan), centres) == 0).all()


def test_centres_are_those_of_a_search_that_computes_every_gain():
    rng = np.random.default_rng(4)
    for _ in range(5):
        costs = np.minimum(rng.gamma(2, 1, (60, 500)), 3).astype(np.float32)
        chosen, left = [], np.full(500, 3, np.float32)
        while (gain := np.maximum(left - costs, 0).sum(1)).max() >= 20:
            chosen.append(int(gain.argmax()))
            left = np.minimum(left, costs[chosen[-1]])
        while len(chosen) > 1:
            loss = [
                np.delete(costs[chosen], i, 0).min(0).sum() - left.sum() for i in range(len(chosen))
            ]
            if min(loss) >= 20:
                break
            chosen.pop(int(np.argmin(loss)))
            left = costs[chosen].min(0)
        assert len(chosen) > 3 and _cheapest(costs, 20) == chosen


def test_few_votes_make_no_instance():
    targets = np.tile((30.0, 20.0), (10, 1))
    assert len(find_centres(targets, np.ones(10, np.float32), (48, 64), 4.0, 40)) == 0
    assert len(find_centres(np.zeros((0, 2)), np.zeros(0, np.float32), (48, 64), 4.0, 40)) == 0


def test_a_checkpoint_that_asks_for_no_votes_gets_no_instance_of_none():
    """A peak of the blurred map may lie a radius away from every vote."""
    targets = np.random.default_rng(0).uniform((0, 0), (64, 48), (300, 2))
    found = find_centres(targets, np.ones(300, np.float32), (48, 64), 0.4, 0.0)
    assert 0 < len(found) <= 300 and np.isfinite(found).all()


def test_votes_beyond_the_image_do_no_harm():
    targets = np.tile((-40.0, 500.0), (100, 1))
    assert len(find_centres(targets, np.ones(100, np.float32), (48, 64), 4.0, 40)) == 0


def test_parts_nearer_than_their_votes_scatter_are_told_apart():
    """Two bolts side by side: centres 8 px apart, sure votes near them, unsure ones anywhere."""
    rng = np.random.default_rng(0)
    centres = np.array([(30.0, 24.0, 5.0), (38.0, 24.0, 5.0)])
    own = rng.integers(2, size=800)
    errors = rng.choice([1.0, 8.0], 800)
    targets = centres[own] + rng.normal(0, 1, (800, 3)) * errors[:, None]
    found = covering_centres(targets, errors, 12.0, 60)
    assert np.allclose(found[np.argsort(found[:, 0])], centres, atol=0.7)
    confidence = (1 / (1 + (errors / 6) ** 2)).astype(np.float32)
    assert len(find_centres(targets, confidence, (48, 64), 12.0, 20)) == 1


def test_unsure_votes_make_no_centre_of_their_own():
    rng = np.random.default_rng(1)
    targets = np.concatenate([rng.normal((30, 24), 1, (300, 2)), rng.uniform(0, 60, (100, 2))])
    errors = np.repeat((1.0, 20.0), (300, 100))
    assert np.allclose(covering_centres(targets, errors, 8.0, 60), [(30, 24)], atol=0.3)
    assert len(covering_centres(targets, errors, 8.0, 1e9)) == 0
    assert covering_centres(np.zeros((0, 3)), np.zeros(0), 8.0, 60).shape == (0, 3)


def test_centres_of_any_place_and_number_do_no_harm():
    targets = np.concatenate([np.tile((-4e6, 5e6), (50, 1)), np.tile((30.0, 20.0), (500, 1))])
    found = covering_centres(targets, np.ones(550), 8.0, 100)
    assert np.abs(found - (30, 20)).max(1).min() < 0.1
    # Votes wherever a map may reach: it is coarser then, and small.
    spread = np.random.default_rng(3).uniform(-1e4, 1e4, (4000, 3))
    spread[:1000] = (5.0, 6.0, 7.0)
    tracemalloc.start()
    found = covering_centres(spread, np.ones(4000), 8.0, 100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.abs(found - (5, 6, 7)).max(1).min() < 0.1 and peak < 4e7
    crowd = np.random.default_rng(2).uniform(0, 500, (30_000, 2))
    assert len(covering_centres(crowd, np.ones(30_000), 2.0, 0.0)) <= MAX_CENTRES
