"""Taught by true masks it finds the object."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_pictures import draw

from insegan_ros.engine.loop import LoopConfig
from insegan_ros.errors import ConfigError
from insegan_ros.methods.foreground.network import ForegroundConfig
from insegan_ros.methods.foreground.stage import ForegroundTrainConfig
from insegan_ros.methods.foreground.supervised_recipe import (
    TrainForegroundConfig,
    train_supervised_foreground,
)
from insegan_ros.methods.registry import load_segmenter


def test_taught_by_truth_it_finds_the_object(pictures, tmp_path):
    unet = ForegroundTrainConfig(
        ForegroundConfig(8, 3), steps=120, batch=16, validate_every=60, rate=3e-3
    )
    folder = train_supervised_foreground(
        TrainForegroundConfig(
            data=str(pictures[0]),
            out=str(tmp_path / 'run'),
            size=32,
            unet=unet,
            loop=LoopConfig(device='cpu'),
        )
    )
    segmenter, ious = load_segmenter(str(folder)), []
    for image, mask in zip(*draw(20, 32, 99)):
        ious.append(
            ((segmenter.foreground(image) > 0.5) & mask).sum()
            / ((segmenter.foreground(image) > 0.5) | mask).sum()
        )
    assert np.mean(ious) > 0.8


@pytest.mark.parametrize(
    'wrong, said',
    [
        # Its checkpoint could not be loaded.
        ({'size': 4}, 'size is 4: expected 16 or more'),
        # It had no effect.
        ({'begin': 'runs/layered-gan'}, 'begin is runs/layered-gan: expected none'),
    ],
)
def test_what_it_cannot_use_is_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        TrainForegroundConfig(**wrong)
