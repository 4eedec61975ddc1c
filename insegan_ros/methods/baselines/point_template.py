"""The model of Wu et al. ("Unsupervised Joint 3D Object Model Learning and 6D Pose Estimation for
Depth-Based Instance Segmentation", ICCV Workshops 2019), a baseline of InSeGAN's Table 1: a learnt
point cloud of the part, placed n times to explain the scene's point cloud."""

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
    """Points of the learnt template."""
    cloud: int = 512
    """Points sampled from a scene."""
    width: int = 64
    """Channels of the pose network's first layer."""
    relief: float = 0.8
    """The height scale in half sides of the image; taken from the data in training."""
    cells: int = 24
    """Cells along a side of the grid in which higher points hide lower ones."""


class PointTemplate(nn.Module):
    """A PointNet estimates n poses from the scene's cloud; the template in these poses, without its
    hidden points, must match the cloud (Chamfer distance). Lengths are in half sides of the
    image."""

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
        # The instances begin in different places, or all of them would settle on the same part.
        angle = 2 * torch.pi * torch.arange(config.instances) / config.instances
        place = [0.4 * angle.cos(), 0.4 * angle.sin(), torch.full_like(angle, 0.2)]
        initial = torch.stack([angle, angle, angle, *place], -1)
        nn.init.normal_(self.poses[-1].get_parameter('weight'), 0, 0.01)
        self.poses[-1].get_parameter('bias').data.copy_(initial.flatten())

    def cloud(self, image: Tensor) -> Tensor:
        """Points (B, M, 3) of the foreground of images (B, 1, S, S) in [-1, 1], sampled with
        replacement: x, y and height in half sides of the image."""
        height = image[:, 0].flatten(1)
        weight = above_floor(height).float() + 1e-9
        chosen = torch.multinomial(weight, self.config.cloud, replacement=True)
        return self._at(chosen, height.gather(1, chosen), image.shape[-1])

    def _at(self, pixel: Tensor, height: Tensor, size: int) -> Tensor:
        """The points (B, M, 3) of pixels (B, M), counted row by row, and their heights (B, M) in
        [-1, 1]."""
        x = (pixel % size + 0.5) / size * 2 - 1
        y = (pixel // size + 0.5) / size * 2 - 1
        return torch.stack([x, y, unsigned(height) * self.config.relief], -1)

    def place(self, cloud: Tensor) -> Tensor:
        """The template in the n poses that are estimated from a cloud (B, M, 3): (B, n, P, 3)."""
        x = cloud.transpose(1, 2)
        for layer in self.points:
            x = relu(layer(x))
        pose = self.poses(x.amax(2)).reshape(len(cloud), self.config.instances, 6)
        turned = self.template @ roma.rotvec_to_rotmat(pose[..., :3]).transpose(-1, -2)
        return turned + pose[..., None, 3:]

    def visible(self, placed: Tensor) -> Tensor:
        """Which of the placed points (B, n, P, 3) the camera sees, (B, n P) bool: those near the
        highest point of their cell."""
        flat, cells = placed.detach().flatten(1, 2), self.config.cells
        x, y = (((flat[..., axis] + 1) / 2 * cells).long().clamp(0, cells - 1) for axis in (0, 1))
        cell = y * cells + x
        lowest = torch.full((len(flat), cells * cells), -10.0, device=flat.device)
        highest = lowest.scatter_reduce(1, cell, flat[..., 2], 'amax')
        return flat[..., 2] > highest.gather(1, cell) - 2.0 / cells

    def losses(self, image: Tensor) -> dict[str, Tensor]:
        """The Chamfer distance, both ways, between the points of images (B, 1, S, S) and the
        visible points of the placed templates, a scalar."""
        cloud = self.cloud(image)
        placed = self.place(cloud)
        seen = self.visible(placed)
        squared = torch.cdist(cloud, placed.flatten(1, 2)) ** 2
        to_template = torch.where(seen[:, None], squared, torch.inf).amin(2).mean()
        to_cloud = (squared.amin(1) * seen).sum() / seen.sum()
        return {'chamfer': to_template + to_cloud}

    def divide(self, image: Tensor) -> Tensor:
        """image (1, 1, S, S) -> the instance whose template is nearest to every pixel's point, (S,
        S) int64."""
        size = image.shape[-1]
        every = torch.arange(size * size, device=image.device)[None]
        points = self._at(every, image[:, 0].flatten(1), size)
        placed = self.place(self.cloud(image))
        distance = torch.cdist(points, placed.flatten(1, 2))
        distance = distance.reshape(size * size, self.config.instances, -1)
        return distance.amin(2).argmin(1).reshape(size, size)
