"""The poses that InSeGAN decodes, and its template registered to a mesh: with a template that is
known."""

from __future__ import annotations

import numpy as np
import open3d as o3d
import pytest
import torch
from scipy.spatial.transform import Rotation

from insegan_ros.engine.checkpoint import Checkpoint, Scales
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.geometry.principal_axes import camera_from_picture
from insegan_ros.geometry.registration import MeshRegistration
from insegan_ros.methods.insegan.generator import Generator, GeneratorConfig
from insegan_ros.methods.insegan.segmenter import GeneratorSegmenter, InSeGANSegmenter
from insegan_ros.methods.insegan.template import template_from_object
from insegan_ros.methods.posed import PosedSegmenter
from insegan_ros.metrics.poses import mssd
from insegan_ros.workspace import Workspace
from insegan_sim.parts import load_part

PIXEL_M, HEIGHT_M, PATCH = 0.004, 0.15, 40


# How the known template lies in its axes, as a rotation from the object's in the optical frame.
TURN = Rotation.from_euler('xyz', (40, -25, 70), degrees=True).as_matrix()


class KnownGenerator(Generator):
    """The real generator, ray marching and all, with a template that is known instead of learnt."""

    def __init__(self, volume: np.ndarray) -> None:
        super().__init__(GeneratorConfig(latent=16, width=8, patch=PATCH, shape='occupancy'))
        self.volume = torch.from_numpy(volume).float()[None]
        self.relief.data = torch.tensor([0.4, PATCH / 2 * PIXEL_M / HEIGHT_M])

    def template_volume(self):
        return self.volume


def occupied(mesh, side: int = 48) -> np.ndarray:
    """(side, side, side) 1 within the mesh, turned by TURN, by the picture's axes."""
    axis = ((np.arange(side) + 0.5) / side * 2 - 1) * PATCH / 2 * PIXEL_M
    z, y, x = np.meshgrid(axis, axis, axis, indexing='ij')
    in_object = np.stack([x, y, -z], -1).reshape(-1, 3) @ TURN
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(
        o3d.t.geometry.TriangleMesh.from_legacy(
            o3d.geometry.TriangleMesh(
                o3d.utility.Vector3dVector(mesh.vertices), o3d.utility.Vector3iVector(mesh.faces)
            )
        )
    )
    return (
        scene.compute_occupancy(o3d.core.Tensor(in_object.astype(np.float32)))
        .numpy()
        .reshape(side, side, side)
    )


@pytest.fixture(scope='module')
def bolt():
    return load_part('bolt')


@pytest.fixture(scope='module')
def generator(bolt):
    torch.manual_seed(0)
    return KnownGenerator(occupied(bolt.mesh))


@pytest.fixture(scope='module')
def registration(bolt):
    return MeshRegistration(bolt.mesh)


SCALES = Scales(PIXEL_M, HEIGHT_M, 100.0, 6.0)


def turned_by(rotation: np.ndarray) -> np.ndarray:
    out = np.eye(4)
    out[:3, :3] = rotation
    return out


def test_a_template_is_registered_to_the_mesh_once_up_to_the_parts_symmetries(
    bolt, generator, registration
):
    found = template_from_object(generator, 1, SCALES, registration)
    error = (
        mssd(turned_by(TURN), turned_by(found), registration.points[:500], bolt.rotations())
        / bolt.diameter_m
    )
    assert error < 0.08


class Oracle(InSeGANSegmenter):
    """The real segmenter, whose encoder is right."""

    def __init__(self, generator: Generator, z: torch.Tensor) -> None:
        super(GeneratorSegmenter, self).__init__(
            Checkpoint('insegan', 'insegan', 'bolt', SCALES, {}, {}), device='cpu'
        )
        self.generator, self.z = generator, z

    def latents(self, image):
        return self.z


@pytest.fixture(scope='module')
def composite(generator):
    """Codes of three bolts side by side, and the frame in which a camera sees them."""
    torch.manual_seed(7)
    z = generator.sample_latents(1, 3, 400)
    with torch.no_grad():
        height = (generator(z).image[0, 0].numpy() + 1) / 2 * HEIGHT_M
    far = 100 * 64 * PIXEL_M
    camera = Intrinsics(6400.0, 6400.0, 31.5, 31.5, 64, 64)
    return (
        z,
        Frame((far - height).astype(np.float32), camera),
        Workspace((0.0, 0.0, -1.0, far), (-0.1142, -0.1142, 0.1142, 0.1142)),
    )


def test_decoded_poses_are_the_parts_own_with_a_mesh(bolt, generator, registration, composite):
    z, frame, workspace = composite
    found = PosedSegmenter(Oracle(generator, z), registration).segment(frame, workspace)
    assert len(found) == 3
    with torch.no_grad():
        truth = camera_from_picture(generator.pose_decoder(z)[0][0].numpy()) @ TURN
    errors = [
        min(
            mssd(
                turned_by(one), turned_by(pose[:3, :3]), registration.points[:500], bolt.rotations()
            )
            for one in truth
        )
        / bolt.diameter_m
        for pose in found.poses
    ]
    assert max(errors) < 0.06


def test_without_a_mesh_equal_parts_share_the_templates_frame(generator, composite):
    z, frame, workspace = composite
    found = Oracle(generator, z).segment(frame, workspace)
    with torch.no_grad():
        decoded = camera_from_picture(generator.pose_decoder(z)[0][0].numpy())
    for pose in found.poses:
        assert min(np.abs(pose[:3, :3] - one).max() for one in decoded) < 1e-5
    assert all(
        np.isfinite(found.poses[:, :3, 3]).all()
        and frame.depth_m[mask].min() <= pose[2, 3] <= frame.depth_m[mask].max()
        for mask, pose in zip(found.masks(), found.poses)
    )
