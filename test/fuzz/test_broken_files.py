"""Any file that a user can give may be broken or hostile: it ends in one line of ours, never in a
traceback, a crash, a hang or more than 2 GB. Seeds are fixed; see test/helpers/fuzzing.py."""

from __future__ import annotations

import json
import shutil
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh
import yaml
from fuzzing import broken_bytes, broken_json, broken_values, survive
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from safetensors import safe_open
from safetensors.torch import save

from insegan_ros.camera.given import given_camera
from insegan_ros.data.clouds import read_cloud
from insegan_ros.data.convert import convert, open_dataset
from insegan_ros.data.image_set_reader import read_image_set
from insegan_ros.data.items import items_of
from insegan_ros.data.models import read_models
from insegan_ros.data.recording_writer import RecordingWriter
from insegan_ros.data.recordings import read_recording
from insegan_ros.data.shards import ShardDataset
from insegan_ros.engine.checkpoint import FORMAT, Checkpoint, checksum
from insegan_ros.engine.config import configure, shipped_yaml
from insegan_ros.errors import ConfigError
from insegan_ros.geometry.meshes import read_mesh
from insegan_ros.methods.cutpaste.recipe import TrainCutPasteConfig
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.picking.hand_eye_files import read_samples
from insegan_ros.picking.tool import read_body, read_grasps
from insegan_ros.texts import read_mapping
from insegan_ros.workspace import Workspace, read_workspace, write_workspace
from insegan_sim.sensor import load_sensor

pytestmark = pytest.mark.slow


def read_all(folder: Path) -> None:
    """Every scene of a set, whatever its format."""
    for scene in open_dataset(folder)[1]:
        assert scene.frame.depth_m.ndim == 2


@pytest.fixture(scope='module')
def small(tmp_path_factory) -> Path:
    """Two simulated bins of two kinds in colour, 48 px wide."""
    from insegan_sim.generate import SimulateConfig, simulate

    out = tmp_path_factory.mktemp('small') / 'set'
    values = {'part': 'nut,bolt', 'instances': '2', 'scenes': 2, 'size': '48', 'seed': 5}
    return simulate(SimulateConfig(**values, colour=True, workers=1, out=str(out)))


@pytest.fixture(scope='module')
def recordings(small, tmp_path_factory) -> list[Path]:
    """The same bins as recordings of rosbag2, in both of its formats."""
    root = tmp_path_factory.mktemp('recordings')
    with RecordingWriter(root / 'mcap') as writer:
        for scene in ShardDataset(small):
            writer.add(scene.frame, scene.labelled().labels)
    other = Writer(root / 'sqlite', version=9, storage_plugin=StoragePlugin.SQLITE3)
    store = get_typestore(Stores.ROS2_KILTED)
    with AnyReader([root / 'mcap'], default_typestore=store) as reader, other:
        same = {
            one.id: other.add_connection(one.topic, one.msgtype, typestore=store)
            for one in reader.connections
        }
        for one, stamp, raw in reader.messages():
            other.write(same[one.id], stamp, raw)
    return sorted(root.iterdir())


def test_recordings(recordings, tmp_path):
    def attempt(rng, place):
        bag = shutil.copytree(rng.choice(recordings), place / 'bag')
        note = bag / 'metadata.yaml'
        if rng.random() < 0.4:
            content = yaml.safe_load(note.read_text())
            note.write_text(yaml.safe_dump(broken_values(content, rng)))
        else:
            target = rng.choice(sorted(bag.iterdir()))
            target.write_bytes(broken_bytes(target.read_bytes(), rng))
        for scene in read_recording(bag)[1]:
            assert scene.frame.depth_m.ndim == 2

    assert survive(attempt, tmp_path, 0.4) > 1 / 3


def test_realsense_recordings(real_bag, tmp_path):
    whole = real_bag.read_bytes()

    def attempt(rng, place):
        bag = place / 'one.bag'
        bag.write_bytes(broken_bytes(broken_bytes(whole, rng), rng))
        for item in items_of(bag):
            assert item.frame is not None

    assert survive(attempt, tmp_path, 0.4) > 1 / 8


