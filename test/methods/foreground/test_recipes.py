"""What both foreground recipes keep to: masks stay closed, a kill changes nothing, too little is
refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from drawn_pictures import independence, layered

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.engine.loop import LoopConfig, run_stage
from insegan_ros.errors import CheckpointError, ConfigError, DatasetError
from insegan_ros.methods.foreground.independence_recipe import train_independence
from insegan_ros.methods.foreground.layered_recipe import TrainLayeredGanConfig, train_layered_gan
from insegan_ros.methods.registry import load_segmenter


@pytest.mark.parametrize('method', ['layered', 'independence'])
def test_masks_are_never_opened_and_a_kill_changes_nothing(
    method, pictures, layered_run, independence_run, tmp_path, monkeypatch, any_teacher
):
    """The same weights with the masks there, and with them gone and a stop in the middle."""

    def train(data: Path, out: Path) -> Checkpoint:
        return Checkpoint.load(
            train_layered_gan(layered(data, out))
            if method == 'layered'
            else train_independence(independence(data, pictures[1], out))
        )

    finished = layered_run if method == 'layered' else independence_run
    whole = Checkpoint.load(finished / 'checkpoint')
    bare = tmp_path / 'things'
    bare.mkdir()
    for path in pictures[0].glob('*.png'):
        (bare / path.name).write_bytes(path.read_bytes())
    steps = 0

    def stopping(*arguments, **options):
        nonlocal steps
        steps += 1
        if steps == 2:
            raise KeyboardInterrupt
        return run_stage(*arguments, **options)

    monkeypatch.setattr('insegan_ros.engine.run.run_stage', stopping)
    with pytest.raises(KeyboardInterrupt):
        train(bare, tmp_path / 'resumed')
    monkeypatch.setattr('insegan_ros.engine.run.run_stage', run_stage)
    resumed = train(bare, tmp_path / 'resumed')
    for network, weights in whole.weights.items():
        assert all(
            torch.equal(value, resumed.weights[network][name]) for name, value in weights.items()
        )


def test_too_little_to_learn_from_is_refused(pictures, tmp_path):
    few = tmp_path / 'few'
    few.mkdir()
    for path in sorted(pictures[0].glob('*.png'))[:3]:
        (few / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DatasetError, match='holds 3 pictures: expected 50 or more'):
        train_layered_gan(layered(few, tmp_path / 'a'))
    with pytest.raises(DatasetError, match='holds 3 backgrounds: expected 10 or more'):
        train_independence(independence(pictures[0], few, tmp_path / 'b'))
    assert not (tmp_path / 'a').exists() and not (tmp_path / 'b').exists()
    with pytest.MonkeyPatch.context() as patch:
        # Four steps teach nothing.
        patch.setattr('insegan_ros.methods.foreground.independence_recipe.SURE', (0.002, 0.9))
        with pytest.raises(DatasetError, match='finds a foreground in 0 of 60 pictures'):
            train_independence(independence(*pictures, tmp_path / 'c'))
    with pytest.raises(ConfigError, match='trained on one device'):
        TrainLayeredGanConfig(loop=LoopConfig(devices=2))


def test_a_run_of_the_other_method_is_not_gone_on_with(pictures, layered_run):
    with pytest.raises(ConfigError, match='another configuration'):
        train_independence(independence(*pictures, layered_run))
    with pytest.raises(CheckpointError, match='cannot be run as offsets: expected foreground'):
        load_segmenter(str(layered_run / 'checkpoint'), 'offsets')
