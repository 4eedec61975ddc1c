"""Parts that lie alone, cut out of real depth, as a label factory: laid down one after another,
each leaning on what lies below.

Even in a dense bin some parts touch no other. An unlabelled height map shows them: they are the
connected pieces that cover about an equal share of the foreground. Their pictures are real, so what
is composed of them has the sensor's own edges and noise. Composing cut pieces is Dwibedi et al.,
"Cut, Paste and Learn" (ICCV 2017); that the pieces cost no label, and that they lean, is ours.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

from insegan_ros.heights import FOREGROUND_SHARE, HEADROOM, above_floor, signed, unsigned
from insegan_ros.nn.composition import FEW, centres, least_crowded, present, sizes
from insegan_ros.offsets.labels import LabelledBatch

# A piece is one part if it covers this much of an equal share: less is a fragment, more are two
# parts.
SMALLEST, LARGEST = 0.4, 1.25
# A part is on top if this share of its border stands no lower than what is beside it.
UNCOVERED = 0.95
# So few crops do not show a part from its sides.
MIN_CROPS = 30
# Smaller pieces are noise; pieces are sorted into so many sizes.
SPECK_PX, SIZES = 8, 120
# How far from the middle, in half images, centres of parts are laid.
REACH = 0.7
CANDIDATES = 4
CROWDED = 0.25
# Of parts that lie on others so many are raised up to twice as far: what holds them up need not be
# seen.
HIGH = 0.2
# Parts high up are nearer to the camera, and up to so much larger in the picture.
NEARER = 0.2


def part_share(images: Tensor, instances: int, flat: bool = False) -> float:
    """What one part covers, in px, in height maps (N, 1, S, S) in [-1, 1]: an equal share of the
    foreground where each holds `instances` parts.

    Where the number is not known (instances 0), the most frequent size of a connected piece, or the
    smallest of those that are nearly as frequent: parts alone are all of one size, piles of many.
    On the ten parts of the paper it came within an eighth of the equal share. Of flat parts, which
    cover little where they stand on edge, the most frequent size alone. NaN where there are fewer
    than MIN_CROPS pieces.
    """
    if instances:
        return float(above_floor(images).sum()) / len(images) / instances
    sizes = frequent_sizes(images)
    if not len(sizes):
        return float('nan')
    return float(max(sizes, key=lambda one: one[1])[0] if flat else sizes[0][0])


def frequent_sizes(images: Tensor) -> np.ndarray:
    """The sizes in px that connected pieces of height maps (N, 1, S, S) in [-1, 1] often have, the
    smallest first, and how often, as a density: (K, 2). None where there are fewer than MIN_CROPS
    pieces."""
    areas = np.array([area for _, _, area in _pieces(images) if area >= SPECK_PX])
    if len(areas) < MIN_CROPS:
        return np.zeros((0, 2))
    edges = np.linspace(np.log(SPECK_PX), np.log(images.shape[-1] ** 2), SIZES)
    density = gaussian_filter1d(np.histogram(np.log(areas), edges)[0].astype(float), 3.0)
    inner = density[1:-1]
    peaks = 1 + np.flatnonzero(
        (inner >= density[:-2]) & (inner > density[2:]) & (inner >= 0.25 * density.max())
    )
    return np.stack([np.exp((edges[peaks] + edges[peaks + 1]) / 2), density[peaks]], 1)


def find_isolated(images: Tensor, share: float) -> Tensor:
    """Single parts out of unlabelled height maps (N, 1, S, S) in [-1, 1] in which one part covers
    some `share` px (part_share).

    Returns (M, 1, P, P) in [-1, 1], every part's centre in the middle of its patch, -1 around it; M
    may be 0.
    """
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for height, own, area in _pieces(images):
        if SMALLEST * share < area < LARGEST * share:
            # One pixel more all around: the edge's slope down to the floor belongs to the picture.
            grown = cv2.dilate(own.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            found.append((np.where(grown, height, 0).astype(np.float32), own))
    return _patches(found, images.shape[-1]).to(images.device)


def _pieces(images: Tensor) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Heights in shares of the scale (S, S), mask (S, S) and area in px of every connected piece
    that does not touch its picture's border."""
    for height in unsigned(images[:, 0].cpu().numpy()):
        count, pieces, stats, _ = cv2.connectedComponentsWithStats(
            (height > FOREGROUND_SHARE).astype(np.uint8), connectivity=8
        )
        for piece in range(1, count):
            own = pieces == piece
            if _inside(own):
                yield height, own, int(stats[piece][cv2.CC_STAT_AREA])


