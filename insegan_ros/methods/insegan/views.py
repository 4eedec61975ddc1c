"""Poses and hidden parts without a mesh, for our own form: the dense network finds every instance,
and of all views of the generator's template the one is looked up that explains it.

An instance is looked at alone, so there is no permutation to learn. Views and picture are compared
by their heights: no label and no training are needed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad, unfold

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import CheckpointError
from insegan_ros.frame import Frame, Instances
from insegan_ros.geometry.label_images import largest_piece, nearest_resize
from insegan_ros.geometry.principal_axes import camera_from_picture
from insegan_ros.heights import FOREGROUND_SHARE, unsigned
from insegan_ros.methods.insegan.generator import Generator, GeneratorConfig
from insegan_ros.offsets.segmenter import OffsetSegmenter
from insegan_ros.workspace import Workspace, resolve_workspace

# Views of the template, of poses as the generator was trained in; how many are rendered at once.
VIEWS, CHUNK = 2048, 128
# A view is left out whose area is this much smaller or larger than the median: it is no whole part.
WHOLE = 2.0
# Views that are compared again at full resolution.
AGAIN = 32
# How far the middle of a part may lie from the middle of what is seen of it, in px.
REACH_PX = 6


class Views(NamedTuple):
    """The template in N poses, its middle in the middle of each picture. heights (N, S, S): shares
    of the height scale, 0 where it is not; rotations (N, 3, 3): from the template to the picture's
    axes, x to the right, y down, z up; middles (N,): how high its middle lies, a share of the
    height scale too."""

    heights: Tensor
    rotations: Tensor
    middles: Tensor


class Match(NamedTuple):
    """The view, its left upper corner as (x, y) px of the picture, and by how much the instance
    lies higher than the view shows, a share of the height scale."""

    view: int
    corner: tuple[int, int]
    raised: float


@torch.no_grad()
def views_of(generator: Generator, count: int = VIEWS, seed: int = 0) -> Views:
    """Views in poses that the generator was trained in, those of whole parts alone. Each is as high
    over the floor as parts in the training data lie. Raises CheckpointError for a generator that
    shows none."""
    device, latent = generator.device, generator.config.latent
    z = torch.randn(count, 1, latent, generator=torch.Generator().manual_seed(seed))
    rotation, translation = generator.pose_decoder(z.to(device))
    chunks = zip(rotation.split(CHUNK), translation.split(CHUNK))
    patches = [generator.render_patches(generator.features_of_pose(*chunk)) for chunk in chunks]
    rendered = unsigned(torch.cat(patches)[:, 0])
    pieces = (largest_piece(one) for one in (rendered > FOREGROUND_SHARE).cpu().numpy())
    heights = rendered * torch.from_numpy(np.stack(list(pieces))).to(device)
    area = (heights > 0).sum((1, 2)).float()
    usual = area[area > 0].median()
    whole = (area > usual / WHOLE) & (area < usual * WHOLE)
    if not bool(whole.any()):
        raise CheckpointError(
            'the generator renders nothing above the floor: it has collapsed; train it longer or'
            ' with another seed'
        )
    heights = heights[whole]
    # What lies on the floor reaches down to it.
    middles = heights.flatten(1).amax(1) / 2
    return Views(_cropped(heights), rotation[whole, 0], middles)


def _cropped(heights: Tensor) -> Tensor:
    """Views (N, P, P) without the rim that none of them reaches, their middle kept."""
    seen, side = (heights > 0).any(0), heights.shape[-1]
    used = (seen.any(0) | seen.any(1)).nonzero()[:, 0]
    rim = int(torch.minimum(used.min(), side - 1 - used.max()))
    return heights[:, rim : side - rim, rim : side - rim].contiguous()


@torch.no_grad()
def find_view(views: Views, heights: Tensor, mask: Tensor, floor: Tensor) -> Match:
    """The view that explains an instance best. heights (H, W): the picture, shares of the height
    scale; mask (H, W): where the instance is seen, not empty; floor (H, W): where nothing lies.

    All shifts by whole pixels up to REACH_PX are tried: all views at half the resolution, and the
    best ones again.
    """
    side = views.heights.shape[-1]
    middle = [float(axis.float().mean()) for axis in mask.nonzero(as_tuple=True)]
    top, left = (round(at + 0.5 - side / 2) - REACH_PX for at in middle)
    window, around = side + 2 * REACH_PX, side + 2 * REACH_PX
    seen = torch.stack([heights * mask, mask.float(), floor.float()])
    seen = pad(seen, (around,) * 4)[:, top + around :, left + around :][:, :window, :window]
    error, _ = _errors(avg_pool2d(views.heights[:, None], 2)[:, 0], avg_pool2d(seen, 2))
    near = error.amin(1).topk(min(AGAIN, len(error)), largest=False).indices
    error, raised = _errors(views.heights[near], seen)
    best, shift = divmod(int(error.argmin()), error.shape[1])
    down, right = divmod(shift, 2 * REACH_PX + 1)
    return Match(int(near[best]), (left + right, top + down), float(raised[best, shift]))


def _errors(views: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Squared differences (N, K) between views (N, S, S) at all K places in a window, and what is
    seen there: (3, W, W), the instance's heights, where it is, where the floor is. What lies on
    others may hide the view elsewhere. And by how much (N, K) the instance lies higher than each
    view, which counts for no difference: a part may lie on others."""
    target, own, bare = unfold(seen[:, None], views.shape[-1])
    flat = views.flatten(1)
    shown = (flat > 0).float()
    count = (shown @ own).clamp(min=1)
    higher = shown @ target - flat @ own
    error = flat**2 @ (own + bare) - 2 * flat @ target - higher**2 / count
    return error, higher / count


