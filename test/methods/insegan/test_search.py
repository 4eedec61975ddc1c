"""A picture's instances are searched for among those that the generator renders."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from insegan_ros.data.shards import ShardDataset
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import CheckpointError
from insegan_ros.heights import unsigned
from insegan_ros.methods.insegan import search
from insegan_ros.methods.insegan.generator import Generator, GeneratorConfig
from insegan_ros.methods.insegan.search import TURNS, Bank, explain, owners_by_error
from insegan_ros.methods.registry import load_segmenter


def bars(count: int = 40) -> Bank:
    """A bank of upright bars, 8 x 20 px and .4 high, at random places."""
    bank = object.__new__(Bank)
    rng = np.random.default_rng(0)
    heights = torch.zeros(count + 1, 64, 64)
    for picture in heights[:count]:
        row, column = rng.integers(4, 40), rng.integers(4, 52)
        picture[row : row + 20, column : column + 8] = 0.4
    bank.heights, bank.empty = heights.half(), count
    bank.rotations = torch.eye(3).expand(count + 1, 3, 3)
    numbers = torch.arange((count + 1) * TURNS * len(search.LIFTS))
    bank.small = search._halved(bank.pictures(numbers)).half()
    bank.mass = bank.small.float().sum((1, 2))
    bank.usual = float(heights[:count].mean())
    return bank


@torch.no_grad()
def test_a_candidate_is_turned_as_its_rotation_says():
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(width=8, shape='occupancy', patch=40))
    bank = Bank(generator, 5, codes=3)
    z = torch.randn(3, 1, 128, generator=torch.Generator().manual_seed(0))
    _, translation = generator.pose_decoder(z)
    for turn in range(TURNS):
        numbers = turn * 4 + torch.arange(3)
        rotations = bank.rotations_of(numbers)
        quarter = rotations @ bank.rotations[:3].transpose(1, 2)
        moved = (quarter @ translation[:, 0, :, None])[..., 0][:, None]
        features = generator.features_of_pose(rotations[:, None], moved)
        rendered = unsigned(generator.render_singles(features, moved)[:, 0])
        pictures = bank.pictures(numbers)
        assert pictures.amax() > 0.2 and torch.allclose(rendered, pictures, atol=2e-3)
        if turn:
            assert not torch.allclose(bank.pictures(torch.arange(3)), pictures, atol=0.1)
    assert torch.equal(bank.rotations_of(torch.tensor([3])), torch.eye(3)[None])


def test_the_instances_of_a_picture_are_found_with_what_hides_them_and_no_more():
    bank = bars()
    codes = len(bank.heights)
    # Upright, lying, and lying on both.
    true = torch.tensor([3, codes + 7, codes * (TURNS + 1) + 12])
    pictures = bank.pictures(true)
    seen = pictures.amax(0)
    found = explain(bank, seen, 5)
    assert torch.allclose(bank.pictures(found).amax(0), seen)
    assert {*true.tolist()} <= {*found.tolist()}
    empty = [number for number in found.tolist() if number not in true]
    assert len(empty) == 2 and not bank.pictures(torch.tensor(empty)).any()
    order = [found.tolist().index(number) for number in true.tolist()]
    owner = owners_by_error(bank.pictures(found), seen)
    highest = pictures.argmax(0)
    for index, slot in enumerate(order):
        own = (highest == index) & (seen > 0)
        assert (owner[own] == slot).float().mean() > 0.8


def test_a_pixel_is_owned_by_what_explains_its_height_best_not_by_what_is_highest():
    heights = torch.zeros(2, 16, 16)
    heights[0, :, :10], heights[1, :, 6:14] = 0.3, 0.5
    seen = torch.zeros(16, 16)
    seen[:, :10], seen[:, 10:14] = 0.3, 0.5
    owner = owners_by_error(heights, seen)
    # But for the square around it.
    assert (owner[:, :9] == 0).all() and (owner[:, 11:] == 1).all()
    assert (owners_by_error(torch.zeros(2, 16, 16), seen) == -1).all()


@pytest.fixture(scope='module')
def without_encoder(insegan_run, tmp_path_factory):
    whole = Checkpoint.load(insegan_run / 'checkpoint')
    folder = tmp_path_factory.mktemp('searched') / 'model'
    replace(
        whole, segmenter='insegan-searched', weights={'generator': whole.weights['generator']}
    ).save(folder)
    return folder


def test_a_generator_without_an_encoder_segments(nut_data, without_encoder, monkeypatch):
    monkeypatch.setattr(search, 'CODES', 200)
    scene = next(iter(ShardDataset(nut_data)))
    segmenter = load_segmenter(str(without_encoder))
    found = segmenter.segment(scene.frame, scene.workspace)
    assert type(segmenter) is search.SearchedInSeGANSegmenter and 1 <= len(found) <= 5
    height = scene.workspace.height_map(scene.frame)
    assert (found.labels[height > 0.02] > 0).mean() > 0.8
    assert (found.amodal | ~found.masks()).all()
    again = load_segmenter(str(without_encoder)).segment(scene.frame, scene.workspace)
    assert (found.labels == again.labels).all() and np.allclose(found.poses, again.poses)
    turns = found.poses[:, :3, :3]
    assert np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3), atol=1e-3)


def test_a_generator_whose_single_renders_mean_nothing_is_refused(insegan_run):
    whole = Checkpoint.load(insegan_run / 'checkpoint')
    shape = GeneratorConfig(width=8, shape='2d', composition='average', placement='volume')
    torch.manual_seed(0)
    config = {**whole.config, 'insegan': {**whole.config['insegan'], 'generator': vars(shape)}}
    flat = replace(whole, config=config, weights={'generator': Generator(shape).state_dict()})
    with pytest.raises(CheckpointError, match='as many times too high .* expected one of shape 3d'):
        search.SearchedInSeGANSegmenter(flat)
