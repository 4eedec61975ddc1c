"""The loop: the same seed makes the same weights, whatever stops it; what runs away is not kept."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import two_processes
from safetensors import safe_open
from safetensors.torch import save
from small_trainings import LOOP, SMALL, noise_images, weights_of

from insegan_ros.engine.loop import LoopConfig, Stage, make_fabric, run_stage, seed_step
from insegan_ros.engine.state import average_into, load_state, save_state
from insegan_ros.errors import CheckpointError, ConfigError, TrainingError
from insegan_ros.methods.insegan.generator import GeneratorConfig
from insegan_ros.methods.insegan.stages import GanStage


def new_gan() -> GanStage:
    seed_step(0, 'weights', 0)
    return GanStage(make_fabric(LOOP), SMALL, noise_images())


def test_ten_steps_of_one_seed_give_the_same_weights_and_another_seed_others(tmp_path):
    results = []
    for name, seed in (('a', 0), ('b', 0), ('c', 1)):
        stage = new_gan()
        run_stage(stage.fabric, stage, 10, tmp_path / name, seed, LOOP)
        results.append(weights_of(stage.generator))
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path):
    whole = new_gan()
    run_stage(whole.fabric, whole, 10, tmp_path / 'whole', 0, LOOP)

    class Killed(GanStage):
        def step(self, index):
            if index == 7:
                raise KeyboardInterrupt
            return super().step(index)

    seed_step(0, 'weights', 0)
    killed = Killed(make_fabric(LOOP), SMALL, noise_images())
    with pytest.raises(KeyboardInterrupt):
        run_stage(killed.fabric, killed, 10, tmp_path / 'killed', 0, LOOP)
    again = new_gan()
    run_stage(again.fabric, again, 10, tmp_path / 'killed', 0, LOOP)
    assert torch.equal(weights_of(whole.generator), weights_of(again.generator))
    assert torch.equal(weights_of(whole.discriminator), weights_of(again.discriminator))
    assert torch.equal(weights_of(whole.average), weights_of(again.average))


def test_how_often_it_is_saved_changes_nothing_that_is_learnt(tmp_path):
    """Nor where it is stopped, for then it is saved as well: pictures only look."""

    class Normed(Stage):
        name, steps, images_per_step = 'normed', 6, 4

        def __init__(self):
            self.network = torch.nn.BatchNorm1d(2)

        def parts(self):
            return {'network': self.network}

        def step(self, index):
            return {'L': self.network(torch.randn(4, 2)).sum().detach()}

        def pictures(self):
            self.network(torch.randn(4, 2))
            return {}

    means = []
    for often in (1, 6):
        stage, loop = Normed(), replace(LOOP, save_every=often)
        run_stage(make_fabric(loop), stage, 6, tmp_path / str(often), 0, loop)
        assert stage.network.training
        means.append(stage.network.running_mean)
    assert torch.equal(*means)


def test_ctrl_c_ends_the_step_saves_and_goes_on(tmp_path, capfd):
    whole = new_gan()
    run_stage(whole.fabric, whole, 10, tmp_path / 'whole', 0, LOOP)

    class Interrupted(GanStage):
        def step(self, index):
            if index == 7 and not (tmp_path / 'asked').exists():
                (tmp_path / 'asked').touch()
                os.kill(os.getpid(), signal.SIGINT)
            return super().step(index)

    seed_step(0, 'weights', 0)
    stage = Interrupted(make_fabric(LOOP), SMALL, noise_images())
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run_stage(stage.fabric, stage, 10, tmp_path / 'run', 0, LOOP)
    assert (
        'stopped in gan at step 8: the state is in' in capfd.readouterr().out
        and signal.getsignal(signal.SIGINT) is before
    )
    again = new_gan()
    assert load_state(tmp_path / 'run/gan.state.safetensors', new_gan().parts())[0] == 8, (
        'nothing of the steps is lost'
    )
    run_stage(again.fabric, again, 10, tmp_path / 'run', 0, LOOP)
    assert torch.equal(weights_of(again.generator), weights_of(whole.generator))


@pytest.mark.parametrize('step', (3, 6))
def test_a_signal_that_comes_while_a_step_is_saved_is_obeyed(tmp_path, step):
    """After the last step as well: else the recipe would go on with what comes next."""

    class Asked(Stage):
        name, steps, images_per_step = 'asked', 6, 1

        def __init__(self):
            self.network, self.done = torch.nn.Linear(1, 1), 0

        def parts(self):
            return {'network': self.network}

        def step(self, index):
            self.done = index + 1
            return {'L': torch.zeros(())}

        def pictures(self):
            if self.done == step:
                os.kill(os.getpid(), signal.SIGTERM)
            return {}

    stage, config = Asked(), replace(LOOP, save_every=3)
    fabric = make_fabric(config)
    with pytest.raises(KeyboardInterrupt):
        run_stage(fabric, stage, 6, tmp_path, 0, config)
    again = Asked()
    run_stage(fabric, again, 6, tmp_path, 0, replace(config, save_every=99))
    assert (stage.done, again.done) == (min(step + 1, 6), 6 if step < 6 else 0)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_state(tmp_path):
    class Diverges(Stage):
        name, steps, images_per_step = 'gan', 20, 1
        weight = torch.nn.Linear(1, 1)

        def parts(self):
            return {'weight': self.weight}

        def step(self, index):
            return {'L_D': torch.tensor(float('nan') if index >= 6 else 1.0)}

    with pytest.raises(
        TrainingError,
        match=(
            'gan diverged at step 10: L_D is not a number or beyond all bounds; the last good state'
            ' is in .*gan.state.safetensors'
        ),
    ):
        run_stage(make_fabric(LOOP), Diverges(), 20, tmp_path, 0, LOOP)
    assert load_state(tmp_path / 'gan.state.safetensors', {'weight': torch.nn.Linear(1, 1)})[0] == 5


def test_weights_that_ran_away_in_the_last_step_are_neither_saved_nor_a_checkpoint(tmp_path):
    """A loss tells of the weights before its step: 1e10 as a rate shows only in what the step has
    left."""

    class RunsAway(Stage):
        name, steps, images_per_step = 'gan', 4, 1
        weight = torch.nn.Linear(1, 1)

        def parts(self):
            return {'weight': self.weight}

        def step(self, index):
            if index == 3:
                self.weight.weight.data += 1e10
            return {'L_D': torch.tensor(1.0)}

    every = replace(LOOP, save_every=1)
    with pytest.raises(
        TrainingError,
        match=(
            'gan diverged at step 4: weight.weight is not a number or beyond all bounds; the last'
            ' good state is in .*gan.state.safetensors'
        ),
    ):
        run_stage(make_fabric(every), RunsAway(), 4, tmp_path, 0, every)
    kept = torch.nn.Linear(1, 1)
    assert (
        load_state(tmp_path / 'gan.state.safetensors', {'weight': kept})[0] == 3
        and float(kept.weight.detach().abs().max()) < 10
    )


def test_loops_that_cannot_be_are_refused():
    for wrong in (
        {'precision': 'foo'},
        {'devices': 0},
        {'threads': -1},
        {'save_every': 0},
        {'log_every': 0},
    ):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            LoopConfig(**wrong)


def test_a_damaged_state_is_refused_and_one_without_a_checksum_is_not(tmp_path):
    path, layer = tmp_path / 'gan.state.safetensors', torch.nn.Linear(4, 4)
    save_state(path, {'layer': layer}, 7, 1.5)
    kept = torch.nn.Linear(4, 4)
    assert load_state(path, {'layer': kept}) == (7, 1.5) and torch.equal(kept.bias, layer.bias)
    with safe_open(path, 'pt') as file:
        told, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match='not as it was written.*delete it'):
        load_state(path, {'layer': kept})
    told.pop('sha256')
    path.write_bytes(save(tensors, told))
    assert load_state(path, {'layer': kept}) == (7, 1.5), 'of an earlier version'


def test_a_state_of_another_shape_is_refused(tmp_path):
    stage = new_gan()
    run_stage(stage.fabric, stage, 5, tmp_path, 0, LOOP)
    other = GanStage(
        make_fabric(LOOP),
        replace(SMALL, generator=GeneratorConfig(width=16, patch=32)),
        noise_images(),
    )
    with pytest.raises(CheckpointError, match='does not continue this training'):
        run_stage(other.fabric, other, 10, tmp_path, 0, LOOP)


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one_with_the_doubled_batch():
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = str(free.getsockname()[1])
    result = subprocess.run(
        [
            *(sys.executable, '-m', 'torch.distributed.run', '--nproc-per-node', '2'),
            *('--master-port', port, two_processes.__file__, '2', '2'),
        ],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'MASTER_ADDR': '127.0.0.1'},
    )
    assert 'ROWS' in result.stdout, result.stderr[-2000:]
    two = json.loads(result.stdout.split('ROWS')[1].splitlines()[0])
    one = two_processes.losses(1, 4)
    assert len(one) == 12
    for index, (a, b) in enumerate(zip(one, two)):
        assert a.keys() == b.keys()
        # The last network draws points of its own in every process.
        assert all(
            a[name] == pytest.approx(b[name], rel=2e-3 if index < 9 else 3e-2, abs=1e-4)
            for name in a
        ), (a, b)


def test_an_average_has_the_statistics_of_its_weights():
    """Weights that go up and down every few steps, and batch norm whose statistics follow: after
    any step the average's answers are normalised as its own weights ask for, not as the last
    few batches were."""
    torch.manual_seed(0)
    source, target = (
        torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.BatchNorm1d(1)) for _ in range(2)
    )
    torch.nn.init.zeros_(source[0].weight)
    for index in range(1000):
        torch.nn.init.constant_(source[0].bias, 1.0 if index % 20 < 10 else -1.0)
        source(torch.randn(8, 1))
        average_into(target, source, min(0.995, index / (index + 10)))
    own, mean = float(target[0].bias.detach()), float(target[1].running_mean)
    assert abs(own) < 0.2 and abs(mean - own) < 0.2
    assert target[1].num_batches_tracked == source[1].num_batches_tracked
