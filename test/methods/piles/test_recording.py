"""What a recording gives to its piles, and what teaches where it gives no mesh."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_trainings import LOOP

from insegan_ros.data.shards import ShardDataset
from insegan_ros.engine.checkpoint import Checkpoint, Scales
from insegan_ros.errors import DatasetError
from insegan_ros.methods.piles import recipe
from insegan_ros.methods.piles.crops import crop_size
from insegan_ros.methods.piles.real_frames import real_frames
from insegan_ros.methods.piles.recipe import PilesConfig, TrainPilesConfig, train_piles
from insegan_ros.methods.piles.recording import Recording, RefusedMesh
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.offsets.network import OffsetNetConfig
from insegan_ros.offsets.stage import OffsetTrainConfig
from insegan_sim.generate import SimulateConfig, simulate
from insegan_sim.sensor import StereoSensor, load_sensor
from insegan_sim.viewpoint import read_viewpoint

PILES = PilesConfig(part='cylinder', instances='1-3', fill=0.8, scenes=5, emptied=1, workers=1)
DENSE = OffsetTrainConfig(
    OffsetNetConfig(8, 3), 20, 4, 6e-3, self_training=1, self_training_steps=2, agreement=0.1
)
CROPS = OffsetTrainConfig(OffsetNetConfig(8, 2), steps=4, batch=4, self_training=0)


@pytest.fixture(scope='module')
def recording(tmp_path_factory) -> Path:
    """Thirty-two bins of three cylinders with much room, seen by a D435 that was knocked."""
    config = SimulateConfig(
        part='cylinder',
        scenes=32,
        out=str(tmp_path_factory.mktemp('recording') / 'data'),
        size='224',
        instances='3',
        fill=0.12,
        sensor='d435',
        seed=3,
        workers=1,
    )
    return simulate(config)


@pytest.fixture(scope='module')
def config(recording, tmp_path_factory) -> TrainPilesConfig:
    """A training of seconds for the recording, of a mesh that is known, that has been run."""
    out = tmp_path_factory.mktemp('piles') / 'run'
    config = TrainPilesConfig(
        data=str(recording),
        piles=PILES,
        out=str(out),
        part_px=9.0,
        begin='',
        offsets=DENSE,
        loop=LOOP,
    )
    train_piles(config)
    return config


@pytest.mark.slow
def test_piles_have_the_recordings_camera_and_its_noise(config, recording):
    out = Path(config.out)
    view = read_viewpoint(str(recording))
    assert read_viewpoint(str(out / 'camera.yaml')) == view
    fitted = load_sensor(str(out / 'sensor.yaml'))
    assert isinstance(fitted, StereoSensor)
    assert fitted.disparity_rms_px == pytest.approx(StereoSensor.disparity_rms_px, rel=0.4)
    assert sorted(path.name for path in (out / 'piles').iterdir()) == ['ideal', 'sensor']
    for name in ('ideal', 'sensor'):
        scene = next(iter(ShardDataset(out / 'piles' / name)))
        assert scene.require_workspace().floor == pytest.approx(view.workspace.floor, abs=1e-6)
    checkpoint = Checkpoint.load(out / 'checkpoint')
    assert checkpoint.training['steps']['offsets-1'] == 2, 'it has learnt from the frames too'
    assert checkpoint.training['taught_by'].startswith('piles that were simulated of the part')


@pytest.mark.slow
def test_a_training_that_stops_between_its_stages_goes_on_and_ends_the_same(
    config, tmp_path, monkeypatch
):
    going = replace(config, out=str(tmp_path / 'run'))

    def stop_at(name: str, number: int) -> None:
        real, calls = getattr(recipe, name), []

        def stopping(*arguments: object) -> object:
            calls.append(arguments)
            if len(calls) == number:
                raise KeyboardInterrupt
            return real(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(recipe, name, stopping)
            with pytest.raises(KeyboardInterrupt):
                train_piles(going)

    stop_at('simulate', 2)
    first = [tmp_path / 'run' / name for name in ('camera.yaml', 'sensor.yaml', 'piles/ideal')]
    made = [path.stat().st_mtime_ns for path in first]
    assert not (tmp_path / 'run/piles/sensor').exists()
    stop_at('self_train', 1)
    assert not (tmp_path / 'run/checkpoint').exists()
    train_piles(going)
    assert [path.stat().st_mtime_ns for path in first] == made, 'nothing is made twice'
    one, other = (
        Checkpoint.load(f'{each.out}/checkpoint').weights['offsets'] for each in (config, going)
    )
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.slow
def test_where_the_mesh_is_refused_isolated_crops_teach(recording, tmp_path, capsys):
    """Ten views are too few for a mesh."""
    config = TrainPilesConfig(
        data=str(recording), views=10, out=str(tmp_path / 'run'), begin='', crops=CROPS, loop=LOOP
    )
    with pytest.raises(RefusedMesh, match='10 views'):
        train_piles(replace(config, crops=replace(CROPS, steps=0), out=str(tmp_path / 'strict')))
    train_piles(config)
    told = capsys.readouterr().out
    assert 'no piles, since 10 views' in told and '`cutpaste` learns from isolated parts' in told
    assert '10 views' in (tmp_path / 'run/refused.txt').read_text()
    checkpoint = Checkpoint.load(tmp_path / 'run/checkpoint')
    assert (checkpoint.method, checkpoint.part) == ('cutpaste', 'cylinder')
    assert (
        'that lie alone in the data; not by piles, since 10 views'
        in (checkpoint.training['taught_by'])
    )
    scene = next(iter(ShardDataset(recording)))
    assert load_segmenter(config.out).segment(scene.frame, scene.workspace) is not None
    # Started again it tries no mesh, and has nothing to do.
    monkey = Recording(config.data, '', tmp_path / 'run', print)
    with pytest.raises(RefusedMesh, match='10 views'):
        monkey.mesh(1000, 0)
    train_piles(config)
    again = Checkpoint.load(tmp_path / 'run/checkpoint').weights['offsets']
    assert all(
        torch.equal(value, again[name]) for name, value in checkpoint.weights['offsets'].items()
    )


def told_of(data: Path, out: Path) -> tuple[Recording, list[str]]:
    """A recording, and what it says."""
    said: list[str] = []
    return Recording(str(data), '', out, said.append), said


@pytest.mark.slow
def test_frames_are_brought_to_the_scales_of_the_piles(recording, tmp_path, monkeypatch):
    frames, said = told_of(recording, tmp_path)
    scales = Scales(0.0037, 0.05, 100.0, 4.0)
    found = real_frames(frames, scales, torch.device('cpu'))
    assert found is not None and not said
    assert found.maps.pixel_m == 0.0037 and found.images.shape[-1] % 16 == 0
    assert found.relief_px == pytest.approx(0.05 / 0.0037)
    # Three cylinders cover as much as the simulator says, at this resolution.
    covered = (found.maps.heights_m > 0.005).sum((1, 2)) * 0.0037**2
    true = [
        float((scene.labelled().labels > 0).sum())
        * (scene.require_workspace().floor_distance_m / scene.frame.intrinsics.fx) ** 2
        for scene in ShardDataset(recording)
    ]
    assert covered.mean() == pytest.approx(np.mean(true), rel=0.15)
    larger = real_frames(frames, scales, torch.device('cpu'), 96)
    assert larger is not None and larger.images.shape[-1] % 96 == 0
    assert real_frames(frames, replace(scales, pixel_m=0.0005), torch.device('cpu')) is None
    assert 'px at this resolution, expected 384 or fewer' in said[0]
    monkeypatch.setattr('insegan_ros.methods.piles.real_frames.MIN_FRAMES', 33)
    assert real_frames(frames, scales, torch.device('cpu')) is None
    assert said[1] == 'no self-training: 32 different frames, expected 33 or more'


@pytest.mark.slow
def test_crops_are_as_fine_as_their_part_needs(recording, tmp_path):
    frames, _ = told_of(recording, tmp_path)
    # A cylinder is wider than 12 px in a bin of three.
    assert crop_size(frames) == 64 and crop_size(frames, 24) == 96


def test_a_recording_of_nothing_is_no_recording(tmp_path):
    with pytest.raises(DatasetError, match='does not exist'):
        told_of(tmp_path / 'none', tmp_path)[0].scenes()
