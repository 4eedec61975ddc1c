from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from conftest import box_scene

from insegan_ros.errors import ConfigError, InputError
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.methods.baselines.kmeans import KMeansSegmenter
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.metrics.masks import honest_miou
from insegan_ros.workspace import Workspace
from insegan_sim.camera import Camera
from insegan_sim.scenes import bin_setup, photograph, scene_stream
from insegan_sim.world import World

FLOOR = Workspace((0.0, 0.0, -1.0, 0.5))


def test_kmeans_separates_distant_boxes_and_poses_lie_on_them(camera):
    frame = box_scene(camera, [(20, 20, 40, 40), (100, 70, 130, 90)])
    found = KMeansSegmenter(2, FLOOR).segment(frame)
    truth = np.zeros((120, 160), int)
    truth[20:40, 20:40], truth[70:90, 100:130] = 1, 2
    assert honest_miou(truth, found.labels) > 0.95
    pose = found.poses[found.labels[30, 30] - 1]
    assert np.allclose(
        pose[:3, 3], ((29.5 - 79.5) / 200 * 0.46, (29.5 - 59.5) / 200 * 0.46, 0.46), atol=0.002
    )
    assert pose[2, 2] < -0.99 and np.allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3), atol=1e-5)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)


def test_the_long_axis_of_a_part_is_its_poses_x(camera):
    found = KMeansSegmenter(1, FLOOR).segment(box_scene(camera, [(40, 50, 110, 60)]))
    assert abs(found.poses[0, 0, 0]) > 0.99


def test_an_empty_bin_has_no_instance(camera):
    found = KMeansSegmenter(5, FLOOR).segment(box_scene(camera, []))
    assert len(found) == 0 and not found.labels.any()


def test_kmeans_needs_a_number():
    with pytest.raises(ConfigError, match='instances is 0'):
        KMeansSegmenter(0)


@pytest.fixture(scope='module')
def nut_scenes():
    setup = bin_setup('nut', seed=77, realsense=(640, 480))
    return setup.camera.workspace, [
        (scene.frame, scene.truth) for scene in islice(scene_stream(setup), 6)
    ]


def test_the_shipped_nut_finds_the_nuts_at_camera_resolution(nut_scenes):
    workspace, scenes = nut_scenes
    segmenter = load_segmenter('insegan-nut', workspace=workspace)
    scores = []
    for frame, truth in scenes:
        found = segmenter.segment(frame)
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
        segmenter = load_segmenter('insegan-nut', workspace=setup.camera.workspace)
        assert len(segmenter.segment(next(scene_stream(setup)).frame)) == count


def test_the_same_bin_is_segmented_alike_by_another_camera(nut_scenes):
    setup = bin_setup('nut')
    segmenter = load_segmenter('insegan-nut')
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
        segmenter.workspace = camera.workspace
        scene = photograph(replace(setup, camera=camera), parts, poses, rng)
        found = segmenter.segment(scene.frame)
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
    found = load_segmenter('insegan-nut').segment(Frame(masked, frame.intrinsics))
    assert honest_miou(truth.labels, found.labels) > 0.5


def test_depth_without_any_reading_is_refused_or_empty(camera):
    frame = Frame(np.full((120, 160), np.nan, np.float32), camera)
    assert len(load_segmenter('insegan-nut', workspace=FLOOR).segment(frame)) == 0
    with pytest.raises(InputError, match='0 pixels have a depth reading'):
        load_segmenter('insegan-nut').segment(frame)


def test_bounds_outside_of_the_image_are_refused(camera):
    away = Workspace((0.0, 0.0, -1.0, 0.5), (5.0, 5.0, 6.0, 6.0))
    with pytest.raises(InputError, match='outside the 160x120 image'):
        load_segmenter('insegan-nut', workspace=away).segment(box_scene(camera, []))


def troubled_frames():
    """What drivers send when something is wrong, and the bin's state that it should be; None where
    any will do."""
    flat = np.full((240, 320), 0.6, np.float32)
    yield 'saturated', np.full_like(flat, 65.535), 'empty'
    part = np.full_like(flat, np.nan)
    part[:50, :25] = 0.5
    yield 'a corner alone', part, 'no_reading'
    stripes = flat.copy()
    stripes[:, ::2] = np.nan
    yield 'every other column', stripes, 'empty'
    band = flat.copy()
    band[100:150] = 65.535
    yield 'a saturated band', band, 'empty'
    yield 'noise', np.random.default_rng(0).uniform(0.1, 10, flat.shape).astype(np.float32), None


@pytest.mark.parametrize(
    'name, depth, state',
    list(troubled_frames()),
    ids=lambda value: value if isinstance(value, str) else '',
)
@pytest.mark.parametrize('model', ['kmeans', 'insegan-nut'])
def test_frames_of_a_camera_in_trouble_are_survived(model, name, depth, state):
    from insegan_ros.picking.picks import Surface, bin_state, rank_picks

    workspace = Workspace((0.0, 0.0, -1.0, 0.6), (-0.15, -0.12, 0.15, 0.12))
    frame = Frame(depth, Intrinsics(300.0, 300.0, 159.5, 119.5, 320, 240))
    found = load_segmenter(model, workspace=workspace, device='cpu').segment(frame)
    surface = Surface(frame, workspace)
    picks = rank_picks(surface, found)
    assert found.labels.shape == depth.shape and (
        state is None or bin_state(surface, picks).value == state
    )
    assert not any(pick.possible for pick in picks) or state is None
