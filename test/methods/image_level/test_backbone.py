"""Backbones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_image_level import SMALL_BACKBONE

from insegan_ros.errors import ConfigError
from insegan_ros.methods.image_level.backbone import (
    Backbone,
    BackboneConfig,
    as_fine,
    imagenet_state,
    resample,
)


@pytest.mark.parametrize('name', ['small', 'resnet18', 'resnet50'])
def test_backbones_have_five_levels_and_the_last_stride_is_one(name: str):
    backbone = Backbone(BackboneConfig(name), 3).eval()
    levels = backbone(torch.zeros(1, 3, 64, 96))
    assert [tuple(level.shape[1:]) for level in levels] == [
        (width, 64 // stride, 96 // stride)
        for width, stride in zip(backbone.widths, (4, 4, 8, 16, 16))
    ]
    assert Backbone(BackboneConfig(name), 4, last_stride=2).eval()(torch.zeros(1, 4, 64, 64))[
        -1
    ].shape[2:] == (2, 2)


def test_a_level_is_laid_where_its_cells_look():
    """What a level's cell looks at is told by its gradient; a map of those places, laid over the
    picture, must be every pixel's own place."""
    torch.manual_seed(0)
    backbone, rows = Backbone(SMALL_BACKBONE, 3).eval(), torch.arange(128.0)
    levels = []
    for level in range(5):
        places = []
        for _ in range(4):
            picture = torch.rand(1, 3, 128, 128, requires_grad=True)
            features = backbone(picture)[level]
            middle = features[0, :, features.shape[2] // 2, features.shape[3] // 2]
            (gradient,) = torch.autograd.grad((middle * torch.randn_like(middle)).sum(), picture)
            caused = gradient.abs().sum((0, 1, 3))
            places.append(float((caused * rows).sum() / caused.sum()))
        stride, cells = 128 // features.shape[2], features.shape[2]
        # Of the middle cell measured, of the others as many strides from there.
        seen = np.mean(places) + stride * (torch.arange(cells) - cells // 2)
        levels.append(seen[:, None].expand(cells, cells)[None, None].float())
        at_pixels = resample(levels[-1], (128, 128), (1 / stride, 1 / stride))[0, 0]
        inner = at_pixels[: 128 - stride, :]
        assert (inner - rows[: 128 - stride, None]).abs().max() < 2, f'level {level}'
    fine = levels[0]
    for level in levels:
        laid = as_fine(level, fine.shape[2:])
        assert (laid - fine)[..., :28, :].abs().max() < 2


@pytest.mark.parametrize('precision', [torch.bfloat16, torch.float16])
def test_a_level_of_16_bits_is_laid_as_exactly(precision):
    level = torch.rand(1, 2, 128, 128).to(precision)
    laid = as_fine(level, (512, 512))
    assert laid.dtype == precision
    assert torch.allclose(laid.float(), as_fine(level.float(), (512, 512)), atol=4e-3)


def test_imagenet_weights_that_cannot_be_had_are_said_and_done_without(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert imagenet_state(SMALL_BACKBONE, 3) is None and not capsys.readouterr().out
    state = {
        'conv1.weight': torch.ones(64, 3, 7, 7),
        'layer1.0.bn1.num_batches_tracked': torch.zeros(()),
        'fc.weight': torch.zeros(2),
    }
    config = BackboneConfig('resnet18', 'IMAGENET1K_V1')
    monkeypatch.setattr(
        'torchvision.models._api.WeightsEnum.get_state_dict', lambda *_, **__: dict(state)
    )
    taken = imagenet_state(config, 4)
    assert list(taken) == ['stem.0.weight'] and taken['stem.0.weight'].shape == (64, 4, 7, 7)

    def offline(*_: object, **__: object) -> None:
        raise OSError('no network')

    monkeypatch.setattr('torchvision.models._api.WeightsEnum.get_state_dict', offline)
    assert imagenet_state(config, 3) is None and 'training from scratch' in capsys.readouterr().out
    with pytest.raises(ConfigError, match='backbone.weights is "NONE"'):
        BackboneConfig('resnet18', 'NONE')
