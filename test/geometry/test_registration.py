"""A mesh registered to what a camera sees of a part: right up to its symmetries."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import trimesh

from insegan_ros.data.scene import visible_fractions
from insegan_ros.errors import InputError
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.geometry.meshes import read_mesh
from insegan_ros.geometry.registration import MeshRegistration
from insegan_ros.metrics.masks import foreground_iou
from insegan_ros.metrics.poses import add_s, mssd
from insegan_sim.parts import load_part
from insegan_sim.scenes import bin_setup, scene_stream


def test_bolts_are_found_where_they_lie(bolts):
    part = load_part('bolt')
    registration = MeshRegistration(part.mesh)
    errors = []
    for scene in bolts:
        visible = visible_fractions(scene.truth)
        for index, mask in enumerate(scene.truth.masks()):
            if visible[index] > 0.7:
                found = registration.register(scene.frame, mask)
                errors.append(
                    mssd(
                        scene.truth.poses[index],
                        found.pose,
                        registration.points[:500],
                        part.rotations(),
                    )
                    / part.diameter_m
                )
    assert len(errors) >= 5 and np.median(errors) < 0.02 and np.mean(np.array(errors) < 0.1) > 0.7


def test_a_cylinder_that_stands_is_not_taken_for_one_that_lies():
    part = load_part('cylinder')
    registration, seen = MeshRegistration(part.mesh), 0
    for scene in islice(scene_stream(bin_setup('cylinder', seed=77)), 4):
        truth = scene.labelled()
        for mask, pose, share in zip(truth.masks(), truth.poses, visible_fractions(truth)):
            if share > 0.8 and abs(pose[2, 2]) > 0.98:
                found, seen = registration.register(scene.frame, mask), seen + 1
                assert (
                    found is not None
                    and abs(found.pose[2, 2]) > 0.95
                    and add_s(pose, found.pose, registration.points) < 0.03 * part.diameter_m
                )
    assert seen >= 4


@pytest.mark.parametrize('turned', [False, True])
def test_a_sheet_is_registered_whichever_way_its_triangles_face(turned):
    corners = [[-0.05, -0.03, 0], [0.05, -0.03, 0], [0.05, 0.03, 0], [-0.05, 0.03, 0]]
    sheet = trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]])
    if turned:
        sheet.invert()
    depth = np.full((120, 160), 0.5, np.float32)
    depth[45:75, 55:105] = 0.4
    frame = Frame(depth, Intrinsics(200.0, 200.0, 79.5, 59.5, 160, 120))
    found = MeshRegistration(sheet).register(frame, depth < 0.45)
    assert found is not None and found.score > 0.9
    assert found.pose[2, 3] == pytest.approx(0.4, abs=1e-3)


def test_a_silhouette_is_all_of_a_part_whatever_hides_it(bolts):
    registration = MeshRegistration(load_part('bolt').mesh)
    for scene in bolts[:2]:
        truth = scene.labelled()
        for pose, whole in zip(truth.poses, truth.amodal):
            shown = registration.silhouette(pose, scene.frame.intrinsics)
            assert foreground_iou(whole, shown) > 0.97
    camera, pose = bolts[0].frame.intrinsics, np.eye(4)
    size = (camera.height, camera.width)
    for place, share in (((0, 0, -1), 0), ((5, 0, 1), 0), ((0, 0, 0), 1)):
        pose[:3, 3] = place
        # Behind the camera, beside what it sees, around it.
        shown = registration.silhouette(pose, camera)
        assert shown.shape == size and shown.mean() == share


def test_instances_together_are_registered_as_each_alone(bolts):
    registration, scene = MeshRegistration(load_part('bolt').mesh), bolts[0]
    masks = [*scene.truth.masks(), np.zeros(scene.frame.depth_m.shape, bool)]
    together = registration.register_all(scene.frame, masks)
    assert together[-1] is None
    for mask, one in zip(masks[:2], together):
        alone = registration.register(scene.frame, mask)
        assert np.allclose(one.pose, alone.pose, atol=1e-4)
    again = registration.register_all(scene.frame, masks)
    assert all(np.array_equal(a.pose, b.pose) for a, b in zip(together[:-1], again))


def test_a_rotation_that_is_known_needs_no_search(bolts):
    registration, scene = MeshRegistration(load_part('bolt').mesh), bolts[0]
    part, visible = load_part('bolt'), visible_fractions(scene.truth)
    index = int(visible.argmax())
    truth, mask = scene.truth.poses[index], list(scene.truth.masks())[index]
    found = registration.register(scene.frame, mask, truth[None, :3, :3], search=False)
    assert mssd(truth, found.pose, registration.points, part.rotations()) < 0.03 * part.diameter_m


def test_files_that_are_no_mesh_are_refused(tmp_path):
    (tmp_path / 'a.stl').write_text('no mesh')
    with pytest.raises(InputError, match='a.stl'):
        read_mesh(tmp_path / 'a.stl')


def test_what_no_pose_explains_has_none(bolts):
    """A mesh that is flung out of sight contradicts nothing; it must not win."""
    frame = bolts[0].frame
    ball = load_part('bolt').mesh.copy().apply_scale(0.2)
    whole = np.ones(frame.depth_m.shape, bool)
    found = MeshRegistration(ball).register(frame, whole)
    assert found is None or found.score > 0
