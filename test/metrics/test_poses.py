"""Distances between poses, and which pairs are compared."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from insegan_ros.frame import Instances
from insegan_ros.metrics.poses import TruePart, add_s, errors_of, frame_between, match, mssd


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


def test_errors_are_in_diameters_and_without_symmetries_one_is_not_known():
    """Every point has moved by a centimetre, and its own is the nearest."""
    points = np.array([[0.1, 0, 0], [-0.1, 0, 0], [0, 0.1, 0], [0, -0.1, 0]])
    moved = turn(0, 0, (0.006, 0, 0.008))
    assert add_s(np.eye(4), moved, points) == pytest.approx(0.01)
    known = TruePart(points, 0.2, np.eye(3)[None])
    assert known.error(np.eye(4), moved) == pytest.approx((0.05, 0.05))
    assert TruePart(points, 0.2).error(np.eye(4), moved) == pytest.approx(
        (0.05, np.nan), nan_ok=True
    )


def test_parts_that_are_found_and_seen_are_judged():
    labels = np.zeros((8, 20), np.uint16)
    labels[:, 0:4], labels[:, 5:9], labels[:, 10:14], labels[0:4, 15:19] = 1, 2, 3, 4
    amodal = np.stack([labels == number for number in range(1, 5)])
    # Of the second a half is seen, of the third less; of the fourth half is found, and no more.
    amodal[1, :, 16:20], amodal[2, :, 0:5] = True, True
    found = np.where(labels == 4, 0, labels).astype(np.uint16)
    found[0:2, 15:19] = 4
    poses = np.tile(np.eye(4, dtype=np.float32), (4, 1, 1))
    off = poses.copy()
    off[:, 2, 3] = 0.01, 0.02, 0.03, 0.04
    points = np.array([[0.1, 0, 0], [-0.1, 0, 0], [0, 0.1, 0], [0, -0.1, 0]])
    part, scores = TruePart(points, 0.2, np.eye(3)[None]), np.ones(4, np.float32)
    truth = Instances(labels, scores, poses=poses, amodal=amodal)
    answer = Instances(found, scores, poses=off)
    assert np.allclose(errors_of(truth, answer, part), [(0.05, 0.05), (0.1, 0.1), (0.2, 0.2)])
    whole = Instances(labels, scores, poses=poses)
    assert len(errors_of(whole, answer, part)) == 4, 'nobody says what is hidden'
    assert errors_of(Instances(labels, scores), answer, part) == []
    assert errors_of(truth, Instances(found, scores), part) == []


def test_pairs_are_one_to_one_and_overlap():
    truth = np.zeros((4, 8), int)
    truth[:, :4], truth[:, 4:] = 1, 2
    found = np.zeros((4, 8), int)
    found[:, 4:] = 1
    found[0, 0] = 2
    assert match(truth, found) == [(1, 0)]


def test_a_pose_of_the_file_is_judged_in_the_frame_of_the_model(bracket):
    """The file's origin is a corner, the model's its middle."""
    model = bracket.copy().apply_translation(-bracket.centroid)
    part = TruePart.of(model, 0.09, np.eye(3)[None], bracket)
    truth = turn(0, 40, (0.01, 0.02, 0.5))
    file_from_model = np.eye(4)
    file_from_model[:3, 3] = -bracket.centroid
    assert np.allclose(part.error(truth, truth @ file_from_model), 0, atol=1e-9)
    # The file's pose taken for the model's is off by the way between the origins.
    assert part.error(truth, truth)[1] == pytest.approx(np.linalg.norm(bracket.centroid) / 0.09)
    assert part.error(truth, None) == (1, 1)


def test_symmetries_about_an_axis_beside_the_origin():
    half = turn(2, 180)
    half[:3, 3] = (0.02, 0, 0)
    points = np.array([[0.0, 0, 0], [0.02, 0, 0], [0.01, 0.01, 0]])
    motions = np.stack([np.eye(4), half])
    assert mssd(np.eye(4), half, points, motions) < 1e-9
    assert mssd(np.eye(4), half, points, motions[:1]) == pytest.approx(0.02)


def test_the_frame_of_a_template_is_found_from_all_poses_and_one_wrong_pose_does_not_matter(
    bracket,
):
    model = bracket.copy().apply_translation(-bracket.centroid)
    part = TruePart.of(model, 0.09, np.eye(3)[None])
    frame = turn(1, 70, (0.01, -0.02, 0.03))
    truth = [turn(axis, 40 * axis + 20, (0.1 * axis, 0.0, 0.5)) for axis in range(3)]
    truth += [pose @ turn(2, 50) for pose in truth]
    found = [pose @ np.linalg.inv(frame) for pose in truth]
    found[0] = found[0] @ turn(0, 90, (0.05, 0, 0))
    assert np.allclose(frame_between(list(zip(truth, found)), part), frame, atol=1e-9)
