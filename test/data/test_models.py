"""The models that a data set keeps: names, diameters, symmetries in m."""

from __future__ import annotations

import json

import numpy as np
import pytest

from insegan_ros.data.models import read_models
from insegan_ros.errors import DatasetError
from insegan_sim.parts import load_part


def test_a_simulated_set_tells_its_part(nut_data):
    (model,) = read_models(nut_data)
    part = load_part('nut')
    assert model.name == 'nut' and model.diameter_m == pytest.approx(part.diameter_m)
    assert model.path.is_file() and len(model.symmetries) == 12
    ours = part.rotations()
    for one in model.symmetries:
        assert np.abs(ours - one[:3, :3]).max((1, 2)).min() < 1e-6 and not one[:3, 3].any()


def test_an_axis_beside_the_origin_keeps_its_points(tmp_path):
    axis = {'axis': [0, 0, 1], 'offset': [10.0, 0, 0]}
    half = [-1, 0, 0, 20.0, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    info = {'1': {'diameter': 50.0, 'symmetries_discrete': [half], 'symmetries_continuous': [axis]}}
    (tmp_path / 'models').mkdir()
    (tmp_path / 'models/models_info.json').write_text(json.dumps(info))
    (model,) = read_models(tmp_path)
    assert (model.name, model.diameter_m, len(model.symmetries)) == ('obj_000001', 0.05, 72)
    # The axis stays where it is, 10 mm beside the origin.
    assert np.allclose(model.symmetries @ (0.01, 0, 0.3, 1), (0.01, 0, 0.3, 1))


def test_none_and_broken_ones(tmp_path):
    assert read_models(tmp_path) == []
    (tmp_path / 'models').mkdir()
    (tmp_path / 'models/models_info.json').write_text('{"1": {"name": "x"}}')
    with pytest.raises(DatasetError, match='models_info.json is not in BOP format'):
        read_models(tmp_path)
