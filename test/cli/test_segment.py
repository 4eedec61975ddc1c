"""`insegan segment`: recordings, data sets, photographs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from recorded_piles import write_piles
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore
from shell import command

from insegan_ros.cli.segment import segment_input
from insegan_ros.data.convert import convert
from insegan_ros.data.recordings import read_frames
from insegan_ros.errors import DatasetError
from insegan_ros.methods.baselines.kmeans import KMeansSegmenter
from insegan_ros.workspace import Workspace, write_workspace
from insegan_sim.generate import SimulateConfig, simulate
from insegan_sim.parts import PARTS


def test_segment_writes_masks_and_never_over_them(tmp_path, capsys):
    depth = np.full((240, 320), 600, np.uint16)
    depth[60:100, 60:110], depth[130:190, 200:250] = 550, 550
    cv2.imwrite(str(tmp_path / 'depth.png'), depth)
    arguments = [
        'segment',
        tmp_path / 'depth.png',
        *('--model', 'kmeans', '--instances', 2, '--out', tmp_path / 'masks'),
    ]
    assert command(*arguments) == 0
    labels = cv2.imread(str(tmp_path / 'masks/000000_labels.png'), cv2.IMREAD_UNCHANGED)
    assert (
        labels.dtype == np.uint16
        and {labels[80, 80], labels[160, 220]} == {1, 2}
        and labels[10, 10] == 0
    )
    rows = json.loads((tmp_path / 'masks/results.json').read_text())
    assert len(rows[0]['instances']) == 2 and rows[0]['instances'][0]['area_px'] > 1500
    assert cv2.imread(str(tmp_path / 'masks/000000_overlay.png')).shape == (240, 320, 3)
    capsys.readouterr()
    assert command(*arguments) == 2
    assert 'already holds results: expected another --out' in capsys.readouterr().err


def test_masks_drawn_by_hand_are_never_written_over(tmp_path, two_kinds, capsys):
    convert(two_kinds, tmp_path / 'drawn', 'pictures')
    before = (tmp_path / 'drawn/000001_labels.png').read_bytes()
    assert (
        command('segment', tmp_path / 'drawn', '--model', 'kmeans', '--out', tmp_path / 'drawn')
        == 2
    )
    assert 'already holds 000000_labels.png' in capsys.readouterr().err
    assert (tmp_path / 'drawn/000001_labels.png').read_bytes() == before
    assert not (tmp_path / 'drawn/unfinished.json').exists()


class Stopped(KMeansSegmenter):
    """Ctrl-C at the second frame, or what another process does then."""

    frames, then = 0, staticmethod(lambda: None)

    def segment(self, frame, workspace=None):
        self.frames += 1
        if self.frames == 2:
            self.then()
            raise KeyboardInterrupt
        return super().segment(frame, workspace)


def test_what_a_stopped_run_left_is_not_mixed_with_the_next(tmp_path):
    height = np.zeros((48, 64), np.float32)
    height[8:20, 8:20] = 0.04
    workspace = Workspace((0.0, 0.0, -1.0, 0.5), (-0.24, -0.18, 0.24, 0.18))
    for name, count in (('long', 3), ('short', 1)):
        write_piles(tmp_path / name, [height] * count, workspace)
    out = tmp_path / 'out'
    with pytest.raises(KeyboardInterrupt):
        segment_input(tmp_path / 'long', Stopped(1), out, workspace)
    assert (out / '000000_labels.png').exists() and (out / 'unfinished.json').exists()
    # As a stopped run of something longer leaves it.
    (out / '000001_overlay.png').write_bytes(b'')
    (out / 'recording/recording.mcap').write_bytes(b'half')
    (out / 'notes.png').write_bytes(b'')
    assert segment_input(tmp_path / 'short', KMeansSegmenter(1), out, workspace) == (1, 0)
    assert sorted(path.name for path in out.iterdir()) == [
        '000000_labels.png',
        '000000_overlay.png',
        'notes.png',
        'recording',
        'results.json',
    ]
    assert len(list(read_frames(out / 'recording'))) == 1


def test_a_recording_beside_masks_is_kept_where_it_is_not_a_stopped_runs_own(tmp_path):
    height = np.zeros((48, 64), np.float32)
    height[8:20, 8:20] = 0.04
    write_piles(tmp_path / 'recording', [height], None)
    depth = np.full((48, 64), 500, np.uint16)
    cv2.imwrite(str(tmp_path / 'depth.png'), depth)
    with pytest.raises(DatasetError, match='recording is not empty: expected another --out'):
        segment_input(tmp_path / 'recording', KMeansSegmenter(1), tmp_path)
    (tmp_path / 'unfinished.json').write_text('{"unfinished": ["masks"]}')
    segment_input(tmp_path / 'depth.png', KMeansSegmenter(1), tmp_path)
    assert len(list(read_frames(tmp_path / 'recording'))) == 1


def test_two_runs_at_once_do_not_write_into_one_folder(tmp_path):
    height = np.zeros((48, 64), np.float32)
    height[8:20, 8:20] = 0.04
    write_piles(tmp_path / 'bag', [height] * 2, None)
    out = tmp_path / 'out'
    other = f"""
