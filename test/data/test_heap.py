"""A picture of a heap: read in any form, the size of its objects estimated, refused where it
teaches nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from heap_pictures import heap_of_disks
from PIL import ExifTags, Image

from insegan_ros.data.heap import equalised, estimate_size, read_heap
from insegan_ros.data.recordings import read_colour_image
from insegan_ros.errors import DatasetError
from insegan_ros.methods.hoc.patches import cut_patches


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


def test_a_photograph_is_turned_as_its_camera_was_held(tmp_path):
    """As `segment` turns it: what is learnt has the same way up."""
    heap_of_disks(tmp_path / 'heap.png')
    picture = Image.open(tmp_path / 'heap.png').convert('RGB').crop((0, 0, 256, 200))
    exif = picture.getexif()
    exif[ExifTags.Base.Orientation] = 6
    picture.save(tmp_path / 'turned.jpg', exif=exif, quality=95)
    shape = read_colour_image(tmp_path / 'turned.jpg').colour.shape
    assert read_heap(tmp_path / 'turned.jpg', 'colour').pixels.shape == shape == (256, 200, 3)


def test_depth_is_no_photograph(tmp_path):
    cv2.imwrite(str(tmp_path / 'depth.png'), np.full((80, 120), 600, np.uint16))
    with pytest.raises(DatasetError, match='than 600, as depth.*or --modality depth'):
        read_heap(tmp_path / 'depth.png', 'colour')


def test_pictures_that_teach_nothing_are_refused(tmp_path):
    with pytest.raises(DatasetError, match='is missing, cut short, too large or not a picture'):
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
        DatasetError, match='vast.png is missing, cut short, too large or not a picture'
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


def test_equalised_brightness_spreads_what_is_dark_on_a_bright_floor():
    """Dark things of many shades on a floor that is far brighter."""
    picture = np.full((96, 96, 3), 0.9, np.float32)
    shades = np.random.default_rng(0).uniform(-0.95, -0.6, (12, 12)).astype(np.float32)
    dark = np.kron(shades, np.ones((6, 6), np.float32))
    picture[12:84, 12:84] = dark[..., None]
    flat = equalised(picture)
    assert flat.shape == picture.shape and flat.dtype == np.float32 and np.abs(flat).max() <= 1
    assert flat[12:84, 12:84].std() > 1.5 * dark.std()
