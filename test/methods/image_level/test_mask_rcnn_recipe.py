"""Mask R-CNN taught by true masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from small_image_level import MASKS, SHORT

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import CheckpointError, InputError
from insegan_ros.methods.image_level.mask_rcnn_recipe import (
    TrainMaskRcnnConfig,
    train_supervised_masks,
)


def test_the_ceiling_learns_from_true_masks(mixed: Path, tmp_path: Path):
    config = TrainMaskRcnnConfig(
        data=str(mixed / 'full'), out=str(tmp_path / 'run'), mask_rcnn=MASKS, **SHORT
    )
    assert (
        Checkpoint.load(train_supervised_masks(config)).training['data']
        == '8 pictures with true masks'
    )
    with pytest.raises(InputError, match='image-level labels only'):
        train_supervised_masks(
            replace(config, data=str(mixed / 'image'), out=str(tmp_path / 'other'))
        )
    with pytest.raises(CheckpointError, match='no checkpoint at'):
        train_supervised_masks(
            replace(config, begin=str(tmp_path / 'nothing'), out=str(tmp_path / 'third'))
        )
