"""`insegan demo`: a simulated camera and the segmenter as two processes on real DDS, watched from a
third, scored and drawn."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from tqdm import tqdm

from insegan_ros.camera.messages import (
    depth_from_message,
    intrinsics_from_message,
    labels_from_message,
    stamp_ns,
)
from insegan_ros.drawing.overlay import overlay
from insegan_ros.drawing.panels import titled
from insegan_ros.errors import InseganError
from insegan_ros.files import make_folder, write_json, write_png
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.metrics.masks import honest_miou, numbered_as, paper_miou
from insegan_ros.nodes.demo_config import DemoConfig
from insegan_ros.nodes.diagnostics import STAGES
from insegan_ros.nodes.processes import CAMERA, start_node, start_segmenter, wait_for, watching
from insegan_ros.workspace import Workspace

MASKS = '/segmenter/instances'
# The nodes may take so many times as long to start as masks may take then.
STARTING = 3
QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE)


class Watcher(Node):
    """Subscribes as a robot would: masks, and the camera's depth and truth beside them."""

    def __init__(self) -> None:
        super().__init__('insegan_demo')
        self.depth: dict[int, Image] = {}
        self.truth: dict[int, Image] = {}
        self.intrinsics: Intrinsics | None = None
        self.results: list[tuple[int, int, Image]] = []
        self.create_subscription(
            Image, f'{CAMERA}/depth/image_rect_raw', lambda m: self._keep(self.depth, m), QOS
        )
        self.create_subscription(
            Image, f'{CAMERA}/ground_truth/labels', lambda m: self._keep(self.truth, m), QOS
        )
        self.create_subscription(CameraInfo, f'{CAMERA}/depth/camera_info', self._on_info, QOS)
        self.create_subscription(Image, MASKS, self._on_masks, QOS)
        self.diagnosis: dict[str, str] = {}
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, QOS)

    @staticmethod
    def _keep(store: dict[int, Image], message: Image) -> None:
        store[stamp_ns(message.header)] = message
        while len(store) > 90:
            store.pop(next(iter(store)))

    def _on_info(self, message: CameraInfo) -> None:
        self.intrinsics = intrinsics_from_message(message)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for one in message.status:
            if one.name == '/segmenter':
                self.diagnosis = {pair.key: pair.value for pair in one.values}

    def _on_masks(self, message: Image) -> None:
        self.results.append((stamp_ns(message.header), self.get_clock().now().nanoseconds, message))


def run_demo(config: DemoConfig) -> dict:
    """Run it; returns the numbers that demo.json holds. Raises InseganError where no masks came."""
    out = Path(config.out)
    make_folder(out)
    # Before there are nodes to end: the simulator's libraries, interrupted while they are imported,
    # raise errors of their own.
    workspace = _workspace(config)
    with watching(Watcher) as (watcher, executor, processes):
        # Each at once: an interrupt while the other is started must not leave it behind.
        processes.append(
            start_node(
                'sim_camera',
                {
                    'part': config.part,
                    'rate': float(config.rate),
                    'instances': config.instances,
                    'fill': config.fill,
                    'seed': config.seed,
                },
            )
        )
        processes.append(
            start_segmenter(
                config.model or f'cutpaste-{config.part}',
                config.instances,
                workspace,
                {'silence_s': config.timeout_s},
            )
        )
        # Libraries take long to import where a machine has other work: that is no silence.
        starting = STARTING * config.timeout_s
        for is_up, wanted in (
            # Depth comes before: the first bin, while the others are made.
            (lambda: bool(watcher.truth), 'true labels of the simulated camera'),
            (lambda: watcher.count_publishers(MASKS) > 0, 'outputs of the segmenter'),
        ):
            wait_for(is_up, executor, processes, starting, wanted)
        wait_for(lambda: bool(watcher.results), executor, processes, config.timeout_s)
        watcher.results.clear()
        pairs = _watch(watcher, executor, config.seconds)
    numbers = _score(watcher, pairs, config, out / 'demo.png')
    write_json(out / 'demo.json', numbers, 2)
    return numbers


def _workspace(config: DemoConfig) -> Workspace:
    from insegan_ros.nodes.simulated_bin import SimulatedBin

    bins = SimulatedBin(config.part, instances=config.instances, fill=config.fill)
    return bins.setup().camera.workspace


