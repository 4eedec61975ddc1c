"""Published sets of photographs, laid out as they are."""

from __future__ import annotations

import numpy as np
import pytest
from photographs import photo, red
from scipy.io import savemat

from insegan_ros.data.photo_sets import read_photos
from insegan_ros.data.pictures import read_pictures
from insegan_ros.errors import DatasetError


def test_birds_have_the_papers_shares_and_no_picture_is_in_two_splits(birds):
    splits = {split: read_photos(birds, split) for split in ('training', 'validation', 'test')}
    assert [len(photos) for photos in splits.values()] == [20, 2, 2]
    assert len({photo.path for photos in splits.values() for photo in photos}) == 24
    assert {photo.kind for photo in splits['training']} == {'001.Kind_1', '002.Kind_2'}


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


def test_a_list_that_leads_outside_is_refused(birds):
    (birds / 'images.txt').write_text('1 ../../../etc/passwd\n')
    with pytest.raises(DatasetError, match='lies outside'):
        read_photos(birds, 'training')


@pytest.mark.parametrize('name', ['bounding_boxes.txt', 'image_class_labels.txt'])
def test_a_list_that_is_cut_short_is_one_line(birds, name):
    (birds / name).write_text((birds / name).read_text()[:-12])
    with pytest.raises(DatasetError, match='the lists of CUB-200-2011 do not fit together'):
        read_photos(birds, 'training')
