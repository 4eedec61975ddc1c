from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from insegan_ros.camera.messages import depth_from_message
from insegan_ros.data.recording_writer import RecordingWriter
from insegan_ros.data.recordings import read_depth_image, read_frames
from insegan_ros.errors import DatasetError, InputError
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.workspace import Workspace, write_workspace


def message(pixels: np.ndarray, encoding: str, pad: int = 0, big: bool = False) -> SimpleNamespace:
    kind = pixels.dtype.newbyteorder('>' if big else '<')
    rows = np.pad(
        pixels.astype(kind).view(np.uint8).reshape(pixels.shape[0], -1), ((0, 0), (0, pad))
    )
    return SimpleNamespace(
        encoding=encoding,
        is_bigendian=big,
        height=pixels.shape[0],
        width=pixels.shape[1],
        step=rows.shape[1],
        data=rows.tobytes(),
    )


@pytest.mark.parametrize('pad, big', [(0, False), (6, False), (0, True), (10, True)])
def test_millimetres_and_metres_honour_step_and_endianness(pad, big):
    millimetres = np.array([[0, 500, 65535], [1, 2, 3]], np.uint16)
    depth = depth_from_message(message(millimetres, '16UC1', pad, big))
    assert (
        np.isnan(depth[0, 0])
        and np.allclose(depth[0, 1:], (0.5, 65.535))
        and depth.dtype == np.float32
    )
    metres = np.array([[0.5, np.nan, np.inf], [0.0, -1.0, 2.0]], np.float32)
    depth = depth_from_message(message(metres, '32FC1', pad, big))
    assert (
        np.isfinite(depth).tolist() == [[True, False, False], [False, False, True]]
        and depth[1, 2] == 2
    )


@pytest.mark.parametrize(
    'change, words',
    [
        ({'encoding': 'rgb8'}, 'encoding "rgb8": expected 16UC1'),
        ({'data': b'\0' * 7}, 'carries 7 bytes'),
        ({'step': 2}, 'step 2'),
    ],
)
def test_messages_that_cannot_be_depth_are_refused_in_words(change, words):
    broken = message(np.ones((4, 4), np.uint16), '16UC1')
    vars(broken).update(change)
    with pytest.raises(InputError, match=words):
        depth_from_message(broken)


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


def test_what_is_no_recording_is_refused(tmp_path):
    with pytest.raises(DatasetError, match='does not exist'):
        list(read_frames(tmp_path / 'none.bag'))
    (tmp_path / 'broken.bag').write_bytes(b'#ROSBAG V2.0\n' + b'\0' * 50)
    with pytest.raises(DatasetError, match='cannot be read as a recording'):
        list(read_frames(tmp_path / 'broken.bag'))


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
    from insegan_ros.data.recordings import read_recording
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
    with pytest.raises(DatasetError, match='is no recording: data sets hold the bin'):
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
    with pytest.raises(DatasetError, match='no colour of the same moment as depth'):
        list(read_frames(real_bag, colour=True))


def write_piles(path, piles: list[np.ndarray], workspace: Workspace | None) -> None:
    """A recording of height maps in m (48, 64) over a floor at half a metre, one frame each."""
    camera = Intrinsics(60.0, 60.0, 31.5, 23.5, 64, 48)
    with RecordingWriter(path) as writer:
        for height in piles:
            writer.add(
                Frame(np.where(np.isnan(height), np.nan, 0.5 - height).astype(np.float32), camera)
            )
    if workspace is not None:
        write_workspace(workspace, path / 'workspace.yaml')


def test_training_reads_the_different_pictures_of_a_recording(tmp_path, capsys):
    from insegan_ros.data.height_maps import read_height_maps

    floor = np.zeros((48, 64), np.float32)

    def pile(*places: tuple[int, int], height: float = 0.03) -> np.ndarray:
        out = floor.copy()
        for x, y in places:
            out[y : y + 8, x : x + 8] = height
        return out

    noise = np.random.default_rng(0).normal(0, 5e-4, (48, 64))
    arm = pile((10, 10))
    arm[:, 30:40] = 0.2
    blind = np.full((48, 64), np.nan)
    piles = [
        pile((10, 10), (30, 20)),
        pile((10, 10), (30, 20)) + noise,
        pile((10, 10), (40, 20)),
        arm,
        floor,
        blind,
        pile((20, 30)),
    ]
    workspace = Workspace((0.0, 0.0, -1.0, 0.5), (-0.24, -0.18, 0.24, 0.18))
    write_piles(tmp_path / 'bag', piles, workspace)
    maps = read_height_maps(tmp_path / 'bag', 64)
    said = capsys.readouterr().out
    assert len(maps.heights_m) == 3 and maps.part == 'bag'
    assert (
        '7 frames; 1 nearly equal to the one before, 1 without readings, 1 of an empty bin, 1 with'
        ' something tall in view; 3 are left, 100 or more are advised' in said
    )
    assert np.allclose(maps.heights_m.max((1, 2)), 0.03, atol=2e-3)
    write_piles(tmp_path / 'other', piles, None)
    with pytest.raises(DatasetError, match='where the bin is, is not known: expected --workspace'):
        read_height_maps(tmp_path / 'other', 64)
    assert len(read_height_maps(tmp_path / 'other', 64, workspace=workspace).heights_m) == 3
    write_piles(tmp_path / 'empty', [floor, floor + 0.001], workspace)
    with pytest.raises(DatasetError, match='shows no parts in the bin'):
        read_height_maps(tmp_path / 'empty', 64)
    with pytest.raises(DatasetError, match='is a recording: expected labelled shards'):
        read_height_maps(tmp_path / 'bag', 64, truth=True)


