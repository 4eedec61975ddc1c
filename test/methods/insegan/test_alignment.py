"""Instances are matched at the least cost."""

from __future__ import annotations

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from insegan_ros.errors import ConfigError
from insegan_ros.methods.insegan.alignment import align


@pytest.mark.parametrize('method', ['exact', 'ipot'])
@pytest.mark.parametrize('count', [1, 3, 5, 8])
def test_alignment_is_a_permutation_with_the_hungarian_cost(count, method):
    torch.manual_seed(count)
    cost = torch.rand(16, count, count)
    order = align(cost, method)
    assert (order.sort(-1).values == torch.arange(count)).all()
    for matrix, permutation in zip(cost, order):
        rows, columns = linear_sum_assignment(matrix.numpy())
        assert float(matrix[torch.arange(count), permutation].sum()) == pytest.approx(
            float(matrix.numpy()[rows, columns].sum()), abs=1e-5
        )


def test_greedy_alignment_takes_the_cheapest_pair_first_and_pays_for_it():
    cost = torch.tensor([[[1.0, 2.0], [1.5, 9.0]]])
    assert align(cost, 'greedy').tolist() == [[0, 1]] and align(cost).tolist() == [[1, 0]]
    order = align(torch.rand(8, 5, 5), 'greedy')
    assert (order.sort(-1).values == torch.arange(5)).all()
    with pytest.raises(
        ConfigError, match='unknown alignment "best": expected one of exact, greedy, ipot'
    ):
        align(cost, 'best')
