"""Residual backbones of the methods that learn from image-level labels: torchvision's, or a small
one that a CPU trains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.error import URLError

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample, pad
from torchvision.models import get_weight, resnet18, resnet50
from torchvision.models.resnet import BasicBlock
from torchvision.ops import FrozenBatchNorm2d

from insegan_ros.errors import ConfigError

# ImageNet's, by channel of a picture in [0, 1]; a fourth channel is height.
MEAN, STD = (0.485, 0.456, 0.406, 0.3), (0.229, 0.224, 0.225, 0.3)
SMALL_WIDTHS = (32, 64, 128, 256)
Norm = Callable[[int], nn.Module]
RESNETS = {
    'resnet18': (resnet18, 'ResNet18_Weights', (64, 64, 128, 256, 512)),
    'resnet50': (resnet50, 'ResNet50_Weights', (64, 256, 512, 1024, 2048)),
}


@dataclass(frozen=True)
class BackboneConfig:
    """Which residual network."""

    name: Literal['small', 'resnet18', 'resnet50'] = 'small'
    """small: four residual blocks of half ResNet-18's widths, which a CPU trains; the others are
    torchvision's, resnet50 is the papers'."""
    weights: str = ''
    """torchvision's name for ImageNet weights, such as IMAGENET1K_V1, whose batch norm is then
    frozen; where they can neither be found nor fetched, or if empty, training begins from
    scratch."""

    def __post_init__(self) -> None:
        if self.name in RESNETS and self.weights:
            try:
                get_weight(f'{RESNETS[self.name][1]}.{self.weights}')
            except (KeyError, ValueError) as error:
                raise ConfigError(
                    f'backbone.weights is "{self.weights}": expected a name of torchvision for'
                    f' {self.name}, such as IMAGENET1K_V1, or empty'
                ) from error


class Backbone(nn.Module):
    """Pictures (B, C, H, W), normalised -> five levels at 1/4, 1/4, 1/8, 1/16 and 1/16 of their
    size (1/32 with last_stride 2), of `widths` channels.

    channels: 3 for colour, 4 with height. frozen_norm: batch norm keeps the statistics and the
    scale that the weights bring, such as those of `imagenet_state`.
    """

    def __init__(
        self,
        config: BackboneConfig,
        channels: int,
        last_stride: Literal[1, 2] = 1,
        frozen_norm: bool = False,
    ) -> None:
        super().__init__()
        norm: Norm = FrozenBatchNorm2d if frozen_norm else nn.BatchNorm2d
        if config.name == 'small':
            self._make_small(channels, last_stride, norm)
        else:
            self._take_resnet(config.name, channels, last_stride, norm)

    def _make_small(self, channels: int, last_stride: int, norm: Norm) -> None:
        self.widths = (SMALL_WIDTHS[0], *SMALL_WIDTHS)
        self.stem = nn.Sequential(
            nn.Conv2d(channels, SMALL_WIDTHS[0], 7, 2, 3, bias=False),
            norm(SMALL_WIDTHS[0]),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        )
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _block(before, after, stride, norm)
            for before, after, stride in zip(self.widths, self.widths[1:], (1, 2, 2, last_stride))
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')

    def _take_resnet(self, name: str, channels: int, last_stride: int, norm: Norm) -> None:
        make, _, self.widths = RESNETS[name]
        network = make(weights=None, norm_layer=norm)
        if channels != 3:
            network.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
        self.stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        self.layer1 = network.layer1
        self.layer2 = network.layer2
        self.layer3 = network.layer3
        self.layer4 = network.layer4
        if last_stride == 1:
            for module in self.layer4[0].modules():
                if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
                    module.stride = (1, 1)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """The five levels, (B, widths[i], h, w) each."""
        out = [self.stem(pictures)]
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            out.append(layer(out[-1]))
        return out


class FrozenBackbone(Backbone):
    """A backbone that another stage has trained: it learns nothing, and its batch norm stays as
    that stage left it whatever mode its owner is in."""

    def __init__(self, config: BackboneConfig, channels: int, frozen_norm: bool = False) -> None:
        super().__init__(config, channels, frozen_norm=frozen_norm)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> FrozenBackbone:
        """Itself, still in evaluation mode."""
        return super().train(False)


def resample(
    features: Tensor, size: Sequence[int], step: Sequence[float], first: Sequence[float] = (0, 0)
) -> Tensor:
    """Features (B, C, h, w) at a grid of `size` (H, W), whose place (i, j) is first + (i, j) * step
    in cells of theirs, 0 the middle of the first one; bilinear, and beyond the rim as at it.

    Cell i of a level of stride s looks at pixel s * i, for a strided convolution of odd width is
    centred on the first of its s pixels. `interpolate` takes it for the middle of them, and puts
    what a level of stride 16 sees 7.5 px to the right and below.
    """
    places = [
        (begin + along * torch.arange(count, device=features.device)) * 2 / max(length - 1, 1) - 1
        for begin, along, count, length in zip(first, step, size, features.shape[2:])
    ]
    y, x = torch.meshgrid(*places, indexing='ij')
    grid = torch.stack([x, y], -1).expand(len(features), -1, -1, -1)
    # In 16 bits a place is half a pixel off.
    found = grid_sample(features.float(), grid, padding_mode='border', align_corners=True)
    return found.to(features.dtype)


def steps_and_firsts(
    sized: Sequence[int], own: Sequence[int], cell: int, stride: int
) -> tuple[list[float], list[float]]:
    """`step` and `first` of `resample` for a level of this stride of a picture that was brought
    from its `own` size (H, W) to `sized`, at the middles of cells of `cell` px of the picture."""
    steps = [cell * large / px / stride for large, px in zip(sized, own)]
    return steps, [one / 2 - 0.5 / stride for one in steps]


def as_fine(features: Tensor, size: Sequence[int]) -> Tensor:
    """A level (B, C, h, w) at the cells of a finer one of `size` (H, W), whose sides are a whole
    multiple of its own."""
    if tuple(features.shape[2:]) == tuple(size):
        return features
    return resample(features, size, [own / fine for own, fine in zip(features.shape[2:], size)])


def to_tensor(picture: np.ndarray, device: torch.device) -> Tensor:
    """A picture (H, W, C) uint8 as (C, H, W) on a device."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))).to(device)


