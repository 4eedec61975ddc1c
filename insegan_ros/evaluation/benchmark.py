"""`insegan benchmark NAME`: figures measured on this machine, as rows {benchmark, method, part, protocol, metric, value, ...}."""
from __future__ import annotations

import platform
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import torch

from insegan_ros.evaluation.evaluate import Evaluation, evaluate
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.segmenters.registry import load_segmenter, shipped_folders
from insegan_sim.bin import Bin
from insegan_sim.camera import DepthCamera
from insegan_sim.generate import scene_stream, simulate_scene
from insegan_sim.parts import PARTS, load_part

Row = dict[str, Any]
SEED = 2


def machine() -> str:
    """This machine in words."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'
    return f'{platform.machine()}, {torch.get_num_threads()} threads, {device}'


def row(benchmark: str, method: str, part: str, protocol: str, metric: str, value: float, unit: str, small: bool, reference: str = '') -> Row:
    """One measurement."""
    budget = ' --budget small' if small else ''
    return {'benchmark': benchmark, 'method': method, 'part': part, 'protocol': protocol + (' (small budget)' if small else ''),
            'metric': metric, 'value': round(value, 4), 'unit': unit, 'seed': SEED, 'reference': reference, 'machine': machine(),
            'command': f'insegan benchmark {benchmark}{budget}'}


def benchmark_simulate(small: bool) -> list[Row]:
    """Labelled 224x224 scenes a second on one core, one row a part, with the share of physics."""
    rows = []
    for name in PARTS:
        part = load_part(name)
        camera = DepthCamera.over_bin(part, 224)
        count = 20 if small else 100
        begun, depth = time.perf_counter(), 0.0
        for index in range(count):
            with Bin(part) as world:
                simulate_scene(world, camera, 5, SEED, index)
                depth = max(depth, world.penetration_m())
        seconds = time.perf_counter() - begun
        rows.append(row('simulate', 'pybullet + embree', name, '5 parts, 224x224, one process', 'scenes', count / seconds, '1/s', small))
        rows.append(row('simulate', 'pybullet + embree', name, '5 parts', 'deepest interpenetration', 1000 * depth, 'mm', small))
    return rows


def benchmark_node(small: bool) -> list[Row]:
    """Time of `segment` on 640x480 frames of the simulated RealSense: what the node's worker spends a frame."""
    rows = []
    for name in _shipped_parts():
        part = load_part(name)
        camera = DepthCamera.realsense(part)
        with Bin(part) as world:
            frames = [simulate_scene(world, camera, 5, SEED, index)[0] for index in range(5)]
        for model in (f'insegan-{name}', 'kmeans'):
            segmenter = load_segmenter(model, workspace=camera.workspace)
            for frame in frames:
                segmenter.segment(frame)
            times = []
            for index in range(20 if small else 100):
                begun = time.perf_counter()
                segmenter.segment(frames[index % len(frames)])
                times.append(1000 * (time.perf_counter() - begun))
            for metric, value in (('median', np.median(times)), ('p99', np.percentile(times, 99))):
                rows.append(row('node', model, name, 'segment 640x480', metric, float(value), 'ms', small))
    return rows


def benchmark_insta10(small: bool) -> list[Row]:
    """The shipped checkpoints on unseen simulated bins: random ones and those on which K-means fails, both protocols."""
    rows = []
    for name in _shipped_parts():
        summary = evaluate_simulated(load_segmenter(f'insegan-{name}'), name, limit=10 if small else 100).summary()
        for suffix, title in (('', 'random scenes'), ('_hard', 'scenes on which K-means fails')):
            for prefix, method in (('', f'insegan-{name}'), ('kmeans_', 'kmeans')):
                for metric in ('honest_miou', 'paper_miou', 'foreground_iou', 'count_error'):
                    if (key := f'{prefix}{metric}{suffix}') in summary:
                        rows.append(row('insta10', method, name, f'{summary[f"scenes{suffix}"]} {title}', metric, float(summary[key]), '', small))
    return rows


def evaluate_simulated(segmenter: Segmenter, part: str, limit: int = 100, instances: int = 5, most: int = 1000) -> Evaluation:
    """Evaluate on bins simulated on the way, of a seed that no training uses; at most `most` are looked at for hard ones."""
    camera = DepthCamera.over_bin(load_part(part), 224)
    return evaluate(segmenter, islice(scene_stream(part, camera, instances, SEED), most), camera.workspace, instances, limit)


BENCHMARKS: dict[str, Callable[[bool], list[Row]]] = {'simulate': benchmark_simulate, 'node': benchmark_node, 'insta10': benchmark_insta10}


def run_benchmark(name: str, budget: str) -> list[Row]:
    """Run it and print its table."""
    rows = BENCHMARKS[name](budget == 'small')
    for item in rows:
        print(f'{item["method"]:20}{item["part"]:12}{item["protocol"]:55}{item["metric"]:26}{item["value"]:10.4g} {item["unit"]}')
    return rows


def _shipped_parts() -> list[str]:
    return [name for name in PARTS if any((folder / f'insegan-{name}').is_dir() for folder in shipped_folders())]