def test_shards(small, tmp_path):
    whole = (small / 'scenes-00000.h5').read_bytes()

    def attempt(rng, place):
        (place / 'scenes-00000.h5').write_bytes(broken_bytes(whole, rng))
        dataset = ShardDataset(place)
        read_all(place)
        dataset.height_maps(32)

    assert survive(attempt, tmp_path) > 1 / 3


@pytest.mark.parametrize('name', ['cutpaste-nut', 'hoc-nut'])
def test_checkpoints(name, root, bolts, tmp_path):
    path = root / 'checkpoints' / name / 'weights.safetensors'
    with safe_open(path, 'pt') as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}
        head = json.loads(file.metadata()['head'])
    whole = path.read_bytes()

    def attempt(rng, place):
        target = place / 'weights.safetensors'
        if rng.random() < 0.3:
            target.write_bytes(broken_bytes(whole, rng))
        else:
            # By someone who knows how the checksum is made.
            told = json.dumps(broken_values(head, rng))
            sealed = {'format': FORMAT, 'head': told, 'sha256': checksum(told, tensors)}
            target.write_bytes(save(tensors, sealed))
        assert Checkpoint.load(place).part is not None
        load_segmenter(str(place), device='cpu').segment(bolts[0].frame, bolts[0].workspace)

    assert survive(attempt, tmp_path, 0.25) > 1 / 3


def test_meshes_and_clouds(bracket, tmp_path):
    corpus = {
        **{f'it.{kind}': bracket.export(file_type=kind) for kind in ('stl', 'obj', 'ply')},
        'ascii.stl': bracket.export(file_type='stl_ascii'),
        'ascii.ply': bracket.export(file_type='ply', encoding='ascii'),
        'zip.stl': b'PK\3\4' + bytes(500),
    }
    raw = {
        name: content.encode() if isinstance(content, str) else content
        for name, content in corpus.items()
    }

    def attempt(rng, place):
        name = rng.choice(sorted(raw))
        (place / name).write_bytes(broken_bytes(raw[name], rng))
        if name.endswith('ply') and rng.random() < 0.5:
            assert read_cloud(place / name).shape[1] == 3
        else:
            assert isinstance(read_mesh(place / name), trimesh.Trimesh)

    assert survive(attempt, tmp_path) > 1 / 8


def test_configurations(root, tmp_path):
    write_workspace(Workspace((0.0, 0.0, -1.0, 0.5), (-0.1, -0.1, 0.1, 0.1)), tmp_path / 'bin.yaml')
    camera = {'fx': 600, 'fy': 601, 'cx': 320, 'cy': 240, 'depth_unit_m': 0.001}
    corpus = {
        'bin': yaml.safe_load((tmp_path / 'bin.yaml').read_text()),
        'camera': camera,
        'matrix': {'K': [600, 0, 320, 0, 600, 240, 0, 0, 1]},
        'sensor': yaml.safe_load((root / 'config/sensors/d435.yaml').read_text()),
        'train': shipped_yaml('train/cutpaste.yaml'),
        'gripper': {'boxes': [{'size': [0.01, 0.01, 0.06], 'center': [0, 0.04, -0.03]}] * 2},
        'grasps': {
            'grasps': [
                {'name': 'top', 'position': [0, 0, 0.01], 'rpy_deg': [180, 0, 0], 'times': 4},
                {'position': [0, 0, 0], 'quaternion': [1, 0, 0, 0], 'opening_m': 0.02},
            ]
        },
        'poses': {
            'poses': [{'image': 'a.png', 'position': [0, 0, 1], 'quaternion': [1, 0, 0, 0]}] * 3
        },
    }
    readers = {'gripper': read_body, 'grasps': read_grasps, 'poses': read_samples}

    def attempt(rng, place):
        name, path = rng.choice(sorted(corpus)), place / 'it.yaml'
        path.write_text(yaml.safe_dump(broken_values(corpus[name], rng)))
        if rng.random() < 0.3:
            path.write_bytes(broken_bytes(path.read_bytes(), rng))
        if name in readers:
            readers[name](path)
        elif name == 'bin':
            read_workspace(path)
        elif name == 'sensor':
            load_sensor(str(path))
        elif name == 'train':
            configure(TrainCutPasteConfig, read_mapping(path, ConfigError))
        else:
            given_camera(str(path)).intrinsics(480, 640)

    assert survive(attempt, tmp_path / 'them') > 1 / 3


