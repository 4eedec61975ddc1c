"""Measures of masks with classes by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mask_pictures import one_picture, square

from insegan_ros.data.mask_sets import Mask, MaskSet
from insegan_ros.metrics.average_precision import class_average_precision, precision_by_class
from insegan_ros.metrics.classes import Confusion, score_masks, semantic_of


def test_average_precision_goes_by_class():
    truth = one_picture(Mask.of(0, 1, square(5, 5)), Mask.of(1, 1, square(40, 5)))
    assert score_masks(truth, truth) == {'ap25': 1.0, 'ap50': 1.0, 'ap75': 1.0, 'box_ap50': 1.0}
    wrong = one_picture(Mask.of(1, 1, square(5, 5)), Mask.of(1, 1, square(40, 5)))
    # One class has all its truth, behind a wrong answer or before it; the other nothing.
    assert 0.2 < score_masks(truth, wrong)['ap50'] <= 0.5
    half = one_picture(Mask.of(0, 1, square(5, 5)))
    assert score_masks(truth, half)['ap50'] == 0.5
    ring = square(40, 5) & ~square(43, 8, 14)
    hollow = one_picture(Mask.of(0, 1, square(5, 5)), Mask.of(1, 0.9, ring))
    assert score_masks(truth, hollow)['box_ap50'] == 1.0 and score_masks(truth, hollow)[
        'ap50'
    ] == pytest.approx(0.5 if ring.sum() < 200 else 1.0)
    other = MaskSet(
        ('bolt', 'cone', 'nut'),
        ((60, 80),),
        (
            (
                Mask.of(2, 1, square(5, 5)),
                Mask.of(0, 1, square(40, 5)),
                Mask.of(1, 1, square(40, 30)),
            ),
        ),
    )
    assert class_average_precision(truth, other)['ap75'] == pytest.approx(1), (
        'classes are told by name; a class that is not asked for is no answer'
    )
    assert class_average_precision(truth, one_picture())['ap50'] == 0.0 and np.isnan(
        class_average_precision(one_picture(), truth)['ap50']
    )


def test_every_class_that_there_is_truth_of_has_its_own_precision():
    """Of the first both are found, of the second none; a third is found and nowhere in the
    truth."""
    classes = ('bolt', 'cone', 'nut')
    truth = MaskSet(
        classes,
        ((60, 80),),
        ((*(Mask.of(0, 1, square(x, 5)) for x in (5, 30)), Mask.of(1, 1, square(5, 30))),),
    )
    found = MaskSet(
        classes,
        ((60, 80),),
        (
            (
                Mask.of(0, 0.9, square(5, 5)),
                Mask.of(0, 0.3, square(35, 5)),
                Mask.of(2, 0.5, square(5, 30)),
            ),
        ),
    )
    own = precision_by_class(truth, found)
    # Shifted by a quarter: IoU .6.
    assert own == {
        'bolt': {'ap25': 1.0, 'ap50': 1.0, 'ap75': 0.505},
        'cone': dict.fromkeys(own['cone'], 0.0),
    }
    assert list(own['cone']) == ['ap25', 'ap50', 'ap75']
    assert class_average_precision(truth, found)['ap75'] == pytest.approx(0.505 / 2, abs=1e-3)
    nothing = replace(found, masks=((),))
    assert precision_by_class(truth, nothing, (0.5,)) == {
        'bolt': {'ap50': 0.0},
        'cone': {'ap50': 0.0},
    }
    assert precision_by_class(nothing, found) == {}
    # Half of a class's truth lies in another picture, in which nothing was found.
    more = MaskSet(classes, ((60, 80),) * 2, (truth.masks[0], (Mask.of(1, 1, square(5, 5)),)))
    both = MaskSet(classes, ((60, 80),) * 2, ((*truth.masks[0],), ()))
    assert precision_by_class(more, both)['cone']['ap50'] == pytest.approx(0.505, abs=1e-3)


def test_semantic_miou_counts_background_and_what_is_on_top():
    found = one_picture(Mask.of(0, 0.9, square(5, 5)), Mask.of(1, 0.5, square(15, 5)))
    label = semantic_of(found, 0)
    assert (label[square(5, 5)] == 1).all() and (label == 2).sum() == 200
    count = Confusion(2)
    count.add(label, label)
    assert count.miou() == 1.0
    count.add(label, np.zeros_like(label))
    # Both classes half, background its own share.
    assert count.miou() == pytest.approx((0.5 + 0.5 + 2 * 4200 / (2 * 4200 + 600)) / 3, abs=1e-3)


def test_what_nobody_knows_counts_neither_way():
    part, beside = np.zeros((60, 80), bool), np.zeros((60, 80), bool)
    part[10:30, 10:40], beside[10:30, 40:60] = True, True
    truth = replace(one_picture(Mask.of(0, 1.0, part)), void={0: beside})
    # A part that goes on where nobody knows, and something that is nowhere else.
    found = one_picture(Mask.of(0, 0.9, part | beside), Mask.of(1, 0.8, beside))
    assert score_masks(truth, found)['ap75'] == 1.0
    assert score_masks(replace(truth, void={}), found)['ap75'] == 0.0
    count = Confusion(2)
    count.add(semantic_of(truth, 0), semantic_of(found, 0))
    assert count.miou() == 1.0 and count.counts.sum() == (~beside).sum()
    assert len(found.outside(truth.void).masks[0]) == 1
    both = MaskSet.joined([one_picture(), truth])
    assert len(both) == 2 and both.masks[1] == truth.masks[0] and set(both.void) == {1}
