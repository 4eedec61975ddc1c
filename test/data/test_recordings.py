"""Recordings of ROS 2 and of librealsense: depth in metres, cameras, colour, labels."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from insegan_ros.camera.messages import colour_from_message, labels_from_message
from insegan_ros.data.recording_writer import (
    COLOUR_TOPIC,
    INFO_TOPIC,
    OVERLAY_TOPIC,
    TRUTH_TOPIC,
    RecordingWriter,
    write_recording,
)
from insegan_ros.data.recordings import (
    LabelsAhead,
    is_recording,
    read_colour_image,
    read_depth_image,
    read_frames,
    read_recording,
)
from insegan_ros.data.scene import Scene
from insegan_ros.errors import DatasetError, InputError
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.workspace import Workspace


def test_the_real_recording_comes_out_in_metres_with_its_intrinsics(real_bag):
    frames = list(read_frames(real_bag))
    assert len(frames) == 2
    for frame in frames:
        assert frame.depth_m.shape == (480, 640) and frame.intrinsics.fx == pytest.approx(
            390.43, abs=0.01
        )
        assert (
            1.4 < np.nanmedian(frame.depth_m) < 1.6
            and 0.9 < np.isfinite(frame.depth_m).mean() < 0.95
        )
    assert frames[0].stamp_ns < frames[1].stamp_ns


@pytest.mark.parametrize('plugin', [StoragePlugin.SQLITE3, StoragePlugin.MCAP])
def test_rosbag2_frames_come_back_exactly(tmp_path, plugin):
    depth = np.arange(12, dtype=np.uint16).reshape(3, 4) * 100
    write_bag(tmp_path / 'bag', plugin, depth, with_info=True)
    frames = list(read_frames(tmp_path / 'bag'))
    assert [frame.stamp_ns for frame in frames] == [1_000_000_000, 2_000_000_000]
    assert (
        np.array_equal(np.nan_to_num(frames[1].depth_m * 1000).round(), depth)
        and frames[0].intrinsics.cx == 1.5
    )
    assert frames[0].frame_id == 'camera_depth_optical_frame'


def write_bag(path, plugin, depth, with_info):
    store = get_typestore(Stores.ROS2_KILTED)
    types = store.types
    info_type, image_type = types['sensor_msgs/msg/CameraInfo'], types['sensor_msgs/msg/Image']
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        base = '/camera/camera/depth'
        image = writer.add_connection(
            f'{base}/image_rect_raw', image_type.__msgtype__, typestore=store
        )
        info = (
            writer.add_connection(f'{base}/camera_info', info_type.__msgtype__, typestore=store)
            if with_info
            else None
        )
        for second in (1, 2):
            header = types['std_msgs/msg/Header'](
                types['builtin_interfaces/msg/Time'](second, 0), 'camera_depth_optical_frame'
            )
            pixels = types['sensor_msgs/msg/Image'](
                header, 3, 4, '16UC1', 0, 8, depth.view(np.uint8).ravel()
            )
            writer.write(image, second * 10**9, store.serialize_cdr(pixels, image_type.__msgtype__))
            if info:
                k = np.array([2.0, 0, 1.5, 0, 2.0, 1.0, 0, 0, 1])
                roi = types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False)
                message = info_type(
                    header,
                    3,
                    4,
                    'plumb_bob',
                    np.zeros(5),
                    k,
                    np.eye(3).ravel(),
                    np.zeros(12),
                    0,
                    0,
                    roi,
                )
                writer.write(
                    info, second * 10**9, store.serialize_cdr(message, info_type.__msgtype__)
                )


def test_depth_without_camera_info_is_refused(tmp_path):
    write_bag(tmp_path / 'bag', StoragePlugin.SQLITE3, np.ones((3, 4), np.uint16), with_info=False)
    with pytest.raises(DatasetError, match='no camera_info beside it'):
        list(read_frames(tmp_path / 'bag'))


def test_a_topic_of_camera_info_without_messages_is_none(tmp_path):
    """As a recorder leaves it that asked for more reliability than the camera offers. Before all
    depth is read, which may be more than memory holds."""
    with RecordingWriter(tmp_path / 'bag') as writer:
        write = writer._write
        writer.connections[INFO_TOPIC] = writer.writer.add_connection(
            INFO_TOPIC, 'sensor_msgs/msg/CameraInfo', typestore=writer.store
        )
        writer._write = lambda topic, *rest: topic == INFO_TOPIC or write(topic, *rest)
        camera = Intrinsics(100.0, 100.0, 1.5, 1.0, 4, 3)
        writer.add(Frame(np.full((3, 4), 0.5, np.float32), camera))
    with pytest.raises(DatasetError, match='no camera_info beside it: found none'):
        list(read_frames(tmp_path / 'bag'))


def test_what_is_no_recording_is_refused(tmp_path):
    with pytest.raises(DatasetError, match='does not exist'):
        list(read_frames(tmp_path / 'none.bag'))
    (tmp_path / 'broken.bag').write_bytes(b'#ROSBAG V2.0\n' + b'\0' * 50)
    with pytest.raises(DatasetError, match='cannot be read as a recording'):
        list(read_frames(tmp_path / 'broken.bag'))


@pytest.fixture(scope='module')
def recorded(tmp_path_factory) -> Path:
    """A recording of three frames of noise, with labels, as our own writer makes them."""
    folder, rng = tmp_path_factory.mktemp('recorded') / 'bag', np.random.default_rng(0)
    with RecordingWriter(folder) as writer:
        for _ in range(3):
            depth = rng.uniform(0.4, 0.6, (30, 40)).astype(np.float32)
            camera = Intrinsics(50.0, 50.0, 19.5, 14.5, 40, 30)
            writer.add(Frame(depth, camera), rng.integers(0, 3, (30, 40)).astype(np.uint16))
    return folder


@pytest.mark.parametrize('share', [0.3, 0.6])
def test_a_flipped_byte_of_messages_is_noticed(recorded, tmp_path, share):
    """Three frames of noise are nearly all of the file, and what says where they lie its end."""
    bag = shutil.copytree(recorded, tmp_path / 'bag')
    content = bytearray((bag / 'bag.mcap').read_bytes())
    content[int(share * len(content))] ^= 1
    (bag / 'bag.mcap').write_bytes(content)
    with pytest.raises(DatasetError, match='bag'):
        list(read_frames(bag))
    # The summary's last record, before a footer of 29 bytes and the mark of 8.
    content = bytearray((recorded / 'bag.mcap').read_bytes())
    content[-45] ^= 1
    (bag / 'bag.mcap').write_bytes(content)
    with pytest.raises(DatasetError, match='damaged, the checksum of its summary does not match'):
        list(read_frames(bag))


def test_a_frames_stamp_name_labels_and_pictures_are_kept(tmp_path):
    """Each on a topic of realsense-ros; of a camera that is not square, with pixels that are not
    either."""
    camera, stamp = Intrinsics(60.5, 61.5, 31.25, 22.75, 64, 48), 1_700_000_000_123_456_789
    rng = np.random.default_rng(0)
    colour, picture = rng.integers(0, 256, (2, 48, 64, 3), np.uint8)
    labels = rng.integers(0, 65536, (48, 64)).astype(np.uint16)
    frame = Frame(np.full((48, 64), 0.5, np.float32), camera, colour, stamp, 'my_camera')
    with RecordingWriter(tmp_path / 'bag') as writer:
        writer.add(frame, labels, picture=picture)
        assert writer.count == 1
    (read,) = read_frames(tmp_path / 'bag', colour=True)
    assert (read.stamp_ns, read.frame_id, read.intrinsics) == (stamp, 'my_camera', camera)
    assert np.array_equal(read.colour, colour) and np.allclose(read.depth_m, 0.5)
    with AnyReader([tmp_path / 'bag']) as reader:
        found = {
            one.topic: (at, reader.deserialize(raw, one.msgtype))
            for one, at, raw in reader.messages()
        }
    assert {at for at, _ in found.values()} == {stamp}
    assert np.array_equal(colour_from_message(found[OVERLAY_TOPIC][1]), picture)
    assert np.array_equal(colour_from_message(found[COLOUR_TOPIC][1]), colour)
    assert np.array_equal(labels_from_message(found[TRUTH_TOPIC][1]), labels)
    assert len(found) == 5


def test_a_recording_has_one_bin(tmp_path):
    camera = Intrinsics(60.0, 60.0, 31.5, 23.5, 64, 48)
    frame = Frame(np.full((48, 64), 0.5, np.float32), camera)
    bins = [Workspace((0.0, 0.0, -1.0, 0.5)), Workspace((0.0, 0.0, -1.0, 0.6))]
    scenes = [Scene(frame, None, one) for one in (*bins[:1], *bins)]
    with pytest.raises(DatasetError, match='the scenes have different floors or bounds'):
        write_recording(scenes, (), tmp_path / 'bag', None)
    assert not list((tmp_path / 'bag').iterdir())
    write_recording(scenes[:2], (), tmp_path / 'bag', None)
    assert [scene.workspace for scene in read_recording(tmp_path / 'bag')[1]] == bins[:1] * 2
    (tmp_path / 'file').touch()
    with pytest.raises(DatasetError, match='file is not empty: expected a new folder'):
        RecordingWriter(tmp_path / 'file')


@pytest.mark.slow
def test_a_flipped_byte_never_changes_a_recording_without_a_word(recorded, tmp_path):
    def scenes(folder):
        return [
            (
                scene.frame.depth_m.tobytes(),
                scene.frame.intrinsics,
                scene.labelled().labels.tobytes(),
            )
            for scene in read_recording(folder)[1]
        ]

    before, rng, noticed = scenes(recorded), random.Random(0), 0
    bag = shutil.copytree(recorded, tmp_path / 'bag')
    whole = (recorded / 'bag.mcap').read_bytes()
    for _ in range(40):
        place = rng.randrange(len(whole))
        flipped = bytes([whole[place] ^ rng.randrange(1, 256)])
        (bag / 'bag.mcap').write_bytes(whole[:place] + flipped + whole[place + 1 :])
        try:
            # What is not read, such as the index of messages, changes nothing.
            assert scenes(bag) == before
        except DatasetError as error:
            noticed += 1
            assert '\n' not in str(error)
    assert noticed > 33


@pytest.mark.slow
def test_a_flipped_realsense_recording_is_one_line_or_frames(real_bag, tmp_path):
    whole, rng, noticed = real_bag.read_bytes(), random.Random(1), 0
    for number in range(12):
        damaged = bytearray(whole)
        for _ in range(20):
            damaged[rng.randrange(len(whole))] ^= rng.randrange(1, 256)
        (tmp_path / f'{number}.bag').write_bytes(damaged)
        try:
            for frame in read_frames(tmp_path / f'{number}.bag'):
                assert frame.depth_m.shape == (480, 640)
        except (DatasetError, InputError) as error:
            noticed += 1
            assert '\n' not in str(error)
    assert noticed > 6


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (lambda note: note.update(relative_file_paths=['../bag.mcap']), 'lies outside it'),
        (lambda note: note.update(relative_file_paths=['/etc/passwd']), 'lies outside it'),
        (lambda note: note.update(relative_file_paths=['pipe.mcap']), 'not a regular file'),
        (lambda note: note.update(relative_file_paths=['a\0b']), 'NUL'),
        (lambda note: note.update(relative_file_paths=['a\nb']), 'line break'),
        (lambda note: note.update(relative_file_paths=['é' * 300]), 'cannot be accessed'),
        (lambda note: note.update(relative_file_paths=7), 'names no files'),
        (lambda note: note.update(relative_file_paths=[7]), 'names no files'),
        (lambda note: note.pop('relative_file_paths'), 'names no files'),
        (lambda note: note.update(version='new'), 'cannot be read as a recording'),
        (lambda note: note.update(storage_identifier=['mcap']), 'cannot be read as a recording'),
        (lambda note: note.update(topics_with_message_count=[None]), 'cannot be read as a'),
        (lambda note: note.update(topics_with_message_count={}), 'no depth images'),
        (lambda note: note.update(duration=None), 'cannot be read as a recording'),
        (lambda note: note.update(compression_mode=4), 'cannot be read as a recording'),
    ],
)
def test_metadata_that_cannot_be_is_one_line(change, said, recorded, tmp_path):
    bag = shutil.copytree(recorded, tmp_path / 'bag')
    os.mkfifo(bag / 'pipe.mcap')
    note = yaml.safe_load((bag / 'metadata.yaml').read_text())
    change(note['rosbag2_bagfile_information'])
    (bag / 'metadata.yaml').write_text(yaml.safe_dump(note))
    with pytest.raises(DatasetError, match=said) as caught:
        list(read_frames(bag))
    assert '\n' not in str(caught.value)


def test_what_a_killed_recorder_leaves_is_named(recorded, tmp_path):
    bag = shutil.copytree(recorded, tmp_path / 'bag', ignore=shutil.ignore_patterns('*.yaml'))
    assert is_recording(bag)
    with pytest.raises(DatasetError, match=r'no metadata\.yaml, .* `ros2 bag reindex .*/bag`'):
        list(read_frames(bag))
    (bag / '0.png').touch()
    assert not is_recording(bag), 'pictures with a file beside them'
    with pytest.raises(DatasetError, match='bag is no recording: expected a RealSense .bag, or'):
        list(read_frames(bag))


def test_metadata_that_are_no_yaml_are_one_line(recorded, tmp_path):
    bag = shutil.copytree(recorded, tmp_path / 'bag')
    for content in (b'', b'null', b'\xff\xfe', b'a: [', b'rosbag2_bagfile_information: &a [*a]'):
        (bag / 'metadata.yaml').write_bytes(content)
        with pytest.raises(DatasetError, match='metadata.yaml'):
            list(read_frames(bag))


def test_a_pipe_is_no_recording(tmp_path):
    os.mkfifo(tmp_path / 'one.bag')
    with pytest.raises(DatasetError, match='not a regular file'):
        list(read_frames(tmp_path / 'one.bag'))


def test_a_full_disk_leaves_no_half_recording(tmp_path, small_files):
    frame = Frame(np.full((100, 100), 0.5, np.float32), Intrinsics(50, 50, 50, 50, 100, 100))
    with pytest.raises(DatasetError, match='bag cannot be written'):
        with RecordingWriter(tmp_path / 'bag') as writer:
            for _ in range(100):
                writer.add(frame)
    assert not list((tmp_path / 'bag').iterdir())


def test_depth_images_are_millimetres(tmp_path):
    cv2.imwrite(str(tmp_path / 'd.png'), np.full((48, 64), 750, np.uint16))
    assert np.allclose(read_depth_image(tmp_path / 'd.png').depth_m, 0.75)
    cv2.imwrite(str(tmp_path / 'c.png'), np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(InputError, match='uint8 with 3 channels: expected a 16-bit depth PNG'):
        read_depth_image(tmp_path / 'c.png')
    (tmp_path / 'x.png').write_bytes(b'no image')
    with pytest.raises(InputError, match='cannot be read as an image'):
        read_depth_image(tmp_path / 'x.png')


def test_scenes_become_a_recording_and_come_back_with_labels_and_bin(tmp_path, nut_data):
    from insegan_ros.data.convert import convert, open_dataset
    from insegan_ros.data.shards import ShardDataset

    assert convert(nut_data, tmp_path / 'bag', 'recording') == 6
    before, (classes, after) = list(ShardDataset(nut_data)), open_dataset(tmp_path / 'bag')
    after = list(after)
    assert classes == ('bag',) and len(after) == 6
    for one, other in zip(before, after):
        assert (one.truth.labels == other.truth.labels).all() and np.allclose(
            one.frame.depth_m, other.frame.depth_m, atol=6e-4, equal_nan=True
        )
        assert np.allclose(other.workspace.floor, one.workspace.floor, atol=1e-5) and np.allclose(
            other.workspace.bounds, one.workspace.bounds, atol=1e-4
        )
    assert [scene.frame.stamp_ns for scene in after] == [10**9 + i * 33_333_333 for i in range(6)]
    # A bin that is given goes before the recording's own.
    given = Workspace((0.0, 0.0, -1.0, 0.7))
    assert next(read_recording(tmp_path / 'bag', given)[1]).workspace == given
    assert next(open_dataset(tmp_path / 'bag', given)[1]).workspace == given
    with pytest.raises(DatasetError, match='is not a recording: leave it out'):
        open_dataset(nut_data, given)
    with pytest.raises(DatasetError, match='is not empty'):
        convert(nut_data, tmp_path / 'bag', 'recording')


def test_colour_comes_with_depth_in_its_view(tmp_path, real_bag):
    camera, rng = Intrinsics(60.0, 60.0, 31.5, 23.5, 64, 48), np.random.default_rng(0)
    pictures = rng.integers(0, 256, (3, 48, 64, 3), np.uint8)
    with RecordingWriter(tmp_path / 'bag') as writer:
        for index, picture in enumerate(pictures):
            writer.add(Frame(np.full((48, 64), 0.5 + index / 10, np.float32), camera, picture))
    frames = list(read_frames(tmp_path / 'bag', colour=True))
    assert [round(float(frame.depth_m[0, 0]), 3) for frame in frames] == [0.5, 0.6, 0.7] and frames[
        0
    ].intrinsics == camera
    assert all((frame.colour == picture).all() for frame, picture in zip(frames, pictures))
    # Depth alone is there too, for models that look at nothing else.
    assert [frame.colour for frame in read_frames(tmp_path / 'bag')] == [None] * 3
    with RecordingWriter(tmp_path / 'depth') as writer:
        writer.add(Frame(np.full((48, 64), 0.5, np.float32), camera))
    with pytest.raises(
        DatasetError,
        match=(
            r'no colour with depth in its view: expected .*align_depth.enable:=true\), found images'
            r' on /camera/camera/depth'
        ),
    ):
        list(read_frames(tmp_path / 'depth', colour=True))
    with pytest.raises(DatasetError, match='no colour picture taken at the same moment as depth'):
        list(read_frames(real_bag, colour=True))


def test_depth_is_no_photograph(tmp_path):
    """A model that looks at colour would take it for a dark grey picture."""
    depth, grey = tmp_path / 'depth.png', tmp_path / 'grey.png'
    cv2.imwrite(str(depth), np.full((40, 50), 500, np.uint16))
    cv2.imwrite(str(grey), np.full((40, 50), 90, np.uint8))
    with pytest.raises(InputError, match='depth.png is 16-bit grey .* as depth in millimetres is'):
        read_colour_image(depth)
    # A microscope's picture uses all of its bits.
    cv2.imwrite(str(depth), np.full((40, 50), 40_000, np.uint16))
    assert read_colour_image(depth).colour is not None
    frame = read_colour_image(grey)
    assert frame.colour is not None and (frame.colour == 90).all()


def test_labels_find_their_frames_where_a_clock_was_set_back():
    def labelled(*stamps):
        return LabelsAhead((stamp, np.full((2, 2), stamp, np.uint16)) for stamp in stamps)

    def found(labels, *stamps):
        return [None if (one := labels.of(stamp)) is None else int(one[0, 0]) for stamp in stamps]

    assert found(labelled(5, 6, 1, 2), 5, 6, 1, 2) == [5, 6, 1, 2]
    # Frames without labels, and labels whose frames were lost.
    assert found(labelled(5, 6, 1, 2), 4, 6, 7, 1, 2) == [None, 6, None, 1, 2]
    many = range(1, 100)
    assert found(labelled(*many, 500, 600), 500, 600, 700) == [500, 600, None]
    # Only a few are held.
    ahead = labelled(*range(1000, 1100))
    assert found(ahead, *many, 1000, 1099) == [None] * 99 + [1000, 1099]
    assert len(ahead.held) < 40
