"""Pictures with image-level labels: the simulator's, PASCAL VOC's, COCO's, a user's own list. Small
sets of the same layout as the real ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

from insegan_ros.data.image_set_reader import read_image_set
from insegan_ros.data.image_sets import ImageSet, picture_of, require_every_class, shrink
from insegan_ros.data.mask_sets import truth_of
from insegan_ros.data.scene import Scene
from insegan_ros.data.shards import ShardDataset, ShardInfo, pack_shard
from insegan_ros.errors import ConfigError, DatasetError, InputError
from insegan_ros.files import write_whole
from insegan_ros.frame import IGNORE, Frame, Instances, Intrinsics

SIZE = 96


def photograph(path: Path, width: int = 120, height: int = 80, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.full((height, width, 3), 40, np.uint8)
    picture[10:40, 10:50] = (30, 60, 200)
    picture += np.random.default_rng(seed).integers(0, 20, picture.shape, dtype=np.uint8)
    cv2.imwrite(str(path), picture)


def palette_png(path: Path, labels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels.astype(np.uint8), 'P')
    image.putpalette([(37 * i) % 256 for i in range(768)])
    image.save(path)


def make_voc(root: Path) -> Path:
    """Three pictures of PASCAL VOC 2012: two sheep that touch, a sofa and a person, a person."""
    folder = root / 'VOC2012'
    for number, kinds in enumerate((('sheep', 'sheep'), ('sofa', 'person'), ('person',))):
        name = f'2007_{number:06d}'
        photograph(folder / 'JPEGImages' / f'{name}.jpg', seed=number)
        note = ''.join(
            f'<object><name>{kind}</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>'
            for kind in kinds
        )
        (folder / 'Annotations').mkdir(exist_ok=True)
        (folder / 'Annotations' / f'{name}.xml').write_text(f'<annotation>{note}</annotation>')
        objects, classes = np.zeros((80, 120)), np.zeros((80, 120))
        for index, kind in enumerate(kinds):
            objects[20:60, 20 + 30 * index : 50 + 30 * index] = index + 1
            classes[20:60, 20 + 30 * index : 50 + 30 * index] = {
                'sheep': 17,
                'sofa': 18,
                'person': 15,
            }[kind]
        objects[18:20], classes[18:20] = 255, 255
        palette_png(folder / 'SegmentationObject' / f'{name}.png', objects)
        palette_png(folder / 'SegmentationClass' / f'{name}.png', classes)
    for name, content in (
        ('Main/train', (0, 1, 2)),
        ('Segmentation/train', (0, 1)),
        ('Segmentation/val', (2,)),
    ):
        path = folder / 'ImageSets' / f'{name}.txt'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(''.join(f'2007_{number:06d}\n' for number in content))
    return folder


def make_coco(root: Path) -> Path:
    """Two pictures of COCO: a couch and a crowd, two cats; one mask is run lengths, the others
    polygons."""
    folder = root / 'coco'
    mask = np.zeros((80, 120), np.uint8, order='F')
    mask[10:40, 10:50] = 1
    packed = rle.encode(mask)
    box = [60, 10, 100, 10, 100, 60, 60, 60]
    notes = [
        {
            'id': 1,
            'image_id': 7,
            'category_id': 63,
            'iscrowd': 0,
            'segmentation': {'size': [80, 120], 'counts': packed['counts'].decode()},
        },
        {
            'id': 2,
            'image_id': 7,
            'category_id': 17,
            'iscrowd': 1,
            'segmentation': {'size': [80, 120], 'counts': [0, 80 * 120]},
        },
        {'id': 3, 'image_id': 9, 'category_id': 17, 'iscrowd': 0, 'segmentation': [box]},
        {
            'id': 4,
            'image_id': 9,
            'category_id': 17,
            'iscrowd': 0,
            'segmentation': [[10, 10, 50, 10, 50, 40, 10, 40]],
        },
    ]
    content = {
        'images': [
            {'id': number, 'file_name': f'{number:012d}.jpg', 'height': 80, 'width': 120}
            for number in (9, 7)
        ],
        'annotations': notes,
        'categories': [{'id': 17, 'name': 'cat'}, {'id': 63, 'name': 'couch'}],
    }
    for year in ('train2017', 'val2017'):
        for number in (7, 9):
            photograph(folder / year / f'{number:012d}.jpg', seed=number)
        (folder / 'annotations').mkdir(exist_ok=True)
        (folder / 'annotations' / f'instances_{year}.json').write_text(json.dumps(content))
    return folder


def test_bins_are_cut_out_with_what_is_in_them(mixed: Path):
    images = read_image_set(mixed / 'full', SIZE)
    scenes = list(ShardDataset(mixed / 'full'))
    assert (
        images.classes == ('nut', 'bolt')
        and len(images) == 8
        and images.picture(0).shape == (SIZE, SIZE, 3)
    )
    for index, scene in enumerate(scenes):
        assert {name for name, there in zip(images.classes, images.present[index]) if there} == set(
            scene.present
        )
        # The bin is cut out and enlarged, the masks with it.
        truth = images.masks(index)
        assert sorted(truth.classes) == sorted(
            name for name, mask in zip(scene.truth.classes, scene.truth.masks()) if mask.any()
        )
        ratio = (truth.labels > 0).mean() / (scene.truth.labels > 0).mean()
        assert 1 <= ratio < 2.5
        part = images.picture(index)[truth.labels > 0].astype(int).mean(0)
        assert (
            np.abs(part - scene.frame.colour[scene.truth.labels > 0].astype(int).mean(0)).max() < 12
        )


def test_masks_change_nothing_of_what_is_learnt_from(mixed: Path):
    """Toy: the truth as seeds. A set without masks gives the same pictures, labels and fingerprint,
    and has none to give."""
    full, image = (read_image_set(mixed / truth, SIZE) for truth in ('full', 'image'))
    assert full.fingerprint == image.fingerprint and (full.present == image.present).all()
    assert all((full.picture(index) == image.picture(index)).all() for index in range(len(full)))
    with pytest.raises(InputError, match='image-level labels only'):
        image.masks(0)


def test_height_is_a_fourth_channel(mixed: Path):
    images = read_image_set(mixed / 'full', SIZE, 'both')
    inside = images.masks(0).labels > 0
    height = images.picture(0)[..., 3]
    assert images.channels == 4 and height[inside].mean() > 20 > height[~inside].mean()
    scene = next(iter(ShardDataset(mixed / 'full')))
    with pytest.raises(InputError, match='workspace'):
        picture_of(scene.frame, None, SIZE, 'both')


def test_hundreds_of_parts_stay_what_they_are(tmp_path: Path):
    labels = np.repeat(np.arange(1, 321, dtype=np.uint16), 5).reshape(40, 40)
    kinds = ('a',) * 319 + ('b',)
    depth, colour = np.full((40, 40), 0.5, np.float32), np.zeros((40, 40, 3), np.uint8)
    frame = Frame(depth, Intrinsics(50.0, 50.0, 19.5, 19.5, 40, 40), colour)
    scene = Scene(frame, Instances(labels, np.ones(320, np.float32), kinds), None, ('a', 'b'))
    write_whole(tmp_path / 'scenes-00000.h5', pack_shard([scene], ShardInfo(('a', 'b'), 0, 0)))
    truth = read_image_set(tmp_path, 40).masks(0)
    assert truth.classes == kinds and np.array_equal(truth.labels, labels)


def test_labels_stay_on_their_picture_when_both_are_made_smaller():
    x, y = np.meshgrid(np.arange(120), np.arange(120))
    disc = (np.hypot(x - 61, y - 47) < 30).astype(np.uint8)
    labels = shrink(disc, 30, cv2.INTER_NEAREST_EXACT)
    picture = shrink(disc * 255, 30) > 127
    middles = [np.argwhere(one).mean(0) for one in (labels, picture)]
    assert np.abs(middles[0] - middles[1]).max() < 0.15, 'the upper left pixels would be 0.375 off'


def test_pascal_voc_with_its_lists(tmp_path: Path):
    folder = make_voc(tmp_path)
    images = read_image_set(folder, 96)
    assert len(images) == 3 and images.classes[16] == 'sheep' and images.present.sum() == 4
    assert images.picture(0).shape == (64, 96, 3), 'brought down to 96 px'
    truth = images.masks(0)
    assert truth.classes == ('sheep', 'sheep'), 'two that touch are two, the void is none'
    assert [(truth.labels == one).sum() for one in (1, 2, IGNORE)] == [32 * 24, 32 * 24, 2 * 96]
    void = truth_of(images, progress=False).void
    assert set(void) == {0, 1, 2} and void[0].sum() == 2 * 96
    assert (
        len(read_image_set(folder, 96, split='validation')) == 1
        and len(read_image_set(folder, 96, split='Segmentation/train')) == 2
    )
    (folder / 'ImageSets/SegmentationAug').mkdir()
    (folder / 'ImageSets/SegmentationAug/train_aug.txt').write_text(
        '/JPEGImages/2007_000001.jpg /SegmentationClassAug/2007_000001.png\n'
    )
    assert read_image_set(folder, 96).names == ('2007_000001',)
    with pytest.raises(DatasetError, match='has no list'):
        read_image_set(folder, 96, split='Main/none')


def test_coco_with_names_of_pascal_voc(tmp_path: Path):
    images = read_image_set(make_coco(tmp_path), 120)
    assert images.classes == ('cat', 'sofa') and images.names == ('000000000007', '000000000009')
    assert images.present.tolist() == [[False, True], [True, False]], 'a crowd is no instance'
    truth = images.masks(0)
    assert truth.classes == ('sofa',) and (truth.labels == 1).sum() == 30 * 40
    assert (truth.labels == IGNORE).sum() == 80 * 120 - 30 * 40, 'and no score counts it'
    assert images.masks(1).classes == ('cat', 'cat')
    assert len(read_image_set(tmp_path / 'coco', 120, split='val2017')) == 2


def test_a_list_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for number in range(4):
        photograph(tmp_path / 'pictures' / f'{number}.png', seed=number)
    (tmp_path / 'pictures/2.png').write_bytes((tmp_path / 'pictures/2.png').read_bytes()[:200])
    (tmp_path / 'labels.csv').write_text(
        'pictures/0.png, nut, bolt\npictures/1.png,nut\npictures/2.png,bolt\npictures/3.png\n\n'
    )
    images = read_image_set(tmp_path, 96)
    assert images.classes == ('bolt', 'nut') and images.present.tolist() == [
        [True, True],
        [False, True],
    ]
    assert (
        '2 of 4 pictures are missing, damaged or without a label (pictures/2.png'
        in capsys.readouterr().out
    )
    (tmp_path / 'labels.csv').write_text(
        'Picture,classes\npictures/0.png,nut\npictures/1.png,bolt\n'
    )
    assert read_image_set(tmp_path, 96).classes == ('bolt', 'nut'), 'a heading is no picture'
    cv2.imwrite(str(tmp_path / 'depth.png'), np.full((80, 80), 700, np.uint16))
    for text, said in (
        ('pictures/0.png;nut\n', 'has no comma in any line'),
        ('pictures/0.png,nut\npictures/1.png,Nut\n', 'Nut, nut, which differ only in case'),
        ('pictures/0.png,"nut\npictures/1.png,bolt\n', 'cannot be read .unexpected end of data'),
        ('depth.png,nut\npictures/1.png,bolt\n', 'depth.png is 16-bit grey.*out of the list'),
    ):
        (tmp_path / 'labels.csv').write_text(text)
        with pytest.raises(DatasetError, match=said):
            read_image_set(tmp_path, 96)
    with pytest.raises(DatasetError, match='has no list Main/train: expected --split training'):
        read_image_set(tmp_path, 96, split='Main/train')
    photograph(tmp_path / 'others' / '0.png', seed=9)
    (tmp_path / 'labels.csv').write_text('pictures/0.png,nut,bolt\nothers/0.png,nut\n')
    assert read_image_set(tmp_path, 96).names == ('000000-0', '000001-0'), (
        'two pictures of one name'
    )
    (tmp_path / 'classes.txt').write_text('nut\n')
    with pytest.raises(
        ConfigError, match='unknown class in labels.csv, pictures/0.png "bolt": expected one of nut'
    ):
        read_image_set(tmp_path, 96)
    (tmp_path / 'labels.csv').write_text('../outside.png,nut\n')
    with pytest.raises(DatasetError, match='lies outside'):
        read_image_set(tmp_path, 96)


def test_what_cannot_teach_is_refused(mixed: Path, tmp_path: Path):
    images = read_image_set(mixed / 'full', SIZE)
    with pytest.raises(DatasetError, match='pictures with and without each class'):
        require_every_class(images.first(1))
    nothing = ImageSet(
        'none',
        ('nut', 'cone'),
        np.array([[True, False], [False, False]]),
        ('0', '1'),
        SIZE,
        3,
        images.picture,
        None,
        '',
    )
    with pytest.raises(DatasetError, match='no picture shows cone'):
        require_every_class(nothing)
    with pytest.raises(DatasetError, match='expected shards'):
        read_image_set(tmp_path, SIZE)
    voc = make_voc(tmp_path)
    (voc / 'Annotations/2007_000000.xml').write_text(
        '<annotation><object><name>dragon</name></object></annotation>'
    )
    with pytest.raises(ConfigError, match='unknown class in Annotations/2007_000000.xml "dragon"'):
        read_image_set(voc, 96)
    shutil.rmtree(voc / 'Annotations')
    with pytest.raises(DatasetError, match='holds no picture that can be used'):
        read_image_set(voc, 96)


def test_a_list_that_names_a_class_of_no_picture_is_refused_in_one_line(tmp_path: Path):
    """By classes.txt beside labels.csv: before any work is done, and the class is named."""
    for number in range(4):
        cv2.imwrite(str(tmp_path / f'{number}.png'), np.full((96, 96, 3), 60 * number, np.uint8))
    (tmp_path / 'labels.csv').write_text('0.png,nut\n1.png,bolt\n2.png,nut,bolt\n3.png\n')
    (tmp_path / 'classes.txt').write_text('nut\nbolt\ncone\n')
    images = read_image_set(tmp_path, 96)
    assert images.classes == ('nut', 'bolt', 'cone') and len(images) == 3, 'one shows nothing'
    with pytest.raises(DatasetError, match='3 pictures: no picture shows cone: expected') as said:
        require_every_class(images)
    assert '\n' not in str(said.value)
