"""`insegan benchmark NAME`: figures measured on this machine, as rows {benchmark, method, part,
protocol, metric, value, ...}."""

from __future__ import annotations

import json
import platform
import tempfile
import time
from collections.abc import Callable
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from insegan_ros.benchmarks.cells import not_measured
from insegan_ros.benchmarks.held_out import TEST_SEED
from insegan_ros.benchmarks.train_speed import benchmark_train_rows
from insegan_ros.data.scene import visible_fractions
from insegan_ros.data.shards import ShardInfo, pack_shard
from insegan_ros.engine.checkpoint import WEIGHTS
from insegan_ros.errors import ConfigError
from insegan_ros.files import HEAP_MODEL, shipped_file, write_whole
from insegan_ros.geometry.registration import MeshRegistration
from insegan_ros.methods.posed import PosedSegmenter
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.metrics.picks import first_pick_is_free
from insegan_ros.metrics.poses import add_s, match, mssd
from insegan_ros.picking.picks import PickConfig, Surface, bin_state, rank_picks
from insegan_ros.tasks.instances import Evaluation, evaluate
from insegan_ros.tasks.segmenter import Segmenter
from insegan_sim.engines import run_jobs
from insegan_sim.generate import SimulateConfig, simulate_shard
from insegan_sim.parts import PARTS, load_part
from insegan_sim.scenes import bin_setup, photograph, scene_stream, simulate_scene
from insegan_sim.world import World

Row = dict[str, Any]
SEED = TEST_SEED


def machine() -> str:
    """This machine in words."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'
    return f'{platform.machine()}, {torch.get_num_threads()} threads, {device}'


def row(
    benchmark: str,
    method: str,
    part: str,
    protocol: str,
    metric: str,
    value: float,
    unit: str,
    small: bool,
    reference: str = '',
) -> Row:
    """One measurement."""
    budget = ' --budget small' if small else ''
    return {
        'benchmark': benchmark,
        'method': method,
        'part': part,
        'protocol': protocol + (' (small budget)' if small else ''),
        'metric': metric,
        'value': round(value, 4),
        'unit': unit,
        'seed': SEED,
        'reference': reference,
        'machine': machine(),
        'command': f'insegan benchmark {benchmark}{budget}',
    }


def benchmark_simulate(small: bool) -> list[Row]:
    """Labelled 224x224 scenes a second on one core, one row a part, with the shares of physics,
    rendering and writing, the resting speed and the interpenetration; what a second process gains;
    time and disk of the paper's 100,000 scenes."""
    rows, seconds_all, bytes_all = [], 0.0, 0.0
    count, protocol = (
        (20, '5 parts, 224x224, one process') if small else (300, '5 parts, 224x224, one process')
    )
    for name in PARTS:
        timed, deepest, fastest, size = _timed_scenes(name, count)
        total = sum(timed.values())
        seconds_all += total / count
        bytes_all += size
        rows.append(
            row(
                'simulate',
                'pybullet + embree',
                name,
                protocol,
                'scenes',
                count / total,
                '1/s',
                small,
            )
        )
        for stage, seconds in timed.items():
            rows.append(
                row(
                    'simulate',
                    'pybullet + embree',
                    name,
                    protocol,
                    f'share of {stage}',
                    seconds / total,
                    '',
                    small,
                )
            )
        rows.append(
            row(
                'simulate',
                'pybullet + embree',
                name,
                f'{count} scenes',
                'deepest interpenetration',
                1000 * deepest,
                'mm',
                small,
            )
        )
        rows.append(
            row(
                'simulate',
                'pybullet + embree',
                name,
                f'{count} scenes',
                'fastest point at rest',
                1000 * fastest,
                'mm/s',
                small,
            )
        )
    gain = _gain_of_two(20 if small else 150)
    rows.append(
        row(
            'simulate',
            'joblib',
            'nut',
            'two processes against one',
            'speed',
            gain,
            'x',
            small,
            reference='one process in the same run',
        )
    )
    hours = 10_000 * seconds_all / gain / 3600
    rows.append(
        row(
            'simulate',
            'projection',
            'all ten',
            '100,000 scenes, two processes',
            'time',
            hours,
            'h',
            small,
            reference='from the rows above',
        )
    )
    rows.append(
        row(
            'simulate',
            'projection',
            'all ten',
            '100,000 scenes',
            'disk',
            10_000 * bytes_all / 1e9,
            'GB',
            small,
            reference='from the rows above',
        )
    )
    return rows


