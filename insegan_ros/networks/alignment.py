"""Aligning two unordered sets of n vectors (Cherian et al., Eq. 4): which permutation makes them nearest."""
from __future__ import annotations

from functools import lru_cache
from itertools import permutations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

MAX_ENUMERATED = 6


@lru_cache(maxsize=None)
def _all_permutations(count: int) -> Tensor:
    return torch.tensor(list(permutations(range(count))))


def align(cost: Tensor) -> Tensor:
    """The exact optimal permutation of every batch entry.

    cost (B, n, n): cost[b, i, j] of matching target i with prediction j. Returns (B, n) int64: target i takes prediction
    out[b, i]. Up to n = 6 all permutations are enumerated on the device; above, scipy's Hungarian method solves each.
    """
    count = cost.shape[-1]
    cost = cost.detach()
    if count > MAX_ENUMERATED:
        solved = np.stack([linear_sum_assignment(matrix)[1] for matrix in cost.cpu().numpy()])
        return torch.from_numpy(solved).long().to(cost.device)
    table = _all_permutations(count).to(cost.device)
    totals = cost[:, torch.arange(count, device=cost.device), table].sum(-1)
    return table[totals.argmin(-1)]
