"""Baselines on image-level labels that learn a classifier alone: boxes of attention maps (CAM), and
peak response maps with proposals (PRM; Zhou et al., CVPR 2018), which chooses a proposal for every
peak of a class's map by going back through the network to what caused it."""

from __future__ import annotations

import copy
from typing import Any

import cv2
import numpy as np
import torch
from scipy.ndimage import label as components
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, interpolate
from torch.nn.utils.fusion import fuse_conv_bn_eval

from insegan_ros.data.mask_sets import Mask
from insegan_ros.methods.image_level.backbone import normalise, resample
from insegan_ros.methods.image_level.class_maps import STRIDE, ClassMapNet, class_maps, find_peaks
from insegan_ros.methods.image_level.proposals import Proposals, overlaps

# A picture shows a class whose probability is higher than this.
SHOWN = 0.5
# Of proposals of a class that overlap more (IoU) the one with the higher score stays.
OVERLAP = 0.4
# Weight of the outline and of the background in PRM's rank (its Eq. 5).
OUTLINE, BACKGROUND = 1.0, 1e-2
# Attention, as a share of its map's maximum, below which a pixel is background.
CAM_LEVEL = 0.3


class _Winning(torch.autograd.Function):
    """A convolution whose backward pass hands an answer back to the inputs that caused it, in
    proportion to activation times positive weight (PRM's Eqs. 2, 3)."""

    @staticmethod
    def forward(
        context: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
    ) -> Tensor:
        context.save_for_backward(features, weight)
        context.how = stride, padding
        return conv2d(features, weight, bias, stride, padding)

    @staticmethod
    def backward(context: Any, caused: Tensor) -> tuple[Tensor | None, ...]:
        features, weight = context.saved_tensors
        stride, padding = context.how
        positive, active = weight.clamp(min=0), features.clamp(min=0)
        share = caused / conv2d(active, positive, None, stride, padding).clamp(min=1e-6)
        extra = [
            edge - ((out - 1) * step - 2 * rim + kernel)
            for edge, out, step, rim, kernel in zip(
                features.shape[2:], caused.shape[2:], stride, padding, weight.shape[2:]
            )
        ]
        return (
            active * conv_transpose2d(share, positive, None, stride, padding, extra),
            None,
            None,
            None,
            None,
        )


