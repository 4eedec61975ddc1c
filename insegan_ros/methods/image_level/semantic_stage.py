"""How semantic segmentation learns from pseudo-labels: IRNet's semantic variant, and CCGR's
semantic branch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from insegan_ros.data.mask_sets import IGNORED
from insegan_ros.drawing.overlay import palette
from insegan_ros.errors import ConfigError
from insegan_ros.methods.image_level.backbone import as_fine
from insegan_ros.methods.image_level.run import ImageRun
from insegan_ros.methods.image_level.semantic import Head, SemanticNet
from insegan_ros.methods.image_level.stage import ImageStage, draw_turns, vary_colours


@dataclass(frozen=True)
class SemanticTrainConfig:
    """How semantic segmentation is taught."""

    steps: int = 800
    """Optimisation steps."""
    batch: int = 8
    """Pictures a step."""
    rate: float = 1e-3
    """Adam's learning rate, falling to nothing along a cosine."""
    decay: float = 1e-4
    """Weight decay."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 2:
            raise ConfigError(
                f'semantic steps are {self.steps}, batch {self.batch}: expected 1 or more, 2 or'
                ' more'
            )


class SemanticStage(ImageStage):
    """labels (N, S, S) uint8: 0 background, class + 1, or IGNORED. start: a Backbone's weights.
    frozen_norm: its batch norm stays as they bring it."""

    name = 'semantic'

    def __init__(
        self,
        run: ImageRun,
        settings: SemanticTrainConfig,
        labels: np.ndarray,
        head: Head,
        start: dict[str, Tensor],
        frozen_norm: bool,
        name: str = '',
    ) -> None:
        super().__init__(run, settings, name)
        self.labels = labels
        images = run.images
        network = SemanticNet(
            head, run.config.backbone, images.channels, len(images.classes), frozen_norm
        )
        network.backbone.load_state_dict(start)
        self.set_up_adam(network)

    def step(self, index: int) -> dict[str, Tensor]:
        """One optimisation step; returns the cross-entropy where labels are known."""
        chosen = self.draw(range(len(self.run.images)))
        turns = draw_turns(len(chosen), self.run.config.above)
        pictures = self.turned(self.read(chosen), turns)
        labels = self.turned(torch.from_numpy(self.labels[chosen]).long(), turns)
        logits = self.network(vary_colours(pictures, self.run.config.colours))
        large = as_fine(logits, labels.shape[1:])
        loss = cross_entropy(large, labels, ignore_index=IGNORED)
        self.learn(loss)
        return {'loss': loss.detach()}

    @torch.no_grad()
    def pictures(self) -> dict[str, Tensor]:
        """Rows: pictures, labels, what is found."""
        chosen = torch.linspace(0, len(self.run.images) - 1, 6).long().tolist()
        pictures = self.read(chosen)
        logits = self.network(pictures.to(self.run.device))
        found = as_fine(logits, self.labels.shape[1:]).argmax(1).cpu().numpy()
        colours = palette(IGNORED)
        shown = pictures[:, :3].permute(0, 2, 3, 1).numpy()
        rows = [
            np.concatenate(list(some), 1)
            for some in (shown, colours[self.labels[chosen]], colours[found])
        ]
        sheet = torch.from_numpy(np.concatenate(rows)[::2, ::2].copy())
        return {'pictures, labels, found': sheet.permute(2, 0, 1).float() / 255}