from pathlib import Path
from insegan_ros.cli.segment import segment_input
from insegan_ros.methods.baselines.kmeans import KMeansSegmenter
segment_input(Path({str(tmp_path / 'bag')!r}), KMeansSegmenter(1), Path({str(out)!r}))
"""
    said = []

    class Meanwhile(Stopped):
        @staticmethod
        def then():
            run = subprocess.run([sys.executable, '-c', other], capture_output=True, text=True)
            said.append(run.stderr)

    with pytest.raises(KeyboardInterrupt):
        segment_input(tmp_path / 'bag', Meanwhile(1), out)
    assert 'is being written by another process' in said[0]


def test_a_full_disk_is_one_line_and_leaves_no_results(tmp_path, request, capsys):
    depth = np.random.default_rng(0).integers(500, 600, (240, 320)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / 'depth.png'), depth)
    arguments = ('segment', tmp_path / 'depth.png', '--model', 'kmeans', '--instances', 2)
    request.getfixturevalue('small_files')
    assert command(*arguments, '--out', tmp_path / 'masks') == 2
    said = capsys.readouterr().err
    assert 'png cannot be written (File too large' in said and 'Traceback' not in said
    assert not (tmp_path / 'masks/results.json').exists()
    assert not list((tmp_path / 'masks').glob('.*')), 'no half file'
    assert command(*arguments, '--out', '/proc/nowhere/masks') == 2
    assert '/proc/nowhere/masks cannot be created' in capsys.readouterr().err


def test_the_real_recording_is_segmented(real_bag, tmp_path):
    assert command('segment', real_bag, '--model', 'cutpaste-nut', '--out', tmp_path / 'masks') == 0
    rows = json.loads((tmp_path / 'masks/results.json').read_text())
    assert len(rows) == 2 and all('error' not in row for row in rows)
    assert rows[0]['intrinsics']['fx'] == pytest.approx(390.43, abs=0.01) and rows[0]['depth_m'][
        'median'
    ] == pytest.approx(1.47, abs=0.02)
    for index in range(2):
        labels = cv2.imread(str(tmp_path / f'masks/{index:06d}_labels.png'), cv2.IMREAD_UNCHANGED)
        assert labels.shape == (480, 640) and labels.max() == len(rows[index]['instances']) > 0


@pytest.fixture(scope='module')
def two_kinds(tmp_path_factory) -> Path:
    """Two bins of nuts and bolts in colour."""
    out = tmp_path_factory.mktemp('kinds') / 'shards'
    values = {'part': 'nut,bolt', 'instances': '3', 'scenes': 2, 'size': '160', 'seed': 5}
    return simulate(SimulateConfig(**values, colour=True, workers=1, out=str(out)))


@pytest.mark.parametrize('form', ['shards', 'bop', 'coco'])
def test_data_sets_of_any_format_are_segmented_scene_by_scene(form, two_kinds, tmp_path):
    """Their depth images and masks are no photographs; scenes bring their colour and their bin, and
    names of classes are in results and pictures."""
    source = two_kinds
    if form != 'shards':
        source = tmp_path / form
        convert(two_kinds, source, form)
    assert command('segment', source, '--model', 'irnet-mixed', '--out', tmp_path / 'masks') == 0
    rows = json.loads((tmp_path / 'masks/results.json').read_text())
    assert len(rows) == 2 and all('error' not in row and row['depth_m'] for row in rows)
    # What a glance at single parts takes them for is the model's affair; most are what they are.
    found = [one['class'] for row in rows for one in row['instances']]
    assert {'nut', 'bolt'} <= set(found) <= set(PARTS)
    assert sum(name in ('nut', 'bolt') for name in found) > len(found) / 2
    sure = [one for row in rows for one in row['instances'] if one['score'] >= 0.65]
    assert {one['class'] for one in sure} <= {'nut', 'bolt', 'cone'} and len(sure) >= 4


@pytest.mark.parametrize('form', ['shards', 'coco'])
def test_where_the_bin_is_is_asked_for_where_nobody_says_it(form, two_kinds, tmp_path, capsys):
    source = two_kinds
    if form != 'shards':
        source = tmp_path / form
        convert(two_kinds, source, form)
    assert command('segment', source, '--model', 'kmeans', '--out', tmp_path / 'masks') == 0
    assert 'it is not given where the bin is' not in capsys.readouterr().out


def test_photographs_are_segmented_by_methods_of_colour(tmp_path, capsys):
    (tmp_path / 'photos').mkdir()
    for number, left in enumerate((20, 60)):
        photo = np.full((90, 120, 3), (40, 120, 40), np.uint8)
        photo[30:60, left : left + 30] = 200, 40, 40
        cv2.imwrite(str(tmp_path / 'photos' / f'{number}.png'), photo[..., ::-1])
    assert (
        command(
            'segment', tmp_path / 'photos', '--model', 'grabcut-colour', '--out', tmp_path / 'masks'
        )
        == 0
    )
    assert '2 frames segmented' in capsys.readouterr().out
    for number, left in enumerate((20, 60)):
        labels = cv2.imread(
            str(tmp_path / 'masks' / f'{number:06d}_labels.png'), cv2.IMREAD_UNCHANGED
        )
        assert (labels[35:55, left + 5 : left + 25] == 1).all() and not labels[:20].any()
        assert tuple(cv2.imread(str(tmp_path / 'masks' / f'{number:06d}_overlay.png'))[5, 5]) == (
            40,
            120,
            40,
        )
    (tmp_path / 'photos' / 'more').mkdir()
    (tmp_path / 'photos' / '1.png').rename(tmp_path / 'photos' / 'more' / 'b.png')
    (tmp_path / 'photos' / 'broken.jpg').write_bytes(b'no picture')
    assert (
        command(
            'segment', tmp_path / 'photos', '--model', 'grabcut-colour', '--out', tmp_path / 'some'
        )
        == 0
    )
    assert (
        '2 frames segmented' in (said := capsys.readouterr().out) and '1 could not be used' in said
    )
    rows = json.loads((tmp_path / 'some' / 'results.json').read_text())
    assert [(row['file'], 'error' in row) for row in rows] == [
        ('0.png', False),
        ('broken.jpg', True),
        ('more/b.png', False),
    ]
    assert (
        command('segment', tmp_path / 'photos', '--model', 'kmeans', '--out', tmp_path / 'depth')
        == 2
    )
    assert 'expected a 16-bit depth PNG' in capsys.readouterr().err


def test_a_segmented_recording_holds_labels_and_overlay_for_every_frame(tmp_path):
    height = np.zeros((48, 64), np.float32)
    height[8:20, 8:20], height[28:40, 40:52] = 0.04, 0.04
    workspace = Workspace((0.0, 0.0, -1.0, 0.5), (-0.24, -0.18, 0.24, 0.18))
    write_piles(tmp_path / 'bag', [height] * 3, workspace)
    counts = segment_input(tmp_path / 'bag', KMeansSegmenter(2), tmp_path / 'out', workspace)
    assert counts == (3, 0)
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
    assert picture.encoding == 'rgb8' and all(
        picture.data.reshape(48, 64, 3)[labels == number].std(1).max() > 10 for number in (1, 2)
    )
    # It is a recording that can be segmented in its turn.
    assert len(list(read_frames(tmp_path / 'out/recording'))) == 3


def test_segment_takes_the_recordings_own_bin_and_says_what_could_not_be_used(tmp_path, capsys):
    height = np.zeros((48, 64), np.float32)
    height[8:20, 8:20] = 0.04
    # What stands outside of the bin's inside is not looked at.
    height[:, 60:] = 0.06
    write_piles(
        tmp_path / 'bag', [height] * 2, Workspace((0.0, 0.0, -1.0, 0.5), (-0.24, -0.18, 0.2, 0.18))
    )
    segment = ('segment', tmp_path / 'bag', '--model', 'kmeans', '--instances', 1, '--out')
    assert command(*segment, tmp_path / 'out') == 0
    said = capsys.readouterr().out
    assert '2 frames segmented' in said and 'is not given' not in said
    labels = cv2.imread(str(tmp_path / 'out/000000_labels.png'), -1)
    assert labels[14, 14] == 1 and not labels[:, 56:].any()
    (tmp_path / 'bag/workspace.yaml').unlink()
    assert command(*segment, tmp_path / 'other') == 0
    assert 'it is not given where the bin is (--workspace)' in capsys.readouterr().out
    # A bin that the image does not show: nothing could be used, and that is no success.
    write_workspace(Workspace((0.0, 0.0, -1.0, 0.5), (5.0, 5.0, 6.0, 6.0)), tmp_path / 'far.yaml')
    assert command(*segment, tmp_path / 'none', '--workspace', tmp_path / 'far.yaml') == 2
    error = capsys.readouterr().err
    assert (
        'none of 2 frames could be used' in error
        and 'lie outside the 64x48 image' in error
        and (tmp_path / 'none/results.json').exists()
    )
    # The same command, corrected, takes that folder; what it finds is not written over.
    assert command(*segment, tmp_path / 'none') == 0
    assert json.loads((tmp_path / 'none/results.json').read_text())[0]['instances']
    assert not (tmp_path / 'none/unfinished.json').exists()
    assert command(*segment, tmp_path / 'none') == 2
