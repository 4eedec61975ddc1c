"""A mesh gives any segmenter the part's own poses, in metres."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from insegan_ros.data.scene import visible_fractions
from insegan_ros.engine.checkpoint import Scales
from insegan_ros.errors import ConfigError, InputError
from insegan_ros.frame import Frame, Instances, Intrinsics
from insegan_ros.geometry.registration import MeshRegistration, Registered
from insegan_ros.methods.posed import SURE, PosedSegmenter
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


class Decoded(Guess):
    """Three parts in strips, and how each is turned."""

    turns = Rotation.from_rotvec([[0, 0, 0.1], [0, 0, 0.2], [0, 0, 0.3]]).as_matrix()
    template = Rotation.from_euler('x', 40, degrees=True).as_matrix()

    def segment(self, frame, workspace=None):
        labels = np.zeros((12, 12), np.uint16)
        labels[1:3], labels[5:7], labels[9:11] = 1, 2, 3
        poses = np.tile(np.eye(4, dtype=np.float32), (3, 1, 1))
        poses[:, :3, :3] = self.turns
        return Instances(labels, np.ones(3, np.float32), poses=poses)

    def template_rotation(self, registration):
        return self.template


class Told:
    """A registration whose answers are given; it keeps what it was asked."""

    diameter, mesh = 0.1, trimesh.creation.box((0.1, 0.1, 0.1))

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def register_all(self, frame, masks, likely=None, search=True):
        self.asked.append((masks, likely, search))
        return self.answers.pop(0)

    def silhouette(self, pose, camera):
        shown = np.zeros((12, 12), bool)
        shown[:, int(pose[0, 3])] = True
        return shown


def registered(score: float, column: int) -> Registered:
    pose = np.eye(4)
    pose[0, 3] = column
    return Registered(pose, score)


def test_what_was_decoded_is_begun_with_and_what_is_unsure_is_searched_for():
    told = Told([None, registered(SURE, 4), registered(SURE - 0.01, 5)], [registered(0.3, 6), None])
    frame = Frame(np.full((12, 12), 0.5, np.float32), Intrinsics(9.0, 9.0, 5.5, 5.5, 12, 12))
    found = PosedSegmenter(Decoded(), told).segment(frame)
    (masks, likely, search), (again, again_likely, _) = told.asked
    assert not search and len(masks) == 3 and [mask[1, 0] for mask in again] == [True, False]
    expected = Decoded.turns @ Decoded.template
    assert np.allclose(np.array(likely)[:, 0], expected)
    assert np.allclose(np.array(again_likely)[:, 0], expected[[0, 2]])
    # The last is found neither way: it keeps what it had.
    assert found.registered.tolist() == [True, True, False]
    assert found.poses[:2, 0, 3].tolist() == [6, 4]
    assert np.allclose(found.poses[2, :3, :3], Decoded.turns[2])
    assert found.amodal[0].sum() == 2 * 12 + 10 and found.amodal[0, :, 6].all()
    assert np.array_equal(found.amodal[2], found.labels == 3)


@pytest.mark.parametrize('share, fits', [(0.11, True), (9.0, True), (0.09, False), (11.0, False)])
def test_a_mesh_is_about_as_large_as_the_parts(share, fits):
    """Parts that cover as much as a disc of 2 cm."""
    inner, told = Decoded(), Told()
    inner.scales = Scales(0.001, 0.1, np.pi * 10**2, 5.0)
    told.diameter = 0.02 * share
    if fits:
        assert PosedSegmenter(inner, told).mesh is None
    else:
        with pytest.raises(InputError, match='the parts that the model knows 0.02 m: expected met'):
            PosedSegmenter(inner, told)
    told.diameter = 5.1
    with pytest.raises(InputError, match='the mesh is 5.1 m across: expected metres'):
        PosedSegmenter(Decoded(), told)
