"""Sets as a user makes them: split over workers, killed, continued, refused."""

import hashlib
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml

from insegan_ros.data.shards import ShardDataset
from insegan_ros.errors import ConfigError, DatasetError
from insegan_ros.files import write_whole
from insegan_ros.metrics.hard import kmeans_fails
from insegan_sim.generate import SimulateConfig, simulate, simulate_shard
from insegan_sim.parts import load_part

SMALL = {'part': 'cylinder', 'scenes': 12, 'size': 64, 'seed': 3, 'shard_scenes': 2, 'workers': 1}


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob('scenes-*.h5'))
    }


def start(out: Path, **values: object) -> subprocess.Popen:
    arguments = [f'--{key}={value}' for key, value in {**SMALL, **values, 'out': out}.items()]
    return subprocess.Popen(
        [sys.executable, '-m', 'insegan_ros.cli', 'simulate', *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
    )


def wait_for_shards(folder: Path, count: int, process: subprocess.Popen) -> None:
    # Ray takes a minute to start beside other work.
    end = time.monotonic() + 180
    while len(list(folder.glob('scenes-*.h5'))) < count:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)


def ray_process(process: subprocess.Popen, name: str) -> psutil.Process:
    """One of a Ray's processes, as soon as there is one: `ray::_numbered` is a worker at work;
    agents have names in ray:: too, and Ray ends with them."""
    while process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            if child.name() == name:
                return child
        time.sleep(0.01)
    raise AssertionError(f'no {name}: {process.communicate()[0]}')


def simulate_on_ray_without(folder: Path, name: str) -> tuple[int, str]:
    """Exit status and output of a run whose process `name` is killed after the first shard."""
    process = start(folder, engine='ray', workers=2)
    wait_for_shards(folder, 1, process)
    ray_process(process, name).kill()
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """The set as one process makes it in one go."""
    return simulate(SimulateConfig(**SMALL, out=str(tmp_path_factory.mktemp('sets') / 'whole')))


def test_a_set_explains_itself(whole):
    dataset = ShardDataset(whole)
    assert len(dataset) == 12 and dataset.classes == ('cylinder',) and dataset.size == (64, 64)
    assert yaml.safe_load((whole / 'dataset.yaml').read_text())['seed'] == 3
    assert (whole / 'models/obj_000001.ply').stat().st_size > 1000
    quality = dataset.quality()
    assert (
        quality.shape == (12, 2)
        and (quality[:, 0] < 0.002).all()
        and (quality[:, 1] < 0.0005).all()
    )
    scenes = list(dataset)
    assert len({scene.frame.depth_m.tobytes() for scene in scenes}) == 12
    assert all(
        scene.present == ('cylinder',) and len(scene.truth) == 5 and scene.truth.amodal.any()
        for scene in scenes
    )


def test_any_number_of_workers_makes_the_same_bytes(whole, tmp_path):
    simulate(SimulateConfig(**{**SMALL, 'workers': 2}, out=str(tmp_path / 'two')))
    assert hashes(tmp_path / 'two') == hashes(whole)


def test_a_killed_run_continues_to_the_same_bytes(whole, tmp_path):
    process = start(tmp_path / 'killed', workers=2)
    wait_for_shards(tmp_path / 'killed', 2, process)
    workers = psutil.Process(process.pid).children(recursive=True)
    # The parent alone, as an out-of-memory killer does: its workers must not go on for nobody.
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    (tmp_path / 'killed/.scenes-00004.h5.77.part').write_bytes(b'half')
    made = hashes(tmp_path / 'killed')
    assert 2 <= len(made) < 6
    begun = {name: (tmp_path / 'killed' / name).stat().st_mtime_ns for name in made}
    simulate(SimulateConfig(**SMALL, out=str(tmp_path / 'killed')))
    assert hashes(tmp_path / 'killed') == hashes(whole)
    assert all(
        (tmp_path / 'killed' / name).stat().st_mtime_ns == stamp for name, stamp in begun.items()
    )
    assert not list((tmp_path / 'killed').glob('.*'))


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced(whole, tmp_path):
    process = start(tmp_path / 'set', workers=2)
    wait_for_shards(tmp_path / 'set', 1, process)
    workers = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if child.memory_info().rss > 150e6
    ]
    workers[0].kill()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert hashes(tmp_path / 'set') == hashes(whole)


