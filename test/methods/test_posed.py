"""A mesh gives any segmenter the part's own poses, in metres."""

from __future__ import annotations

import numpy as np
import pytest

from insegan_ros.errors import InputError
from insegan_ros.methods.registry import load_segmenter
from insegan_sim.parts import load_part


def test_a_mesh_gives_any_segmenter_the_parts_own_poses(bolts, tmp_path):
    part = load_part('bolt')
    mesh = part.mesh.copy().apply_scale(1000)
    mesh.export(tmp_path / 'bolt.stl')
    segmenter = load_segmenter(
        'kmeans', instances=5, mesh=str(tmp_path / 'bolt.stl'), mesh_scale=0.001
    )
    found = segmenter.segment(bolts[0].frame, bolts[0].workspace)
    assert found.poses.shape == (len(found), 4, 4) and np.allclose(
        np.linalg.det(found.poses[:, :3, :3]), 1, atol=1e-4
    )
    # Their origin is the part's middle, below the surface that the camera sees.
    depth = [np.nanmedian(bolts[0].frame.depth_m[mask]) for mask in found.masks()]
    assert (found.poses[:, 2, 3] > np.array(depth) - 0.02).all()


def test_a_mesh_in_another_unit_is_refused_and_named(tmp_path):
    for part, model in (('nut', 'cutpaste-nut'), ('obj01', 'kmeans')):
        load_part(part).mesh.copy().apply_scale(1000).export(tmp_path / f'{part}.stl')
        with pytest.raises(
            InputError,
            match='m across.*expected metres; the scale is 0.001 for a file in millimetres',
        ):
            load_segmenter(model, mesh=str(tmp_path / f'{part}.stl'))
        assert (
            load_segmenter(
                model, mesh=str(tmp_path / f'{part}.stl'), mesh_scale=0.001
            ).registration.diameter
            < 0.2
        )
