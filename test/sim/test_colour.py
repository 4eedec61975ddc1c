import numpy as np
import pytest

from insegan_sim.camera import Camera
from insegan_sim.colour import material_of, shade
from insegan_sim.container import Container
from insegan_sim.parts import load_part, load_parts
from insegan_sim.scenes import make_container


@pytest.fixture(scope='module')
def view():
    """Two products side by side on the floor of a tote."""
    parts = load_parts('product-0,product-1')
    container = make_container(parts, 2, 'tote', fill=0.3)
    poses = np.tile(np.eye(4), (2, 1, 1))
    for pose, part, x in zip(poses, parts, (-0.07, 0.07)):
        pose[:3, 3] = x, 0, -part.mesh.bounds[0, 2]
    camera = Camera.over_bin(container, 120, 120)
    return parts, poses, camera, camera.render(parts, poses, surfaces=True)


def picture(view, seed: int) -> np.ndarray:
    parts, poses, camera, rendering = view
    return shade(rendering, camera, parts, poses, np.random.default_rng(seed))


def test_pictures_are_rgb_exposed_and_drawn_from_the_seed(view):
    one = picture(view, 0)
    assert one.dtype == np.uint8 and one.shape == (120, 120, 3)
    assert np.array_equal(one, picture(view, 0)) and not np.array_equal(one, picture(view, 1))
    for seed in range(8):
        assert 25 < picture(view, seed).mean() < 235


def test_lamps_and_backgrounds_vary(view):
    floors = np.array([picture(view, seed)[view[3].labels == 0].mean(0) for seed in range(12)])
    assert (floors.std(0) > 15).all()


def test_a_product_keeps_its_print_from_scene_to_scene(view):
    part = load_part('product-0')
    points = np.random.default_rng(0).uniform(-0.05, 0.05, (50, 3))
    assert np.array_equal(material_of(part).at(points), material_of(part).at(points))
    assert not np.allclose(
        material_of(part).at(points), material_of(load_part('product-6')).at(points)
    )
    assert (material_of(part).at(points) >= 0).all() and (material_of(part).at(points) <= 1).all()


def test_a_thing_throws_a_shadow(view):
    parts, poses, camera, rendering = view
    empty = camera.render(parts[:0], poses[:0], surfaces=True)
    darker = []
    for seed in range(4):
        # The same lamps and ground with and without the things: what changes on the floor is
        # shadow.
        alone = shade(empty, camera, parts[:0], poses[:0], np.random.default_rng(seed)).astype(
            float
        )
        floor = (rendering.labels == 0) & (np.abs(rendering.depth_m - camera.distance_m) < 0.001)
        ratio = picture(view, seed)[floor].astype(float).mean(1) / np.maximum(
            alone[floor].mean(1), 1
        )
        darker.append(ratio.min() / np.median(ratio))
    assert min(darker) < 0.8


def test_a_printed_tote_has_two_colours_and_the_rest_is_drawn_as_before(view):
    """Of one colour the floor varies by light alone; printed, by more."""
    parts, poses, camera, rendering = view
    floor = (rendering.labels == 0) & (np.abs(rendering.depth_m - camera.distance_m) < 0.001)
    spread = [
        np.mean(
            [
                shade(rendering, camera, parts, poses, np.random.default_rng(seed), patterned)[
                    floor
                ].std(0)
                for seed in range(8)
            ]
        )
        for patterned in (False, True)
    ]
    assert spread[1] > 1.5 * spread[0]


def test_the_table_begins_beyond_the_walls_of_a_bin_that_is_deeper_than_wide():
    camera = Camera.over_bin(Container('bin', 0.2, 0.3, 0.05), 120, 120)
    rendering = camera.render([], np.empty((0, 4, 4)), surfaces=True)
    _, surface = rendering.require_surfaces()
    inside = (np.abs(surface[..., :2]) < (0.09, 0.14)).all(-1)
    for number in range(4):
        shown = shade(rendering, camera, [], np.empty((0, 4, 4)), np.random.default_rng(number))
        # One colour, but for lamps that stand near.
        floor = shown[inside].astype(float)
        assert (floor.std(0) < 0.15 * floor.mean(0) + 8).all()


def test_no_two_fruits_of_a_heap_have_a_colour():
    parts = load_parts('plum') * 2
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[:, :3, 3] = [[-0.03, 0, 0.03], [0.03, 0, 0.03]]
    camera = Camera.over_bin(make_container(parts, 2, 'tote', fill=0.3), 120, 120)
    rendering = camera.render(parts, poses, surfaces=True)
    shown = shade(rendering, camera, parts, poses, np.random.default_rng(5))
    first, second = (shown[rendering.labels == label].mean(0) for label in (1, 2))
    assert np.abs(first / first.sum() - second / second.sum()).max() > 0.03
