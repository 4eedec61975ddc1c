"""Proposals, and the bags made of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mask_pictures import mask_iou

from insegan_ros.data.mask_sets import Mask
from insegan_ros.methods.image_level.backbone import BackboneConfig
from insegan_ros.methods.image_level.bags import bags_of_masks, bags_of_peaks, peaks_of
from insegan_ros.methods.image_level.mask_rcnn import MaskRcnnConfig, make_mask_rcnn
from insegan_ros.methods.image_level.proposals import (
    ProposalsConfig,
    overlaps,
    propose,
    propose_by_network,
)

H, W = 40, 60


Y, X = np.mgrid[:H, :W]


def scene() -> tuple[np.ndarray, list[np.ndarray]]:
    """A picture (96, 128) with two squares of one colour and a disc of another on a noisy ground,
    and their masks."""
    picture = np.full((96, 128, 3), (70, 110, 70), np.uint8)
    y, x = np.mgrid[:96, :128]
    masks = [
        (y > 10) & (y < 40) & (x > 10) & (x < 40),
        (y > 50) & (y < 84) & (x > 20) & (x < 50),
        np.hypot(y - 45, x - 95) < 20,
    ]
    for mask, colour in zip(masks, ((200, 60, 50), (200, 60, 50), (60, 70, 220))):
        picture[mask] = colour
    return (
        np.clip(
            picture.astype(int) + np.random.default_rng(0).integers(-6, 7, picture.shape), 0, 255
        ).astype(np.uint8),
        masks,
    )


def test_proposals_hold_the_objects_and_outlined_ones_come_first():
    picture, masks = scene()
    found = propose(picture, ProposalsConfig())
    best = [
        max(range(len(found.masks)), key=lambda number: mask_iou(found.masks[number], mask))
        for mask in masks
    ]
    assert (
        all(mask_iou(found.masks[number], mask) > 0.85 for number, mask in zip(best, masks))
        and max(best) < 10
    )
    assert (np.diff(found.objectness) <= 0).all() and found.masks.shape[1:] == (96, 128)
    for box, mask in zip(found.boxes, found.masks):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert box.tolist() == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert propose(np.full((64, 64, 3), 90, np.uint8), ProposalsConfig()) is None, (
        'nothing stands out'
    )
    # Height tells apart what is of one colour.
    grey = np.full((64, 64, 4), 90, np.uint8)
    grey[20:44, 20:44, 3] = 200
    assert any(
        mask_iou(mask, grey[..., 3] == 200) > 0.8 for mask in propose(grey, ProposalsConfig()).masks
    )


def test_a_region_proposal_network_can_propose_instead():
    torch.manual_seed(0)
    network = make_mask_rcnn(MaskRcnnConfig(16, 32, 16, 1), BackboneConfig(), 3, 2, 128).eval()
    picture = torch.from_numpy(scene()[0].transpose(2, 0, 1).copy())
    found = propose_by_network(network, picture, ProposalsConfig(count=20))
    assert (
        found.masks.shape == (len(found.boxes), 96, 128)
        and 0 < len(found.boxes) <= 20
        and (np.diff(found.objectness) < 0).all()
    )
    for (x1, y1, x2, y2), mask in zip(found.boxes.astype(int), found.masks):
        assert (
            mask[y1:y2, x1:x2].all()
            and mask.sum() == (x2 - x1) * (y2 - y1)
            and 0.003 <= mask.mean() <= 0.5
        )
    with torch.inference_mode():
        network.rpn.score_thresh = 2.0
    assert propose_by_network(network, picture, ProposalsConfig()) is None


def test_a_bag_holds_ten_proposals_with_its_peak_alone():
    picture, masks = scene()
    found = propose(picture, ProposalsConfig())
    peaks = np.array([[0, 25, 25], [0, 35, 67], [1, 95, 45]], np.float32)
    scores = np.stack([masks[0] | masks[1], masks[2]]).astype(np.float32)
    bags = bags_of_peaks(peaks, found, scores)
    assert [bag.class_id for bag in bags] == [0, 0, 1]
    for bag, mask in zip(bags, masks):
        assert 0 < len(bag.proposals) <= 10
        for number in bag.proposals:
            x1, y1, x2, y2 = found.boxes[number]
            assert sum(x1 <= x <= x2 and y1 <= y <= y2 for _, x, y in peaks) == 1, (
                'a box with two peaks is of no bag'
            )
        assert max(mask_iou(found.masks[number], mask) for number in bag.proposals) > 0.85
    answers = (Mask.of(1, 0.9, masks[2]),)
    (later,), boxes = bags_of_masks(answers, found.boxes)
    assert later.class_id == 1 and boxes[later.proposals[0]].tolist() == [76, 26, 115, 65], (
        'what was found before is in its own bag'
    )
    share = overlaps(boxes[later.proposals], np.array([[76.0, 26, 115, 65]]))[:, 0]
    assert (np.diff(share) <= 0).all() and 1 < len(share) <= 10 and share.min() >= 0.5, (
        'a part of the object is no view of it'
    )
    assert [
        bag.proposals.tolist() for bag in bags_of_masks(answers, np.zeros((0, 4), np.float32))[0]
    ] == [[0]]


def test_peaks_are_told_in_px_of_the_picture():
    maps = np.exp(-((Y - 20) ** 2 + (X - 39) ** 2) / 30).astype(np.float32)[None]
    assert peaks_of(maps, np.array([7])) == pytest.approx(np.array([[7, 158, 82]]), abs=0.5)
