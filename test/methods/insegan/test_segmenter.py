"""InSeGAN's own inference, and its refinement at test time."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from insegan_ros.data.shards import ShardDataset
from insegan_ros.errors import CheckpointError, InputError, InseganWarning
from insegan_ros.methods.insegan.segmenter import owners
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.workspace import Workspace


def test_every_pixel_of_the_foreground_has_an_owner_and_hidden_parts_are_kept(
    nut_data, insegan_run
):
    scene = next(iter(ShardDataset(nut_data)))
    segmenter = load_segmenter(str(insegan_run), 'insegan')
    found = segmenter.segment(scene.frame, scene.workspace)
    height = scene.workspace.height_map(scene.frame)
    assert (
        1 <= len(found) <= 5
        and (found.labels[height > 0.02] > 0).mean() > 0.8
        and (found.labels[height == 0] > 0).mean() < 0.05
    )
    assert (
        found.amodal.shape == (len(found), *found.labels.shape)
        and (found.amodal | ~found.masks()).all()
    )
    assert (found.labels == segmenter.segment(scene.frame, scene.workspace).labels).all()


def test_what_no_instance_is_rendered_at_belongs_to_the_nearest_and_not_to_the_highest_floor():
    singles = torch.full((2, 8, 8), -1.0)
    singles[0] += 0.02
    singles[0, :, :2] = 0.5
    singles[1, :, 6:] = 0.2
    assert (owners(singles)[:, :4] == 0).all() and (owners(singles)[:, 4:] == 1).all()
    singles[1, :, 0] = 0.8
    assert (owners(singles)[:, 0] == 1).all() and (owners(singles)[:, 1] == 0).all()
    assert (owners(torch.full((2, 8, 8), -1.0)) == -1).all()


def test_refinement_brings_the_render_nearer_and_never_farther(nut_data, insegan_run):
    scene = next(iter(ShardDataset(nut_data)))
    segmenter = load_segmenter(str(insegan_run), 'insegan-refined')
    heights, _ = ShardDataset(nut_data).height_maps(64)
    image = torch.from_numpy(np.clip(heights[:1] / segmenter.scales.height_m, 0, 1) * 2 - 1)[
        None
    ].float()

    def error(z):
        with torch.no_grad():
            return float((segmenter.generator(z).image - image).abs().mean())

    with torch.no_grad():
        first = segmenter.encoder(image)[0]
    assert error(segmenter.refine(first, image)) < error(first)
    segmenter.RATE = 1e4
    assert error(segmenter.refine(first, image)) <= error(first) + 1e-6
    assert segmenter.segment(scene.frame, scene.workspace).labels.any()


def test_more_parts_than_slots_are_said(nut_data, insegan_run):
    scene = next(iter(ShardDataset(nut_data)))
    segmenter = load_segmenter(str(insegan_run), 'insegan')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        segmenter.segment(scene.frame, scene.workspace)
    segmenter.slots = 3
    segmenter.scales = replace(
        segmenter.scales,
        part_area_px=0.2 * (scene.workspace.height_map(scene.frame) > 0.01).sum() / 4,
    )
    with pytest.warns(
        InseganWarning, match='covers as much as [456] parts, but this network tells only 3 apart'
    ):
        segmenter.segment(scene.frame, scene.workspace)


def test_a_checkpoint_without_an_encoder_and_a_room_in_place_of_a_bin_are_refused(
    nut_data, insegan_run
):
    with pytest.raises(
        CheckpointError, match='cutpaste-nut cannot be run as insegan: expected offsets'
    ):
        load_segmenter('cutpaste-nut', 'insegan')
    scene = next(iter(ShardDataset(nut_data)))
    with pytest.raises(InputError, match='was trained on'):
        load_segmenter(str(insegan_run), 'insegan').segment(
            scene.frame, Workspace(scene.workspace.floor)
        )