def _timed_scenes(name: str, count: int) -> tuple[dict[str, float], float, float, float]:
    """Seconds by stage, deepest interpenetration in m, highest resting speed in m/s, bytes a
    scene."""
    setup = bin_setup(name, seed=SEED)
    timed = dict.fromkeys(('physics', 'rendering', 'writing'), 0.0)
    scenes, deepest, fastest, size = [], 0.0, 0.0, 0
    with World(setup.container) as world, tempfile.TemporaryDirectory() as folder:
        simulate_scene(setup, world, count)
        for index in tqdm(range(count), desc=f'simulate {name}', unit='scene'):
            rng, pile, begun = np.random.default_rng([SEED, index]), '', time.perf_counter()
            while isinstance(pile, str):
                pile = world.drop(setup.parts * setup.count[0], rng)
            dropped = time.perf_counter()
            scenes.append(
                photograph(setup, list(setup.parts * setup.count[0]), pile.poses, rng, index)
            )
            seen = time.perf_counter()
            if len(scenes) == 100 or index == count - 1:
                content = pack_shard(scenes, ShardInfo(setup.classes, SEED, 0))
                write_whole(Path(folder) / f'{index}.h5', content)
                scenes, size = [], size + len(content)
            for stage, seconds in zip(
                timed, (dropped - begun, seen - dropped, time.perf_counter() - seen)
            ):
                timed[stage] += seconds
            deepest, fastest = max(deepest, pile.penetration_m), max(fastest, pile.speed_m_s)
    return timed, deepest, fastest, size / count


def _gain_of_two(scenes: int) -> float:
    """How much more two processes make than one, both warm: imports and start-up are not what a
    long run waits for."""
    setup = bin_setup('nut', seed=SEED)
    rates = []
    for workers in (1, 2):
        jobs = {
            number: (setup, range(number * scenes, (number + 1) * scenes), 'full')
            for number in range(workers)
        }
        list(
            run_jobs(
                'local',
                simulate_shard,
                {number: (setup, range(1), 'full') for number in range(2 * workers)},
                workers,
            )
        )
        begun = time.perf_counter()
        list(run_jobs('local', simulate_shard, jobs, workers))
        rates.append(workers * scenes / (time.perf_counter() - begun))
    return rates[1] / rates[0]


def benchmark_node(small: bool) -> list[Row]:
    """Time of `segment` on 640x480 frames of the simulated RealSense, what the node's worker spends
    a frame, and on 224x224 ones."""
    rows = []
    for name, (size, realsense) in product(
        _shipped_parts(), (('640x480', (640, 480)), ('224x224', None))
    ):
        setup = bin_setup(name, seed=SEED, realsense=realsense)
        frames = [scene.frame for scene in islice(scene_stream(setup), 5)]
        for model in (f'insegan-{name}', 'kmeans'):
            segmenter = load_segmenter(model, workspace=setup.camera.workspace)
            for frame in frames:
                segmenter.segment(frame)
            rows += _timed(
                lambda index: segmenter.segment(frames[index % len(frames)]),
                model,
                name,
                f'segment {size}',
                small,
            )
    return rows + _timed_foreground(small) + _timed_heap(small) + _timed_classes(small)


def _timed_foreground(small: bool) -> list[Row]:
    """Time of the shipped foreground methods on a 128x128 picture, at the side that they were
    trained at and with the network at 128, GrabCut beside them."""
    from insegan_ros.benchmarks.foreground import shipped

    rows, setup = (
        [],
        SimulateConfig(
            part='product-0',
            instances='1',
            container='tote',
            fill=0.15,
            size='128',
            colour=True,
            seed=SEED,
        ),
    )
    picture = next(scene_stream(setup.setup(setup.parts()))).frame.colour
    for model, side in (
        *product((model for _, model, _ in shipped()), (0, 128)),
        ('grabcut-colour', 0),
    ):
        segmenter = load_segmenter(model)
        segmenter.size = side or getattr(segmenter, 'size', 0)
        segmenter.foreground(picture)
        rows += _timed(
            lambda index: segmenter.foreground(picture),
            model,
            'tote',
            'foreground 128x128' + (', network at 128' if side else ''),
            small,
        )
    return rows


