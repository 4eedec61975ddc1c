"""Shared by all tests. rclpy comes first: its wheels re-execute Python once, and it must precede
pyrealsense2."""

from __future__ import annotations

try:
    import rclpy
except ImportError:
    rclpy = None

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from insegan_ros.frame import Frame, Intrinsics

# Small tensors gain nothing from threads, and lose much where cores are shared.
torch.set_num_threads(1)
ROOT = Path(__file__).resolve().parents[1]
REAL_BAG = ROOT.parent / 'shared/data/realsense/single_depth_color_640x480.bag'


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
def camera() -> Intrinsics:
    """A small camera."""
    return Intrinsics(200.0, 200.0, 79.5, 59.5, 160, 120)


def box_scene(
    intrinsics: Intrinsics,
    boxes: list[tuple[int, int, int, int]],
    floor_m: float = 0.5,
    height_m: float = 0.04,
) -> Frame:
    """A flat floor with flat boxes (left, top, right, bottom) in px on it."""
    depth = np.full((intrinsics.height, intrinsics.width), floor_m, np.float32)
    for left, top, right, bottom in boxes:
        depth[top:bottom, left:right] = floor_m - height_m
    return Frame(depth, intrinsics)


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
