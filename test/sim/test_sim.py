import numpy as np
import open3d as o3d
import pytest
import trimesh

from insegan_ros.errors import ConfigError, DatasetError
from insegan_sim.bin import Bin
from insegan_sim.camera import DepthCamera
from insegan_sim.generate import SimulateConfig, simulate, simulate_scene
from insegan_sim.parts import PARTS, load_part


@pytest.mark.parametrize('name', PARTS)
def test_parts_are_watertight_solids_centred_on_their_mass(name):
    part = load_part(name)
    assert part.mesh.is_watertight and part.mesh.volume > 0
    assert np.allclose(part.mesh.center_mass, 0, atol=1e-6)
    assert all(piece.is_convex for piece in part.pieces)
    assert sum(piece.volume for piece in part.pieces) == pytest.approx(part.mesh.volume, rel=0.1)


def occupied(mesh: trimesh.Trimesh, point: tuple[float, float, float]) -> bool:
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(o3d.core.Tensor(mesh.vertices.astype(np.float32)), o3d.core.Tensor(mesh.faces.astype(np.uint32)))
    return bool(scene.compute_occupancy(o3d.core.Tensor([point], dtype=o3d.core.float32)).numpy()[0])


def test_the_nut_keeps_its_hole_in_mesh_and_physics():
    part = load_part('nut')
    for solid in (part.mesh, *part.pieces):
        assert not occupied(solid, (0.001, 0.002, 0.0))
    assert occupied(part.mesh, (0.025, 0.0, 0.0)) and any(occupied(piece, (0.025, 0.0, 0.0)) for piece in part.pieces)


def test_an_unknown_part_names_the_known_ones():
    with pytest.raises(ConfigError, match='unknown part "sprocket": expected one of bolt, cone, cylinder, nut'):
        load_part('sprocket')


@pytest.mark.parametrize('name', PARTS)
def test_parts_come_to_rest_inside_without_interpenetration(name):
    part = load_part(name)
    with Bin(part) as world:
        poses = world.drop(5, np.random.default_rng(0))
        assert poses is not None and world.at_rest()
        assert world.penetration_m() < 0.0005
        for pose in poses:
            points = trimesh.transform_points(part.mesh.vertices, pose)
            assert np.abs(points[:, :2]).max() < part.bin_width_m / 2 + 0.001
            assert points[:, 2].min() > -0.001


def test_depth_and_labels_agree_with_the_poses():
    part = load_part('cylinder')
    camera = DepthCamera.over_bin(part, 200)
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[0, :3, 3] = (-0.03, 0.0, 0.035)
    poses[1, :3, 3] = (0.04, 0.03, 0.035)
    frame, truth = camera.render(poses)
    for index in range(2):
        y, x = np.nonzero(truth.labels == index + 1)
        top = frame.depth_m[truth.labels == index + 1].min()
        assert top == pytest.approx(camera.distance_m - 0.07, abs=1e-4)
        projected = camera.intrinsics.matrix @ truth.poses[index, :3, 3]
        assert np.allclose(projected[:2] / projected[2], (x.mean(), y.mean()), atol=4)
    assert frame.depth_m[truth.labels == 0].max() == pytest.approx(camera.distance_m, abs=1e-4)
    assert (truth.poses[1, 1, 3] < truth.poses[0, 1, 3])


def test_any_resolution_shows_the_same_scene():
    part = load_part('nut')
    with Bin(part) as world:
        poses = world.drop(5, np.random.default_rng(1))
    areas = []
    for size in (64, 256):
        _, truth = DepthCamera.over_bin(part, size).render(poses)
        areas.append([(truth.labels == i).mean() for i in range(1, 6)])
    assert np.allclose(areas[0], areas[1], atol=0.01)


def test_a_seed_and_an_index_make_the_same_scene_whatever_came_before():
    part = load_part('nut')
    camera = DepthCamera.over_bin(part, 64)
    with Bin(part) as world:
        first, _ = simulate_scene(world, camera, 5, 7, 3)
    with Bin(part) as world, Bin(part) as other:
        simulate_scene(other, camera, 5, 7, 0)
        again, _ = simulate_scene(world, camera, 5, 7, 3)
        different, _ = simulate_scene(world, camera, 5, 8, 3)
    assert np.array_equal(first.depth_m, again.depth_m)
    assert not np.array_equal(first.depth_m, different.depth_m)


def test_a_set_is_the_same_for_any_number_of_workers_and_after_a_kill(tmp_path, nut_data):
    import h5py
    config = dict(part='nut', scenes=6, size=128, seed=3, shard_scenes=4)
    simulate(SimulateConfig(**config, out=str(tmp_path / 'b'), workers=2))
    (tmp_path / 'b/scenes-00001.h5').unlink()
    simulate(SimulateConfig(**config, out=str(tmp_path / 'b'), workers=1))
    for name in ('scenes-00000.h5', 'scenes-00001.h5'):
        with h5py.File(nut_data / name) as one, h5py.File(tmp_path / 'b' / name) as two:
            for key in ('depth', 'labels', 'poses'):
                assert np.array_equal(one[key][:], two[key][:])


def test_another_set_is_never_mixed_in(nut_data, tmp_path):
    with pytest.raises(DatasetError, match='holds another data set'):
        simulate(SimulateConfig(part='bolt', scenes=2, out=str(nut_data)))
    (tmp_path / 'holiday.jpg').write_bytes(b'x')
    with pytest.raises(DatasetError, match='is not empty'):
        simulate(SimulateConfig(part='bolt', scenes=2, out=str(tmp_path)))
    assert [p.name for p in tmp_path.iterdir()] == ['holiday.jpg']
