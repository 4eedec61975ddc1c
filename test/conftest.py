"""Shared by all tests. rclpy comes first: its wheels re-execute Python once, and it must precede
pyrealsense2."""

from __future__ import annotations

try:
    import rclpy
except ImportError:
    rclpy = None

import os
import resource
import signal
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from insegan_ros.data.scene import Scene
from insegan_ros.engine.checkpoint import Checkpoint, Scales
from insegan_ros.frame import Intrinsics
from insegan_ros.offsets.network import OffsetNet, OffsetNetConfig

# Small tensors gain nothing from threads, and lose much where cores are shared.
torch.set_num_threads(1)
ROOT = Path(__file__).resolve().parents[1]
# Under pytest-xdist what asks for one of these fixtures runs in one process, which makes it once;
# so does all that needs DDS, where two at a time would be too late for each other.
TOGETHER = {
    'insegan_run': 'insegan',
    'bracket_data': 'insegan',
    'layered_run': 'foreground',
    'independence_run': 'foreground',
}
REAL_BAG = ROOT.parent / 'shared/data/realsense/single_depth_color_640x480.bag'


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name the group of every test that has one."""
    for item in items:
        groups = {TOGETHER[name] for name in TOGETHER if name in getattr(item, 'fixturenames', ())}
        if ROOT / 'test/nodes' in item.path.parents:
            groups = {'dds'}
        for group in groups:
            item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: tests of nodes share a process, and do little but wait."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    """Groups hold, or nothing is run: nodes of two tests would hear each other."""
    nodes = [one for one in ids if one.startswith('test/nodes/')]
    grouped = node.config.getoption('dist') == 'loadgroup'
    if grouped and not all(one.endswith('@dds') for one in nodes):
        pytest.exit(
            f'pytest {pytest.__version__} loses the groups of pytest-xdist: expected the version of'
            ' constraints.txt',
            returncode=pytest.ExitCode.USAGE_ERROR,
        )


@pytest.fixture(scope='session')
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope='session')
def real_bag() -> Path:
    """A RealSense recording; tests of it are skipped where it is not at hand (INSEGAN_TEST_BAG
    names another)."""
    path = Path(os.environ.get('INSEGAN_TEST_BAG', REAL_BAG))
    if not path.exists():
        pytest.skip(f'no RealSense recording at {path}')
    return path


@pytest.fixture(scope='session')
def nut_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six simulated bins of nuts in two shards."""
    from insegan_sim.generate import SimulateConfig, simulate

    folder = tmp_path_factory.mktemp('data') / 'nut'
    return simulate(
        SimulateConfig(
            part='nut', scenes=6, out=str(folder), size=128, seed=3, workers=1, shard_scenes=4
        )
    )


@pytest.fixture(scope='session')
def tote_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve simulated totes in colour, some of them empty."""
    from insegan_sim.generate import SimulateConfig, simulate

    folder = tmp_path_factory.mktemp('data') / 'tote'
    return simulate(
        SimulateConfig(
            part='product-0:6',
            instances='0-1',
            scenes=12,
            out=str(folder),
            size='96',
            container='tote',
            fill=0.15,
            colour=True,
            seed=4,
            workers=1,
            shard_scenes=12,
        )
    )


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file can be larger than 5000 bytes, as on a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, before)


@pytest.fixture
def camera() -> Intrinsics:
    """A small camera."""
    return Intrinsics(200.0, 200.0, 79.5, 59.5, 160, 120)


@pytest.fixture(scope='session')
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight bins of two kinds with masks, and the same eight with image-level labels alone in
    `image`."""
    from insegan_sim.generate import SimulateConfig, simulate

    root = tmp_path_factory.mktemp('mixed')
    for truth in ('full', 'image'):
        simulate(
            SimulateConfig(
                part='nut,bolt',
                scenes=8,
                instances='1-3',
                size='96',
                fill=0.4,
                colour=True,
                truth=truth,
                seed=3,
                out=str(root / truth),
                workers=1,
            )
        )
    return root


@pytest.fixture(scope='session')
def d435_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five bins of two kinds, in colour, through a D435 that moves."""
    from insegan_sim.camera import Jitter
    from insegan_sim.generate import SimulateConfig, simulate

    return simulate(
        SimulateConfig(
            part='nut,cone',
            scenes=5,
            instances='2-5',
            size='80x64',
            colour=True,
            sensor='d435',
            jitter=Jitter(0.005, 3, 0.02, 2),
            seed=2,
            workers=1,
            shard_scenes=3,
            out=str(tmp_path_factory.mktemp('d435') / 'set'),
        )
    )


@pytest.fixture(scope='session')
def bracket() -> trimesh.Trimesh:
    """A user's part, in m: an angle of 3 mm sheet, 60 x 40 x 40 mm, with two holes, about the
    corner of its sheets."""
    foot = trimesh.creation.box(bounds=[[0, 0, 0], [60, 40, 3]])
    flange = trimesh.creation.box(bounds=[[0, 0, 0], [3, 40, 40]])
    below = trimesh.creation.cylinder(4, 20).apply_translation([40, 20, 0])
    beside = trimesh.creation.cylinder(3, 20)
    beside.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [0, 1, 0]))
    beside.apply_translation([0, 12, 28])
    angle = trimesh.boolean.difference(
        [trimesh.boolean.union([foot, flange], engine='manifold'), below, beside], engine='manifold'
    )
    return angle.apply_scale(0.001)


@pytest.fixture(scope='session')
def bracket_data(
    bracket: trimesh.Trimesh, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Four simulated bins of two brackets each, and the file in mm that they were simulated
    from."""
    from insegan_sim.generate import SimulateConfig, simulate

    folder = tmp_path_factory.mktemp('bracket')
    file = folder / 'bracket.stl'
    bracket.copy().apply_scale(1000).export(file)
    config = SimulateConfig(
        mesh=str(file),
        scale=0.001,
        instances='2',
        scenes=4,
        out=str(folder / 'data'),
        size='128',
        seed=3,
        workers=1,
    )
    return simulate(config), file


@pytest.fixture(scope='session')
def bolts() -> list[Scene]:
    """Two bins of bolts with their truth."""
    from insegan_sim.scenes import bin_setup, scene_stream

    return list(islice(scene_stream(bin_setup('bolt', seed=77)), 2))


@pytest.fixture(scope='session')
def insegan_run(nut_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of InSeGAN that has ended: a few steps of all stages, real images
    among those that the pose encoder learns from."""
    from dataclasses import replace

    from small_trainings import small_insegan

    from insegan_ros.methods.insegan.recipe import train_insegan

    config = small_insegan(nut_data, tmp_path_factory.mktemp('insegan') / 'run')
    encoder = replace(config.insegan.encoder, weight_real=1.0)
    train_insegan(replace(config, insegan=replace(config.insegan, encoder=encoder)))
    return Path(config.out)


@pytest.fixture
def small_checkpoint(tmp_path: Path) -> Path:
    """The folder of a dense network that has learnt nothing."""
    torch.manual_seed(0)
    network = OffsetNet(OffsetNetConfig(8, 2))
    saved = Checkpoint(
        'cutpaste',
        'offsets',
        'nut',
        Scales(0.0034, 0.09, 200.0, 8.0),
        {'offsets': {'network': {'width': 8, 'levels': 2, 'height_votes': True}}},
        {'offsets': network.state_dict()},
        {'seed': 3},
    )
    saved.save(tmp_path / 'it')
    return tmp_path / 'it'
