"""Masks drawn by hand: label pictures, what is ignored in them, and that it survives every
format."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from box_scenes import CAMERA, FLOOR, box_scene

from insegan_ros.camera.given import given_camera
from insegan_ros.data.convert import convert, open_dataset
from insegan_ros.data.items import frames_of
from insegan_ros.data.recording_writer import RecordingWriter
from insegan_ros.data.scene import Scene
from insegan_ros.errors import DatasetError, InseganWarning
from insegan_ros.frame import IGNORE, Instances
from insegan_ros.workspace import write_workspace


def drawn(folder, count: int = 2):
    """A folder of pictures with two boxes, a third one ignored."""
    frame = box_scene(CAMERA, [(20, 20, 50, 60), (60, 20, 90, 60), (100, 20, 130, 60)])
    labels = np.zeros((120, 160), np.uint16)
    for number, left in ((1, 20), (2, 60), (IGNORE, 100)):
        labels[20:60, left : left + 30] = number
    folder.mkdir()
    for index in range(count):
        depth = (frame.depth_m * 10000).round().astype(np.uint16)
        cv2.imwrite(str(folder / f'{index}_depth.png'), depth)
        cv2.imwrite(str(folder / f'{index}_labels.png'), labels)
    (folder / 'camera.yaml').write_text(
        'fx: 200.0\nfy: 200.0\ncx: 79.5\ncy: 59.5\ndepth_unit_m: 0.0001\n'
    )
    write_workspace(FLOOR, folder / 'workspace.yaml')
    return labels


def one_scene(folder) -> Scene:
    return next(open_dataset(folder)[1])


def test_a_folder_of_drawn_labels_is_a_data_set(tmp_path):
    labels = drawn(tmp_path / 'mine')
    names, scenes = open_dataset(tmp_path / 'mine')
    first, second = scenes
    assert names == ('mine',) and len(first.labelled()) == 2 and first.workspace == FLOOR
    assert np.array_equal(first.labelled().labels, labels) and first.frame.intrinsics == CAMERA
    assert first.frame.depth_m[40, 30] == pytest.approx(0.46) and second.labelled().poses is None


def test_numbers_that_are_left_out_stand_for_no_part(tmp_path):
    labels = drawn(tmp_path / 'mine')
    # As painted in greys that people can tell apart.
    grey = np.where(labels == IGNORE, IGNORE, 20_000 * labels)
    for path in (tmp_path / 'mine').glob('*_labels.png'):
        cv2.imwrite(str(path), grey)
    with RecordingWriter(tmp_path / 'recording') as writer:
        writer.add(one_scene(tmp_path / 'mine').frame, grey)
    for form in ('mine', 'recording'):
        truth = one_scene(tmp_path / form).labelled()
        assert len(truth) == 2 and np.array_equal(truth.labels, labels)


@pytest.mark.parametrize('form', ['shards', 'coco', 'insta10', 'recording', 'pictures'])
def test_what_is_ignored_survives_every_format(tmp_path, form):
    labels = drawn(tmp_path / 'mine')
    if form == 'coco':
        # COCO wants a class for every instance, which a drawn picture has not.
        convert(tmp_path / 'mine', tmp_path / 'named', 'insta10')
        convert(tmp_path / 'named', tmp_path / 'out', form)
    else:
        convert(tmp_path / 'mine', tmp_path / 'out', form)
    truth = one_scene(tmp_path / 'out').labelled()
    assert np.array_equal(truth.labels, labels) and len(truth) == 2


def test_more_masks_than_there_is_memory_for_are_refused(tmp_path):
    drawn(tmp_path / 'mine')
    convert(tmp_path / 'mine', tmp_path / 'out', 'insta10')
    note = tmp_path / 'out/camera.json'
    note.write_text(note.read_text().replace('"instances": 2', '"instances": 60000'))
    with pytest.raises(DatasetError, match='60000 masks of 160x120 px are more than any picture'):
        one_scene(tmp_path / 'out')


def test_a_picture_without_labels_has_no_truth_and_a_wrong_one_is_refused(tmp_path):
    drawn(tmp_path / 'mine')
    (tmp_path / 'mine/0_labels.png').unlink()
    assert one_scene(tmp_path / 'mine').truth is None
    cv2.imwrite(str(tmp_path / 'mine/0_labels.png'), np.zeros((10, 10), np.uint16))
    with pytest.raises(DatasetError, match=r'0_labels.png is uint16 of shape \(10, 10\): expected'):
        one_scene(tmp_path / 'mine')


@pytest.mark.filterwarnings('error')
def test_a_camera_that_is_given_is_the_one(tmp_path):
    drawn(tmp_path / 'mine')
    (tmp_path / 'mine/camera.yaml').unlink()
    (frame, _) = frames_of(tmp_path / 'mine', given_camera('150,151,80,60'))
    assert (frame.intrinsics.fx, frame.intrinsics.fy) == (150, 151)


def test_a_camera_that_is_not_given_is_guessed_aloud(tmp_path):
    drawn(tmp_path / 'mine')
    (tmp_path / 'mine/camera.yaml').unlink()
    with pytest.warns(InseganWarning, match='camera.yaml: a D4xx.* is assumed'):
        open_dataset(tmp_path / 'mine')


def test_numbering_anew_keeps_what_is_ignored():
    labels = np.array([[1, 2, IGNORE]], np.uint16)
    kept = Instances(labels, np.ones(2, np.float32)).only(np.array([False, True]))
    assert kept.labels.tolist() == [[0, 1, IGNORE]] and len(kept) == 1
