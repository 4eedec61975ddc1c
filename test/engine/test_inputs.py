"""What is learnt from: refused where it is no height map of parts, empty bins left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_trainings import LOOP, disks, heights_file, small_cutpaste

from insegan_ros.errors import DatasetError
from insegan_ros.methods.cutpaste.recipe import train_cutpaste
from insegan_ros.methods.registry import METHODS


@pytest.mark.parametrize('recipe', ['cutpaste', 'insegan', 'point-template'])
def test_heights_that_are_no_numbers_and_a_single_picture_are_refused(tmp_path, recipe):
    method = METHODS[recipe]

    def train(name: str, heights: np.ndarray) -> None:
        data = heights_file(tmp_path / f'{name}.h5', heights)
        method.run(method.config_class(data=data, out=str(tmp_path / 'run'), loop=LOOP))

    broken = disks(20)
    broken[7, 3, 3], broken[9, 0, 0] = np.nan, np.inf
    with pytest.raises(
        DatasetError, match='2 of 20 height maps hold values that are not numbers, the first is 7'
    ):
        train('broken', broken)
    with pytest.raises(DatasetError, match='holds 1 height maps with parts: expected 5 or more'):
        train('one', disks(1))
    with pytest.raises(DatasetError, match='nothing in the data stands 5 mm or more'):
        train('empty', 0 * disks(20))
    assert not (tmp_path / 'run').exists()


def test_empty_bins_among_the_pictures_are_left_out_aloud(tmp_path, capsys):
    found = []
    for name, heights in (
        ('full', disks(20)),
        ('some', np.concatenate([disks(10), 0 * disks(30), disks(10)])),
    ):
        data = heights_file(tmp_path / f'{name}.h5', heights)
        folder = train_cutpaste(small_cutpaste(data, tmp_path / name))
        found.append(load_file(folder / 'weights.safetensors'))
        assert (
            '30 of 50 height maps show an empty bin and are left out'
            in (said := capsys.readouterr().out)
        ) == (name == 'some')
        assert '20 height maps, 60 parts lie alone in them; one covers some 97 px' in said
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