def _timed_heap(small: bool) -> list[Row]:
    """Time of the shipped HOC learner, and of the baselines, on a 640x480 picture of a heap of a
    hundred nuts."""
    setup = SimulateConfig(
        part='nut', instances='100', fill=2.2, size='640x480', colour=True, seed=SEED
    )
    scene = next(scene_stream(setup.setup(setup.parts())))
    rows = []
    for model in (
        [HEAP_MODEL] if shipped_file(f'checkpoints/{HEAP_MODEL}', 'card.json') else []
    ) + ['watershed-heap', 'felzenszwalb-heap']:
        segmenter = load_segmenter(model, workspace=scene.workspace)
        segmenter.segment(scene.frame)
        rows += _timed(
            lambda index: segmenter.segment(scene.frame),
            model,
            'nut',
            'heap of 100, 640x480',
            small,
        )
    return rows


def _timed_classes(small: bool) -> list[Row]:
    """Time of the shipped masks with classes on a 640x480 picture of a bin of several kinds."""
    setup = SimulateConfig(
        part='nut,bolt,cone', instances='5', fill=0.4, size='640x480', colour=True, seed=SEED
    )
    scene = next(scene_stream(setup.setup(setup.parts())))
    rows = []
    for model in ('irnet-mixed', 'ccgr-mixed'):
        if shipped_file(f'checkpoints/{model}', 'card.json'):
            segmenter = load_segmenter(model, workspace=scene.workspace)
            segmenter.segment(scene.frame)
            rows += _timed(
                lambda index: segmenter.segment(scene.frame),
                model,
                'mixed',
                'five parts of three kinds, 640x480',
                small,
            )
    return rows


def _timed(
    work: Callable[[int], Any], model: str, part: str, protocol: str, small: bool
) -> list[Row]:
    """Median and 99th percentile of what `work` takes."""
    times = []
    for index in range(20 if small else 100):
        begun = time.perf_counter()
        work(index)
        times.append(1000 * (time.perf_counter() - begun))
    return [
        row('node', model, part, protocol, metric, float(value), 'ms', small)
        for metric, value in (('median', np.median(times)), ('p99', np.percentile(times, 99)))
    ]


def benchmark_train(small: bool) -> list[Row]:
    """Arithmetic of a training step, its rate against the machine's own matrix products, and
    against a plain implementation."""
    return [
        row('train', method, '', protocol, metric, value, unit, small, reference)
        for method, protocol, metric, value, unit, reference in benchmark_train_rows(small)
    ]


def benchmark_poses(small: bool) -> list[Row]:
    """6-DoF poses registered to the mesh, for parts of which half is seen: of true masks, of the
    shipped checkpoints' masks, and begun with what a pose encoder decodes where one is shipped.
    ADD-S and MSSD as shares of the part's diameter, the share of poses below a tenth of it, and the
    time an instance."""
    rows = []
    for name in _shipped_parts():
        part, setup = load_part(name), bin_setup(name, seed=SEED)
        registration, symmetries = MeshRegistration(part.mesh), part.rotations()
        posed = {
            model + (f', {segmenter}' if segmenter else ''): PosedSegmenter(
                load_segmenter(model, segmenter), registration
            )
            for model, segmenter in (
                (f'insegan-{name}', ''),
                (f'insegan-generator-{name}', 'insegan'),
            )
            if _is_shipped(model)
        }
        errors: dict[str, list[tuple[float, float]]] = {
            method: [] for method in ('true masks', *posed)
        }
        seconds, counts = dict.fromkeys(errors, 0.0), dict.fromkeys(errors, 0)
        for scene in tqdm(
            islice(scene_stream(setup), 3 if small else 30), desc=f'poses {name}', unit='scene'
        ):
            truth, visible = scene.labelled(), visible_fractions(scene.labelled())
            begun = time.perf_counter()
            registered = [registration.register(scene.frame, mask) for mask in truth.masks()]
            answers = {
                'true masks': [
                    (index, None if one is None else one.pose)
                    for index, one in enumerate(registered)
                ]
            }
            seconds['true masks'] += time.perf_counter() - begun
            counts['true masks'] += len(truth)
            for method, segmenter in posed.items():
                segmenter.workspace, begun = scene.workspace, time.perf_counter()
                found = segmenter.segment(scene.frame)
                seconds[method] += time.perf_counter() - begun
                counts[method] += len(found)
                answers[method] = [
                    (true, found.poses[own]) for true, own in match(truth.labels, found.labels)
                ]
            for method, poses in answers.items():
                errors[method] += [
                    (
                        (1.0, 1.0)
                        if pose is None
                        else (
                            add_s(truth.poses[true], pose, registration.points) / part.diameter_m,
                            mssd(truth.poses[true], pose, registration.points[:1000], symmetries)
                            / part.diameter_m,
                        )
                    )
                    for true, pose in poses
                    if visible[true] >= 0.5
                ]
        for method, found in errors.items():
            protocol = f'{len(found)} parts half seen or more'
            for metric, values in zip(('ADD-S', 'MSSD'), np.array(found).reshape(-1, 2).T):
                if len(values):
                    rows.append(
                        row(
                            'poses',
                            method,
                            name,
                            protocol,
                            f'{metric} below .1 diameter',
                            float((values < 0.1).mean()),
                            '',
                            small,
                        )
                    )
                    rows.append(
                        row(
                            'poses',
                            method,
                            name,
                            protocol,
                            f'median {metric}',
                            float(np.median(values)),
                            'diameters',
                            small,
                        )
                    )
            rows.append(
                row(
                    'poses',
                    method,
                    name,
                    'one instance, masks included',
                    'time',
                    1000 * seconds[method] / max(counts[method], 1),
                    'ms',
                    small,
                )
            )
    return rows