def padded(picture: Tensor) -> Tensor:
    """A picture (C, H, W) whose sides are multiples of 16; what is missing to the right and below
    is black."""
    return pad(picture, (0, -picture.shape[2] % 16, 0, -picture.shape[1] % 16))


def normalise(pictures: Tensor) -> Tensor:
    """uint8 pictures (B, C, H, W) as float32 of ImageNet's mean and deviation, which backbones
    expect."""
    mean, std = (
        torch.tensor(values[: pictures.shape[1]], device=pictures.device)[:, None, None]
        for values in (MEAN, STD)
    )
    return (pictures.float() / 255 - mean) / std


def imagenet_state(config: BackboneConfig, channels: int) -> dict[str, Tensor] | None:
    """ImageNet weights for a Backbone of 3 or 4 channels; None where the configuration names none,
    or they cannot be fetched, which it says. The weights of height begin as the mean of the
    colours'."""
    if config.name not in RESNETS or not config.weights:
        return None
    try:
        found = get_weight(f'{RESNETS[config.name][1]}.{config.weights}').get_state_dict(
            check_hash=True, progress=False
        )
    except (URLError, OSError, RuntimeError) as error:
        print(
            f'ImageNet weights {config.weights} of {config.name} are not on disk and cannot be'
            f' fetched ({str(error).splitlines()[0]}): training from scratch'
        )
        return None
    first = found['conv1.weight']
    found['conv1.weight'] = torch.cat(
        [first, *(first.mean(1, keepdim=True) for _ in range(channels - 3))], 1
    )
    names = {'conv1': 'stem.0', 'bn1': 'stem.1'}
    return {
        '.'.join([names.get(name.split('.')[0], name.split('.')[0]), *name.split('.')[1:]]): value
        for name, value in found.items()
        if not name.startswith('fc.') and not name.endswith('num_batches_tracked')
    }


def _block(before: int, after: int, stride: int, norm: Norm) -> nn.Sequential:
    """A residual block, with a 1x1 convolution beside it where the shape changes."""
    change = (
        nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), norm(after))
        if stride != 1 or before != after
        else None
    )
    return nn.Sequential(BasicBlock(before, after, stride, change, norm_layer=norm))