class PeakResponse:
    """A classifier's answers to one picture, and the maps of what caused each peak. Its batch norms
    are fused into its convolutions."""

    def __init__(self, network: ClassMapNet) -> None:
        self.network = _fused(network)

    def answers(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of a picture (C, H, W) uint8 the stem's features (1, D, h, w), which maps lead back to,
        responses (K, h', w'), and the probability of each class (K,)."""
        backbone = self.network.backbone
        with torch.no_grad():
            stem = backbone.stem(normalise(picture[None]))
        features = deep = stem.requires_grad_()
        for layer in (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4):
            deep = layer(deep)
        responses = _Winning.apply(deep, self.network.classifier.weight, None, (1, 1), (0, 0))[0]
        with torch.no_grad():
            probabilities = self.network(picture[None])[0].sigmoid()
        return features, responses, probabilities

    @staticmethod
    def cause(features: Tensor, responses: Tensor, class_id: int, place: tuple[int, int]) -> Tensor:
        """The map (h, w) of what caused the response of a class at a place (row, column), its
        maximum 1."""
        start = torch.zeros_like(responses)
        start[class_id, place[0], place[1]] = 1
        (gradient,) = torch.autograd.grad(responses, features, start, retain_graph=True)
        out = gradient[0].clamp(min=0).sum(0)
        return out / out.max().clamp(min=1e-9)


def _fused(network: ClassMapNet) -> ClassMapNet:
    """A copy whose batch norms are fused into its convolutions, and whose convolutions go back as
    _Winning does."""
    out = copy.deepcopy(network).eval()

    def replace(module: nn.Module) -> None:
        children: list[tuple[str, Any]] = list(module.named_children())
        for (name, one), (beside, norm) in zip(children, [*children[1:], ('', None)]):
            if isinstance(one, nn.Conv2d):
                # In torchvision's blocks, as in ours, a norm follows its convolution.
                setattr(module, name, _WinningConv(fuse_conv_bn_eval(one, norm)))
                setattr(module, beside, nn.Identity())
            elif isinstance(one, nn.ReLU):
                one.inplace = False
            else:
                replace(one)

    replace(out.backbone)
    return out


class _WinningConv(nn.Module):
    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, features: Tensor) -> Tensor:
        conv = self.conv
        return _Winning.apply(features, conv.weight, conv.bias, conv.stride, conv.padding)


def prm_masks(
    response: PeakResponse, picture: Tensor, proposals: Proposals | None
) -> tuple[Mask, ...]:
    """PRM's masks of a picture (C, H, W) uint8: of every peak of a class that is seen the best
    proposal."""
    if proposals is None:
        return ()
    features, responses, probabilities = response.answers(picture)
    inside, outlines = _inside_and_outlines(proposals)
    size = (picture.shape[1], picture.shape[2])
    found: list[tuple[float, int, int]] = []
    for class_id in torch.nonzero(probabilities > SHOWN).flatten().tolist():
        map_ = responses[class_id].detach()
        for x, y, value in find_peaks(map_[None])[0].tolist():
            place = (min(int(y), map_.shape[0] - 1), min(int(x), map_.shape[1] - 1))
            cause = PeakResponse.cause(features, responses, class_id, place)
            rank = _rank(inside, outlines, cause, map_, size)
            score = float(probabilities[class_id]) * value / max(float(map_.max()), 1e-9)
            found.append((score, class_id, int(rank.argmax())))
    kept: list[tuple[int, int]] = []
    masks = []
    for score, class_id, number in sorted(found, reverse=True):
        box = proposals.boxes[number][None]
        if all(
            other != class_id or overlaps(box, proposals.boxes[own][None])[0, 0] <= OVERLAP
            for other, own in kept
        ):
            kept.append((class_id, number))
            masks.append(Mask.of(class_id, score, proposals.masks[number]))
    return tuple(masks)


def _inside_and_outlines(proposals: Proposals) -> tuple[np.ndarray, np.ndarray]:
    """Of every proposal its pixels (P, HW), and those of its outline (P, HW), 1 or 0."""
    count, kernel = len(proposals.masks), np.ones((3, 3), np.uint8)
    outlines = np.stack(
        [
            cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, kernel)
            for mask in proposals.masks
        ]
    )
    return (
        proposals.masks.reshape(count, -1).astype(np.float32),
        outlines.reshape(count, -1).astype(np.float32),
    )


def _rank(
    inside: np.ndarray, outlines: np.ndarray, cause: Tensor, response: Tensor, size: tuple[int, int]
) -> np.ndarray:
    """PRM's rank (P,) of proposals for a peak in a picture of `size` (H, W) (its Eq. 5): how much
    they hold of what caused it, cause (h, w), how well they are outlined by it, and how little of
    the background they hold, where the class's response (h', w') is below its mean."""
    large = _at_pixels(cause, size, 4)
    across, down = cv2.Sobel(large, cv2.CV_32F, 1, 0), cv2.Sobel(large, cv2.CV_32F, 0, 1)
    edge = (np.abs(across) + np.abs(down)).ravel()
    level = _at_pixels(response.clamp(min=0), size, 16)
    empty = (level < response.mean().item()).ravel().astype(np.float32)
    root = np.sqrt(inside.sum(1))
    return (
        inside @ large.ravel() / root
        + OUTLINE * (outlines @ edge) / np.maximum(outlines.sum(1), 1)
        - BACKGROUND * (inside @ empty) / root
    )


def _at_pixels(map_: Tensor, size: tuple[int, int], stride: int) -> np.ndarray:
    """A map (h, w) of a level of this stride at the pixels of a picture of `size` (H, W)."""
    return resample(map_[None, None], size, (1 / stride, 1 / stride))[0, 0].cpu().numpy()


def cam_masks(network: ClassMapNet, picture: Tensor, boxes: bool) -> tuple[Mask, ...]:
    """Masks of a picture (C, H, W) uint8: connected pieces of where the attention maps of the
    classes that the classifier sees are high; boxes: their filled boxes instead."""
    with torch.no_grad():
        probabilities = network(picture[None])[0].sigmoid()
    present = probabilities > SHOWN
    if not present.any():
        return ()
    small = class_maps(network, picture, present)[None]
    large = interpolate(small, picture.shape[1:], mode='bilinear', align_corners=False)[0]
    maps = large.cpu().numpy()
    best, out = np.concatenate([np.full((1, *maps.shape[1:]), CAM_LEVEL), maps]).argmax(0), []
    for index, class_id in enumerate(torch.nonzero(present).flatten().tolist()):
        pieces, count = components(best == index + 1)
        for number in range(1, count + 1):
            pixels = pieces == number
            if pixels.sum() >= STRIDE**2:
                score = float(probabilities[class_id]) * float(maps[index][pixels].max())
                out.append(Mask.of(class_id, score, _box_of(pixels) if boxes else pixels))
    return tuple(out)


def _box_of(pixels: np.ndarray) -> np.ndarray:
    """The filled box (H, W) bool of pixels (H, W) bool."""
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    box = np.zeros_like(pixels)
    box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return box
