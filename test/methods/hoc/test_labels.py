"""Generated heaps whose masks are known, and what their masks tell of a wrong size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from insegan_ros.methods.hoc.generator import HocConfig, HocGenerator
from insegan_ros.methods.hoc.labels import HocFactory, are_single, mask_warning
from insegan_ros.nn.composition import centres


def test_the_factory_knows_what_is_seen_and_where_whole_objects_are(generator):
    torch.manual_seed(1)
    factory = HocFactory(generator, 64)
    assert factory.median_area == pytest.approx(112, abs=5) and factory.objects > 3
    batch = factory.sample(2)
    assert batch.images.shape == (2, 3, 64, 64) and batch.labels.shape == (2, 64, 64)
    y, x = np.mgrid[:64, :64]
    for labels, middles, amodal in zip(
        batch.labels.numpy(), batch.centres.numpy(), batch.amodal.numpy()
    ):
        for slot in range(factory.objects):
            own, whole = labels == slot + 1, amodal[slot]
            assert not (own & ~whole).any()
            # All of it lies around its centre, also where that is out of the picture.
            if whole.any():
                assert (
                    np.hypot(x[whole] - middles[slot][0], y[whole] - middles[slot][1]).max() < 7.5
                )
        hidden = [
            (amodal[a] & amodal[b] & (labels == a + 1)).any()
            for a in range(factory.objects)
            for b in range(a + 1, factory.objects)
        ]
        assert not any(hidden)


def masks_of(*circles: tuple[float, float, float], count: int = 20) -> np.ndarray:
    """The same mask of disks (x, y, radius) in 32 px, `count` times."""
    y, x = np.mgrid[:32, :32]
    return np.repeat(
        np.any([np.hypot(x - a, y - b) <= radius for a, b, radius in circles], axis=0)[None],
        count,
        0,
    )


def test_single_objects_are_told_from_pieces_specks_and_pairs():
    one = masks_of((16, 16, 9))
    assert are_single(one).all()
    mixed = np.concatenate(
        [
            one,
            masks_of((9, 9, 4), (24, 24, 4), count=2),
            masks_of((16, 16, 2), count=1),
            masks_of((16, 16, 14), count=1),
            np.zeros((1, 32, 32), bool),
        ]
    )
    assert are_single(mixed).tolist() == [True] * 20 + [False] * 5


@pytest.mark.parametrize(
    'circles, words',
    [
        ([(16, 16, 10)], ''),
        ([(16, 16, 14)], 'of the size assumed: --instance_px is too small'),
        ([(16, 16, 3)], 'of the size assumed: --instance_px is too large'),
        ([(8, 8, 6), (24, 24, 6)], '0% of the generated masks are one connected object'),
    ],
)
def test_a_wrong_size_shows_in_the_masks(circles, words):
    found = mask_warning(masks_of(*circles))
    assert words in found and bool(found) == bool(words)


def test_objects_at_one_height_keep_their_labels():
    """Centres belong to masks whatever the order of equal heights is."""
    torch.manual_seed(0)
    flat = HocGenerator(HocConfig(size=32, z=8, width=8, providers=8, relief=0.0), 3).eval()
    batch = HocFactory(flat, 64).sample(4)
    for amodal, found in zip(batch.amodal, batch.centres):
        inside = amodal.any(-1).any(-1) & ~(
            amodal[:, 0].any(-1)
            | amodal[:, -1].any(-1)
            | amodal[:, :, 0].any(-1)
            | amodal[:, :, -1].any(-1)
        )
        assert inside.sum() > 2 and (centres(amodal[inside]) - found[inside]).abs().max() < 0.5


def test_every_second_composite_lies_on_another_ground_where_it_was_learnt():
    torch.manual_seed(0)
    shape = HocConfig(size=32, z=8, width=8, providers=1, ground=True)
    factory = HocFactory(HocGenerator(shape, 4), 64)
    made = factory.sample(4)
    bare = made.labels == 0
    grounds = [image[:3, one].median(1).values for image, one in zip(made.images, bare)]
    assert torch.allclose(grounds[1], torch.zeros(3), atol=1e-3)
    assert torch.allclose(grounds[3], torch.zeros(3), atol=1e-3)
    assert all(grounds[index].abs().max() > 0.1 for index in (0, 2))
    assert (made.images[:, 3][bare] + 1).abs().median() < 1e-3
