"""Poses where a mesh is known: metric, the part's own, right up to its symmetries."""

from itertools import islice

import numpy as np
import pytest
import trimesh

from insegan_ros.data.scene import visible_fractions
from insegan_ros.errors import InputError
from insegan_ros.geometry.registration import MeshRegistration, read_mesh
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.metrics.poses import add_s, match, mssd
from insegan_sim.parts import load_part
from insegan_sim.scenes import bin_setup, scene_stream


def turn(axis: int, degrees: float, shift: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    pose = trimesh.transformations.rotation_matrix(np.radians(degrees), np.eye(3)[axis])
    pose[:3, 3] = shift
    return pose


def test_measures_know_symmetries_and_lengths():
    points = np.array([[0.1, 0, 0], [-0.1, 0, 0], [0, 0.02, 0], [0, -0.02, 0]])
    half, quarter = turn(2, 180), turn(2, 90)
    symmetries = np.stack([np.eye(3), half[:3, :3]])
    assert (
        mssd(np.eye(4), half, points, symmetries)
        < 1e-9
        < 0.1
        < mssd(np.eye(4), half, points, symmetries[:1])
    )
    assert mssd(np.eye(4), turn(2, 0, (0, 0, 0.03)), points, symmetries) == pytest.approx(0.03)
    assert add_s(np.eye(4), half, points) < 1e-9 and add_s(np.eye(4), quarter, points) > 0.02


def test_pairs_are_one_to_one_and_overlap():
    truth = np.zeros((4, 8), int)
    truth[:, :4], truth[:, 4:] = 1, 2
    found = np.zeros((4, 8), int)
    found[:, 4:] = 1
    found[0, 0] = 2
    assert match(truth, found) == [(1, 0)]


@pytest.fixture(scope='module')
def bolts():
    return list(islice(scene_stream(bin_setup('bolt', seed=77)), 2))


def test_bolts_are_found_where_they_lie(bolts):
    part = load_part('bolt')
    registration = MeshRegistration(part.mesh)
    errors = []
    for scene in bolts:
        visible = visible_fractions(scene.truth)
        for index, mask in enumerate(scene.truth.masks()):
            if visible[index] > 0.7:
                found = registration.register(scene.frame, mask)
                errors.append(
                    mssd(
                        scene.truth.poses[index],
                        found.pose,
                        registration.points[:500],
                        part.rotations(),
                    )
                    / part.diameter_m
                )
    assert len(errors) >= 5 and np.median(errors) < 0.02 and np.mean(np.array(errors) < 0.1) > 0.7


def test_a_mesh_gives_any_segmenter_the_parts_own_poses(bolts, tmp_path):
    part = load_part('bolt')
    mesh = part.mesh.copy().apply_scale(1000)
    mesh.export(tmp_path / 'bolt.stl')
    segmenter = load_segmenter(
        'kmeans', instances=5, mesh=str(tmp_path / 'bolt.stl'), mesh_scale=0.001
    )
    segmenter.workspace = bolts[0].workspace
    found = segmenter.segment(bolts[0].frame)
    assert found.poses.shape == (len(found), 4, 4) and np.allclose(
        np.linalg.det(found.poses[:, :3, :3]), 1, atol=1e-4
    )
    # Their origin is the part's middle, below the surface that the camera sees.
    depth = [np.nanmedian(bolts[0].frame.depth_m[mask]) for mask in found.masks()]
    assert (found.poses[:, 2, 3] > np.array(depth) - 0.02).all()


def test_a_cylinder_that_stands_is_not_taken_for_one_that_lies():
    part = load_part('cylinder')
    registration, seen = MeshRegistration(part.mesh), 0
    for scene in islice(scene_stream(bin_setup('cylinder', seed=77)), 4):
        truth = scene.labelled()
        for mask, pose, share in zip(truth.masks(), truth.poses, visible_fractions(truth)):
            if share > 0.8 and abs(pose[2, 2]) > 0.98:
                found, seen = registration.register(scene.frame, mask), seen + 1
                assert (
                    found is not None
                    and abs(found.pose[2, 2]) > 0.95
                    and add_s(pose, found.pose, registration.points) < 0.03 * part.diameter_m
                )
    assert seen >= 4


def test_a_mesh_in_another_unit_is_refused_and_named(tmp_path):
    for part, model in (('nut', 'insegan-nut'), ('obj01', 'kmeans')):
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


def test_files_that_are_no_mesh_are_refused(tmp_path):
    (tmp_path / 'a.stl').write_text('no mesh')
    with pytest.raises(InputError, match='a.stl'):
        read_mesh(tmp_path / 'a.stl')


def test_what_no_pose_explains_has_none(bolts):
    """A mesh that is flung out of sight contradicts nothing; it must not win."""
    frame = bolts[0].frame
    ball = load_part('bolt').mesh.copy().apply_scale(0.2)
    whole = np.ones(frame.depth_m.shape, bool)
    found = MeshRegistration(ball).register(frame, whole)
    assert found is None or found.score > 0
