"""The time that one frame may take."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from insegan_ros.errors import InputError
from insegan_ros.limits import check_time, time_limit
from insegan_ros.offsets.votes import covering_centres, find_centres


def test_the_limit_holds_within_and_in_this_thread_alone():
    check_time()
    others: list[bool] = []
    with pytest.raises(InputError, match='the frame took longer than 0.001 s'):
        with time_limit(0.001):
            time.sleep(0.002)
            thread = threading.Thread(target=lambda: others.append(check_time() is None))
            thread.start()
            thread.join()
            with time_limit(0):
                check_time()
            check_time()
    check_time()
    assert others == [True]


def test_votes_of_clutter_end_with_the_limit():
    votes = np.random.default_rng(0).uniform(0, 200, (20_000, 3)).astype(np.float32)
    ones = np.ones(len(votes), np.float32)
    with time_limit(1e-6):
        for find in (
            lambda: find_centres(votes, ones, (200, 200), 4.0, 1.0),
            lambda: covering_centres(votes, ones, 8.0, 1.0),
        ):
            with pytest.raises(InputError, match='longer than 1e-06 s'):
                find()
