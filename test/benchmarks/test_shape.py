"""The measures of reconstructed meshes, on meshes whose figures are known."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from insegan_ros.benchmarks.shape import SEEDS, cells, compare, markdown, outer_points
from insegan_ros.geometry.meshes import best_alignment
from insegan_sim.parts import PARTS, load_part


def test_the_full_budget_has_three_seeds_of_every_part_and_sensor():
    full = cells('full')
    for sensor in ('ideal', 'd435'):
        for part in PARTS:
            of_part = [one for one in full if (one.part, one.sensor) == (part, sensor)]
            assert {one.seed for one in of_part if one.views == 40} == set(SEEDS)
            assert {one.views for one in of_part} == {20, 40, 80}
    assert {one.views for one in cells('medium')} == {40} and len(cells('medium')) == 60
    assert len(SEEDS) == 3 and len(cells('small')) == 1


def test_the_table_has_the_mean_and_the_worst_seed_and_why_others_were_refused():
    common = {'part': 'nut', 'sensor': 'ideal', 'views': 40, 'protocol': 'ideal depth'}
    made = {'refused': 0.0, 'volume IoU': 0.9, 'surface found': 1.0, 'processor time': 20.0}
    results = [
        {**common, **made, 'chamfer': 0.01},
        {**common, **made, 'chamfer': 0.02},
        {**common, 'refused': 1.0, 'reason': 'two poses fit'},
    ]
    text = markdown(results, 'full', 'a machine')
    assert '| nut | 2 of 3 | 1.50% | 2.00% | 0.900 | 1.000 | 20 |' in text
    assert '- nut, ideal depth: two poses fit' in text
    assert '| nut | 0 of 1 | - | - | - | - | - |' in markdown(results[2:], 'full', 'a machine')


def test_a_turned_part_is_laid_on_itself():
    part = load_part('connector')
    pose = trimesh.transformations.rotation_matrix(2.0, [0.3, -0.8, 0.5])
    pose[:3, 3] = 0.01, -0.02, 0.005
    turned = part.mesh.copy()
    turned.apply_transform(pose)
    assert np.allclose(best_alignment(turned, part.mesh) @ pose, np.eye(4), atol=0.05)
    values = compare(turned, part)
    assert values['chamfer'] < 0.01 and values['volume IoU'] > 0.95
    assert values['surface found'] > 0.99


def test_a_part_that_is_too_large_is_as_far_off():
    part = load_part('cylinder')
    grown = part.mesh.copy()
    grown.apply_scale(1.1)
    values = compare(grown, part)
    assert values['volume IoU'] == pytest.approx(1 / 1.1**3, abs=0.03)
    assert 0.02 < values['chamfer'] < 0.05


def test_a_hollow_that_nothing_leads_to_does_not_count():
    shell = trimesh.creation.box([0.05] * 3).difference(
        trimesh.creation.box([0.03] * 3), engine='manifold'
    )
    points = outer_points(shell, 3000)
    assert np.abs(points).max(1).min() > 0.0249 and len(points) > 1500