@pytest.mark.slow
def test_workers_that_always_die_are_an_error():
    from insegan_sim.engines import run_jobs

    with pytest.raises(DatasetError, match='worker processes died 3 times'):
        list(run_jobs('local', os.abort, {0: (), 1: ()}, 2))


@pytest.mark.slow
@pytest.mark.xdist_group('ray')
def test_a_ray_cluster_of_two_makes_the_same_bytes_and_survives_a_death(whole, tmp_path):
    status, output = simulate_on_ray_without(tmp_path / 'ray', 'ray::_numbered')
    assert status == 0, output
    assert hashes(tmp_path / 'ray') == hashes(whole)


@pytest.mark.slow
@pytest.mark.xdist_group('ray')
def test_a_ray_that_breaks_down_is_one_clear_line_and_loses_nothing(whole, tmp_path):
    # Ray ends a node whose agent dies, with all its workers.
    status, output = simulate_on_ray_without(tmp_path / 'ray', 'ray::DashboardAgent')
    assert status == 2 and 'insegan: Ray broke down (' in output and 'Traceback' not in output, (
        output
    )
    assert hashes(tmp_path / 'ray')
    simulate(SimulateConfig(**SMALL, out=str(tmp_path / 'ray')))
    assert hashes(tmp_path / 'ray') == hashes(whole)


@pytest.mark.parametrize(
    'address', ['localhost:1', 'nowhere.invalid:6379', 'here', 'localhost:99999999']
)
def test_a_ray_cluster_that_is_not_there_is_said_at_once(tmp_path, address):
    with pytest.raises(ConfigError, match=f'no Ray cluster at "{address}"'):
        simulate(SimulateConfig(**SMALL, engine='ray', address=address, out=str(tmp_path / 'x')))


