"""The discriminator of all our GANs."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class Discriminator(nn.Module):
    """Four 4x4 convolutions of stride 2 with 1, 2, 4 and 8 times `width` channels, LeakyReLU, and
    spectral norm (ours) or instance norm (InSeGAN's paper).

    scope: with `image` one logit for the whole picture, as in the papers; with `both` also a map of
    logits, each for a neighbourhood about one part wide. The layout of independently drawn poses
    never quite looks like a settled pile; a discriminator that sees the whole picture alone wins by
    that difference and teaches nothing of a part's shape. codes: where above 0, an encoder on the
    same features estimates so many numbers of the generator's code (E_x of improved layered GANs,
    which branches off before the last two layers).
    """

    def __init__(
        self,
        width: int = 32,
        norm: Literal['spectral', 'instance'] = 'spectral',
        scope: Literal['both', 'image'] = 'both',
        size: int = 64,
        channels: int = 1,
        codes: int = 0,
    ) -> None:
        super().__init__()
        wrap = spectral_norm if norm == 'spectral' else (lambda layer: layer)
        widths = (channels, width, 2 * width, 4 * width, 8 * width)
        stages: list[nn.Module] = []
        for index, (a, b) in enumerate(zip(widths, widths[1:])):
            layers: list[nn.Module] = [wrap(_normal(nn.Conv2d(a, b, 4, 2, 1)))]
            if norm == 'instance' and index:
                layers.append(nn.InstanceNorm2d(b))
            stages.append(nn.Sequential(*layers, nn.LeakyReLU(0.2)))
        self.stages = nn.ModuleList(stages)
        flat = widths[-1] * (size // 16) ** 2
        self.whole = nn.Sequential(nn.Flatten(), wrap(_normal(nn.Linear(flat, 1))))
        self.local = wrap(_normal(nn.Conv2d(widths[-2], 1, 3, 1, 1))) if scope == 'both' else None
        self.code: nn.Module | None = None
        if codes:
            self.code = nn.Sequential(
                nn.Conv2d(widths[-2], widths[-1], 4, 2, 1),
                nn.LeakyReLU(0.2),
                nn.Flatten(),
                nn.Linear(flat, codes),
            )

    def features(self, image: Tensor) -> Tensor:
        """image (B, channels, size, size) -> the features that logits and code share, (B, 4 width,
        size / 8, size / 8)."""
        for stage in self.stages[:-1]:
            image = stage(image)
        return image

    def logits(self, features: Tensor) -> list[Tensor]:
        """Features, as `features` gives them -> logits of the whole picture (B, 1) and, with scope
        `both`, of its neighbourhoods (B, 1, size / 8, size / 8)."""
        whole = self.whole(self.stages[-1](features))
        return [whole] if self.local is None else [whole, self.local(features)]

    def encode(self, features: Tensor) -> Tensor:
        """Features, as `features` gives them -> the estimated code (B, codes); for discriminators
        with codes."""
        assert self.code is not None, 'codes is 0'
        return self.code(features)

    def forward(self, image: Tensor) -> list[Tensor]:
        """image (B, channels, size, size) -> logits (B, 1) and, with scope `both`, (B, 1, size / 8,
        size / 8)."""
        return self.logits(self.features(image))


def _normal(layer: nn.Module) -> nn.Module:
    nn.init.normal_(layer.get_parameter('weight'), 0, 0.02)
    return layer
