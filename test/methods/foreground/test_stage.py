"""The foreground network is taught, and its best weights kept."""

from __future__ import annotations

from dataclasses import replace

import torch
from drawn_pictures import UNET, draw
from lightning.fabric import Fabric

from insegan_ros.methods.foreground.labelled_pictures import LabelledPictures
from insegan_ros.methods.foreground.stage import ForegroundStage


def test_the_best_weights_on_synthetic_pictures_are_kept():
    images, masks = draw(64, 32, 5)
    factory = LabelledPictures(
        torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), torch.from_numpy(masks)
    )
    stage = ForegroundStage(
        Fabric(accelerator='cpu', devices=1), replace(UNET, validate_every=1), factory, 'unet'
    )
    stage.step(0)
    kept = {name: value.clone() for name, value in stage.best.state_dict().items()}
    quality = float(stage.quality.value)
    stage.quality.value.fill_(2.0)
    stage.step(1)
    assert (
        all(torch.equal(value, kept[name]) for name, value in stage.best.state_dict().items())
        and 0 <= quality <= 1
    )
