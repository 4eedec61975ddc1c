"""Bins with round corners, a round foot and walls that lean: what is seen, and what parts lie
against."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tilted_bins import MOULDED, cylinders_at, tilted_camera

from insegan_sim.mouldings import Guide, Moulding
from insegan_sim.parts import load_part
from insegan_sim.world import Pile, World


def test_the_surface_is_the_one_that_the_bounds_describe():
    scene = cylinders_at(tilted_camera((10.0, 0.0, 0.0), container=MOULDED))
    found = scene.require_workspace()
    corner_m, foot_m, slope_deg = MOULDED.rounding
    assert (found.foot_radius_m, found.wall_slope_deg) == (foot_m, slope_deg)
    x_min, y_min, x_max, y_max = found.require_bounds()
    # The simulator's bounds keep away from the walls.
    bounds = x_min - 0.003, y_min - 0.003, x_max + 0.003, y_max + 0.003
    walls = replace(found, bounds=bounds, corner_radius_m=corner_m)
    points = scene.frame.points()
    height, free = walls.height_of(points), walls.wall_distance(points)
    on_walls = (height > 0.003) & (height < 0.078) & (np.abs(free) < 0.02)
    assert on_walls.sum() > 10_000 and np.abs(free[on_walls]).max() < 0.0004
    assert (found.height_map(scene.frame) > 0.003).sum() < 20


def test_a_moulding_is_one_surface_that_shows_its_outside():
    mesh = Moulding(0.3, 0.2, 0.1).mesh(0.004)
    assert mesh.is_winding_consistent
    lean = 0.1 * np.tan(np.radians(4.0)) + 0.004
    assert np.allclose(mesh.extents, [0.3 + 2 * lean, 0.2 + 2 * lean, 0.1])
    inner = (np.abs(mesh.triangles_center[:, 0]) < 0.05) & (mesh.triangles_center[:, 1] > 0)
    foot = inner & (mesh.triangles_center[:, 2] < 0.008) & (mesh.triangles_center[:, 1] < 0.099)
    # Upwards and inwards.
    assert foot.sum() > 2 and (mesh.face_normals[foot] @ [0, -0.5, 0.5] > 0.3).all()


def clearance(guide: Guide, points: np.ndarray) -> np.ndarray:
    """How far points (N, 3) in m are from a box, negative within."""
    from scipy.spatial.transform import Rotation

    own = (points - guide.centre) @ Rotation.from_quat(guide.turn).as_matrix()
    return (np.abs(own) - guide.half_extents).max(1)


def test_the_physics_walls_are_the_ones_that_are_seen():
    made = MOULDED.moulding
    assert made is not None
    surface = made.mesh(0.004)
    outwards = (surface.triangles_center * surface.face_normals)[:, :2].sum(1)
    points = surface.triangles_center[outwards < -1e-3]
    away = np.min([clearance(guide, points) for guide in MOULDED.guides()], axis=0)
    assert len(points) > 200 and away.min() > -0.0005 and away.max() < 0.001
    # And nothing stands in the bin.
    free = np.random.default_rng(0).uniform((-0.1, -0.07, 0.011), (0.1, 0.07, 0.2), (500, 3))
    assert min(clearance(guide, free).min() for guide in MOULDED.guides()) > 0


@pytest.mark.slow
def test_parts_come_to_rest_within_the_walls():
    part = load_part('cylinder')
    with World(MOULDED) as world:
        piles = [world.drop([part] * 10, np.random.default_rng(seed)) for seed in range(6)]
    good = [pile for pile in piles if isinstance(pile, Pile)]
    assert len(good) >= 3
    camera = tilted_camera((0.0, 0.0, 0.0), container=MOULDED)
    walls = camera.workspace
    reached = []
    for pose in np.concatenate([pile.poses for pile in good]):
        place = camera.camera_from_world @ pose
        points = part.mesh.vertices @ place[:3, :3].T + place[:3, 3]
        reached.append(walls.wall_distance(points).min() + 0.003)
    assert min(reached) > -0.0015 and sum(one < 0.004 for one in reached) > 5
