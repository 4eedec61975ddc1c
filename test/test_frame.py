"""What carries everything: cameras, frames, instances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from insegan_ros.errors import InputError
from insegan_ros.frame import (
    IGNORE,
    Frame,
    Instances,
    Intrinsics,
    counted,
    highest_label,
    metres,
    millimetres,
)


def test_frame_refuses_depth_of_another_size_than_its_camera(camera):
    with pytest.raises(InputError, match=r'64x48 but its camera_info says 160x120'):
        Frame(np.zeros((48, 64), np.float32), camera)


def test_frame_refuses_millimetres_as_integers(camera):
    with pytest.raises(InputError, match='expected float32 metres'):
        Frame(np.zeros((120, 160), np.uint16), camera)


def test_uncalibrated_camera_is_refused_in_words():
    with pytest.raises(InputError, match='uncalibrated'):
        Intrinsics(0.0, 0.0, 0.0, 0.0, 640, 480)


def test_rays_project_back_to_their_pixels(camera):
    rays = camera.rays()
    projected = rays @ camera.matrix.T
    assert np.allclose(projected[17, 91, :2], (91, 17), atol=1e-4)
    assert (rays[..., 2] == 1).all() and projected[17, 91, 2] == 1


def test_instances_need_a_score_each():
    labels = np.zeros((4, 4), np.uint16)
    labels[0, 0] = 2
    with pytest.raises(InputError, match='labels go up to 2 but there are 1 scores'):
        Instances(labels, np.ones(1, np.float32))
    masks = Instances(labels, np.ones(2, np.float32)).masks()
    assert masks.shape == (2, 4, 4) and masks[1, 0, 0] and masks.sum() == 1


@pytest.mark.parametrize(
    'bad',
    [
        {'fx': float('nan')},
        {'fy': 0.0},
        {'fx': 1e6},
        {'fy': 1e6},
        {'cx': float('nan')},
        {'cy': -1e6},
        {'width': 0},
        {'height': 0},
    ],
    ids=str,
)
def test_values_that_no_camera_has_are_refused(bad):
    with pytest.raises(InputError, match='intrinsics have .* expected positive'):
        Intrinsics(**{**dict(fx=600.0, fy=600.0, cx=0.0, cy=0.0, width=4, height=3), **bad})


@pytest.mark.parametrize(
    'colour',
    [
        np.zeros((120, 160, 3), np.float32),
        np.zeros((120, 160, 4), np.uint8),
        np.zeros((120, 160), np.uint8),
    ],
    ids=lambda one: f'{one.dtype}{one.shape}',
)
def test_colour_is_three_channels_of_bytes(camera, colour):
    depth = np.full((120, 160), 0.5, np.float32)
    with pytest.raises(InputError, match='colour is not'):
        Frame(depth, camera, colour)
    assert Frame(depth, camera, np.zeros((120, 160, 3), np.uint8)).colour is not None
    with pytest.raises(InputError, match='expected float32 metres of shape'):
        Frame(depth[..., None], camera)
    # A sensor's own colour is larger, and seen from elsewhere.
    for shape in ((240, 320, 3), (160, 120, 3)):
        with pytest.raises(InputError, match='but depth 160x120: expected colour in the view of'):
            Frame(depth, camera, np.zeros(shape, np.uint8))


def test_points_are_as_far_along_their_rays_as_depth_says(camera):
    depth = np.full((120, 160), 0.5, np.float32)
    depth[10, 20] = np.nan
    points = Frame(depth, camera).points()
    assert points[17, 91] == pytest.approx(((91 - 79.5) / 400, (17 - 59.5) / 400, 0.5))
    assert np.isnan(points[10, 20]).all() and np.isfinite(points).sum() == 3 * (120 * 160 - 1)


def parts() -> Instances:
    """Three instances, of which everything is known."""
    labels = np.array([[1, 1, 0, 2], [IGNORE, 3, 3, 2]], np.uint16)
    poses = np.tile(np.eye(4, dtype=np.float32), (3, 1, 1)) * np.arange(1, 4)[:, None, None]
    amodal = labels == np.arange(1, 4)[:, None, None]
    scores, registered = np.array([0.9, 0.5, 0.4], np.float32), np.array([True, False, True])
    return Instances(labels, scores, ('nut', 'bolt', 'cone'), poses, amodal, registered)


def test_some_of_the_instances_keep_all_that_is_known_of_them():
    every, chosen = parts(), np.array([False, True, True])
    some = every.only(chosen)
    assert some.labels.tolist() == [[0, 0, 0, 1], [IGNORE, 2, 2, 1]] and len(some) == 2
    assert some.scores.tolist() == every.scores[1:].tolist() and some.classes == ('bolt', 'cone')
    assert np.array_equal(some.poses, every.poses[1:])
    assert np.array_equal(some.amodal, every.amodal[1:])
    assert some.in_mesh_frame.tolist() == [False, True]
    plain = Instances(every.labels, every.scores).only(chosen)
    assert plain.classes is plain.poses is plain.amodal is plain.registered is None
    assert plain.in_mesh_frame.tolist() == [True, True]
    with pytest.raises(InputError, match='have no poses'):
        plain.require_poses()
    assert np.array_equal(every.require_poses(), every.poses)
    none = Instances.none((2, 3))
    assert none.labels.shape == (2, 3) and none.require_poses().shape == (0, 4, 4)


@pytest.mark.parametrize(
    'name, value, said',
    [
        ('labels', np.zeros((2, 4), np.int64), 'labels are int64'),
        ('labels', np.zeros(8, np.uint16), 'labels are uint16 of shape'),
        ('classes', ('nut',), 'classes and scores differ'),
        ('poses', np.zeros((3, 3, 3), np.float32), 'poses are not'),
        ('amodal', np.zeros((3, 4, 2), bool), 'amodal masks are not'),
        ('registered', np.ones(2, bool), 'registered is not'),
    ],
)
def test_what_is_known_of_instances_fits_together(name, value, said):
    with pytest.raises(InputError, match=said):
        replace(parts(), **{name: value})


def test_pixels_that_nobody_knows_are_no_instance_and_count_neither_way():
    truth, found = parts().labels, np.full((2, 4), 7, np.uint16)
    assert highest_label(truth) == 3 and highest_label(np.zeros((0, 4), np.uint16)) == 0
    true, own = counted(truth, found)
    assert true.tolist() == [[1, 1, 0, 2], [0, 3, 3, 2]]
    assert own.tolist() == [[7, 7, 7, 7], [0, 7, 7, 7]]


def test_depth_is_counted_in_steps_and_nothing_is_no_reading():
    counts = np.array([[0, 1, 500, 65535]], np.uint16)
    assert metres(counts)[0, 1:] == pytest.approx([0.001, 0.5, 65.535]) and np.isnan(
        metres(counts)[0, 0]
    )
    assert metres(counts, 1e-4)[0, 2] == pytest.approx(0.05) and metres(counts).dtype == np.float32
    assert np.array_equal(millimetres(metres(counts)), counts)
    # Rounded, never turned over.
    depth = np.array([[0.0006, 0.0004, 65.6, 1e30, np.inf, -1.0]], np.float32)
    assert millimetres(depth).tolist() == [[1, 0, 65535, 65535, 65535, 0]]