class ViewSegmenter(OffsetSegmenter):
    """The dense network's instances, each with the pose of the template in the view that explains
    it, the same frame for all, and with an amodal mask: what of that view is hidden as well."""

    def __init__(self, checkpoint: Checkpoint, device: str = 'auto') -> None:
        super().__init__(checkpoint, device)
        checkpoint.require('generator')
        shape = checkpoint.settings(GeneratorConfig, 'insegan', 'generator')
        if shape.placement != 'patch':
            raise CheckpointError(
                f'the generator renders with placement {shape.placement}: expected patch, whose'
                ' pictures of one part can be compared with what is seen'
            )
        generator = checkpoint.restore('generator', lambda: Generator(shape)).to(self.device)
        self.views = views_of(generator.eval())

    def segment(self, frame: Frame, workspace: Workspace | None = None) -> Instances:
        """The instances, with amodal masks and the template's poses. One of which a working pixel
        shows nothing keeps its principal axes, and what is seen for its whole."""
        workspace = resolve_workspace(workspace, frame)
        found = super().segment(frame, workspace)
        if not len(found):
            return found
        window, height, small = self._seen(frame, workspace)
        left, top, right, bottom = window
        labels = nearest_resize(found.labels[top:bottom, left:right], small.shape)
        shares = torch.from_numpy(small / self.scales.height_m).to(self.device)
        floor = torch.from_numpy(small <= self.inference.min_height_m).to(self.device)
        poses, amodal = found.require_poses().copy(), found.masks().copy()
        for index in range(len(found)):
            mask = torch.from_numpy(labels == index + 1).to(self.device)
            if not bool(mask.any()):
                continue
            match = find_view(self.views, shares, mask, floor)
            hidden = small / self.scales.height_m > self._surface(match, small.shape)
            amodal[index, top:bottom, left:right] |= nearest_resize(hidden, height.shape)
            zoom = height.shape[1] / small.shape[1]
            poses[index] = self._pose(match, zoom, (left, top), frame, workspace)
        return replace(found, poses=poses, amodal=amodal)

    def _surface(self, match: Match, shape: tuple[int, int]) -> np.ndarray:
        """How high a view's part stands in a picture (H, W), in shares of the height scale,
        infinitely where it is not: it is hidden by what stands higher."""
        view = self.views.heights[match.view].cpu().numpy()
        side, (x, y) = len(view), match.corner
        around = np.full((shape[0] + 2 * side, shape[1] + 2 * side), np.inf, np.float32)
        row, column = (min(max(at + side, 0), length + side) for at, length in zip((y, x), shape))
        around[row : row + side, column : column + side] = np.where(
            view > 0, view + match.raised, np.inf
        )
        return around[side:-side, side:-side]

    def _pose(
        self, match: Match, zoom: float, corner: tuple[int, int], frame: Frame, workspace: Workspace
    ) -> np.ndarray:
        """The template's pose (4, 4) in the optical frame, in m: its middle where the view has
        it."""
        side = self.views.heights.shape[-1]
        x, y = (zoom * (at + side / 2) - 0.5 + start for at, start in zip(match.corner, corner))
        camera = frame.intrinsics
        ray = np.array([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, 1.0])
        height_m = float(self.views.middles[match.view] + match.raised) * self.scales.height_m
        pose = np.eye(4, dtype=np.float32)
        turn = self.views.rotations[match.view].cpu().numpy()
        pose[:3, :3] = camera_from_picture(turn[None], workspace.floor[:3])[0]
        pose[:3, 3] = ray * (height_m - workspace.floor[3]) / (ray @ np.array(workspace.floor[:3]))
        return pose
