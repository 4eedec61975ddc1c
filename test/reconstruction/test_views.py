import numpy as np
import pytest
import torch
from lone_parts import lone_scenes, rests, stepped_block

from insegan_ros.data.scene import Scene
from insegan_ros.errors import DatasetError
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.reconstruction.views import depth_noise, lone_views


def test_a_view_bounds_the_part_that_it_shows():
    part = stepped_block()
    (view,) = lone_views(lone_scenes(part, rests((0, 0, 0)), 1), 0.0015)
    assert 2 * view.floor_m == pytest.approx(0.04, abs=0.001)
    assert abs(view.ground_m) < 1e-4
    # What is seen lies on the bound; far to the side, above and below the floor is outside by as
    # much.
    assert torch.quantile(view.bound(view.points).abs(), 0.9) < 0.002
    outside = torch.tensor([[0.1, 0, 0], [0, 0, 0.05], [0, 0, -view.floor_m - 0.01]])
    beside, above, below = view.bound(outside).tolist()
    assert 0.05 < beside < 0.09 and above > 0.02 and below >= 0.0099
    assert view.bound(torch.tensor([[0.0, 0.0, -0.01]])).item() < -0.005


def test_a_pixel_of_the_outline_is_half_a_pixel_within_it():
    (scene,) = lone_scenes(stepped_block(), rests((0, 0, 0)), 1)
    (view,) = lone_views([scene], 0.0015)
    left, top = view.corner
    tall, wide = view.mask.shape
    raised = scene.require_workspace().height_of(scene.frame.points()) > 0.0015
    assert np.array_equal(view.mask, raised[top : top + tall, left : left + wide])
    outline = view.picture[0].numpy()
    assert outline[view.mask].max() == -0.5 and outline[~view.mask].min() == 0.5
    depth = scene.frame.depth_m[top : top + tall, left : left + wide]
    assert np.allclose(view.depth_m[view.mask], depth[view.mask])
    # Beside the part and above it, what is outside of the outline is as far as that.
    edge, high = float(view.points[:, 0].max()), float(view.points[:, 2].max())
    (beside,) = view.bound(torch.tensor([[edge + 0.01, 0.0, high + 0.03]])).tolist()
    assert 0.005 < beside < 0.02


@pytest.mark.parametrize('side', range(4))
@pytest.mark.parametrize('room, there', [(2, True), (1, False), (0, False)])
def test_a_part_at_the_pictures_border_is_left_out(side, room, there):
    """The picture is cut so that so many pixels are left beside the part."""
    (scene,) = lone_scenes(stepped_block(), rests((0, 0, 0)), 1)
    workspace, k = scene.require_workspace(), scene.frame.intrinsics
    (view,) = lone_views([scene], 0.0015)
    columns, rows = np.argwhere(view.mask.T).T + np.array(view.corner)[:, None]
    box = [0, 0, k.width, k.height]
    at = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)[side]
    box[side] = int(at) + (room if side > 1 else -room)
    left, top, right, bottom = box
    camera = Intrinsics(k.fx, k.fy, k.cx - left, k.cy - top, right - left, bottom - top)
    cut = Frame(scene.frame.depth_m[top:bottom, left:right].copy(), camera)
    assert len(list(lone_views([Scene(cut, None, workspace)], 0.0015))) == there


def test_a_part_that_did_not_move_is_no_new_view():
    scenes = lone_scenes(stepped_block(), rests((0, 0, 0)), 2)
    assert len(list(lone_views([scenes[0], scenes[0], scenes[1]], 0.0015))) == 2


def test_a_part_at_the_bounds_is_left_out():
    (scene,) = lone_scenes(stepped_block(), rests((0, 0, 0)), 1)
    workspace = scene.require_workspace()
    (view,) = lone_views([scene], 0.0015)
    left = float(np.linalg.inv(view.camera_from_view)[0, 3])
    cut = type(workspace)(workspace.floor, (-left, -0.2, 0.3, 0.2))
    assert not list(lone_views([Scene(scene.frame, None, cut)], 0.0015))


def test_bounds_that_are_turned_are_those_of_the_bin():
    (scene,) = lone_scenes(stepped_block(), rests((0, 0, 0)), 1)
    workspace = scene.require_workspace()
    (view,) = lone_views([scene], 0.0015)
    x, y = view.camera_from_view[:2, 3]
    assert np.hypot(x, y) > 0.02
    around = (x - 0.05, y - 0.05, x + 0.05, y + 0.05)
    for turn, count in ((0.0, 1), (180.0, 0)):
        turned = type(workspace)(workspace.floor, around, turn)
        assert len(list(lone_views([Scene(scene.frame, None, turned)], 0.0015))) == count


def test_an_unknown_floor_is_said():
    (scene,) = lone_scenes(stepped_block(), rests((0, 0, 0)), 1)
    with pytest.raises(DatasetError, match='where the floor is'):
        list(lone_views([Scene(scene.frame, None, None)], 0.0015))


def test_noise_is_measured_where_there_are_readings():
    """A slanted floor with a step and with holes, whose neighbours are not lost with them."""
    rng = np.random.default_rng(0)
    depth = np.linspace(0.5, 0.6, 100)[:, None] + 0.001 * rng.standard_normal((100, 120))
    depth[40:70, 30:60] -= 0.05
    depth[::9, ::7] = np.nan
    frame = Frame(np.float32(depth), Intrinsics(500, 500, 60, 50, 120, 100))
    assert depth_noise(frame) == pytest.approx(0.001, rel=0.15)
    frame.depth_m[:] = np.nan
    assert depth_noise(frame) == 0.0
