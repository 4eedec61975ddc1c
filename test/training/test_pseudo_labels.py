"""From attention to pseudo masks: what is sure, how instances come apart, which boxes are chosen
and refined."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from insegan_ros.data.mask_sets import Mask, MaskSet
from insegan_ros.methods.image_level.backbone import BackboneConfig
from insegan_ros.methods.image_level.bags import bags_of_masks, bags_of_peaks, peaks_of
from insegan_ros.methods.image_level.box_refinement import (
    RefinementConfig,
    cut_masks,
    refine_chosen,
)
from insegan_ros.methods.image_level.ccgr_recipe import union_of
from insegan_ros.methods.image_level.confident_areas import ConfidentAreasConfig, confident_areas
from insegan_ros.methods.image_level.dense_crf import DenseCrfConfig, dense_crf, edges_of
from insegan_ros.methods.image_level.label_synthesis import (
    SynthesisConfig,
    instance_map,
    synthesise,
)
from insegan_ros.methods.image_level.mask_rcnn import MaskRcnnConfig, make_mask_rcnn
from insegan_ros.methods.image_level.proposals import (
    ProposalsConfig,
    overlaps,
    propose,
    propose_by_network,
)
from insegan_ros.methods.image_level.relations import IGNORED
from insegan_ros.offsets.votes import find_components

H, W = 40, 60
Y, X = np.mgrid[:H, :W]
# Two discs of one class that touch, at a quarter of the picture's size.
DISCS = [np.hypot(Y - 20, X - column) < 9.5 for column in (20, 39)]


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()


def discs_displacement() -> torch.Tensor:
    """What a good IRNet says of the two discs: to their centres, half the way, so that refinement
    has something to do."""
    field = np.zeros((2, H, W), np.float32)
    for disc, column in zip(DISCS, (20, 39)):
        field[0][disc], field[1][disc] = 0.5 * (column - X[disc]), 0.5 * (20 - Y[disc])
    field[:, ~(DISCS[0] | DISCS[1])] = 6.0
    return torch.from_numpy(field)


def discs_boundary() -> np.ndarray:
    both = DISCS[0] | DISCS[1]
    return np.where(
        both, 0.02, np.where(gaussian_filter(both.astype(float), 1) > 0.1, 0.98, 0.05)
    ).astype(np.float32)


def test_two_discs_of_one_class_that_touch_are_two_instances():
    """Toy: connected components in place of displacements."""
    maps = np.clip(
        sum(np.exp(-((Y - 20) ** 2 + (X - column) ** 2) / 40) for column in (20, 39)), 0, 1
    ).astype(np.float32)[None]
    size, settings = (4 * H, 4 * W), SynthesisConfig()
    large = [np.kron(disc, np.ones((4, 4), bool)) for disc in DISCS]
    numbers = instance_map(discs_displacement(), settings)
    assert numbers[20, 20] != numbers[20, 39] and numbers[20, 20] and numbers[20, 39]
    masks, label = synthesise(maps, np.array([3]), discs_boundary(), numbers, size, settings)
    assert (
        len(masks) == 2 and {one.kind for one in masks} == {3} and set(np.unique(label)) == {0, 4}
    )
    assert sorted(max(iou(one.pixels(), disc) for one in masks) for disc in large)[0] > 0.8
    together, _ = synthesise(maps, np.array([3]), discs_boundary(), None, size, settings)
    assert len(together) == 1 and iou(together[0].pixels(), large[0] | large[1]) > 0.8
    raw, _ = synthesise(
        maps, np.array([3]), discs_boundary(), None, size, SynthesisConfig(boundaries=False)
    )
    # Without the walk attention stays where it is, in the discs' middles.
    assert sum(one.area for one in raw) < 0.8 * together[0].area


def test_components_are_the_papers_rule():
    field = np.zeros((2, 8, 12), np.float32)
    field[0] = np.where(X[:8, :12] < 6, 2 - X[:8, :12], 9 - X[:8, :12])
    field[1] = 4 - Y[:8, :12]
    found = find_components(field, field, 1.5)
    assert (
        set(np.unique(found)) == {1, 2}
        and (found[:, :6] == found[0, 0]).all()
        and (found[:, 6:] == found[0, 11]).all()
    )
    far = np.full((2, 8, 12), 5.0, np.float32)
    assert not find_components(far, far, 2.5).any(), 'what points nowhere short is of nothing'


def test_fragments_and_faint_scores_are_dropped():
    maps = np.zeros((2, H, W), np.float32)
    maps[0, 10:20, 10:20] = 1
    maps[0, 30, 50] = 1
    maps[1, 30:36, 30:36] = 0.2
    masks, label = synthesise(
        maps,
        np.array([0, 1]),
        np.zeros((H, W), np.float32),
        None,
        (4 * H, 4 * W),
        SynthesisConfig(boundaries=False),
    )
    assert (
        len(masks) == 1
        and masks[0].kind == 0
        and masks[0].score == pytest.approx(1)
        and not (label == 2).any()
    )
    assert (
        synthesise(
            0 * maps,
            np.array([0, 1]),
            np.zeros((H, W), np.float32),
            None,
            (4 * H, 4 * W),
            SynthesisConfig(),
        )[0]
        == ()
    )


def test_confident_areas_follow_the_pictures_edges_and_the_rest_is_unknown():
    """Attention is a blur about a square; the CRF brings it to the square's outline. Only maps,
    classes and the picture go in: no mask can."""
    picture = np.full((4 * H, 4 * W, 3), (60, 120, 60), np.uint8)
    picture[40:120, 60:140] = (200, 60, 50)
    square = np.zeros((H, W), bool)
    square[10:30, 15:35] = True
    maps = gaussian_filter(square.astype(np.float32), 4)[None]
    maps /= maps.max()
    rough = confident_areas(
        maps, np.array([2]), picture, ConfidentAreasConfig(), DenseCrfConfig(relations=False)
    )
    fine = confident_areas(maps, np.array([2]), picture, ConfidentAreasConfig(), DenseCrfConfig())
    assert set(np.unique(rough)) == {0, 3, IGNORED} and rough.shape == (H, W)
    assert iou(fine == 3, square) > 0.93 > iou(rough == 3, square)
    assert rough[0, 0] == 0 and (rough == IGNORED).sum() > 100
    assert list(inspect.signature(confident_areas).parameters) == [
        'maps',
        'kinds',
        'picture',
        'config',
        'crf',
    ]


def test_labels_follow_the_pictures_edges():
    """A ring, as a nut lies in a bin: at a quarter of the picture its hole is a blur; the dense CRF
    brings it back, for either method's labels."""
    y, x = np.mgrid[: 4 * H, : 4 * W]
    far = np.hypot(y - 80, x - 100)
    ring = (far < 24) & (far > 9)
    picture = np.where(ring[..., None], (200, 60, 50), (60, 120, 60)).astype(np.uint8)
    soft = gaussian_filter(ring.astype(np.float32), 6)[2::4, 2::4][None]
    edges = edges_of(picture, DenseCrfConfig())
    assert edges_of(picture, DenseCrfConfig(labels=False)) is None
    boxes = [(1, 0.9, np.array([76.0, 56, 124, 104], np.float32))]
    scores = torch.from_numpy(np.concatenate([0 * soft, soft / soft.max() * 0.9]))
    for make in (
        lambda how: synthesise(
            soft,
            np.array([1]),
            np.zeros((H, W), np.float32),
            None,
            ring.shape,
            SynthesisConfig(boundaries=False),
            edges=how,
        )[0],
        lambda how: cut_masks(scores, boxes, ring.shape, RefinementConfig(), how),
    ):
        (rough,), (fine,) = make(None), make(edges)
        assert fine.kind == 1 and iou(fine.pixels(), ring) > 0.95 > 0.87 > iou(rough.pixels(), ring)
    # Nothing in the picture tells what is where: the labels stay.
    shares = np.zeros((2, 20, 20), np.float32)
    shares[0], shares[1, 5:15, 5:15] = 0.3, 0.9
    assert (
        iou(
            dense_crf(np.zeros((20, 20, 3), np.uint8), shares, DenseCrfConfig(reach=0.001)) == 1,
            shares[1] > 0.5,
        )
        > 0.9
    )


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
        max(range(len(found.masks)), key=lambda number: iou(found.masks[number], mask))
        for mask in masks
    ]
    assert (
        all(iou(found.masks[number], mask) > 0.85 for number, mask in zip(best, masks))
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
        iou(mask, grey[..., 3] == 200) > 0.8 for mask in propose(grey, ProposalsConfig()).masks
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
    assert [bag.kind for bag in bags] == [0, 0, 1]
    for bag, mask in zip(bags, masks):
        assert 0 < len(bag.proposals) <= 10
        for number in bag.proposals:
            x1, y1, x2, y2 = found.boxes[number]
            assert sum(x1 <= x <= x2 and y1 <= y <= y2 for _, x, y in peaks) == 1, (
                'a box with two peaks is of no bag'
            )
        assert max(iou(found.masks[number], mask) for number in bag.proposals) > 0.85
    answers = (Mask.of(1, 0.9, masks[2]),)
    (later,), boxes = bags_of_masks(answers, found.boxes)
    assert later.kind == 1 and boxes[later.proposals[0]].tolist() == [76, 26, 115, 65], (
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


def test_two_objects_of_a_class_that_touch_stay_two_masks():
    """Toy: the box of the thresholded map. Boxes begin small, on either of two squares side by
    side."""
    scores = np.zeros((2, 24, 32), np.float32)
    scores[1, 6:18, 4:28] = 1
    maps = [torch.from_numpy(gaussian_filter(scores, (0, 1, 1)))]
    chosen = [
        [
            (1, 0.9, np.array([24.0, 32, 56, 64], np.float32)),
            (1, 0.8, np.array([72.0, 32, 104, 64], np.float32)),
        ]
    ]
    refined = refine_chosen(maps, chosen, RefinementConfig())
    masks = cut_masks(maps[0], refined[0], (96, 128), RefinementConfig())
    truth = [np.zeros((96, 128), bool) for _ in range(2)]
    truth[0][24:72, 16:64], truth[1][24:72, 64:112] = True, True
    assert len(masks) == 2 and all(
        max(iou(one.pixels(), square) for one in masks) > 0.75 for square in truth
    )
    # Left as they are, boxes keep to what was chosen.
    assert refine_chosen(maps, chosen, RefinementConfig(steps=0)) is chosen
    twice = [[chosen[0][0], (1, 0.5, chosen[0][0][2] + 2)]]
    assert len(cut_masks(maps[0], twice[0], (96, 128), RefinementConfig())) == 1, (
        'two peaks on one object are one mask'
    )


def test_the_union_of_masks_is_the_next_rounds_semantic_label():
    one, other = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
    one[2:10, 2:10], other[6:16, 6:16] = True, True
    found = MaskSet(
        ('a', 'b'), ((20, 30), (20, 30)), ((Mask.of(0, 0.9, one), Mask.of(1, 0.5, other)), ())
    )
    label = union_of(found, 32)
    assert (
        label.shape == (2, 32, 32)
        and (label[0][:20, :30][one] == 1).all()
        and (label[0][:20, :30][other & ~one] == 2).all()
        and not label[1].any()
    )