def find_unoccluded(images: Tensor, labels: np.ndarray) -> Tensor:
    """Parts that nothing lies on, out of height maps (N, 1, S, S) whose instances are known, labels
    (N, S, S): poses that parts have in piles alone are among them.

    Returns patches as find_isolated does. What holds a part up is not known, so one that touches
    others is lowered by a random share of its height (torch's generator).
    """
    found: list[tuple[np.ndarray, np.ndarray]] = []
    kernel = np.ones((3, 3), np.uint8)
    lowering = torch.rand(len(labels), int(labels.max(initial=0)) + 1).numpy()
    for height, instances, shares in zip(unsigned(images[:, 0].cpu().numpy()), labels, lowering):
        for label in range(1, int(instances.max()) + 1):
            own = instances == label
            if own.sum() < 4 or not _inside(own):
                continue
            beside = (cv2.dilate(own.astype(np.uint8), kernel) > 0) & ~own
            around = beside & (height > FOREGROUND_SHARE)
            # A neighbour that stands higher lies on it.
            border = cv2.dilate(np.where(own, height, 0).astype(np.float32), kernel)
            lower = height[around] <= border[around]
            if len(lower) and lower.mean() < UNCOVERED:
                continue
            room = 0.0
            if around.sum() > 0.1 * own.sum() ** 0.5:
                room = max(float(np.quantile(height[own], 0.05)) - 2 * FOREGROUND_SHARE, 0)
            lowered = np.where(own, height - room * shares[label], 0)
            found.append((lowered.astype(np.float32), own))
    return _patches(found, labels.shape[-1]).to(images.device)


def _inside(own: np.ndarray) -> bool:
    """Whether a mask does not touch the image's border."""
    return not (own[0].any() or own[-1].any() or own[:, 0].any() or own[:, -1].any())


def _patches(found: list[tuple[np.ndarray, np.ndarray]], size: int) -> Tensor:
    """Pairs of a part's heights and its mask (size, size) as patches (M, 1, P, P) in [-1, 1], the
    masks' centres in the middle; P is as small as the largest part allows."""
    centred: list[np.ndarray] = []
    reach = 0.0
    for height, own in found:
        y, x = np.nonzero(own)
        reach = max(reach, float(np.hypot(x - x.mean(), y - y.mean()).max()))
        middle = (size - 1) / 2
        shift = np.array([[1, 0, middle - x.mean()], [0, 1, middle - y.mean()]], np.float32)
        centred.append(cv2.warpAffine(height, shift, (size, size), flags=cv2.INTER_LINEAR))
    shares = np.stack(centred)[:, None] if centred else np.zeros((0, 1, size, size), np.float32)
    patches = signed(torch.from_numpy(shares))
    crop = (size - min(2 * int(np.ceil(reach) + 2), size)) // 2
    return patches[:, :, crop : size - crop, crop : size - crop].contiguous()