def _watch(
    watcher: Watcher, executor: SingleThreadedExecutor, seconds: float
) -> list[tuple[Image, Image, Image]]:
    """Spin for a while; a frame of every bin with its depth, masks and truth, for the score."""
    pairs: list[tuple[Image, Image, Image]] = []
    scored, last_truth = 0, b''
    begun = time.monotonic()
    with tqdm(
        total=round(seconds),
        desc='demo',
        unit='s',
        bar_format='{l_bar}{bar}| {n_fmt}/{total_fmt} s',
    ) as bar:
        while (passed := time.monotonic() - begun) < seconds:
            executor.spin_once(timeout_sec=0.05)
            bar.update(int(passed) - bar.n)
            for stamp, _, masks in watcher.results[scored:]:
                depth, truth = watcher.depth.get(stamp), watcher.truth.get(stamp)
                if depth is not None and truth is not None and bytes(truth.data) != last_truth:
                    last_truth = bytes(truth.data)
                    pairs.append((depth, masks, truth))
            scored = len(watcher.results)
    return pairs


def _score(
    watcher: Watcher, pairs: list[tuple[Image, Image, Image]], config: DemoConfig, picture: Path
) -> dict:
    if not pairs or not watcher.results or watcher.intrinsics is None:
        raise InseganError(
            f'{len(watcher.results)} masks came, {len(pairs)} of them together with their depth'
            ' and truth: expected one or more; is the machine overloaded?'
        )
    latencies = [(arrived - stamp) / 1e6 for stamp, arrived, _ in watcher.results]
    span = (watcher.results[-1][1] - watcher.results[0][1]) / 1e9
    # scikit-learn takes seconds to import: not before the nodes start.
    from insegan_ros.geometry.clusters import kmeans_instances

    workspace = _workspace(config)
    rows, pictures = [], []
    for depth, masks, truth in pairs:
        frame = Frame(depth_from_message(depth), watcher.intrinsics)
        ours = labels_from_message(masks)
        theirs = kmeans_instances(frame, workspace, config.instances).labels
        real = labels_from_message(truth)
        rows.append(
            (
                honest_miou(real, ours),
                honest_miou(real, theirs),
                paper_miou(real, ours),
                paper_miou(real, theirs),
            )
        )
        pictures.append((frame.depth_m, ours, real, theirs))
    means = np.mean(rows, axis=0)
    median = int(np.argsort([row[0] for row in rows])[len(rows) // 2])
    write_png(picture, demo_picture(*pictures[median]))
    return {
        'part': config.part,
        'model': config.model or f'cutpaste-{config.part}',
        'frames': len(watcher.results),
        'frames_per_s': round((len(watcher.results) - 1) / max(span, 1e-9), 2),
        'latency_ms_median': round(float(np.median(latencies)), 2),
        'latency_ms_p99': round(float(np.percentile(latencies, 99)), 2),
        'stages_ms': {
            stage: float(watcher.diagnosis[f'{stage} ms, median'])
            for stage in STAGES
            if f'{stage} ms, median' in watcher.diagnosis
        },
        **{
            f'frames_{name}': int(watcher.diagnosis.get(f'frames {name}', 0))
            for name in ('in', 'dropped', 'refused')
        },
        'bins': len(pairs),
        'honest_miou': round(float(means[0]), 4),
        'kmeans_honest_miou': round(float(means[1]), 4),
        'paper_miou': round(float(means[2]), 4),
        'kmeans_paper_miou': round(float(means[3]), 4),
    }


def demo_picture(
    depth_m: np.ndarray, masks: np.ndarray, truth: np.ndarray, kmeans: np.ndarray
) -> np.ndarray:
    """Input, masks, truth and K-means side by side, (H, W, 3) uint8 RGB; what is the same part has
    the same number, and so the same colour, in each."""
    panels = [
        titled(title, overlay(depth_m, labels, numbers=True))
        for title, labels in (
            ('depth', np.zeros_like(masks)),
            ('insegan_ros', numbered_as(truth, masks)),
            ('truth', truth),
            ('K-means', numbered_as(truth, kmeans)),
        )
    ]
    return np.vstack([np.hstack(panels[:2]), np.hstack(panels[2:])])
