import numpy as np
import pytest
import trimesh
from lone_parts import lone_scenes, rests, stepped_block

from insegan_ros.errors import InputError
from insegan_ros.reconstruction.checks import check_body, check_held_out, check_seen, check_views
from insegan_ros.reconstruction.held_out import HeldOut
from insegan_ros.reconstruction.pipeline import reconstruct
from insegan_ros.reconstruction.views import lone_views


def test_few_views_are_refused():
    with pytest.raises(InputError, match='3 views of parts that lie alone .* at least 20'):
        reconstruct(lone_scenes(stepped_block(), rests((0, 0, 0)), 3))


def test_a_floor_that_is_off_is_refused():
    scenes = lone_scenes(stepped_block(), rests((0, 0, 0)), 21, floor_off_m=0.005)
    views = list(lone_views(scenes, 0.0015))
    with pytest.raises(InputError, match='reads -5.0 mm above the floor'):
        check_views(views, 0.0)


def test_noise_alone_is_refused():
    scenes = lone_scenes(stepped_block(), rests((0, 0, 0)), 20)
    rng = np.random.default_rng(0)
    for scene in scenes:
        scene.frame.depth_m[:] = rng.uniform(0.4, 0.8, scene.frame.depth_m.shape)
    with pytest.raises(InputError, match='views of parts that lie alone'):
        reconstruct(scenes)


def test_held_out_views_decide():
    good, bad = HeldOut(0.95, 0.001), HeldOut(0.95, 0.02)
    assert check_held_out([good] * 9 + [bad], 0.1, 0.0) == pytest.approx(0.9)
    with pytest.raises(InputError, match='explains 50 % of 4 views'):
        check_held_out([good, bad, good, HeldOut(0.5, 0.0)], 0.1, 0.0)


def test_a_sheet_is_refused():
    with pytest.raises(InputError, match='a sheet of 1.*mm'):
        check_body(trimesh.creation.box([0.1, 0.1, 0.001]), 0.14)
    check_body(trimesh.creation.box([0.1, 0.1, 0.03]), 0.14)
    half = trimesh.creation.box([0.1, 0.1, 0.03])
    half.update_faces(np.arange(len(half.faces)) > 2)
    with pytest.raises(InputError, match='does not close'):
        check_body(half, 0.14)


def test_a_part_that_lies_in_one_way_alone_is_refused():
    with pytest.raises(InputError, match='lies the same way up, and 48 % of its surface'):
        check_seen(0.48, 1)
    check_seen(0.3, 1)
    check_seen(0.48, 2)
