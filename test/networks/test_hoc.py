"""What methods.md asks of the HOC learner: one picture, codes of their own, order that hides, masks
that are known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from insegan_ros.data.heap import estimate_size, read_heap
from insegan_ros.errors import DatasetError
from insegan_ros.methods.hoc.generator import HocConfig, HocGenerator, black_disk
from insegan_ros.methods.hoc.labels import HocFactory, are_single, mask_warning
from insegan_ros.methods.hoc.patches import cut_patches
from insegan_ros.methods.hoc.segmenter import snap_to_edges
from insegan_ros.metrics.masks import iou_matrix
from insegan_ros.nn.composition import centres, sizes

SMALL = HocConfig(size=32, z=8, width=8, providers=3)


@pytest.fixture
def generator() -> HocGenerator:
    """One whose objects are disks of a colour that their code gives."""
    torch.manual_seed(0)
    made = HocGenerator(SMALL, 3).eval()
    axis = torch.arange(32) - 15.5
    disk = ((axis[:, None] ** 2 + axis[None] ** 2) < 36).float()

    def provide(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tanh(z[:, :3, None, None]).expand(-1, 3, 32, 32), disk.expand(
            len(z), 1, 32, 32
        )

    made.provide = provide
    return made


def test_every_provider_has_a_code_of_its_own(generator):
    """Toy: N copies of one z. A change of one code changes one object alone."""
    z, places, below = torch.randn(2, 3, 8), torch.zeros(2, 3, 3), torch.full((2, 3, 32, 32), -1.0)
    changed = z.clone()
    changed[:, 1] += 1
    one, other = (generator(codes, places, below) for codes in (z, changed))
    same = (one.appearance == other.appearance).flatten(2).all(2)
    assert same.tolist() == [[True, False, True]] * 2


def test_the_highest_hides_what_is_below(generator):
    z, below = torch.randn(1, 3, 8), torch.full((1, 3, 32, 32), -1.0)
    heap = generator(z, torch.tensor([[[0, 0, 0.1], [0, 0, 0.3], [0, 0, -0.2]]]), below)
    assert torch.allclose(heap.image[0, :, 16, 16], torch.tanh(z[0, 1, :3])) and torch.equal(
        heap.image[0, :, 0, 0], torch.full((3,), -1.0)
    )


def test_a_shift_of_whole_pixels_moves_colour_and_mask_alike(generator):
    z, below = torch.randn(1, 1, 8), torch.full((1, 3, 32, 32), -1.0)
    still, moved = (
        generator(z, torch.tensor([[place]]), below)
        for place in ((0.0, 0.0, 0.0), (5.0, -3.0, 0.0))
    )
    assert torch.allclose(
        moved.image, still.image.roll((-3, 5), (2, 3)), atol=1e-5
    ) and torch.allclose(moved.moved, still.moved.roll((-3, 5), (3, 4)), atol=1e-5)


def test_a_raised_object_is_nearer_all_over_and_colour_has_no_height():
    torch.manual_seed(0)
    for channels in (1, 4):
        generator = HocGenerator(SMALL, channels).eval()
        z, below = torch.randn(1, 1, 8), torch.full((1, channels, 32, 32), -1.0)
        with torch.no_grad():
            low, high = (
                generator(z, torch.tensor([[[0.0, 0.0, height]]]), below) for height in (0.0, 0.25)
            )
        rise = (high.image - low.image)[0]
        assert torch.allclose(rise[-1], 0.25 * low.moved[0, 0, 0], atol=0.02) and (
            channels == 1 or rise[:-1].abs().max() < 1e-6
        )


def test_objects_begin_and_stay_within_their_patch():
    """A first mask is one disk of the size that patches are cut for, and nothing ever reaches the
    patch's rim."""
    generator = HocGenerator(SMALL, 3).eval()
    with torch.no_grad():
        masks = generator.provide(torch.randn(20, 8))[1][:, 0]
        generator.head.bias.fill_(100.0)
        full = generator.provide(torch.randn(2, 8))[1][:, 0]
    area, radius = sizes(masks > 0.5)
    assert (area / (np.pi * (32 / 3) ** 2) - 1).abs().max() < 0.35 and radius.max() < 9.5
    assert full[:, 16, 16].min() > 0.99 and not full[:, 0].any() and not full[:, :, -1].any()


def test_the_background_is_a_disk_or_black():
    patches = torch.ones(2, 3, 32, 32)
    disk = black_disk(patches, 0.31)
    assert (disk == -1).float().mean() == pytest.approx(np.pi * 0.31**2, abs=0.01) and disk[
        0, 0, 0, 0
    ] == 1
    assert (black_disk(patches, 0.0) == -1).all()


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


def heap_of_disks(
    path: Path, size: int = 256, width: int = 20, seed: int = 0, depth: int = 8
) -> None:
    """A picture of many equal disks on black."""
    rng = np.random.default_rng(seed)
    image = np.full((size, size, 3), 10, np.uint8)
    for _ in range(int(0.9 * size * size / width**2)):
        cv2.circle(
            image,
            tuple(int(v) for v in rng.integers(0, size, 2)),
            width // 2,
            (90, 160, int(rng.integers(140, 220))),
            -1,
        )
        cv2.circle(image, (0, 0), 0, (0, 0, 0), -1)
    image = np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    cv2.imwrite(str(path), image if depth == 8 else image.astype(np.uint16) * 200)


def test_the_size_is_read_off_the_picture(tmp_path):
    for width in (16, 30):
        heap_of_disks(tmp_path / 'heap.png', width=width)
        assert estimate_size(read_heap(tmp_path / 'heap.png', 'colour').pixels) == pytest.approx(
            width, rel=0.35
        )


