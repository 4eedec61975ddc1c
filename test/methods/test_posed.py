"""A mesh gives any segmenter the part's own poses, in metres."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import trimesh

from insegan_ros.data.scene import visible_fractions
from insegan_ros.errors import ConfigError, InputError
from insegan_ros.frame import Frame, Instances, Intrinsics
from insegan_ros.geometry.registration import MeshRegistration
from insegan_ros.methods.posed import PosedSegmenter
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.metrics.masks import foreground_iou
from insegan_ros.metrics.poses import TruePart, frame_between, match
from insegan_ros.segmenters.base import Segmenter
from insegan_sim.parts import load_part
from insegan_sim.scenes import bin_setup, scene_stream


def test_a_mesh_gives_any_segmenter_the_parts_own_poses(bolts, tmp_path):
    part = load_part('bolt')
    mesh = part.mesh.copy().apply_scale(1000)
    mesh.export(tmp_path / 'bolt.stl')
    segmenter = load_segmenter(
        'kmeans', instances=5, mesh=str(tmp_path / 'bolt.stl'), mesh_scale=0.001
    )
    found = segmenter.segment(bolts[0].frame, bolts[0].workspace)
    assert found.poses.shape == (len(found), 4, 4) and np.allclose(
        np.linalg.det(found.poses[:, :3, :3]), 1, atol=1e-4
    )
    # Their origin is the part's middle, below the surface that the camera sees.
    depth = [np.nanmedian(bolts[0].frame.depth_m[mask]) for mask in found.masks()]
    assert (found.poses[:, 2, 3] > np.array(depth) - 0.02).all()


class Guess(Segmenter):
    """A part, and a speck of the floor."""

    def segment(self, frame, workspace=None):
        labels = (frame.depth_m < frame.depth_m.max() - 0.01).astype(np.uint16)
        labels[:3, :3] = 2
        poses = np.tile(np.eye(4, dtype=np.float32), (2, 1, 1))
        return Instances(labels, np.ones(2, np.float32), poses=poses)


def test_it_is_known_which_poses_are_the_meshs():
    depth = np.full((120, 160), 0.5, np.float32)
    depth[45:75, 55:105] = 0.45
    frame = Frame(depth, Intrinsics(200.0, 200.0, 79.5, 59.5, 160, 120))
    box = trimesh.creation.box((0.1125, 0.0675, 0.05))
    found = PosedSegmenter(Guess(), MeshRegistration(box)).segment(frame)
    assert found.registered.tolist() == [True, False]
    assert np.array_equal(found.poses[1], np.eye(4))
    assert len(found.only(found.registered)) == 1
    assert found.only(~found.registered).registered.tolist() == [False]


def test_a_mesh_in_another_unit_is_refused_and_named(tmp_path):
    for part, model in (('nut', 'cutpaste-nut'), ('obj01', 'kmeans')):
        load_part(part).mesh.copy().apply_scale(1000).export(tmp_path / f'{part}.stl')
        with pytest.raises(
            InputError,
            match='m across.*expected metres; the scale is 0.001 for a file in millimetres',
        ):
            load_segmenter(model, mesh=str(tmp_path / f'{part}.stl'))
        assert (
            load_segmenter(
                model, mesh=str(tmp_path / f'{part}.stl'), mesh_scale=0.001
            ).registration.diameter
            < 0.2
        )


def test_a_model_brings_the_mesh_that_it_was_taught_with():
    segmenter = load_segmenter('piles-connector', mesh='own')
    assert segmenter.mesh.path.parts[-2:] == ('piles-connector', 'part.ply')
    pairs, seen, whole = [], [], []
    for scene in islice(scene_stream(bin_setup('connector', instances=8, seed=77)), 2):
        truth, found = scene.labelled(), segmenter.segment(scene.frame, scene.workspace)
        assert (found.amodal & found.masks() == found.masks()).all()
        visible = visible_fractions(truth)
        for true, one in match(truth.labels, found.labels):
            if visible[true] >= 0.5:
                pairs.append((truth.poses[true], found.poses[one]))
            if 0.5 <= visible[true] < 0.9:
                seen.append(foreground_iou(truth.amodal[true], found.masks()[one]))
                whole.append(foreground_iou(truth.amodal[true], found.amodal[one]))
    # What is hidden is known from the pose; where the mesh's frame lies in the part's, from all.
    assert len(whole) >= 3 and np.mean(whole) > np.mean(seen) + 0.1
    part = load_part('connector')
    true = TruePart.of(part.mesh, part.diameter_m, part.rotations())
    true = replace(true, mesh_from_model=frame_between(pairs, true))
    near = [true.error(*pair)[0] < 0.1 for pair in pairs]
    assert len(near) >= 10 and np.mean(near) > 0.9


def test_a_mesh_that_no_model_knows_is_asked_for(tmp_path, monkeypatch):
    # A file of that name beside who asks is nobody's own.
    load_part('nut').mesh.export(tmp_path / 'part.ply')
    monkeypatch.chdir(tmp_path)
    for model in ('cutpaste-nut', 'kmeans'):
        with pytest.raises(ConfigError, match=f'{model} knows no mesh of its part: expected the'):
            load_segmenter(model, mesh='own')
    with pytest.raises(ConfigError, match="the mesh is piles-nut's own, the scale 0.001: expected"):
        load_segmenter('piles-nut', mesh='own', mesh_scale=0.001)


def test_a_mesh_may_lie_in_ones_home(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    load_part('nut').mesh.export(tmp_path / 'nut.ply')
    assert load_segmenter('kmeans', mesh='~/nut.ply').mesh.path == tmp_path / 'nut.ply'
