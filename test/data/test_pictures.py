"""Pictures of single objects: what of them is looked at, and what cannot be used."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from photographs import photo, red

from insegan_ros.data.photo_sets import is_photos
from insegan_ros.data.pictures import read_pictures, write_pictures
from insegan_ros.errors import DatasetError


def test_the_box_view_shows_the_object(birds):
    pictures = read_pictures(birds, 32, 'box', 1.0, truth=True)
    assert pictures.images.shape == (20, 32, 32, 3) and pictures.masks.mean() > 0.9
    wide = read_pictures(birds, 32, 'box', 2.0, truth=True)
    assert 0.2 < wide.masks.mean() < 0.3
    for image, mask in zip(wide.images, wide.masks):
        assert (red(image) == mask).mean() > 0.93


def test_the_scene_view_is_the_middle(birds):
    pictures = read_pictures(birds, 32, truth=True)
    for image, mask in zip(pictures.images, pictures.masks):
        assert (red(image) == mask).mean() > 0.9


def test_masks_are_opened_for_truth_alone(birds):
    for path in (birds / 'segmentations').rglob('*.png'):
        path.unlink()
    assert read_pictures(birds, 32).masks is None
    with pytest.raises(DatasetError, match='20 without a mask'):
        read_pictures(birds, 32, truth=True)


def test_what_cannot_be_used_is_skipped_counted_and_named(tmp_path, capsys):
    for number in range(8):
        photo(tmp_path / 'things' / f'{number}.png', (30, 10, 60, 40))
    (tmp_path / 'things' / 'broken.png').write_bytes(b'\x89PNG and then nothing')
    photo(tmp_path / 'things' / 'half.jpg', (30, 10, 60, 40))
    whole = (tmp_path / 'things' / 'half.jpg').read_bytes()
    (tmp_path / 'things' / 'half.jpg').write_bytes(whole[: len(whole) // 2])
    photo(tmp_path / 'things' / 'tiny.png', (2, 2, 5, 5), size=(12, 12))
    pictures = read_pictures(tmp_path / 'things', 32)
    said = capsys.readouterr().out
    assert len(pictures.images) == 8
    assert (
        '2 cannot be read (such as broken.png)' in said
        and '1 smaller than 16 px (such as tiny.png)' in said
    )
    with pytest.raises(DatasetError, match='without a box'):
        read_pictures(tmp_path / 'things', 32, 'box')
    cv2.imwrite(str(tmp_path / 'things' / '9.png'), np.full((80, 80), 700, np.uint16))
    with pytest.raises(DatasetError, match='9.png is 16-bit grey.*expected photographs'):
        read_pictures(tmp_path / 'things', 32)
    (tmp_path / 'things' / '9.png').unlink()
    cv2.imwrite(str(tmp_path / 'things' / '1_labels.png'), np.ones((80, 80), np.uint16))
    assert len(read_pictures(tmp_path / 'things', 32).images) == 8, 'labels are no picture'
    empty = tmp_path / 'nothing'
    empty.mkdir()
    assert not is_photos(empty)
    with pytest.raises(DatasetError, match='holds neither photographs nor scenes'):
        read_pictures(empty, 32)


@pytest.mark.parametrize('inside', ['', 'images'])
def test_masks_lie_beside_the_pictures_under_the_same_name(tmp_path, inside):
    for number in range(3):
        photo(
            tmp_path / inside / 'cups' / f'{number}.jpg',
            (30, 10, 60, 40),
            mask=tmp_path / 'masks' / 'cups' / f'{number}.png',
        )
    pictures = read_pictures(tmp_path, 32, truth=True)
    assert (
        len(pictures.images) == 3
        and set(pictures.kinds) == {'cups'}
        and pictures.masks.mean() > 0.1
    )


def test_pictures_of_a_tote_and_of_empty_ones(tote_data, tmp_path):
    objects = read_pictures(tote_data, 32, truth=True)
    empty = read_pictures(tote_data, 32, empty=True)
    assert (
        len(objects.images) + len(empty.images) == 12 and len(objects.images) and len(empty.images)
    )
    assert all(0.005 < mask.mean() < 0.5 for mask in objects.masks) and set(empty.kinds) == {''}
    count = write_pictures(tote_data, tmp_path / 'tote.h5', 32, 'scene', 1.2, truth=True)
    again = read_pictures(tmp_path / 'tote.h5', 32, truth=True)
    assert (
        count == len(objects.images)
        and np.array_equal(again.images, objects.images)
        and np.array_equal(again.masks, objects.masks)
    )
    assert again.kinds == objects.kinds and again.fingerprint() == objects.fingerprint()
    with pytest.raises(DatasetError, match='expected 64 x 64'):
        read_pictures(tmp_path / 'tote.h5', 64)
    (tmp_path / 'half.h5').write_bytes((tmp_path / 'tote.h5').read_bytes()[:3000])
    with pytest.raises(DatasetError, match='cut short or damaged'):
        read_pictures(tmp_path / 'half.h5', 32)
