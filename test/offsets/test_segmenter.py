"""The dense network on frames: of any camera, of any number of parts."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from box_scenes import box_scene

from insegan_ros.errors import InputError
from insegan_ros.frame import Frame
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.metrics.masks import honest_miou
from insegan_ros.offsets.segmenter import MAX_WORKING_PX, RIM_PX, crop_to_parts
from insegan_ros.workspace import Workspace
from insegan_sim.camera import Camera
from insegan_sim.scenes import bin_setup, photograph, scene_stream
from insegan_sim.world import World

FLOOR = Workspace((0.0, 0.0, -1.0, 0.5))


@pytest.fixture(scope='module')
def nut_scenes():
    setup = bin_setup('nut', seed=77, realsense=(640, 480))
    return setup.camera.workspace, [
        (scene.frame, scene.truth) for scene in islice(scene_stream(setup), 6)
    ]


def test_the_shipped_nut_finds_the_nuts_at_camera_resolution(nut_scenes):
    workspace, scenes = nut_scenes
    segmenter = load_segmenter('cutpaste-nut')
    scores = []
    for frame, truth in scenes:
        found = segmenter.segment(frame, workspace)
        assert (
            found.labels.shape == (480, 640)
            and (found.scores > 0).all()
            and len(found.poses) == len(found)
        )
        assert (np.diff(found.scores) <= 1e-6).all()
        scores.append(honest_miou(truth.labels, found.labels))
    assert np.mean(scores) > 0.75


def test_the_number_of_parts_need_not_be_known(nut_scenes):
    for count in (1, 2):
        setup = replace(bin_setup('nut', seed=5, realsense=(640, 480)), count=(count, count))
        found = load_segmenter('cutpaste-nut').segment(
            next(scene_stream(setup)).frame, setup.camera.workspace
        )
        assert len(found) == count


def test_the_same_bin_is_segmented_alike_by_another_camera(nut_scenes):
    setup = bin_setup('nut')
    segmenter = load_segmenter('cutpaste-nut')
    rng = np.random.default_rng(4)
    parts = list(setup.parts * 5)
    with World(setup.container) as world:
        poses = world.drop(parts, rng).poses
    counts = []
    for camera in (
        Camera.over_bin(setup.container),
        Camera.realsense(setup.container),
        Camera.realsense(setup.container, 320, 240),
    ):
        scene = photograph(replace(setup, camera=camera), parts, poses, rng)
        found = segmenter.segment(scene.frame, camera.workspace)
        counts.append(len(found))
        assert honest_miou(scene.truth.labels, found.labels) > 0.6
    assert len(set(counts)) == 1


def test_a_floor_that_is_not_given_is_fitted(nut_scenes):
    _, scenes = nut_scenes
    frame, truth = scenes[0]
    # Without bounds the walls are in view: look at the bin's inside alone, as a region of interest
    # would.
    inside = truth.labels.copy()
    rows, columns = np.nonzero(inside)
    crop = np.s_[rows.min() : rows.max(), columns.min() : columns.max()]
    masked = np.full_like(frame.depth_m, np.nan)
    masked[crop] = frame.depth_m[crop]
    found = load_segmenter('cutpaste-nut').segment(Frame(masked, frame.intrinsics))
    assert honest_miou(truth.labels, found.labels) > 0.5


@pytest.mark.parametrize('rim, expected', [(0, (23, 44, 27, 46)), (3, (20, 41, 30, 49))])
def test_the_window_is_cut_to_what_stands_above_the_floor(rim, expected):
    """In a window that begins at (10, 40) of the picture; what is as high as the floor is floor."""
    window, height = (10, 40, 50, 70), np.zeros((30, 40), np.float32)
    height[4:6, 13:17], height[20, 30] = 0.02, 0.005
    found, cut = crop_to_parts(window, height, 0.005, rim)
    assert found == expected
    left, top, right, bottom = found
    assert np.array_equal(cut, height[top - 40 : bottom - 40, left - 10 : right - 10])
    # No farther than the window reaches.
    height[0, 0] = height[29, 39] = 0.02
    assert crop_to_parts(window, height, 0.005, rim)[0] == window
    assert crop_to_parts(window, height, 0.02, rim)[1].size == 0


def test_the_network_sees_the_trainings_metres_a_pixel_and_some_floor_around(camera):
    """A camera of 2.5 mm a pixel, a training of 5 mm."""
    segmenter, rim_px = load_segmenter('cutpaste-nut'), RIM_PX
    segmenter.scales = replace(segmenter.scales, pixel_m=0.005)
    frame = box_scene(camera, [(60, 40, 100, 60)])
    window, height, small = segmenter._seen(frame, FLOOR)
    assert window == (60 - 2 * rim_px, 40 - 2 * rim_px, 100 + 2 * rim_px, 60 + 2 * rim_px)
    assert height.shape == (44, 64) and small.shape == (22, 32)
    assert (small[rim_px:-rim_px, rim_px:-rim_px] > 0.039).all() and (small > 0).sum() == 10 * 20
    segmenter.scales = replace(segmenter.scales, pixel_m=1e-5)
    assert max(segmenter._seen(frame, FLOOR)[2].shape) == MAX_WORKING_PX


def test_depth_without_any_reading_is_refused_or_empty(camera):
    frame = Frame(np.full((120, 160), np.nan, np.float32), camera)
    assert len(load_segmenter('cutpaste-nut').segment(frame, FLOOR)) == 0
    with pytest.raises(InputError, match='0 pixels have a depth reading'):
        load_segmenter('cutpaste-nut').segment(frame)


def test_bounds_outside_of_the_image_are_refused(camera):
    away = Workspace((0.0, 0.0, -1.0, 0.5), (5.0, 5.0, 6.0, 6.0))
    with pytest.raises(InputError, match='outside the 160x120 image'):
        load_segmenter('cutpaste-nut').segment(box_scene(camera, []), away)