def test_grey_deep_and_clear_pictures_are_read(tmp_path):
    heap_of_disks(tmp_path / 'deep.png', depth=16)
    colour = read_heap(tmp_path / 'deep.png', 'colour').pixels
    cv2.imwrite(
        str(tmp_path / 'grey.png'), cv2.imread(str(tmp_path / 'deep.png'), cv2.IMREAD_GRAYSCALE)
    )
    cv2.imwrite(
        str(tmp_path / 'clear.png'),
        np.dstack([cv2.imread(str(tmp_path / 'deep.png')), np.full((256, 256), 255, np.uint8)]),
    )
    for name in ('grey', 'clear'):
        assert read_heap(tmp_path / f'{name}.png', 'colour').pixels.shape == (256, 256, 3)
    assert colour.min() < -0.8 and colour.max() > 0.5 and colour.dtype == np.float32


def test_pictures_that_teach_nothing_are_refused(tmp_path):
    with pytest.raises(DatasetError, match='is missing, cut short, too large or no picture'):
        read_heap(tmp_path / 'none.png', 'colour')
    cv2.imwrite(str(tmp_path / 'flat.png'), np.full((200, 200, 3), 90, np.uint8))
    with pytest.raises(DatasetError, match='no object shows in the picture'):
        estimate_size(read_heap(tmp_path / 'flat.png', 'colour').pixels)
    noise = np.random.default_rng(0).normal(0, 0.3, (200, 200, 3)).astype(np.float32)
    with pytest.raises(DatasetError, match='no object shows in the picture'):
        estimate_size(noise)
    with pytest.raises(
        DatasetError, match='holds 4 windows of 100 px side by side: expected 12 or more'
    ):
        cut_patches(noise, 100, 32, 8, 0)


def test_depth_pictures_are_heights_and_say_what_they_lack(tmp_path):
    depth = np.full((80, 120), 600, np.uint16)
    depth[20:40, 30:60] = 550
    depth[0] = 0
    cv2.imwrite(str(tmp_path / 'depth.png'), depth)
    heap = read_heap(tmp_path / 'depth.png', 'depth')
    assert heap.pixels.shape == (80, 120, 1) and heap.relief_m == pytest.approx(0.05, abs=1e-4)
    assert (
        heap.pixels[30, 40, 0] == pytest.approx(1, abs=1e-3)
        and heap.pixels[60, 90, 0] == pytest.approx(-1, abs=1e-3)
        and heap.pixels[0, 5, 0] == -1
    )
    heap_of_disks(tmp_path / 'colour.png')
    with pytest.raises(
        DatasetError, match='uint8 with 3 channels: expected a 16-bit depth PNG in millimetres'
    ):
        read_heap(tmp_path / 'colour.png', 'depth')
    with pytest.raises(
        DatasetError, match='is one picture: expected a folder of shards for colour and depth'
    ):
        read_heap(tmp_path / 'depth.png', 'both')


def test_a_picture_that_no_memory_holds_is_refused(tmp_path):
    """A PNG whose header promises 100,000 x 100,000 px."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
        )

    header = struct.pack('>IIBBBBB', 100_000, 100_000, 8, 2, 0, 0, 0)
    (tmp_path / 'vast.png').write_bytes(
        b'\x89PNG\r\n\x1a\n'
        + chunk(b'IHDR', header)
        + chunk(b'IDAT', zlib.compress(b'\0' * 100))
        + chunk(b'IEND', b'')
    )
    with pytest.raises(
        DatasetError, match='vast.png is missing, cut short, too large or no picture'
    ):
        read_heap(tmp_path / 'vast.png', 'colour')


def test_a_large_picture_is_brought_down(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / 'huge.png'), np.zeros((2500, 2500, 3), np.uint8))
    picture = read_heap(tmp_path / 'huge.png', 'colour')
    assert (
        picture.zoom == pytest.approx(0.8)
        and picture.pixels.shape == (2000, 2000, 3)
        and '2500x2500' in capsys.readouterr().out
    )


def test_patches_are_of_the_picture(tmp_path):
    heap_of_disks(tmp_path / 'heap.png')
    pixels = read_heap(tmp_path / 'heap.png', 'colour').pixels
    patches = cut_patches(pixels, 32, 32, 50, 0)
    assert patches.shape == (50, 3, 32, 32) and not torch.equal(patches[0], patches[1])
    found = cv2.matchTemplate(
        pixels, np.ascontiguousarray(patches[0].permute(1, 2, 0).numpy()), cv2.TM_SQDIFF
    )
    assert found.min() < 1e-2


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


def test_outlines_move_to_the_pictures_edges():
    y, x = np.mgrid[:120, :120]
    truth = np.zeros((120, 120), np.uint16)
    for number, (row, column) in enumerate(((40, 40), (40, 80), (85, 60)), start=1):
        truth[np.hypot(x - column, y - row) < 20] = number
    picture = np.where(truth > 0, 0.1 * truth, -1.0).astype(np.float32)[..., None]
    # As a network that sees it small has it: too large, and not quite in place.
    rough = np.roll(cv2.dilate(truth, np.ones((7, 7), np.uint8)), (2, -2), (0, 1))
    snapped = snap_to_edges(picture, rough, 7)
    before, after = (iou_matrix(truth, some).max(1) for some in (rough, snapped))
    assert (
        before.min() < 0.8
        and after.min() > 0.95
        and iou_matrix(truth, snapped).argmax(1).tolist() == [0, 1, 2]
    )
    # What is thinner than the reach stays as it is.
    line = np.zeros((120, 120), np.uint16)
    line[60:63, 20:100] = 1
    assert (snap_to_edges(picture, line, 7)[60:63, 20:100] == 1).all()


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
