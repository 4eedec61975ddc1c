"""`insegan benchmark weak`: its measures by hand, its baselines on pictures whose answer is known,
and all of its rows, very small."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from insegan_ros.benchmarks.classes import (
    BUDGETS,
    WeakBenchmark,
    as_rows,
    boxes_by_step,
    cells,
    markdown,
)
from insegan_ros.data.mask_sets import Mask, MaskSet
from insegan_ros.methods.image_level.backbone import BackboneConfig
from insegan_ros.methods.image_level.class_maps import ClassMapNet
from insegan_ros.methods.image_level.peak_response import PeakResponse, cam_masks, prm_masks
from insegan_ros.methods.image_level.proposals import ProposalsConfig, propose
from insegan_ros.metrics.average_precision import class_average_precision
from insegan_ros.metrics.classes import Confusion, score_masks, semantic_of


def square(left: int, top: int, side: int = 20) -> np.ndarray:
    out = np.zeros((60, 80), bool)
    out[top : top + side, left : left + side] = True
    return out


def one_picture(*masks: Mask) -> MaskSet:
    return MaskSet(('nut', 'bolt'), ((60, 80),), (masks,))


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


def test_figure_five_counts_boxes_on_their_way():
    truth = one_picture(Mask.of(0, 1, square(20, 20)))
    small, whole = np.array([26.0, 26, 34, 34]), np.array([20.0, 20, 40, 40])
    way = np.stack([small + share * (whole - small) for share in np.linspace(0, 1, 41)])[:, None]
    assert boxes_by_step(truth, [[(0, 0.9, small)]], way) == {
        '0': 0.0,
        '20': pytest.approx(0.0 if 14**2 / 400 <= 0.5 else 1.0),
        '40': 1.0,
    }


def bright_square_classifier() -> tuple[ClassMapNet, torch.Tensor, np.ndarray]:
    """A network that was taught in a few steps to tell red from blue squares; a picture with one of
    each, and their masks."""
    torch.manual_seed(0)
    network = ClassMapNet(BackboneConfig(), 3, 2, 'top').train()
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)

    def draw(there: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        picture = torch.full((3, 96, 96), 90, dtype=torch.uint8) + torch.randint(
            0, 8, (3, 96, 96), dtype=torch.uint8
        )
        for kind in (0, 1):
            if there[kind]:
                left = 8 + 44 * kind + int(places[kind, 0])
                top = 10 + int(places[kind, 1])
                picture[:, top : top + 28, left : left + 28] = 30
                picture[2 * kind, top : top + 28, left : left + 28] = 240
        return picture

    for _ in range(60):
        there, places = torch.rand(12, 2) < 0.5, torch.randint(0, 10, (12, 2, 2))
        batch = torch.stack([draw(*one) for one in zip(there, places)])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(batch), there.float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    masks = np.zeros((2, 96, 96), bool)
    masks[0, 15:43, 12:40], masks[1, 12:40, 54:82] = True, True
    return network.eval(), draw(torch.tensor([True, True]), torch.tensor([[4, 5], [2, 2]])), masks


def test_attention_and_peak_response_find_what_a_classifier_looks_at():
    network, picture, masks = bright_square_classifier()
    response = PeakResponse(network)
    with torch.no_grad():
        assert torch.allclose(response.network(picture[None]), network(picture[None]), atol=1e-4), (
            'fused, it is the same network'
        )
    features, responses, sure = response.answers(picture)
    assert (sure > 0.5).all()
    for kind, mask in enumerate(masks):
        place = divmod(int(responses[kind].argmax()), responses.shape[2])
        cause = PeakResponse.cause(features, responses, kind, place)
        assert float(cause.max()) == pytest.approx(1) and float(cause.min()) >= 0
        inside = torch.from_numpy(mask[::4, ::4])
        assert float(cause[inside].sum() / cause.sum()) > 0.35 > 1.5 * mask.mean(), (
            'what caused the peak lies on the object'
        )
    found = prm_masks(
        response, picture, propose(picture.permute(1, 2, 0).numpy(), ProposalsConfig())
    )
    for kind, mask in enumerate(masks):
        best = max((one for one in found if one.kind == kind), key=lambda one: one.score)
        assert (best.pixels() & mask).sum() / (best.pixels() | mask).sum() > 0.6
    assert prm_masks(response, picture, None) == ()
    for boxes in (False, True):
        for one in cam_masks(network, picture, boxes):
            assert (one.pixels() & masks[one.kind]).sum() > 0
            assert not boxes or one.area == one.box[2] * one.box[3]


@pytest.mark.slow
def test_all_rows_very_small_and_a_second_start_measures_nothing_again(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr('insegan_ros.benchmarks.classes.make_mixed', lambda *_: mixed / 'full')
    small = BUDGETS['small']
    heads = replace(
        small.irnet.mask_rcnn,
        network=replace(
            small.irnet.mask_rcnn.network, pyramid=32, box=32, mask=16, mask_layers=1, regions=16
        ),
        steps=2,
        batch=2,
    )
    irnet = replace(
        small.irnet,
        size=96,
        class_maps=replace(small.irnet.class_maps, steps=12, batch=4),
        mask_rcnn=heads,
        deeplab=replace(small.irnet.deeplab, steps=2, batch=2),
    )
    ccgr = replace(
        small.ccgr,
        size=96,
        class_maps=irnet.class_maps,
        mask_rcnn=heads,
        boxes=replace(small.ccgr.boxes, steps=2, width=16),
        semantic=replace(small.ccgr.semantic, steps=2, batch=2),
    )
    budget = replace(
        small,
        training=8,
        test=8,
        judged=3,
        irnet=irnet,
        ccgr=ccgr,
        supervised=replace(small.supervised, size=96, mask_rcnn=heads),
    )
    bench = WeakBenchmark(tmp_path, budget, device='cpu', threads=1)
    results = bench.run(set())
    wanted = {(cell.table, cell.method) for cell in cells(2) if cell.what != 'shipped'}
    assert wanted <= {(one['table'], one['method']) for one in results}
    assert all(
        0 <= value <= 1
        for one in results
        for key, value in one.items()
        if isinstance(value, float) and key not in ('minutes', 'seconds', 'matrix_mib')
    )
    less, more = (one['matrix_mib'] for one in results if 'matrix_mib' in one)
    assert more == pytest.approx(4 * less, rel=0.1), 'memory is linear in pixels'
    (curve,) = (one['box_ap50_by_step'] for one in results if 'box_ap50_by_step' in one)
    assert list(curve) == [str(step) for step in range(0, 201, 20)]
    assert {path.name for path in (tmp_path / 'pictures').iterdir()} >= {
        'prm.png',
        'irnet.png',
        'ccgr.png',
        'supervised.png',
        'refinement.png',
        'labels-CAM.png',
    }
    text = markdown(results, budget, 'machine')
    assert 'shrunken run' in text and '| PRM |' in text and 'figure 5' in text
    rows = as_rows(results, 'machine', 'command')
    assert any(row['metric'] == 'box_ap50 at step 40' for row in rows)
    monkeypatch.setattr(WeakBenchmark, '_measure', lambda *_: pytest.fail('measured again'))
    assert (
        WeakBenchmark(tmp_path, budget, device='cpu', threads=1).run({'PRM'})[0]['method'] == 'PRM'
    )