def benchmark_picks(small: bool) -> list[Row]:
    """Share of simulated bins (those that hold a truly free part) in which the first pick is of a
    free part, with perfect masks and with the shipped checkpoints', for both grippers; time of the
    picks of a frame, as the node makes them, at the RealSense's size."""
    rows = []
    for name in _shipped_parts():
        segmenter, setup = load_segmenter(f'insegan-{name}'), bin_setup(name, seed=SEED)
        free: dict[tuple[str, str], list[bool]] = {}
        for scene in tqdm(
            islice(scene_stream(setup), 5 if small else 100), desc=f'picks {name}', unit='scene'
        ):
            segmenter.workspace = scene.workspace
            masks = {
                'true masks': scene.labelled(),
                f'insegan-{name}': segmenter.segment(scene.frame),
            }
            for gripper, (method, found) in product(('suction', 'parallel'), masks.items()):
                first = first_pick_is_free(
                    scene, found, PickConfig(gripper=gripper), segmenter.scales.part_area_m2
                )
                if first is not None:
                    free.setdefault((gripper, method), []).append(first)
        for (gripper, method), ones in free.items():
            rows.append(
                row(
                    'picks',
                    method,
                    name,
                    f'{len(ones)} bins with a free part, {gripper}',
                    'first pick truly free',
                    float(np.mean(ones)),
                    '',
                    small,
                )
            )
        for gripper in ('suction', 'parallel'):
            config, times = PickConfig(gripper=gripper), []
            for scene in islice(
                scene_stream(bin_setup(name, seed=SEED, realsense=(640, 480))), 3 if small else 10
            ):
                for _ in range(3):
                    begun = time.perf_counter()
                    surface = Surface(scene.frame, scene.workspace)
                    bin_state(surface, rank_picks(surface, scene.labelled(), config), config)
                    times.append(1000 * (time.perf_counter() - begun))
            rows.append(
                row(
                    'picks',
                    'picks',
                    name,
                    f'640x480, {gripper}',
                    'median time',
                    float(np.median(times)),
                    'ms',
                    small,
                )
            )
    return rows


def benchmark_shipped(small: bool) -> list[Row]:
    """The shipped checkpoints on unseen simulated bins: random ones and those on which K-means
    fails, both protocols."""
    rows = []
    for name in _shipped_parts():
        summary = evaluate_simulated(
            load_segmenter(f'insegan-{name}'), name, limit=10 if small else 100
        ).summary()
        for suffix, title in (('', 'random scenes'), ('_hard', 'scenes on which K-means fails')):
            for prefix, method in (('', f'insegan-{name}'), ('kmeans_', 'kmeans')):
                for metric in ('honest_miou', 'paper_miou', 'foreground_iou', 'count_error'):
                    if (key := f'{prefix}{metric}{suffix}') in summary:
                        rows.append(
                            row(
                                'shipped',
                                method,
                                name,
                                f'{summary[f"scenes{suffix}"]} {title}',
                                metric,
                                float(summary[key]),
                                '',
                                small,
                            )
                        )
    return rows


def evaluate_simulated(
    segmenter: Segmenter, part: str, limit: int = 100, instances: int = 5, most: int = 1000
) -> Evaluation:
    """Evaluate on bins simulated on the way, of a seed that no training uses; at most `most` are
    looked at for hard ones."""
    return evaluate(segmenter, islice(scene_stream(bin_setup(part, instances, SEED)), most), limit)


