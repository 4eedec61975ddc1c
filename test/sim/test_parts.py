import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from insegan_ros.errors import ConfigError
from insegan_sim.parts import SHAPES, Part, bin_width_m, load_part, load_parts

SOLIDS = (*SHAPES, *(f'product-{number}' for number in range(12)))


def distance_outside(part: Part, points: np.ndarray) -> np.ndarray:
    """How far points lie outside all convex pieces, in m; 0 within one."""
    beyond = [
        ((points[:, None] - piece.triangles[None, :, 0]) * piece.face_normals).sum(-1).max(1)
        for piece in part.pieces
    ]
    return np.clip(np.min(beyond, axis=0), 0, None)


@pytest.mark.parametrize('name', SOLIDS)
def test_parts_are_watertight_solids_centred_on_their_mass(name):
    part = load_part(name)
    assert part.mesh.is_watertight and part.mesh.is_winding_consistent and part.mesh.volume > 0
    assert np.allclose(part.mesh.center_mass, 0, atol=1e-6)
    assert all(piece.is_convex and piece.is_watertight for piece in part.pieces)
    assert 0.02 < part.diameter_m < 0.25 and 0.01 < part.mass_kg < 2


@pytest.mark.parametrize('name', SOLIDS)
def test_the_pieces_that_collide_cover_what_is_seen_and_little_more(name):
    part = load_part(name)
    points, _ = trimesh.sample.sample_surface(part.mesh, 400, seed=0)
    assert distance_outside(part, np.asarray(points)).max() < 1e-5
    union = (
        part.pieces[0].union(part.pieces[1:], engine='manifold')
        if len(part.pieces) > 1
        else part.pieces[0]
    )
    assert part.mesh.volume < union.volume * 1.001 and union.volume < 1.16 * part.mesh.volume


def test_holes_stay_open():
    nut, connector, cup = load_part('nut'), load_part('connector'), load_part('product-4')
    axis = np.column_stack([np.zeros((20, 2)), np.linspace(-0.015, 0.015, 20)])
    assert distance_outside(nut, axis).min() > 0.014
    mouth = connector.mesh.bounds[1, 0] - 0.01
    assert (
        distance_outside(connector, np.array([[mouth, 0, connector.mesh.bounds[0, 2] + 0.010]]))[0]
        > 0.003
    )
    assert distance_outside(cup, np.array([[0, 0, cup.mesh.bounds[1, 2] - 0.02]]))[0] > 0.02


@pytest.mark.parametrize('name', SOLIDS)
def test_recorded_symmetries_map_the_part_onto_itself(name):
    part = load_part(name)
    points, _ = trimesh.sample.sample_surface(part.mesh, 300, seed=0)
    surface = cKDTree(trimesh.sample.sample_surface(part.mesh, 60000, seed=1)[0])
    rotations = part.rotations(steps=12)
    assert np.allclose(rotations[0], np.eye(3)) and np.allclose(np.linalg.det(rotations), 1)
    for rotation in rotations:
        assert np.quantile(surface.query(points @ rotation.T)[0], 0.95) < 0.02 * part.diameter_m


@pytest.mark.parametrize(
    'name, count',
    [
        ('nut', 12),
        ('bolt', 6),
        ('5-pin', 5),
        ('connector', 1),
        ('obj01', 2),
        ('obj05', 2),
        ('obj14', 4),
    ],
)
def test_no_symmetry_is_forgotten_and_none_is_invented(name, count):
    part = load_part(name)
    assert len(part.rotations()) == count
    # A turn about z by half of the smallest one is none.
    points, _ = trimesh.sample.sample_surface(part.mesh, 3000, seed=0)
    surface = cKDTree(trimesh.sample.sample_surface(part.mesh, 60000, seed=1)[0])
    fold = next((fold for axis, fold in part.symmetries if axis == (0, 0, 1)), 1)
    half = trimesh.transformations.rotation_matrix(np.pi / fold, (0, 0, 1))[:3, :3]
    assert surface.query(points @ half.T)[0].max() > 0.002


def test_bop_knows_the_symmetries():
    info = load_part('nut').info()
    assert len(info['symmetries_discrete']) == 11 and all(
        len(pose) == 16 for pose in info['symmetries_discrete']
    )
    assert info['diameter'] == pytest.approx(78, abs=0.5) and info['size_z'] == pytest.approx(30)
    info = load_part('cylinder').info()
    assert (
        info['symmetries_continuous'] == [{'axis': [0.0, 0.0, 1.0], 'offset': [0.0, 0.0, 0.0]}]
        and len(info['symmetries_discrete']) == 1
    )


def test_the_bin_is_filled_as_asked_for():
    parts = load_parts('nut,bolt')
    width = bin_width_m(parts, 8, 0.5)
    assert 8 * np.mean([part.footprint_m2 for part in parts]) / width**2 == pytest.approx(0.5)
    # The mean shadow of a sphere is its disc: Cauchy's formula.
    ball = trimesh.creation.icosphere(4, 0.03)
    assert Part('ball', ball, (ball,)).footprint_m2 == pytest.approx(np.pi * 0.03**2, rel=0.01)
    assert bin_width_m(parts, 1, 0.9) == pytest.approx(1.2 * load_part('bolt').diameter_m)


def test_names_and_ranges_of_names():
    assert [part.name for part in load_parts('nut, product-3:5')] == [
        'nut',
        'product-3',
        'product-4',
    ]
    for words, message in (
        ('sprocket', 'unknown part "sprocket"'),
        ('nut,nut', 'names one part twice'),
        ('product-5:2', 'not a range of products'),
        ('product-1000', 'unknown part'),
        ('', 'unknown part ""'),
    ):
        with pytest.raises(ConfigError, match=message):
            load_parts(words)


def test_products_differ_and_stay_the_same():
    assert not np.allclose(load_part('product-0').mesh.extents, load_part('product-6').mesh.extents)
    before = load_part('product-7').mesh.vertices.copy()
    load_part.cache_clear()
    assert np.array_equal(before, load_part('product-7').mesh.vertices)
