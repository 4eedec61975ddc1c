import numpy as np
import pybullet
import pytest
import trimesh

from insegan_ros.data.scene import visible_fractions
from insegan_sim.camera import Camera, Jitter
from insegan_sim.parts import load_part, load_parts
from insegan_sim.scenes import bin_setup, make_container, photograph
from insegan_sim.world import World


@pytest.fixture(scope='module')
def mixed():
    """A settled bin of several kinds."""
    parts = load_parts('nut,bolt,5-pin,obj05,connector')
    container = make_container(parts, 5)
    with World(container) as world:
        pile = next(
            pile
            for seed in range(20)
            if not isinstance(pile := world.drop(parts, np.random.default_rng(seed)), str)
        )
    return parts, container, pile.poses


def test_depth_and_labels_agree_with_the_poses():
    part = load_part('cylinder')
    camera = Camera.over_bin(make_container((part,), 5), 200, 200)
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[0, :3, 3] = (-0.03, 0.0, 0.035)
    poses[1, :3, 3] = (0.04, 0.03, 0.035)
    seen = camera.render([part, part], poses)
    for index in range(2):
        mask = seen.labels == index + 1
        y, x = np.nonzero(mask)
        assert seen.depth_m[mask].min() == pytest.approx(camera.distance_m - 0.07, abs=1e-4)
        centre = camera.intrinsics.matrix @ (camera.camera_from_world @ poses[index])[:3, 3]
        assert np.allclose(centre[:2] / centre[2], (x.mean(), y.mean()), atol=4)
    assert seen.depth_m[seen.labels == 0].max() == pytest.approx(camera.distance_m, abs=1e-4)


def test_any_resolution_shows_the_same_scene(mixed):
    parts, container, poses = mixed
    areas = [
        [
            (Camera.over_bin(container, size, size).render(parts, poses).labels == i).mean()
            for i in range(1, 6)
        ]
        for size in (64, 256)
    ]
    assert np.allclose(areas[0], areas[1], atol=0.01)


def test_depth_and_labels_are_those_of_another_renderer(mixed):
    """PyBullet's own rasteriser on the same meshes: within half a millimetre away from edges,
    labels on 99.5 % of the pixels."""
    parts, container, poses = mixed
    camera = Camera.over_bin(container, 224, 224)
    ours = camera.render(parts, poses)
    client = pybullet.connect(pybullet.DIRECT)
    try:
        for mesh, pose in [(part.mesh, pose) for part, pose in zip(parts, poses)] + [
            (container.mesh(), np.eye(4))
        ]:
            vertices = trimesh.transform_points(mesh.vertices, pose)[mesh.faces].reshape(-1, 3)
            shape = pybullet.createVisualShape(
                pybullet.GEOM_MESH,
                vertices=vertices.tolist(),
                indices=list(range(len(vertices))),
                physicsClientId=client,
            )
            pybullet.createMultiBody(0, -1, shape, physicsClientId=client)
        near, far = camera.distance_m - 0.2, camera.distance_m + 0.05
        k = camera.intrinsics
        view = pybullet.computeViewMatrix([0, 0, camera.distance_m], [0, 0, 0], [0, 1, 0])
        # TinyRenderer samples a pixel half a pixel beside its centre.
        half, shift = (k.width / 2) / k.fx * near, 0.5 / k.fx * near
        projection = pybullet.computeProjectionMatrix(
            shift - half, shift + half, shift - half, shift + half, near, far
        )
        _, _, _, buffer, segments = pybullet.getCameraImage(
            k.width,
            k.height,
            view,
            projection,
            renderer=pybullet.ER_TINY_RENDERER,
            flags=pybullet.ER_SEGMENTATION_MASK_OBJECT_AND_LINKINDEX,
            physicsClientId=client,
        )
    finally:
        pybullet.disconnect(client)
    theirs = far * near / (far - (far - near) * np.reshape(buffer, (k.height, k.width)))
    bodies = np.reshape(segments, (k.height, k.width)) & ((1 << 24) - 1)
    labels = np.where((bodies >= 0) & (bodies < len(parts)), bodies + 1, 0)
    assert (labels == ours.labels).mean() > 0.995
    # Away from edges: where depth does not step within two pixels, in either picture, and the
    # surface faces the camera.
    spread = np.max(
        [
            np.abs(np.roll(ours.depth_m, shift, axis) - ours.depth_m)
            for axis in (0, 1)
            for shift in (-2, -1, 1, 2)
        ],
        axis=0,
    )
    flat = (spread < 0.002) & (labels == ours.labels)
    assert flat.mean() > 0.4
    assert np.abs(theirs - ours.depth_m)[flat].max() < 0.0005


