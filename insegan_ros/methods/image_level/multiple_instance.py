"""Which proposal of a bag shows the object best: WSDDN's two streams (Bilen and Vedaldi, CVPR
2016), the first branch of CCGR, and its training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from insegan_ros.errors import ConfigError, DatasetError
from insegan_ros.methods.image_level.backbone import Backbone, BackboneConfig, normalise
from insegan_ros.methods.image_level.bags import Bag
from insegan_ros.methods.image_level.box_refinement import Box
from insegan_ros.methods.image_level.run import ImageRun
from insegan_ros.methods.image_level.stage import ImageStage, vary_colours

# Features of a proposal are pooled to so many cells a side.
CELLS = 7
# roi_align takes a cell of 16 px for the middle of them; it looks at the first (see `resample`).
SHIFT_PX = 7.5


class MultipleInstanceNet(nn.Module):
    """uint8 pictures (B, C, H, W) and the proposals of their bags -> for each bag the scores (K, R)
    of its proposals."""

    def __init__(
        self,
        backbone: BackboneConfig,
        channels: int,
        classes: int,
        width: int = 256,
        frozen_norm: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = Backbone(backbone, channels, frozen_norm=frozen_norm)
        self.shared = nn.Sequential(
            nn.Flatten(),
            nn.Linear(self.backbone.widths[-1] * CELLS**2, width),
            nn.ReLU(inplace=True),
            nn.Linear(width, width),
            nn.ReLU(inplace=True),
        )
        self.classify, self.detect = nn.Linear(width, classes), nn.Linear(width, classes)

    def forward(self, pictures: Tensor, bags: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """bags: for every picture (B, C, H, W) the boxes (R, 4) px of each of its bags; returns the
        bags' scores (K, R) in their order."""
        boxes = [
            torch.cat(list(some)) if len(some) else pictures.new_zeros((0, 4), dtype=torch.float32)
            for some in bags
        ]
        deep = self.backbone(normalise(pictures))[-1]
        laid = [box + SHIFT_PX for box in boxes]
        features = self.shared(roi_align(deep, laid, CELLS, 1 / 16, 2, aligned=True))
        classes, detections = self.classify(features), self.detect(features)
        sizes = [len(bag) for some in bags for bag in some]
        return [
            bag_scores(one, other)
            for one, other in zip(classes.split(sizes), detections.split(sizes))
        ]


def bag_scores(classes: Tensor, detections: Tensor) -> Tensor:
    """x^B (K, R) of a bag, of both streams' logits (R, K): softmax over classes times softmax over
    proposals."""
    return (classes.softmax(1) * detections.softmax(0)).T


def bag_loss(scores: Tensor, class_id: int) -> Tensor:
    """Cross-entropy of a bag's class scores, which are the sums of its scores (K, R) over the
    proposals, with the class of its peak."""
    total = scores.sum(1).clamp(1e-6, 1 - 1e-6)
    wanted = torch.zeros_like(total)
    wanted[class_id] = 1
    return -(wanted * total.log() + (1 - wanted) * (1 - total).log()).sum()


@dataclass(frozen=True)
class MultipleInstanceConfig:
    """How the multiple instance branch is trained."""

    steps: int = 500
    """Optimisation steps a round."""
    batch: int = 4
    """Pictures a step."""
    rate: float = 1e-4
    """Adam's learning rate."""
    decay: float = 1e-4
    """Weight decay."""
    width: int = 256
    """Width of its fully connected layers."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or self.width < 1:
            raise ConfigError(
                f'boxes.steps is {self.steps}, batch {self.batch}, width {self.width}: expected 1'
                ' or more'
            )


class BoxesStage(ImageStage):
    """The multiple instance branch on the bags of every picture. boxes: of every picture those (P,
    4) px that its bags' proposals are numbers of. start: a Backbone's weights; frozen_norm: whether
    its batch norm is ImageNet's."""

    def __init__(
        self,
        run: ImageRun,
        settings: MultipleInstanceConfig,
        bags: list[list[Bag]],
        boxes: list[np.ndarray],
        start: dict[str, Tensor],
        frozen_norm: bool,
        name: str,
    ) -> None:
        super().__init__(run, settings, name)
        self.bags = bags
        self.boxes = boxes
        self.usable = [index for index, some in enumerate(bags) if some]
        if not self.usable:
            raise DatasetError(
                f'there is no bag in {len(bags)} pictures: expected proposals that hold one peak;'
                ' train the classifier longer, or lower proposals.min_area'
            )
        images = run.images
        network = MultipleInstanceNet(
            run.config.backbone, images.channels, len(images.classes), settings.width, frozen_norm
        )
        network.backbone.load_state_dict(start)
        optimiser = torch.optim.AdamW(
            network.parameters(), settings.rate, weight_decay=settings.decay
        )
        self.set_up(network, optimiser)
        _freeze_norm(network)

    def step(self, index: int) -> dict[str, Tensor]:
        """One optimisation step; returns the mean of the bags' losses. Pictures are not turned:
        their boxes are not."""
        chosen = self.draw(self.usable)
        pictures = self.read(chosen).to(self.run.device)
        pictures = vary_colours(pictures, self.run.config.colours)
        scores = self.network(pictures, [self._proposals(number) for number in chosen])
        class_ids = [bag.class_id for number in chosen for bag in self.bags[number]]
        loss = torch.stack([bag_loss(*one) for one in zip(scores, class_ids)]).mean()
        self.learn(loss)
        return {'L_MIL': loss.detach()}

    def _proposals(self, number: int) -> list[Tensor]:
        """The boxes (R, 4) of each of a picture's bags."""
        boxes = self.boxes[number]
        return [
            torch.from_numpy(boxes[bag.proposals]).to(self.run.device) for bag in self.bags[number]
        ]

    @torch.no_grad()
    def choose(self, number: int) -> list[Box]:
        """Of every bag of a picture its class id, its score, and the box (4,) px of its best
        proposal."""
        if not self.bags[number]:
            return []
        picture = self.read([number]).to(self.run.device)
        chosen = []
        for bag, scores in zip(self.bags[number], self.network(picture, [self._proposals(number)])):
            own = scores[bag.class_id]
            best = self.boxes[number][bag.proposals[own.argmax().item()]]
            chosen.append((bag.class_id, float(own.sum()), best))
        return chosen


def _freeze_norm(network: MultipleInstanceNet) -> None:
    """Few pictures a step: batch norm stays as the classifier left it."""
    for module in network.backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
