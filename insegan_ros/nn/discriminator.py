"""The judge of all our GANs, and what shares its body."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class Discriminator(nn.Module):
    """Stride-2 4x4 convolutions 1-2-4-8 x width, LeakyReLU; spectral norm (product) or instance
    norm (InSeGAN's paper).

    scope `image` judges the picture as a whole (the papers); `both` judges its neighbourhoods too,
    each about one part wide: the layout of independent poses never quite looks like a settled pile,
    and a judge of the whole alone harps on that. codes: where above 0, `read` guesses so many
    numbers about a picture from the same body (E_x of improved layered GANs, which bifurcates
    before the last two layers).
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
        self.code = (
            nn.Sequential(
                nn.Conv2d(widths[-2], widths[-1], 4, 2, 1),
                nn.LeakyReLU(0.2),
                nn.Flatten(),
                nn.Linear(flat, codes),
            )
            if codes
            else None
        )

    def body(self, image: Tensor) -> Tensor:
        """image (B, channels, size, size) -> what judging and reading begin with, (B, 4 width, size
        / 8, size / 8)."""
        for stage in self.stages[:-1]:
            image = stage(image)
        return image

    def judge(self, body: Tensor) -> list[Tensor]:
        """What `body` gives -> logits of the picture (B, 1) and, with scope `both`, of its
        neighbourhoods (B, 1, size / 8, size / 8)."""
        whole = self.whole(self.stages[-1](body))
        return [whole] if self.local is None else [whole, self.local(body)]

    def read(self, body: Tensor) -> Tensor:
        """What `body` gives -> (B, codes)."""
        return self.code(body)

    def forward(self, image: Tensor) -> list[Tensor]:
        """image (B, channels, size, size) -> logits, as `judge` gives them."""
        return self.judge(self.body(image))


def _normal(layer: nn.Module) -> nn.Module:
    nn.init.normal_(layer.weight, 0, 0.02)
    return layer