def together(first: Tensor, second: Tensor) -> Tensor:
    """Patches (M, 1, P, P) and (N, 1, Q, Q) as one (M + N, 1, R, R), the smaller ones with floor
    around them."""
    side = max(first.shape[-1], second.shape[-1])
    rims = ((side - patches.shape[-1]) // 2 for patches in (first, second))
    return torch.cat(
        [pad(patches, (rim,) * 4, value=-1.0) for patches, rim in zip((first, second), rims)]
    )


def turned(
    patches: Tensor,
    size: int,
    shift: Tensor | None = None,
    angle: Tensor | None = None,
    grown: Tensor | None = None,
) -> Tensor:
    """Patches (M, 1, P, P) in [-1, 1], each turned by its angle (M,) or a random one, grown by its
    factor (M,), on canvases (M, 1, size, size) with their centres at shift (M, 2) = (x, y) in half
    canvases. Turned, never mirrored: a mirror image of a chiral part is another part."""
    count = len(patches)
    zoom: float | Tensor = size / patches.shape[-1]
    if grown is not None:
        zoom = zoom / grown[:, None, None]
    if angle is None:
        angle = 2 * torch.pi * torch.rand(count, device=patches.device)
    x_row = torch.stack([angle.cos(), -angle.sin()], -1)
    y_row = torch.stack([angle.sin(), angle.cos()], -1)
    turn = torch.stack([x_row, y_row], 1) * zoom
    offset = torch.zeros(count, 2, device=patches.device) if shift is None else shift
    theta = torch.cat([turn, -turn @ offset[..., None]], -1)
    grid = affine_grid(theta, [count, 1, size, size], align_corners=False)
    return grid_sample(patches + 1, grid, align_corners=False, padding_mode='zeros') - 1


class CropFactory:
    """Composites of crops (M, 1, P, P), as dense as a bin of `instances` parts, on images of
    `size` px. With `varying`, any number up to that is as frequent: a bin that is emptied.

    A part that falls on others is raised, or leans: one side of it stays on the floor, the other
    rests on what lies there.
    """

    def __init__(self, crops: Tensor, instances: int, size: int, varying: bool = False) -> None:
        self.crops, self.instances, self.size, self.varying = crops, instances, size, varying
        area, radius = sizes(above_floor(crops[:, 0]))
        self.median_area, self.median_radius = float(area.median()), float(radius.median())
        axis = (torch.arange(size, device=crops.device) + 0.5) / size * 2 - 1
        self.y, self.x = torch.meshgrid(axis, axis, indexing='ij')

    def with_crops(self, crops: Tensor) -> CropFactory:
        """The same composites of other crops (M, 1, P, P)."""
        return CropFactory(crops, self.instances, self.size, self.varying)

    @torch.no_grad()
    def sample(self, batch: int) -> LabelledBatch:
        """A batch of composites, with amodal masks."""
        slots, device = self.instances + 1, self.crops.device
        places = REACH * (2 * torch.rand(batch, CANDIDATES, slots, 2, device=device) - 1)
        # Some layouts as they fall: real piles are now and then more crowded than the least crowded
        # of several.
        layout = torch.where(torch.rand(batch, device=device) < CROWDED, 0, least_crowded(places))
        places = places[torch.arange(batch, device=device), layout]
        there = present(batch, slots, device, 1.0 if self.varying else FEW)
        top = torch.zeros(batch, self.size, self.size, device=device)
        labels = torch.zeros(batch, self.size, self.size, dtype=torch.long, device=device)
        amodal = []
        for slot in range(slots):
            chosen = self.crops[torch.randint(len(self.crops), (batch,), device=device)]
            grown = 1 + NEARER * min(slot, 1) * torch.rand(batch, device=device)
            height = unsigned(turned(chosen, self.size, places[:, slot], grown=grown)[:, 0])
            height = height * there[:, slot, None, None]
            mask = height > FOREGROUND_SHARE
            height = self._laid_on(height, mask, top, places[:, slot])
            wins = mask & (height > top)
            # Outside of its mask a part still has the slope of its edge.
            slope = torch.where(mask, torch.zeros_like(height), height)
            top = torch.where(wins, height, torch.maximum(top, slope))
            labels = torch.where(wins, slot + 1, labels)
            amodal.append(mask)
        masks = torch.stack(amodal, 1)
        labels = torch.where(top > FOREGROUND_SHARE, labels, 0)
        return LabelledBatch(signed(top.clamp(0, HEADROOM)[:, None]), labels, centres(masks), masks)

    def _laid_on(self, height: Tensor, mask: Tensor, top: Tensor, place: Tensor) -> Tensor:
        """A part's heights (B, S, S), raised by what lies under its mask."""
        batch = len(height)
        under = mask & (top > FOREGROUND_SHARE)
        weight = under.float().sum((1, 2))
        below = torch.where(under, top, torch.nan).flatten(1).nanquantile(0.8, dim=1)
        support = below.nan_to_num(0.0) * (weight > 3)
        raised = torch.where(torch.rand(batch, device=height.device) < HIGH, 1.0, 0.4)
        support = support * (
            raised + torch.where(raised == 1, 1.0, 0.6) * torch.rand(batch, device=height.device)
        )
        # Towards what it lies on, as a unit vector.
        moment = torch.stack([(under * self.x).sum((1, 2)), (under * self.y).sum((1, 2))], -1)
        towards = moment / weight.clamp(min=1)[:, None] - place
        towards = towards / (towards.norm(dim=-1, keepdim=True) + 1e-6)
        x, y = self.x - place[:, :1, None], self.y - place[:, 1:, None]
        along = x * towards[:, :1, None] + y * towards[:, 1:, None]
        low = torch.where(mask, along, torch.inf).amin((1, 2)).nan_to_num(posinf=0.0)
        high = torch.where(mask, along, -torch.inf).amax((1, 2)).nan_to_num(neginf=0.0)
        slope = ((along - low[:, None, None]) / (high - low + 1e-6)[:, None, None]).clamp(0, 1)
        slope = slope * (1 + 0.6 * torch.rand(batch, device=height.device))[:, None, None]
        flat = (torch.rand(batch, device=height.device) < 0.3)[:, None, None]
        lift = torch.where(flat, torch.ones_like(slope), slope)
        return height + lift * support[:, None, None] * mask
