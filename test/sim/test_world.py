import numpy as np
import open3d as o3d
import pytest
import trimesh

from insegan_ros.errors import ConfigError
from insegan_sim.container import Container
from insegan_sim.parts import PARTS, load_part, load_parts
from insegan_sim.scenes import bin_setup, make_container, simulate_scene
from insegan_sim.world import REASONS, REST_SPEED_M_S, Pile, World


def good_pile(world: World, parts: list, seed: int) -> Pile:
    rng = np.random.default_rng(seed)
    for _ in range(20):
        pile = world.drop(parts, rng)
        if not isinstance(pile, str):
            return pile
        assert pile in REASONS
    raise AssertionError('no good pile in 20')


@pytest.mark.parametrize('name', PARTS)
def test_parts_rest_in_the_bin_without_interpenetration(name):
    setup = bin_setup(name)
    part = setup.parts[0]
    with World(setup.container) as world:
        pile = good_pile(world, [part] * 5, 0)
        assert world.speed_m_s() < REST_SPEED_M_S and pile.penetration_m < 0.0005
        # Another second changes nothing: it did not only pause.
        world._run(1.0)
        assert np.abs(world.poses()[:, :3, 3] - pile.poses[:, :3, 3]).max() < 0.003
    for pose in pile.poses:
        points = trimesh.transform_points(part.mesh.vertices, pose)
        assert (
            np.abs(points[:, :2]).max() < setup.container.width_m / 2 + 0.001
            and points[:, 2].min() > -0.001
        )
    assert np.allclose(
        pile.poses[:, :3, :3] @ pile.poses[:, :3, :3].transpose(0, 2, 1), np.eye(3), atol=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize('name', PARTS)
def test_the_meshes_themselves_do_not_interpenetrate(name):
    """Not the physics' own word: every corner of one mesh against the signed distance to
    another."""
    setup = bin_setup(name, seed=11)
    part = setup.parts[0]
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(
        o3d.core.Tensor(np.asarray(part.mesh.vertices, np.float32)),
        o3d.core.Tensor(np.asarray(part.mesh.faces, np.uint32)),
    )
    points, _ = trimesh.sample.sample_surface(part.mesh, 2000, seed=0)
    points = np.concatenate([points, part.mesh.vertices])
    with World(setup.container) as world:
        for seed in range(4):
            poses = good_pile(world, [part] * 5, seed).poses
            for i, one in enumerate(poses):
                for j, other in enumerate(poses):
                    if i != j:
                        inside = trimesh.transform_points(
                            points, np.linalg.inv(other) @ one
                        ).astype(np.float32)
                        depth = (
                            -scene.compute_signed_distance(o3d.core.Tensor(inside)).numpy().min()
                        )
                        assert depth < 0.0006


def test_a_pile_does_not_depend_on_the_one_before():
    setup = bin_setup('nut', seed=7)
    with World(setup.container) as world:
        first = simulate_scene(setup, world, 3).scene
    with World(setup.container) as world, World(setup.container) as other:
        simulate_scene(setup, world, 0)
        simulate_scene(setup, other, 5)
        again = simulate_scene(setup, world, 3).scene
        different = simulate_scene(setup, world, 4).scene
    assert np.array_equal(
        first.frame.depth_m, again.frame.depth_m, equal_nan=True
    ) and np.array_equal(first.truth.poses, again.truth.poses)
    assert not np.array_equal(first.frame.depth_m, different.frame.depth_m, equal_nan=True)


def test_what_leans_over_the_rim_is_lost():
    part = load_part('bolt')
    low = Container('bin', 0.14, 0.14, 0.01)
    with World(low) as world:
        outcomes = [world.drop([part] * 5, np.random.default_rng(seed)) for seed in range(4)]
    assert 'lost' in outcomes and not any(isinstance(one, Pile) for one in outcomes)


def test_settings_under_which_no_pile_is_good_are_named():
    from dataclasses import replace

    from insegan_sim.camera import Camera

    setup = bin_setup('bolt')
    low = replace(setup, camera=Camera.over_bin(Container('bin', 0.14, 0.14, 0.01)))
    with (
        World(low.container) as world,
        pytest.raises(
            ConfigError, match='no good pile of 5 to 5 x bolt in a bin of 140 mm in 60 tries .*lost'
        ),
    ):
        simulate_scene(low, world, 0)


def test_a_bin_smaller_than_the_part_is_refused():
    with pytest.raises(ConfigError, match='a bin of 50 mm is too small for bolt'):
        make_container(load_parts('nut,bolt'), 5, width_m=0.05)


def test_several_kinds_and_none_at_all():
    parts = load_parts('nut,cone,connector')
    container = make_container(parts, 6)
    with World(container) as world:
        pile = good_pile(world, [parts[0], parts[1], parts[2], parts[0]], 3)
        assert pile.poses.shape == (4, 4, 4) and (pile.poses[:, 2, 3] > 0.005).all()
        assert world.drop([], np.random.default_rng(0)).poses.shape == (0, 4, 4)


@pytest.mark.slow
def test_a_heap_of_many_layers_comes_to_rest():
    part = load_part('cylinder')
    container = make_container((part,), 60, fill=2.0)
    with World(container) as world:
        pile = good_pile(world, [part] * 60, 0)
    assert pile.poses[:, 2, 3].max() > 2 * part.mesh.extents[0] and pile.penetration_m < 0.0005
