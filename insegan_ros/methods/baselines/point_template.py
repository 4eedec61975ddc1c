"""The model of Wu et al. (ICCV Workshops 2019), a baseline of InSeGAN's Table 1: a learnt point
cloud, placed n times to explain the scene's.

"Unsupervised Joint 3D Object Model Learning and 6D Pose Estimation for Depth-Based Instance
Segmentation."
"""

from __future__ import annotations

from dataclasses import dataclass

import roma
import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from insegan_ros.heights import above_floor, unsigned


@dataclass(frozen=True)
class PointTemplateConfig:
    """Shape of the model."""

    instances: int = 5
    """Parts in an image."""
    template: int = 128
    """Points of the learnt part."""
    cloud: int = 512
    """Points taken of a scene."""
    width: int = 64
    """Channels of the pose network's first layer."""
    relief: float = 0.8
    """The height scale in half images: how tall the highest thing is against the picture's width.
    Taken from the data in training."""
    cells: int = 24
    """Side of the grid in which a higher point hides a lower one."""


class PointTemplate(nn.Module):
    """A PointNet reads n poses off the scene's cloud; the template under these poses, less what is
    hidden, must lie on the cloud (Chamfer)."""

    def __init__(self, config: PointTemplateConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.template = nn.Parameter(0.15 * torch.randn(config.template, 3))
        self.points = nn.ModuleList(
            nn.Conv1d(a, b, 1) for a, b in ((3, width), (width, 2 * width), (2 * width, 8 * width))
        )
        self.poses = nn.Sequential(
            nn.Linear(8 * width, 4 * width),
            nn.ReLU(),
            nn.Linear(4 * width, 2 * width),
            nn.ReLU(),
            nn.Linear(2 * width, 6 * config.instances),
        )
        # The instances begin in different places, else all of them go for the same part.
        angle = 2 * torch.pi * torch.arange(config.instances) / config.instances
        first = torch.stack(
            [
                angle,
                angle,
                angle,
                0.4 * angle.cos(),
                0.4 * angle.sin(),
                torch.full_like(angle, 0.2),
            ],
            -1,
        )
        nn.init.normal_(self.poses[-1].weight, 0, 0.01)
        self.poses[-1].bias.data.copy_(first.flatten())

    def cloud(self, image: Tensor) -> Tensor:
        """Points (B, M, 3) of the foreground of images (B, 1, S, S), drawn with repetition: x, y in
        half images, height in the same."""
        height = image[:, 0].flatten(1)
        weight = above_floor(height).float() + 1e-9
        chosen = torch.multinomial(weight, self.config.cloud, replacement=True)
        return self._at(chosen, height.gather(1, chosen), image.shape[-1])

    def _at(self, pixel: Tensor, height: Tensor, size: int) -> Tensor:
        x, y = ((pixel % size + 0.5) / size * 2 - 1), ((pixel // size + 0.5) / size * 2 - 1)
        return torch.stack([x, y, unsigned(height) * self.config.relief], -1)

    def place(self, cloud: Tensor) -> Tensor:
        """The template under the n poses that are read off a cloud (B, M, 3): (B, n, P, 3)."""
        x = cloud.transpose(1, 2)
        for layer in self.points:
            x = relu(layer(x))
        pose = self.poses(x.amax(2)).reshape(len(cloud), self.config.instances, 6)
        turned = self.template @ roma.rotvec_to_rotmat(pose[..., :3]).transpose(-1, -2)
        return turned + pose[..., None, 3:]

    def visible(self, placed: Tensor) -> Tensor:
        """Which of the placed points (B, n, P, 3) the camera sees, (B, n P): those near the highest
        one of their cell."""
        flat, cells = placed.detach().flatten(1, 2), self.config.cells
        x, y = (((flat[..., axis] + 1) / 2 * cells).long().clamp(0, cells - 1) for axis in (0, 1))
        cell = y * cells + x
        highest = torch.full((len(flat), cells * cells), -10.0, device=flat.device).scatter_reduce(
            1, cell, flat[..., 2], 'amax'
        )
        return flat[..., 2] > highest.gather(1, cell) - 2.0 / cells

    def losses(self, image: Tensor) -> dict[str, Tensor]:
        """Chamfer distance, both ways, between the scene's points and the template's visible
        ones."""
        cloud = self.cloud(image)
        placed = self.place(cloud)
        seen = self.visible(placed)
        squared = torch.cdist(cloud, placed.flatten(1, 2)) ** 2
        to_template = torch.where(seen[:, None], squared, torch.inf).amin(2).mean()
        to_cloud = (squared.amin(1) * seen).sum() / seen.sum()
        return {'chamfer': to_template + to_cloud}

    def divide(self, image: Tensor) -> Tensor:
        """image (1, 1, S, S) -> the instance whose template lies nearest to every pixel's point (S,
        S)."""
        size = image.shape[-1]
        every = torch.arange(size * size, device=image.device)[None]
        points = self._at(every, image[:, 0].flatten(1), size)
        placed = self.place(self.cloud(image))
        distance = torch.cdist(points, placed.flatten(1, 2)).reshape(
            size * size, self.config.instances, -1
        )
        return distance.amin(2).argmin(1).reshape(size, size)