BENCHMARKS: dict[str, Callable[[bool], list[Row]]] = {
    'simulate': benchmark_simulate,
    'node': benchmark_node,
    'shipped': benchmark_shipped,
    'poses': benchmark_poses,
    'picks': benchmark_picks,
    'train': benchmark_train,
}


def run_benchmark(name: str, budget: str) -> list[Row]:
    """Run it and print its table."""
    if budget == 'medium':
        raise ConfigError(f'benchmark {name} has the budgets small and full: expected one of these')
    rows = BENCHMARKS[name](budget == 'small')
    print_rows(rows)
    return rows


def run_insta10(folder: Path, budget: str, only: set[str], measured: bool = False) -> list[Row]:
    """The paper's tables in a folder, and printed. A second start goes on where the first was
    stopped."""
    from insegan_ros.benchmarks.insta10 import BUDGETS, Insta10
    from insegan_ros.benchmarks.insta10_report import write_report

    benchmark = Insta10(folder, BUDGETS[budget])
    command = f'insegan benchmark insta10 --budget {budget}' + (
        f' --only {",".join(sorted(only))}' if only else ''
    )
    rows = write_report(benchmark, benchmark.run(only, measured), machine(), command)
    print((folder / 'tables.md').read_text())
    return rows


def run_foreground(folder: Path, budget: str, only: set[str], measured: bool = False) -> list[Row]:
    """The tables of the foreground segmenters in a folder, and printed. A second start goes on
    where the first was stopped."""
    from insegan_ros.benchmarks.foreground import BUDGETS, ForegroundBenchmark, as_rows, markdown

    results = ForegroundBenchmark(folder, BUDGETS[budget]).run(only, measured)
    rows = as_rows(results, machine(), f'insegan benchmark foreground --budget {budget}')
    return _write_tables(folder, rows, markdown(results, BUDGETS[budget], machine()))


def _write_tables(folder: Path, rows: list[Row], text: str) -> list[Row]:
    """Rows and tables in a folder, the tables printed too; returns the rows."""
    text = '\n'.join([text.rstrip('\n'), '', *lines]) if (lines := not_measured(folder)) else text
    write_whole(folder / 'tables.json', (json.dumps(rows, indent=1) + '\n').encode())
    write_whole(folder / 'tables.md', text.encode())
    print(text)
    return rows


def run_hoc(
    folder: Path, budget: str, only: set[str], measured: bool = False, pictures: Path | None = None
) -> list[Row]:
    """The tables of the HOC learner in a folder, and printed; pictures: photographs with labels,
    which are measured too. A second start goes on where the first was stopped."""
    from insegan_ros.benchmarks.heaps import BUDGETS, HocBenchmark, as_rows, markdown

    results = HocBenchmark(folder, BUDGETS[budget], pictures).run(only, measured)
    rows = as_rows(results, machine(), f'insegan benchmark hoc --budget {budget}')
    return _write_tables(folder, rows, markdown(results, BUDGETS[budget], machine()))


def run_weak(folder: Path, budget: str, only: set[str], measured: bool = False) -> list[Row]:
    """The tables of IRNet and CCGR in a folder, and printed. A second start goes on where the first
    was stopped."""
    from insegan_ros.benchmarks.classes import BUDGETS, WeakBenchmark, as_rows, markdown

    results = WeakBenchmark(folder, BUDGETS[budget]).run(only, measured)
    rows = as_rows(results, machine(), f'insegan benchmark weak --budget {budget}')
    return _write_tables(folder, rows, markdown(results, BUDGETS[budget], machine()))


# Those that train, in a folder that one can go on with; or, measured, only tell what has been
# measured there.
LONG_BENCHMARKS = {
    'insta10': run_insta10,
    'foreground': run_foreground,
    'hoc': run_hoc,
    'weak': run_weak,
}


def print_rows(rows: list[Row]) -> None:
    """A line a figure."""
    for item in rows:
        print(
            f'{item["method"]:20}{item["part"]:12}{item["protocol"]:55}{item["metric"]:26}{item["value"]:10.4g}'
            f' {item["unit"]}'
        )


def _is_shipped(model: str) -> bool:
    return shipped_file(f'checkpoints/{model}', WEIGHTS) is not None


def _shipped_parts() -> list[str]:
    return [name for name in PARTS if _is_shipped(f'insegan-{name}')]