def test_amodal_masks_are_the_parts_alone(mixed):
    parts, container, poses = mixed
    camera = Camera.over_bin(container, 160, 160)
    together = camera.render(parts, poses)
    for index, (part, pose) in enumerate(zip(parts, poses)):
        alone = camera.render([part], pose[None])
        assert np.array_equal(together.amodal[index], alone.labels == 1)
        assert not ((together.labels == index + 1) & ~together.amodal[index]).any()


def test_visible_fraction_of_a_part_under_another():
    part = load_part('nut')
    setup = bin_setup('nut')
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, :3, 3] = [(-0.04, -0.04, 0.015), (-0.04, -0.04, 0.045), (0.04, 0.04, 0.015)]
    scene = photograph(setup, [part] * 3, poses, np.random.default_rng(0))
    hidden, above, free = visible_fractions(scene.truth)
    assert hidden < 0.2 and above == 1 and free == 1


def test_jitter_moves_the_camera_and_the_truth_with_it(mixed):
    parts, container, poses = mixed
    fixed = Camera.over_bin(container, 160, 160)
    moved = fixed.jittered(Jitter(0.01, 5.0, 0.05, 3.0), np.random.default_rng(0))
    assert moved.intrinsics != fixed.intrinsics and not np.allclose(
        moved.camera_from_world, fixed.camera_from_world
    )
    assert np.allclose(
        moved.camera_from_world[:3, :3] @ moved.camera_from_world[:3, :3].T, np.eye(3)
    )
    seen = moved.render(parts, poses)
    # The floor's pixels lie on the plane that the workspace names.
    points = moved.intrinsics.points(seen.depth_m)
    height = points @ np.array(moved.workspace.floor[:3]) + moved.workspace.floor[3]
    world = (points - moved.camera_from_world[:3, 3]) @ moved.camera_from_world[:3, :3]
    assert np.abs(height - world[..., 2]).max() < 1e-4
    assert np.median(np.abs(height[(seen.labels == 0) & moved.workspace.contains(points)])) < 1e-4
    for index, pose in enumerate(poses):
        y, x = np.nonzero(seen.amodal[index])
        centre = moved.intrinsics.matrix @ (moved.camera_from_world @ pose)[:3, 3]
        assert (
            x.min() <= centre[0] / centre[2] <= x.max()
            and y.min() <= centre[1] / centre[2] <= y.max()
        )
    assert fixed.jittered(Jitter(), np.random.default_rng(0)) is fixed


def test_a_shelf_is_seen_from_its_open_side():
    part = load_part('product-1')
    container = make_container((part,), 1, 'shelf', fill=0.2)
    camera = Camera.over_bin(container, 120, 120)
    pose = np.eye(4)
    pose[2, 3] = -part.mesh.bounds[0, 2]
    seen = camera.render([part], pose[None])
    y, x = np.nonzero(seen.labels)
    # It stands upright: taller than wide, on the lower half of the picture, nearer than the back.
    assert np.ptp(y) > np.ptp(x) and y.max() > 60
    assert seen.depth_m[seen.labels == 1].max() < camera.distance_m
    assert camera.workspace.floor_distance_m == pytest.approx(camera.distance_m, rel=1e-3)


def test_textures_need_normals_that_face_the_camera(mixed):
    parts, container, poses = mixed
    camera = Camera.over_bin(container, 96, 96)
    seen = camera.render(parts, poses, surfaces=True)
    assert np.allclose(np.linalg.norm(seen.normals, axis=-1), 1, atol=1e-3)
    inside = seen.labels > 0
    for index, part in enumerate(parts):
        own = seen.surface[seen.labels == index + 1]
        if len(own):
            assert (np.abs(own) <= np.abs(part.mesh.bounds).max(0) + 1e-4).all()
    up = camera.render(parts[:0], poses[:0], surfaces=True)
    assert np.allclose(up.normals[48, 48], (0, 0, -1), atol=1e-3) and inside.any()
