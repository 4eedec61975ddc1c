"""Foreground by independence on small pictures."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from drawn_pictures import draw, frame, independence
from lightning.fabric import Fabric

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.engine.loop import seed_step
from insegan_ros.methods.foreground.independence_recipe import (
    IndependenceGanConfig,
    IndependenceStage,
    teacher_predictions,
    train_independence,
)
from insegan_ros.methods.foreground.network import ForegroundConfig, inner_square
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.nn.augmentation import in_range


def test_distillation_is_a_switch(pictures, independence_run, tmp_path, any_teacher):
    distilled = Checkpoint.load(independence_run / 'checkpoint')
    raw = Checkpoint.load(
        train_independence(replace(independence(*pictures, tmp_path / 'b'), distillation=False))
    )
    assert set(distilled.weights) == {'unet', 'teacher'} and set(raw.weights) == {'unet'}
    assert all(
        torch.equal(value, raw.weights['unet'][name])
        for name, value in distilled.weights['teacher'].items()
    )
    assert load_segmenter(str(tmp_path / 'b' / 'checkpoint')).segment(frame()).labels.shape == (
        48,
        64,
    )


def test_the_background_is_another_picture():
    images = torch.full((40, 3, 32, 32), 200, dtype=torch.uint8)
    empty = torch.full((10, 3, 32, 32), 40, dtype=torch.uint8)
    fabric = Fabric(accelerator='cpu', devices=1)
    for background, below in (('independent', 40), ('dependent', 200)):
        stage = IndependenceStage(
            fabric,
            IndependenceGanConfig(batch=4, background=background),
            ForegroundConfig(8, 3),
            images,
            empty,
        )
        torch.nn.init.constant_(stage.provider.module.head.bias, -30.0)
        torch.nn.init.zeros_(stage.provider.module.head.weight)
        assert torch.allclose(
            stage.composites()[2],
            in_range(torch.tensor(float(below))).expand(4, 3, 32, 32),
            atol=1e-5,
        )


def test_nothing_outside_of_the_box_is_foreground():
    images = torch.full((40, 3, 32, 32), 200, dtype=torch.uint8)
    empty = torch.full((10, 3, 32, 32), 40, dtype=torch.uint8)
    box = inner_square(32, 1.6)
    assert (
        float(box.mean()) == pytest.approx(1 / 1.6**2, abs=0.02)
        and box[0, 0, 0, 16] == 0
        and box[0, 0, 16, 16] == 1
    )
    stage = IndependenceStage(
        Fabric(accelerator='cpu', devices=1),
        IndependenceGanConfig(batch=8),
        ForegroundConfig(8, 3),
        images,
        empty,
        box,
    )
    torch.nn.init.constant_(stage.provider.module.head.bias, 30.0)
    torch.nn.init.zeros_(stage.provider.module.head.weight)
    _, masks, composites = stage.composites()
    assert (masks[:, :, 0] == 0).all() and (masks[:, :, 16, 16] > 0.99).all()
    assert torch.allclose(
        composites[:, :, 0, 0], in_range(torch.tensor(40.0)), atol=1e-4
    ) and torch.allclose(composites[:, :, 16, 16], in_range(torch.tensor(200.0)), atol=1e-4)


def test_the_teacher_is_averaged_over_views():
    """A network that answers by place gets an answer that no mirror image changes."""

    class ByPlace(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.linspace(-4, 4, images.shape[3]).expand(len(images), 1, *images.shape[2:])

    answers = teacher_predictions(ByPlace(), torch.zeros(3, 3, 32, 32, dtype=torch.uint8))
    assert (
        answers.shape == (3, 32, 32)
        and torch.allclose(answers, answers.flip(2), atol=1e-6)
        and float(answers.std()) < 0.02
    )


@pytest.mark.parametrize('size, sides', [(32, [32]), (64, [64, 80])])
def test_the_teacher_looks_at_every_size_once(size, sides):
    seen = []

    class Noting(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(images.shape[-1])
            return images[:, :1]

    teacher_predictions(Noting(), torch.zeros(1, 3, size, size, dtype=torch.uint8))
    assert seen == [side for side in sides for _ in range(4)]


def test_backgrounds_are_as_sharp_as_pictures():
    """Of noise, blurred by nothing but how it was read, crops of half a background are as rough as
    pictures are: it is read larger."""
    torch.manual_seed(0)
    pictures = torch.randint(256, (64, 3, 32, 32), dtype=torch.uint8)
    backgrounds = torch.randint(256, (64, 3, 64, 64), dtype=torch.uint8)
    config = IndependenceGanConfig(batch=32, discriminator_width=16, patch=0.5, max_patch=0.5)
    fabric = Fabric(accelerator='cpu', devices=1)
    stage = IndependenceStage(
        fabric, config, ForegroundConfig(8, 3), pictures, backgrounds, torch.zeros(1, 1, 32, 32)
    )
    _, masks, composites = stage.composites()
    assert composites.shape == (32, 3, 32, 32) and not masks.any()
    # Backgrounds of 32 px have .28, pictures .48.
    assert float(composites.diff(dim=3).std()) > 0.4


@pytest.mark.slow
def test_the_mask_is_learnt_not_thresholded(pictures):
    """Toy: a colour threshold. Object and background have equal mean colours here, and no mask is
    given."""
    images, masks = draw(400, 32, 3)
    backgrounds, _ = draw(200, 32, 4, objects=False)
    torch.manual_seed(0)
    stage = IndependenceStage(
        Fabric(accelerator='cpu', devices=1),
        IndependenceGanConfig(
            batch=8, discriminator_width=16, area=2.0, smallest=0.05, rate_g=8e-4, rate_d=4e-4
        ),
        ForegroundConfig(8, 3),
        *(
            torch.from_numpy(np.ascontiguousarray(some.transpose(0, 3, 1, 2)))
            for some in (images, backgrounds)
        ),
    )
    for index in range(150):
        seed_step(0, 'gan', index)
        stage.step(index)
    found = (
        teacher_predictions(
            stage.provider.module.eval(),
            torch.from_numpy(images[:100].transpose(0, 3, 1, 2).copy()),
        ).numpy()
        > 0.5
    )
    iou = np.mean([(a & b).sum() / (a | b).sum() for a, b in zip(found, masks)])
    thresholded = []
    for image, mask in zip(images[:100], masks):
        bright = cv2.threshold(image[..., 0], 0, 255, cv2.THRESH_OTSU)[1] > 0
        thresholded.append(
            max((side & mask).sum() / (side | mask).sum() for side in (bright, ~bright))
        )
    # The better side of a threshold, told by the truth.
    assert iou > 0.6 and iou > np.mean(thresholded) + 0.1
