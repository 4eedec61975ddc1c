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
from insegan_ros.methods.image_level.backbone import normalise
from insegan_ros.methods.image_level.class_maps import STRIDE, ClassMapNet, class_maps, find_peaks
from insegan_ros.methods.image_level.proposals import Proposals, overlaps

# A picture shows a class that the classifier is surer of than this.
SHOWN = 0.5
# Of proposals that overlap more the better one stays.
OVERLAP = 0.4
# Weight of the outline and of the background in PRM's rank (its Eq. 5).
OUTLINE, BACKGROUND = 1.0, 1e-2
CAM_LEVEL = 0.3


class _Winning(torch.autograd.Function):
    """A convolution whose backward pass hands what caused an answer to those that did: in shares of
    activation times positive weight (PRM's Eqs. 2, 3)."""

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
    """A classifier's answers to one picture, and the maps of what caused each peak; its
    convolutions and norms are made one."""

    def __init__(self, network: ClassMapNet) -> None:
        self.network = _fused(network)

    def answers(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A picture (C, H, W) uint8 -> the stem's features (1, D, h, w), which maps lead back to,
        responses (K, h', w'), and how sure each class is (K,)."""
        backbone = self.network.backbone
        with torch.no_grad():
            stem = backbone.stem(normalise(picture[None]))
        features = deep = stem.requires_grad_()
        for layer in (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4):
            deep = layer(deep)
        responses = _Winning.apply(deep, self.network.classifier.weight, None, (1, 1), (0, 0))[0]
        with torch.no_grad():
            sure = self.network(picture[None])[0].sigmoid()
        return features, responses, sure

    @staticmethod
    def cause(features: Tensor, responses: Tensor, kind: int, place: tuple[int, int]) -> Tensor:
        """The map (h, w) of what caused the response of a class at a place (row, column), its
        largest 1."""
        start = torch.zeros_like(responses)
        start[kind, place[0], place[1]] = 1
        (gradient,) = torch.autograd.grad(responses, features, start, retain_graph=True)
        out = gradient[0].clamp(min=0).sum(0)
        return out / out.max().clamp(min=1e-9)


def _fused(network: ClassMapNet) -> ClassMapNet:
    """A copy whose batch norms are in its convolutions, and whose convolutions go back by
    winners."""
    out = copy.deepcopy(network).eval()

    def replace(module: nn.Module) -> None:
        children = list(module.named_children())
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
    """PRM's answer for a picture (C, H, W): a proposal a peak."""
    if proposals is None:
        return ()
    features, responses, sure = response.answers(picture)
    height, width = picture.shape[1:]
    outlines = (
        np.stack(
            [
                cv2.morphologyEx(
                    mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)
                )
                for mask in proposals.masks
            ]
        )
        .reshape(len(proposals.masks), -1)
        .astype(np.float32)
    )
    inside = proposals.masks.reshape(len(proposals.masks), -1).astype(np.float32)
    found: list[tuple[float, int, int]] = []
    for kind in torch.nonzero(sure > SHOWN).flatten().tolist():
        response_map = responses[kind].detach()
        for x, y, value in find_peaks(response_map[None])[0].tolist():
            place = (min(int(y), responses.shape[1] - 1), min(int(x), responses.shape[2] - 1))
            cause = PeakResponse.cause(features, responses, kind, place).cpu().numpy()
            cause = cv2.resize(cause, (width, height), interpolation=cv2.INTER_LINEAR).ravel()
            edge = np.abs(cv2.Sobel(cause.reshape(height, width), cv2.CV_32F, 1, 0)) + np.abs(
                cv2.Sobel(cause.reshape(height, width), cv2.CV_32F, 0, 1)
            )
            empty = (
                (
                    cv2.resize(response_map.clamp(min=0).cpu().numpy(), (width, height))
                    < response_map.mean().item()
                )
                .ravel()
                .astype(np.float32)
            )
            rank = (
                inside @ cause / np.sqrt(inside.sum(1))
                + OUTLINE * (outlines @ edge.ravel()) / np.maximum(outlines.sum(1), 1)
                - BACKGROUND * (inside @ empty) / np.sqrt(inside.sum(1))
            )
            found.append(
                (
                    float(sure[kind]) * value / max(float(response_map.max()), 1e-9),
                    kind,
                    int(rank.argmax()),
                )
            )
    out: list[tuple[int, int]] = []
    masks = []
    for score, kind, number in sorted(found, reverse=True):
        if all(
            other != kind
            or overlaps(proposals.boxes[number][None], proposals.boxes[own][None])[0, 0] <= OVERLAP
            for other, own in out
        ):
            out.append((kind, number))
            masks.append(Mask.of(kind, score, proposals.masks[number]))
    return tuple(masks)


def cam_masks(network: ClassMapNet, picture: Tensor, boxes: bool) -> tuple[Mask, ...]:
    """Connected pieces of what attention maps of the classes that the classifier sees are sure of;
    boxes: filled boxes instead."""
    with torch.no_grad():
        sure = network(picture[None])[0].sigmoid()
    kinds = torch.nonzero(sure > SHOWN).flatten()
    if not len(kinds):
        return ()
    present = torch.zeros(len(sure), dtype=torch.bool, device=picture.device)
    present[kinds] = True
    maps = (
        interpolate(
            class_maps(network, picture, present)[None],
            picture.shape[1:],
            mode='bilinear',
            align_corners=False,
        )[0]
        .cpu()
        .numpy()
    )
    best, out = np.concatenate([np.full((1, *maps.shape[1:]), CAM_LEVEL), maps]).argmax(0), []
    for index, kind in enumerate(kinds.tolist(), 1):
        pieces, count = components(best == index)
        for number in range(1, count + 1):
            pixels = pieces == number
            if pixels.sum() < STRIDE**2:
                continue
            if boxes:
                rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
                pixels = np.zeros_like(pixels)
                pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
            out.append(
                Mask.of(
                    kind, float(sure[kind]) * float(maps[index - 1][pieces == number].max()), pixels
                )
            )
    return tuple(out)