def test_lists(tmp_path):
    for name in 'abcd':
        cv2.imwrite(str(tmp_path / f'{name}.png'), np.full((24, 32, 3), ord(name), np.uint8))
    rows = b'picture,labels\na.png,nut,bolt\nb.png,nut\nc.png,bolt\n"d.png",cone\n'
    classes = b'nut\nbolt\ncone\n'

    def attempt(rng, place):
        for path in tmp_path.glob('*.png'):
            (place / path.name).symlink_to(path) if path.stem == 'd' else shutil.copy(path, place)
        (place / 'labels.csv').write_bytes(broken_bytes(rows, rng))
        if rng.random() < 0.5:
            (place / 'classes.txt').write_bytes(broken_bytes(classes, rng))
        if rng.random() < 0.3:
            target = place / 'a.png'
            target.write_bytes(broken_bytes(target.read_bytes(), rng))
        images = read_image_set(place, 16)
        assert all(images.picture(index).ndim == 3 for index in range(len(images)))

    assert survive(attempt, tmp_path / 'them') > 1 / 3


@pytest.mark.parametrize('form', ['coco', 'bop', 'insta10', 'pictures'])
def test_folders(form, small, tmp_path):
    source, notes = tmp_path / form, list[str]()
    if form == 'insta10':
        source = one_kind(tmp_path)
    else:
        convert(small, source, form)
    notes = sorted(
        str(path.relative_to(source))
        for path in source.rglob('*')
        if path.suffix in ('.json', '.yaml') and path.name != 'dataset.yaml'
    )

    def attempt(rng, place):
        folder = shutil.copytree(source, place / 'set')
        note = folder / rng.choice(notes)
        content = yaml.safe_load(note.read_text())
        if note.suffix == '.json':
            note.write_bytes(broken_json(content, rng))
        else:
            note.write_text(yaml.safe_dump(broken_values(content, rng)))
        if rng.random() < 0.2:
            picture = rng.choice(sorted(folder.rglob('*.png')))
            picture.write_bytes(broken_bytes(picture.read_bytes(), rng))
        read_models(folder)
        read_all(folder)

    assert survive(attempt, tmp_path / 'them', 0.3) > 1 / 4


def one_kind(tmp_path: Path) -> Path:
    """Two bins of one kind, as Insta-10 wants them."""
    from insegan_ros.data.insta10 import write_insta10
    from insegan_sim.scenes import bin_setup, scene_stream

    scenes = islice(scene_stream(bin_setup('nut', seed=3)), 2)
    write_insta10(scenes, ('nut',), tmp_path / 'one', None)
    return tmp_path / 'one'


def test_coco_as_photographs(small, tmp_path):
    convert(small, tmp_path / 'coco', 'coco')
    content = json.loads((tmp_path / 'coco/annotations.json').read_text())

    def attempt(rng, place):
        folder = shutil.copytree(tmp_path / 'coco', place / 'set')
        (folder / 'annotations.json').write_bytes(broken_json(content, rng))
        images = read_image_set(folder, 48)
        for index in range(len(images)):
            assert images.picture(index).ndim == 3
            if images.truth is not None:
                assert images.masks(index).labels.ndim == 2

    assert survive(attempt, tmp_path / 'them', 0.6) > 1 / 4
