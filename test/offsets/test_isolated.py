"""Parts that lie alone are found in unlabelled height maps, and composed with exact labels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from insegan_ros.heights import FOREGROUND_SHARE, HEADROOM, above_floor
from insegan_ros.nn.composition import centres
from insegan_ros.offsets.isolated import (
    CropFactory,
    find_isolated,
    find_unoccluded,
    part_share,
    together,
    turned,
)


def bars(*places: tuple[int, int], height: float = 0.5) -> torch.Tensor:
    """A height map with bars of 6 x 14 px, a step up at their right end, left top corners at (x,
    y)."""
    image = torch.full((1, 64, 64), -1.0)
    for x, y in places:
        image[0, y : y + 6, x : x + 14] = 2 * height - 1
        image[0, y : y + 6, x + 10 : x + 14] = 2 * height * 1.5 - 1
    return image


def test_parts_that_lie_alone_are_found_and_pairs_and_cut_off_ones_are_not():
    images = torch.stack(
        [
            bars((10, 10), (40, 10), (10, 40)),
            bars((10, 10), (24, 10), (40, 40)),
            bars((0, 10), (30, 30), (40, 50)),
        ]
    )
    found = find_isolated(images, part_share(images, 3))
    assert len(found) == 3 + 1 + 2 and found.shape[2] == found.shape[3] and found.shape[2] % 2 == 0
    area = above_floor(found[:, 0]).sum((1, 2))
    assert (area == 6 * 14).all()
    # Each in the middle of its patch.
    middle = (found.shape[-1] - 1) / 2
    assert torch.allclose(centres(above_floor(found[:, 0])), torch.full((6, 2), middle), atol=0.6)
    assert len(find_isolated(images[:, :, :8, :8], 84.0)) == 0


def test_turning_keeps_size_and_handedness():
    torch.manual_seed(0)
    patch = bars((25, 29))[None].expand(64, -1, -1, -1)
    out = turned(patch, 64)
    area = above_floor(out[:, 0]).sum((1, 2)).float()
    # Bilinear edges lie half a pixel farther out.
    assert 80 < area.min() and area.max() < 104
    # An L: turned back it fits itself, and its mirror image never does.
    corner = np.full((64, 64), -1.0, np.float32)
    corner[22:42, 27:32], corner[37:42, 27:40] = 0.5, 0.5
    mask = (corner > -0.84).astype(np.uint8)

    def best_fit(piece: np.ndarray, shape: np.ndarray) -> float:
        turns = [
            cv2.warpAffine(shape, cv2.getRotationMatrix2D((31.5, 31.5), angle, 1), (64, 64)) > 0
            for angle in range(0, 360, 3)
        ]
        return max((piece & turn).sum() / (piece | turn).sum() for turn in turns)

    for piece in above_floor(
        turned(torch.from_numpy(corner)[None, None].expand(6, -1, -1, -1), 64)[:, 0]
    ).numpy():
        assert best_fit(piece, mask) > 0.8 > 0.75 > best_fit(piece, mask[:, ::-1].copy())


@pytest.fixture
def factory() -> CropFactory:
    torch.manual_seed(0)
    return CropFactory(
        find_isolated(torch.stack([bars((10, 10), (40, 10), (10, 40))]), 84.0), 3, 64
    )


def test_composites_are_exact_and_vary_in_number(factory):
    assert factory.median_area == 84
    batch = factory.sample(48)
    assert (
        batch.images.shape == (48, 1, 64, 64)
        and batch.images.min() >= -1
        and 1 < batch.images.max() <= 2 * HEADROOM - 1
    )
    assert {int(row.flatten(1).any(1).sum()) for row in batch.amodal} == {1, 2, 3, 4}
    # A visible pixel belongs to the amodal mask of its label, and what no mask covers is floor.
    owner = (batch.labels - 1).clamp(min=0)[:, None]
    assert batch.amodal.gather(1, owner)[:, 0][batch.labels > 0].all()
    assert not (batch.labels > 0)[~batch.amodal.any(1)].any()
    assert above_floor(batch.images[:, 0])[batch.labels > 0].all()


def test_a_part_that_lies_on_another_stands_higher(factory):
    torch.manual_seed(1)
    batch = factory.sample(200)
    hidden = batch.amodal.sum((2, 3)) - torch.stack(
        [(batch.labels == slot + 1).sum((1, 2)) for slot in range(4)], 1
    )
    assert (hidden > 20).any()
    higher = []
    for image, masks in zip(batch.images[:, 0], batch.amodal):
        overlap = masks.sum(0) > 1
        if overlap.sum() > 10:
            higher.append(float(image[overlap].mean() - image[(masks.sum(0) == 1)].mean()))
    assert len(higher) > 5 and np.mean(higher) > 0.1


def piled() -> tuple[torch.Tensor, np.ndarray]:
    """A bar on a lower bar, one that lies alone, one that leaves the picture; heights .7, .3, .4,
    .4."""
    heights, labels = np.zeros((1, 64, 64), np.float32), np.zeros((1, 64, 64), np.int64)
    for label, (rows, columns, height) in enumerate(
        (
            (np.s_[20:30], np.s_[10:30], 0.3),
            (np.s_[15:35], np.s_[16:24], 0.7),
            (np.s_[45:51], np.s_[40:60], 0.4),
            (np.s_[0:8], np.s_[50:60], 0.4),
        ),
        start=1,
    ):
        heights[0, rows, columns], labels[0, rows, columns] = height, label
    return torch.from_numpy(heights * 2 - 1)[:, None], labels


def test_what_lies_on_top_is_cut_out_of_a_pile():
    images, labels = piled()
    torch.manual_seed(0)
    tops = find_unoccluded(images, labels)
    areas = above_floor(tops[:, 0]).sum((1, 2)).tolist()
    # The bar on top and the lone one; not the covered one, nor the one at the border.
    assert sorted(areas) == [120, 160]
    on_top, alone = (tops[areas.index(area)] for area in (160, 120))
    assert alone.max() == pytest.approx(2 * 0.4 - 1, abs=1e-5)
    # What holds it up is not known: it may stand on the floor, never in it.
    assert 2 * 2 * FOREGROUND_SHARE - 1 <= on_top.max() < 2 * 0.7 - 1
    assert torch.allclose(
        centres(above_floor(tops[:, 0])), torch.full((2, 2), (tops.shape[-1] - 1) / 2), atol=0.6
    )


def test_cut_outs_of_two_sizes_are_one_stock():
    small, large = torch.full((3, 1, 10, 10), 0.5), torch.full((2, 1, 24, 24), 0.5)
    stock = together(small, large)
    assert stock.shape == (5, 1, 24, 24) and (stock[:3] > -1).sum() == 300
    assert (stock[0, 0, 7:17, 7:17] == 0.5).all() and torch.equal(stock[3:], large)


def test_the_size_of_a_part_is_found_without_their_number():
    rng = np.random.default_rng(0)
    images = []
    for _ in range(60):
        # Up to six bars, some of them touching, on a coarse grid of places; now and then a speck of
        # noise.
        places = [(int(x), int(y)) for x in (4, 18, 34) for y in (8, 24, 44) if rng.random() < 0.4]
        image = bars(*places)
        image[0, 60:61, 60:62] = 0.5
        images.append(image)
    images = torch.stack(images)
    assert part_share(images, 0) == pytest.approx(6 * 14, rel=0.15)
    known = part_share(images, 3)
    assert known == pytest.approx(float(above_floor(images).sum()) / 60 / 3)
    assert np.isnan(part_share(images[:2], 0)) and len(find_isolated(images[:2], float('nan'))) == 0


def test_an_emptying_bins_composites_hold_any_number():
    torch.manual_seed(0)
    crops = find_isolated(torch.stack([bars((10, 10), (40, 10), (10, 40))]), 84.0)
    usual, varying = (
        CropFactory(crops, 7, 64, varying).sample(400).amodal.flatten(2).any(2).sum(1)
        for varying in (False, True)
    )
    assert (varying < 5).float().mean() > 0.4 > 0.3 > (usual < 5).float().mean()


@pytest.mark.parametrize('degrees', [0, 50, 90, 180, 250])
def test_a_part_leans_on_what_lies_below_and_its_other_side_stays_on_the_floor(degrees):
    """A disc, and half of it on something that is half as high as the scale."""
    torch.manual_seed(0)
    size, direction = 64, np.radians(degrees)
    factory = CropFactory(torch.full((1, 1, 16, 16), 1.0), 3, size)
    along = factory.x * np.cos(direction) + factory.y * np.sin(direction)
    disc = torch.hypot(factory.x, factory.y) < 0.5
    batch = 200
    height = 0.3 * disc.float().repeat(batch, 1, 1)
    top = torch.where(along > 0.1, 0.5, 0.0).repeat(batch, 1, 1)
    laid = factory._laid_on(height, height > 0.2, top, torch.zeros(batch, 2))
    lift = (laid - height)[:, disc]
    assert (laid[:, ~disc] == 0).all() and lift.min() >= 0
    # Raised by four tenths of what lies there to twice as much, and half as much more at its end.
    assert 0.2 <= lift.amax(1).min() and 1.0 < lift.amax(1).max() <= 2 * 0.5 * 1.6
    flat = lift.amin(1) > 0.1
    assert 0.2 < flat.float().mean() < 0.4 and (lift[flat].std(1) < 1e-6).all()
    leaning, way = lift[~flat], along[disc]
    assert (leaning[:, way < -0.45] < 0.06 * leaning.amax(1, keepdim=True)).all()
    for one in leaning[:5]:
        assert np.corrcoef(one, way)[0, 1] > 0.99
    # What lies on nothing stays as it is, and a few pixels hold nothing up.
    alone = factory._laid_on(height, height > 0.2, torch.zeros_like(top), torch.zeros(batch, 2))
    assert torch.equal(alone, height)
    speck = torch.zeros_like(top)
    speck[:, 32, 32:35] = 0.5
    assert torch.equal(factory._laid_on(height, height > 0.2, speck, torch.zeros(batch, 2)), height)


def test_a_patch_is_shifted_and_grown_as_it_is_said():
    axis = (torch.arange(32) + 0.5) / 32 * 2 - 1
    disc = torch.hypot(axis[:, None], axis[None]) < 0.5
    patches = torch.where(disc, 0.5, -1.0).repeat(3, 1, 1, 1)
    shift, grown = torch.tensor([[0.0, 0.0], [0.5, -0.25], [-0.25, 0.0]]), torch.tensor([1, 1, 1.5])
    found = turned(patches, 64, shift, torch.zeros(3), grown)[:, 0] > -0.25
    area = found.sum((1, 2)) / disc.sum()
    assert area.tolist() == pytest.approx([1, 1, 2.25], rel=0.05)
    for mask, (x, y) in zip(found, shift):
        rows, columns = torch.nonzero(mask).float().T
        assert float(columns.mean()) == pytest.approx(31.5 + 32 * float(x), abs=0.3)
        assert float(rows.mean()) == pytest.approx(31.5 + 32 * float(y), abs=0.3)
