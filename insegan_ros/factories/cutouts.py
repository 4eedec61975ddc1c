"""Parts that lie alone, cut out of real depth, as a label factory: laid down one after another, each leaning on what lies below.

Even in a dense bin some parts touch no other. An unlabelled height map shows them: they are the connected pieces that
cover about an equal share of the foreground. Their pictures are real, so what is composed of them has the sensor's own
edges and noise. Composing cut pieces is Dwibedi et al., "Cut, Paste and Learn" (ICCV 2017); that the pieces cost no
label, and that they lean, is ours.
"""
from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from insegan_ros.factories import LabelledBatch
from insegan_ros.networks.composition import FOREGROUND_SHARE, centres, least_crowded, present, single_masks, sizes

# A piece is one part if it covers this much of an equal share: less is a fragment, more are two parts.
SMALLEST, LARGEST = 0.4, 1.25
# So few cut-outs do not show a part from its sides.
FEWEST = 30
# How far from the middle, in half images, centres of parts are laid.
REACH = 0.7
CANDIDATES = 4


def find_cutouts(images: Tensor, instances: int) -> Tensor:
    """Single parts out of unlabelled height maps (N, 1, S, S) in [-1, 1] that hold `instances` parts each.

    Returns (M, 1, P, P) in [-1, 1], every part's centre in the middle of its patch, -1 around it; M may be 0.
    """
    heights = (images[:, 0].cpu().numpy() + 1) / 2
    above = (heights > FOREGROUND_SHARE).astype(np.uint8)
    share = above.sum() / len(above) / instances
    size = heights.shape[-1]
    found: list[np.ndarray] = []
    reach = 0.0
    for height, mask in zip(heights, above):
        count, pieces, stats, middles = cv2.connectedComponentsWithStats(mask, connectivity=8)
        for piece in range(1, count):
            left, top, width, rows, area = stats[piece]
            inside = left > 0 and top > 0 and left + width < size and top + rows < size
            if not inside or not SMALLEST * share < area < LARGEST * share:
                continue
            own = pieces == piece
            # One pixel more all around: the edge's slope down to the floor belongs to the picture.
            alone = np.where(cv2.dilate(own.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0, height, 0).astype(np.float32)
            y, x = np.nonzero(own)
            reach = max(reach, float(np.hypot(x - middles[piece][0], y - middles[piece][1]).max()))
            shift = np.float32([[1, 0, (size - 1) / 2 - middles[piece][0]], [0, 1, (size - 1) / 2 - middles[piece][1]]])
            found.append(cv2.warpAffine(alone, shift, (size, size), flags=cv2.INTER_LINEAR))
    side = min(2 * int(np.ceil(reach) + 2), size)
    patches = np.stack(found)[:, None] if found else np.zeros((0, 1, size, size), np.float32)
    crop = (size - side) // 2
    patches = patches[:, :, crop:crop + side, crop:crop + side]
    return torch.from_numpy(np.ascontiguousarray(patches) * 2 - 1).float().to(images.device)


def turned(patches: Tensor, size: int, shift: Tensor | None = None, angle: Tensor | None = None) -> Tensor:
    """Patches (M, 1, P, P) in [-1, 1], each turned by its angle (M,) or a random one, on canvases (M, 1, size, size) with their centres at
    shift (M, 2) = (x, y) in half canvases. Turned, never mirrored: a mirror image of a chiral part is another part."""
    count, zoom = len(patches), size / patches.shape[-1]
    angle = 2 * torch.pi * torch.rand(count, device=patches.device) if angle is None else angle
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()], -1), torch.stack([angle.sin(), angle.cos()], -1)], 1) * zoom
    offset = torch.zeros(count, 2, device=patches.device) if shift is None else shift
    theta = torch.cat([turn, -turn @ offset[..., None]], -1)
    grid = affine_grid(theta, [count, 1, size, size], align_corners=False)
    return grid_sample(patches + 1, grid, align_corners=False, padding_mode='zeros') - 1


