"""One interface: frames of a camera in trouble are survived by any method."""

from __future__ import annotations

import numpy as np
import pytest

from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.workspace import Workspace


def troubled_frames():
    """What drivers send when something is wrong, and the bin's state that it should be; None where
    any will do."""
    flat = np.full((240, 320), 0.6, np.float32)
    yield 'saturated', np.full_like(flat, 65.535), 'empty'
    part = np.full_like(flat, np.nan)
    part[:50, :25] = 0.5
    yield 'a corner alone', part, 'no_reading'
    stripes = flat.copy()
    stripes[:, ::2] = np.nan
    yield 'every other column', stripes, 'empty'
    band = flat.copy()
    band[100:150] = 65.535
    yield 'a saturated band', band, 'empty'
    yield 'noise', np.random.default_rng(0).uniform(0.1, 10, flat.shape).astype(np.float32), None


@pytest.mark.parametrize(
    'name, depth, state',
    list(troubled_frames()),
    ids=lambda value: value if isinstance(value, str) else '',
)
@pytest.mark.parametrize('model', ['kmeans', 'cutpaste-nut'])
def test_frames_of_a_camera_in_trouble_are_survived(model, name, depth, state):
    from insegan_ros.picking.picks import Surface, bin_state, rank_picks

    workspace = Workspace((0.0, 0.0, -1.0, 0.6), (-0.15, -0.12, 0.15, 0.12))
    frame = Frame(depth, Intrinsics(300.0, 300.0, 159.5, 119.5, 320, 240))
    found = load_segmenter(model, device='cpu').segment(frame, workspace)
    surface = Surface(frame, workspace)
    picks = rank_picks(surface, found)
    assert found.labels.shape == depth.shape and (
        state is None or bin_state(surface, picks).value == state
    )
    assert not any(pick.possible for pick in picks) or state is None