def test_another_set_is_never_mixed_in(whole, tmp_path):
    before = hashes(whole)
    with pytest.raises(DatasetError, match='holds another data set .*part: cylinder, not bolt'):
        simulate(SimulateConfig(**{**SMALL, 'part': 'bolt'}, out=str(whole)))
    assert hashes(whole) == before
    (tmp_path / 'holiday.jpg').write_bytes(b'x')
    with pytest.raises(DatasetError, match='is not empty'):
        simulate(SimulateConfig(**SMALL, out=str(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ['holiday.jpg']


def test_two_at_once_in_one_folder_are_refused(tmp_path):
    process = start(tmp_path / 'set', scenes=400)
    wait_for_shards(tmp_path / 'set', 1, process)
    try:
        with pytest.raises(DatasetError, match='being written by another process'):
            simulate(SimulateConfig(**{**SMALL, 'scenes': 400}, out=str(tmp_path / 'set')))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_full_disk_is_said_and_loses_nothing(tmp_path):
    good = tmp_path / 'scenes-00000.h5'
    write_whole(good, b'x' * 1000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
        with pytest.raises(
            DatasetError,
            match=(
                'scenes-00001.h5 cannot be written .*free some space and give the same command'
                ' again'
            ),
        ):
            write_whole(tmp_path / 'scenes-00001.h5', b'x' * 100_000)
        with pytest.raises(DatasetError, match='scenes-00000.h5 cannot be written'):
            write_whole(good, b'y' * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    assert [path.name for path in tmp_path.iterdir()] == [
        'scenes-00000.h5'
    ] and good.read_bytes() == b'x' * 1000


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_scenes():
    code = """
import psutil
from insegan_sim.generate import SimulateConfig, simulate_shard
config = SimulateConfig(part='cone', size=64)
setup, process = config.setup(config.parts()), psutil.Process()
for round in range(8):
    simulate_shard(setup, range(round * 20, round * 20 + 20), 'full')
    print(process.memory_info().rss)
"""
    output = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    ).stdout
    sizes = [int(line) for line in output.split() if line.isdigit()]
    assert len(sizes) == 8 and sizes[-1] - sizes[2] < 4e6


def test_a_bin_holds_so_many_kinds_and_several_of_each(tmp_path):
    values = {**SMALL, 'part': 'nut,cone,cylinder', 'instances': '4-5', 'scenes': 4}
    folder = simulate(SimulateConfig(**values, kinds=2, out=str(tmp_path / 'two')))
    scenes = list(ShardDataset(folder))
    assert all(len(scene.present) <= 2 < len(scene.truth) for scene in scenes)
    assert len({frozenset(scene.present) for scene in scenes}) > 1, 'drawn anew'
    assert 'kinds' in SimulateConfig(**values, kinds=2).identity()
    assert 'kinds' not in SimulateConfig(**values).identity(), 'as in sets of earlier versions'
    with pytest.raises(ConfigError, match='kinds is 4, and part names 3: expected as many'):
        simulate(SimulateConfig(**values, kinds=4, out=str(tmp_path / 'four')))
    assert not list((tmp_path / 'four').glob('*.h5'))


def test_several_kinds_ranges_and_image_level_labels(tmp_path):
    values = {**SMALL, 'part': 'nut,cone,cylinder', 'instances': '1-4', 'colour': True, 'scenes': 6}
    dataset = ShardDataset(simulate(SimulateConfig(**values, out=str(tmp_path / 'full'))))
    scenes = list(dataset)
    assert {len(scene.truth) for scene in scenes} <= {1, 2, 3, 4} and len(
        {len(scene.truth) for scene in scenes}
    ) > 1
    for scene in scenes:
        assert set(scene.truth.classes) == set(scene.present) and scene.frame.colour.shape == (
            64,
            64,
            3,
        )
    weak = list(
        ShardDataset(simulate(SimulateConfig(**values, truth='image', out=str(tmp_path / 'weak'))))
    )
    assert [scene.present for scene in weak] == [scene.present for scene in scenes] and all(
        scene.truth is None for scene in weak
    )
    assert np.array_equal(weak[0].frame.colour, scenes[0].frame.colour)
    import h5py

    with h5py.File(tmp_path / 'weak/scenes-00000.h5') as file:
        assert set(file) == {'depth', 'colour', 'cameras', 'workspaces', 'present', 'quality'}


def test_a_users_own_part(tmp_path):
    mesh = load_part('obj05').mesh.copy()
    mesh.apply_scale(1000)
    mesh.export(tmp_path / 'bracket.stl')
    config = SimulateConfig(
        **{**SMALL, 'scenes': 2},
        mesh=str(tmp_path / 'bracket.stl'),
        scale=0.001,
        out=str(tmp_path / 'set'),
    )
    dataset = ShardDataset(simulate(config))
    assert dataset.classes == ('bracket',) and len(dataset) == 2
    mesh.apply_scale(0.9)
    mesh.export(tmp_path / 'bracket.stl')
    with pytest.raises(DatasetError, match='holds another data set .*mesh_sha256'):
        simulate(config)


def test_the_papers_splits_are_disjoint_and_hard_ones_hard(tmp_path, monkeypatch):
    monkeypatch.setattr('insegan_sim.generate.SPLIT_SCENES', 2)
    out = simulate(
        SimulateConfig(
            **{**SMALL, 'part': 'bolt', 'scenes': 3, 'size': 96},
            paper_splits=True,
            out=str(tmp_path / 'bolt'),
        )
    )
    sets = {
        split: list(ShardDataset(out / split))
        for split in ('training', 'validation', 'test', 'hard')
    }
    assert [len(scenes) for scenes in sets.values()] == [3, 2, 2, 2]
    assert len({scene.frame.depth_m.tobytes() for scenes in sets.values() for scene in scenes}) == 9
    assert all(kmeans_fails(scene) for scene in sets['hard'])


def test_the_d435_is_in_the_set(tmp_path):
    values = {**SMALL, 'scenes': 2, 'size': 96}
    noisy, ideal = (
        list(
            ShardDataset(
                simulate(SimulateConfig(**values, sensor=sensor, out=str(tmp_path / sensor)))
            )
        )
        for sensor in ('d435', 'ideal')
    )
    # The camera stands back until all that can lie in the bin is beyond the sensor's smallest
    # distance.
    assert noisy[0].workspace.floor_distance_m > 0.28 + 0.07 and ideal[
        0
    ].workspace.floor_distance_m == pytest.approx(2.6 * 0.142, abs=0.005)
    on_parts = np.isnan(noisy[0].frame.depth_m[noisy[0].truth.labels > 0]).mean()
    assert 0.01 < on_parts < 0.3 and not np.isnan(ideal[0].frame.depth_m).any()
    assert len(noisy[0].truth) == len(ideal[0].truth) == 5
    with pytest.raises(DatasetError, match='holds another data set .*sensor'):
        simulate(SimulateConfig(**values, sensor='d435', out=str(tmp_path / 'ideal')))


def test_an_estimate_writes_nothing(tmp_path, capsys):
    simulate(
        SimulateConfig(**{**SMALL, 'scenes': 100_000}, out=str(tmp_path / 'never'), estimate=True)
    )
    line = capsys.readouterr().out
    assert '100000 scenes: ' in line and ' h with 1 workers at ' in line and ' GB' in line
    assert not (tmp_path / 'never').exists()


def test_what_was_thrown_away_is_counted():
    config = SimulateConfig(part='nut', size=64, fill=1.1, seed=1)
    content, rejected = simulate_shard(config.setup(config.parts()), range(6), 'full')
    assert (
        content[:4] == b'\x89HDF'
        and sum(rejected.values()) > 0
        and set(rejected) <= {'unsettled', 'lost', 'interpenetrating'}
    )


@pytest.mark.parametrize(
    'values, words',
    [
        ({'instances': '8-2'}, 'instances is "8-2": expected a number'),
        ({'instances': 0}, 'instances is "0"'),
        ({'instances': 'many'}, 'instances is "many"'),
        ({'size': '12'}, 'size is "12"'),
        ({'size': '640x'}, 'size is "640x"'),
        ({'container': 'bag'}, 'container is "bag": expected one of bin, tote, shelf'),
        ({'fill': 0}, 'fill is 0'),
        ({'engine': 'slurm'}, 'engine is "slurm"'),
        ({'truth': 'none'}, 'truth is "none"'),
        ({'seed': -1}, 'seed is -1'),
        ({'truth': 'image', 'only_hard': True}, 'only_hard with truth "image"'),
        ({'density': -5}, 'density is -5'),
    ],
)
def test_values_out_of_range_are_named(values, words):
    with pytest.raises(ConfigError, match=words):
        SimulateConfig(**values)


def test_settings_that_made_nothing_leave_the_folder_free(tmp_path):
    with pytest.raises(DatasetError, match='depth goes up to'):
        simulate(SimulateConfig(**{**SMALL, 'scenes': 1}, bin_width=3.0, out=str(tmp_path / 'x')))
    assert (
        len(
            ShardDataset(
                simulate(SimulateConfig(**{**SMALL, 'scenes': 1}, out=str(tmp_path / 'x')))
            )
        )
        == 1
    )


def test_empty_bins_and_jitter_out_of_range(tmp_path):
    from insegan_ros.data.convert import convert, open_dataset
    from insegan_ros.metrics.inspect import inspect
    from insegan_sim.camera import Jitter

    out = simulate(
        SimulateConfig(**{**SMALL, 'instances': '0-1', 'scenes': 6}, out=str(tmp_path / 'x'))
    )
    counts = [len(scene.truth) for scene in ShardDataset(out)]
    assert set(counts) == {0, 1} and inspect(out)['instances'] == sum(counts)
    for to in ('bop', 'coco', 'insta10'):
        convert(out, tmp_path / to, to)
        assert [len(scene.truth) for scene in open_dataset(tmp_path / to)[1]] == counts
        assert inspect(tmp_path / to)['instances'] == sum(counts)
    with pytest.raises(ConfigError, match='jitter.tilt_deg is 500: expected 0 to 45'):
        Jitter(tilt_deg=500)


def test_a_bin_narrower_than_the_part_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(
        ConfigError,
        match='a bin of 60 mm is too small for bolt, 128 mm across: expected at least 134 mm',
    ):
        simulate(SimulateConfig(part='bolt', bin_width=0.06, out=str(tmp_path / 'x')))
    assert not (tmp_path / 'x').exists()


def test_parts_that_cover_too_little_of_the_floor_are_left_out(tmp_path):
    some = SimulateConfig(part='product-0:30', bin_width=0.15, floor_share=0.25)
    kept = {part.name for part in some.parts()}
    assert 0 < len(kept) < 30
    assert all(
        part.footprint_m2 >= 0.25 * 0.15**2 and part.diameter_m * 1.05 <= 0.15
        for part in some.parts()
    )
    with pytest.raises(ConfigError, match='no part of "nut" fits into 150 mm'):
        SimulateConfig(part='nut', bin_width=0.15, floor_share=0.9).parts()
    for wrong in ({'floor_share': 0.5}, {'patterned': True}):
        with pytest.raises(ConfigError, match='without'):
            SimulateConfig(**wrong)
    assert {'patterned', 'floor_share'}.isdisjoint(SimulateConfig().identity())
