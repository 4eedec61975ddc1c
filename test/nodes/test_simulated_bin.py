"""The bin that a simulated camera shows."""

from __future__ import annotations

import pytest
import yaml

from insegan_ros.errors import ConfigError, InputError
from insegan_ros.nodes.simulated_bin import SimulatedBin
from insegan_ros.workspace import read_workspace


def test_a_shipped_part_has_its_model_and_a_bin_as_full_as_asked(tmp_path):
    wide, narrow = SimulatedBin('bolt', instances=7, fill=0.3), SimulatedBin('bolt', fill=1.5)
    assert wide.model == 'cutpaste-bolt' and SimulatedBin('product-3').model == 'kmeans'
    setup = wide.setup()
    assert setup.count == (7, 7) and setup.container.width_m > narrow.setup().container.width_m
    wide.write_parameters(tmp_path / 'p.yaml')
    assert read_workspace(tmp_path / 'p.yaml').bounds == pytest.approx(
        setup.camera.workspace.bounds, abs=1e-3
    )
    values = yaml.safe_load((tmp_path / 'p.yaml').read_text())['/**']['ros__parameters']
    assert values['instances'] == 7 and 'mesh' not in values


def test_a_users_mesh_is_what_lies_in_the_bin(bracket_data, tmp_path):
    shown = SimulatedBin(mesh=str(bracket_data[1]), mesh_scale=0.001, instances=2)
    assert (shown.name, shown.model) == ('bracket', 'kmeans')
    assert shown.setup().classes == ('bracket',)
    shown.write_parameters(tmp_path / 'p.yaml')
    values = yaml.safe_load((tmp_path / 'p.yaml').read_text())['/**']['ros__parameters']
    assert values['mesh'] == str(bracket_data[1]) and values['mesh_scale'] == 0.001


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(InputError, match='does not exist'):
        SimulatedBin(mesh='nowhere.stl').setup()
    with pytest.raises(ConfigError, match='unknown part "sprocket"'):
        SimulatedBin('sprocket').setup()
    with pytest.raises(ConfigError, match='fill is 0: expected'):
        SimulatedBin(fill=0.0).setup()
