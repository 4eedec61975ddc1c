"""Pictures of single objects: from shards, from published sets laid out as they are, from any
folder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from insegan_ros.data.photo_sets import is_photos, read_photos
from insegan_ros.data.pictures import read_pictures, write_pictures
from insegan_ros.errors import DatasetError

RED, GREEN = (200, 30, 30), (30, 120, 30)


def photo(
    path: Path,
    box: tuple[int, int, int, int],
    size: tuple[int, int] = (90, 60),
    mask: Path | None = None,
) -> None:
    """A green picture (width, height) with a red box (left, top, right, bottom), and its mask."""
    left, top, right, bottom = box
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((size[1], size[0], 3), GREEN, np.uint8)
    image[top:bottom, left:right] = RED
    cv2.imwrite(str(path), image[..., ::-1])
    if mask is not None:
        mask.parent.mkdir(parents=True, exist_ok=True)
        drawn = np.zeros((size[1], size[0]), np.uint8)
        drawn[top:bottom, left:right] = 255
        cv2.imwrite(str(mask), drawn)


def red(image: np.ndarray) -> np.ndarray:
    """Where a picture is red."""
    return image[..., 0] > 120


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """CUB-200-2011 in small: 24 pictures of 2 kinds."""
    root = tmp_path / 'CUB_200_2011'
    lines: dict[str, list[str]] = {
        name: [] for name in ('images', 'image_class_labels', 'bounding_boxes')
    }
    for number in range(1, 25):
        kind = 1 + number % 2
        name = f'00{kind}.Kind_{kind}/Kind_{number:04d}.jpg'
        photo(
            root / 'images' / name,
            (20 + number, 10, 50 + number, 40),
            mask=root / 'segmentations' / f'{name[:-4]}.png',
        )
        lines['images'].append(f'{number} {name}')
        lines['image_class_labels'].append(f'{number} {kind}')
        lines['bounding_boxes'].append(f'{number} {20 + number}.0 10.0 30.0 30.0')
    (root / 'classes.txt').write_text('1 001.Kind_1\n2 002.Kind_2\n')
    for name, rows in lines.items():
        (root / f'{name}.txt').write_text('\n'.join(rows) + '\n')
    return root


def test_birds_have_the_papers_shares_and_no_picture_is_in_two_splits(birds):
    splits = {split: read_photos(birds, split) for split in ('training', 'validation', 'test')}
    assert [len(photos) for photos in splits.values()] == [20, 2, 2]
    assert len({photo.path for photos in splits.values() for photo in photos}) == 24
    assert {photo.kind for photo in splits['training']} == {'001.Kind_1', '002.Kind_2'}


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


def test_dogs_follow_their_own_lists(tmp_path):
    names = [f'n020-Dog{kind}/n020_{number}.jpg' for kind in (1, 2) for number in range(10)]
    for name in names:
        photo(tmp_path / 'Images' / name, (30, 10, 60, 40))
        note = (tmp_path / 'Annotation' / name).with_suffix('')
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(
            '<annotation><object><bndbox><xmin>30</xmin><ymin>10</ymin><xmax>60</xmax><ymax>40</ymax></bndbox></object></annotation>'
        )
    for own, chosen in (('train', names[:15]), ('test', names[15:])):
        savemat(
            tmp_path / f'{own}_list.mat',
            {'file_list': np.array([[name] for name in chosen], dtype=object)},
        )
    assert [len(read_photos(tmp_path, split)) for split in ('training', 'validation', 'test')] == [
        14,
        1,
        5,
    ]
    first = read_photos(tmp_path, 'training')[0]
    assert first.kind == 'Dog1' and first.box == (30, 10, 60, 40)


def test_cars_follow_their_devkit(tmp_path):
    kind = np.dtype(
        [
            ('bbox_x1', object),
            ('bbox_y1', object),
            ('bbox_x2', object),
            ('bbox_y2', object),
            ('class', object),
            ('fname', object),
        ]
    )
    for own in ('train', 'test'):
        rows = np.zeros((1, 10), kind)
        for number in range(10):
            photo(tmp_path / f'cars_{own}' / f'{number:05d}.jpg', (20, 20, 70, 50))
            rows[0, number] = (
                np.array([[20]]),
                np.array([[20]]),
                np.array([[70]]),
                np.array([[50]]),
                np.array([[number % 3 + 1]]),
                np.array([f'{number:05d}.jpg']),
            )
        (tmp_path / 'devkit').mkdir(exist_ok=True)
        savemat(tmp_path / 'devkit' / f'cars_{own}_annos.mat', {'annotations': rows})
    assert [len(read_photos(tmp_path, split)) for split in ('training', 'validation', 'test')] == [
        9,
        1,
        10,
    ]
    pictures = read_pictures(tmp_path, 32, 'box', 1.0)
    assert red(pictures.images).mean() > 0.5 and set(pictures.kinds) == {'1', '2', '3'}


def test_faces_follow_their_partition(tmp_path):
    names = [f'{number:06d}.jpg' for number in range(1, 7)]
    for name in names:
        photo(tmp_path / 'img_celeba' / name, (10, 5, 50, 55))
    (tmp_path / 'list_bbox_celeba.txt').write_text(
        '6\nimage_id x_1 y_1 width height\n' + '\n'.join(f'{name} 10 5 40 50' for name in names)
    )
    (tmp_path / 'list_eval_partition.txt').write_text(
        '\n'.join(f'{name} {number // 2}' for number, name in enumerate(names))
    )
    assert [len(read_photos(tmp_path, split)) for split in ('training', 'validation', 'test')] == [
        2,
        2,
        2,
    ]
    assert read_photos(tmp_path, 'test')[0].box == (10, 5, 50, 55)


def test_picking_scenes_are_never_split(tmp_path):
    for scene in range(20):
        for frame in range(3):
            place = tmp_path / 'training' / 'shelf' / f'object{scene % 4}' / f'scene-{scene:04d}'
            photo(
                place / f'frame-{frame:06d}.color.png',
                (30, 10, 60, 40),
                mask=place / 'masks' / f'frame-{frame:06d}.mask.png',
            )
    splits = {split: read_photos(tmp_path, split) for split in ('training', 'validation', 'test')}
    assert [len(photos) for photos in splits.values()] == [48, 6, 6]
    scenes = [{photo.path.parent for photo in photos} for photos in splits.values()]
    assert not scenes[0] & scenes[1] and not scenes[0] & scenes[2] and not scenes[1] & scenes[2]
    assert read_pictures(tmp_path, 32, truth=True, split='test').masks.mean() > 0.1


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
    empty = tmp_path / 'nothing'
    empty.mkdir()
    assert not is_photos(empty)
    with pytest.raises(DatasetError, match='holds no scenes'):
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


def test_a_list_that_leads_outside_is_refused(birds):
    (birds / 'images.txt').write_text('1 ../../../etc/passwd\n')
    with pytest.raises(DatasetError, match='lies outside'):
        read_photos(birds, 'training')


def test_pictures_of_a_tote_and_of_empty_ones(tote_data, tmp_path):
    objects, empty = (
        read_pictures(tote_data, 32, truth=True),
        read_pictures(tote_data, 32, empty=True),
    )
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
