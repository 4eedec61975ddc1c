"""What is learnt from simulated piles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from insegan_ros.data.shards import ShardDataset
from insegan_ros.errors import DatasetError
from insegan_ros.methods.piles.pictures import (
    part_size,
    read_piles,
    true_centres,
    true_labels,
    working_size,
)
from insegan_ros.methods.piles.recipe import PilesConfig
from insegan_ros.offsets.inference import VoteRule
from insegan_sim.generate import simulate
from insegan_sim.parts import load_part

PART = load_part('cylinder')


@pytest.fixture(scope='module')
def piles(tmp_path_factory):
    """Four piles of up to three cylinders."""
    config = PilesConfig(part='cylinder', instances='1-3', fill=0.8, scenes=4, emptied=1, workers=1)
    return simulate(config.simulation('ideal', tmp_path_factory.mktemp('piles') / 'ideal', 0, 9.0))


def test_resolution_and_size_are_the_parts(piles):
    for wanted in (0.0005, 0.001):
        size = working_size(piles, wanted)
        maps, pixel_m = ShardDataset(piles).height_maps(size, 1)
        assert maps.shape[1] % 16 == 0 and pixel_m == pytest.approx(wanted, rel=0.15)
    # A network of few and large cells, or of many levels, sees them too.
    assert [working_size(piles, 0.001, stride) % stride for stride in (24, 64, 128)] == [0, 0, 0]
    area_m2, radius_m = part_size(piles)
    # Seen from above, the nearer the larger, it lies or stands.
    assert 0.5 * PART.footprint_m2 < area_m2 < 1.6 * PART.footprint_m2
    assert 0.2 * PART.diameter_m < radius_m < 0.5 * PART.diameter_m


def test_heights_truth_and_scales_are_of_one_resolution(piles):
    maps, images, scales = read_piles([piles, piles], (PART,), 80.0, torch.device('cpu'))
    assert len(images.images) == len(maps.heights_m) == 8
    # A part's mean shadow has so many px along a side.
    assert PART.footprint_m2**0.5 / scales.pixel_m == pytest.approx(80, rel=0.1)
    labels, centres = true_labels(maps, VoteRule(min_height_m=0.002)), true_centres(maps)
    assert (maps.heights_m[labels > 0] > 0.002).all()
    for label_image, places in zip(labels, centres):
        for number in np.unique(label_image[label_image > 0]):
            middle = np.argwhere(label_image == number).mean(0)[::-1]
            assert np.linalg.norm(middle - places[number - 1]) < scales.part_radius_px


def test_bins_that_are_always_full_show_no_part_whole(piles, monkeypatch):
    monkeypatch.setattr('insegan_ros.methods.piles.pictures.WHOLE', 1.01)
    with pytest.raises(
        DatasetError, match='shows no part whole: expected piles.instances to begin'
    ):
        part_size(piles)