def test_a_segmented_recording_holds_labels_and_overlay_for_every_frame(tmp_path):
    from insegan_ros.cli.segment_input import segment_input
    from insegan_ros.methods.baselines.kmeans import KMeansSegmenter

    height = np.zeros((48, 64), np.float32)
    height[8:20, 8:20], height[28:40, 40:52] = 0.04, 0.04
    workspace = Workspace((0.0, 0.0, -1.0, 0.5), (-0.24, -0.18, 0.24, 0.18))
    write_piles(tmp_path / 'bag', [height] * 3, workspace)
    assert segment_input(tmp_path / 'bag', KMeansSegmenter(2, workspace), tmp_path / 'out') == (
        3,
        0,
    )
    with AnyReader(
        [tmp_path / 'out/recording'], default_typestore=get_typestore(Stores.ROS2_KILTED)
    ) as reader:
        seen = {}
        for connection, _, raw in reader.messages():
            seen.setdefault(connection.topic, []).append(
                reader.deserialize(raw, connection.msgtype)
            )
    assert {topic: len(messages) for topic, messages in seen.items()} == {
        '/camera/camera/depth/image_rect_raw': 3,
        '/camera/camera/depth/camera_info': 3,
        '/segmenter/instances': 3,
        '/segmenter/overlay': 3,
    }
    labels = seen['/segmenter/instances'][1].data.view(np.uint16).reshape(48, 64)
    assert (
        set(np.unique(labels)) == {0, 1, 2}
        and labels[14, 14] != labels[34, 46]
        and (labels == cv2.imread(str(tmp_path / 'out/000001_labels.png'), -1)).all()
    )
    picture = seen['/segmenter/overlay'][2]
    assert picture.encoding == 'rgb8' and picture.data.reshape(48, 64, 3)[14, 14].std() > 10
    # It is a recording that can be segmented in its turn.
    assert len(list(read_frames(tmp_path / 'out/recording'))) == 3


def test_segment_takes_the_recordings_own_bin_and_says_what_could_not_be_used(tmp_path, capsys):
    from insegan_ros.cli.main import main

    height = np.zeros((48, 64), np.float32)
    height[8:20, 8:20] = 0.04
    # What stands outside of the bin's inside is not looked at.
    height[:, 60:] = 0.06
    write_piles(
        tmp_path / 'bag', [height] * 2, Workspace((0.0, 0.0, -1.0, 0.5), (-0.24, -0.18, 0.2, 0.18))
    )
    assert (
        main(
            [
                'segment',
                str(tmp_path / 'bag'),
                '--model',
                'kmeans',
                '--instances',
                '1',
                '--out',
                str(tmp_path / 'out'),
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert '2 frames segmented' in said and 'is not given' not in said
    labels = cv2.imread(str(tmp_path / 'out/000000_labels.png'), -1)
    assert labels[14, 14] == 1 and not labels[:, 56:].any()
    (tmp_path / 'bag/workspace.yaml').unlink()
    main(
        [
            'segment',
            str(tmp_path / 'bag'),
            '--model',
            'kmeans',
            '--instances',
            '1',
            '--out',
            str(tmp_path / 'other'),
        ]
    )
    assert 'where the bin is, is not given (--workspace)' in capsys.readouterr().out
    # A bin that the image does not show: nothing could be used, and that is no success.
    write_workspace(Workspace((0.0, 0.0, -1.0, 0.5), (5.0, 5.0, 6.0, 6.0)), tmp_path / 'far.yaml')
    assert (
        main(
            [
                'segment',
                str(tmp_path / 'bag'),
                '--model',
                'kmeans',
                '--workspace',
                str(tmp_path / 'far.yaml'),
                '--out',
                str(tmp_path / 'none'),
            ]
        )
        == 2
    )
    error = capsys.readouterr().err
    assert (
        'none of 2 frames could be used' in error
        and 'lie outside the 64x48 image' in error
        and (tmp_path / 'none/results.json').exists()
    )