class CutoutFactory:
    """Composites of cut-outs (M, 1, P, P), as dense as a bin of `instances` parts, on images of `size` px.

    A part that falls on others is raised, or leans: one side of it stays on the floor, the other rests on what lies there.
    """

    def __init__(self, cutouts: Tensor, instances: int, size: int) -> None:
        self.cutouts, self.instances, self.size = cutouts, instances, size
        area, radius = sizes(single_masks(cutouts[:, 0]))
        self.median_area, self.median_radius = float(area.median()), float(radius.median())
        axis = (torch.arange(size, device=cutouts.device) + 0.5) / size * 2 - 1
        self.y, self.x = torch.meshgrid(axis, axis, indexing='ij')

    @torch.no_grad()
    def sample(self, batch: int) -> LabelledBatch:
        """A batch of composites. See LabelledBatch."""
        slots, device = self.instances + 1, self.cutouts.device
        places = REACH * (2 * torch.rand(batch, CANDIDATES, slots, 2, device=device) - 1)
        places = places[torch.arange(batch, device=device), least_crowded(places)]
        there = present(batch, slots, device)
        top = torch.zeros(batch, self.size, self.size, device=device)
        labels = torch.zeros(batch, self.size, self.size, dtype=torch.long, device=device)
        amodal = []
        for slot in range(slots):
            chosen = self.cutouts[torch.randint(len(self.cutouts), (batch,), device=device)]
            height = (turned(chosen, self.size, places[:, slot])[:, 0] + 1) / 2 * there[:, slot, None, None]
            mask = height > FOREGROUND_SHARE
            height = self._laid_on(height, mask, top, places[:, slot])
            wins = mask & (height > top)
            # Outside of its mask a part still has the slope of its edge.
            top = torch.where(wins, height, torch.maximum(top, torch.where(mask, torch.zeros_like(height), height)))
            labels = torch.where(wins, slot + 1, labels)
            amodal.append(mask)
        masks = torch.stack(amodal, 1)
        labels = torch.where(top > FOREGROUND_SHARE, labels, 0)
        return LabelledBatch(top.clamp(0, 1)[:, None] * 2 - 1, labels, centres(masks), masks)

    def _laid_on(self, height: Tensor, mask: Tensor, top: Tensor, place: Tensor) -> Tensor:
        """A part's heights (B, S, S), raised by what lies under its mask."""
        batch = len(height)
        under = mask & (top > FOREGROUND_SHARE)
        weight = under.float().sum((1, 2))
        support = torch.where(under, top, torch.nan).flatten(1).nanquantile(0.8, dim=1).nan_to_num(0.0) * (weight > 3)
        support = support * (0.4 + 0.6 * torch.rand(batch, device=height.device))
        # Towards what it lies on, as a unit vector.
        towards = torch.stack([(under * self.x).sum((1, 2)), (under * self.y).sum((1, 2))], -1) / weight.clamp(min=1)[:, None] - place
        towards = towards / (towards.norm(dim=-1, keepdim=True) + 1e-6)
        along = (self.x - place[:, :1, None]) * towards[:, :1, None] + (self.y - place[:, 1:, None]) * towards[:, 1:, None]
        low = torch.where(mask, along, torch.inf).amin((1, 2)).nan_to_num(posinf=0.0)
        high = torch.where(mask, along, -torch.inf).amax((1, 2)).nan_to_num(neginf=0.0)
        slope = ((along - low[:, None, None]) / (high - low + 1e-6)[:, None, None]).clamp(0, 1)
        slope = slope * (1 + 0.6 * torch.rand(batch, device=height.device))[:, None, None]
        flat = (torch.rand(batch, device=height.device) < 0.3)[:, None, None]
        return height + torch.where(flat, torch.ones_like(slope), slope) * support[:, None, None] * mask
