"""`insegan replay`: a recording played into the live segmenter on its own clock, and, where it
holds labels, a score of what came out."""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Container, Iterator, KeysView
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from tqdm import tqdm

from insegan_ros.camera.messages import labels_from_message, stamp_ns
from insegan_ros.data.mask_sets import MaskSet
from insegan_ros.data.recordings import read_recording
from insegan_ros.data.scene import Scene
from insegan_ros.drawing.panels import compared
from insegan_ros.errors import InputError, InseganError
from insegan_ros.files import make_folder, write_json, write_png
from insegan_ros.frame import IGNORE, Instances, highest_label
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.metrics.average_precision import class_average_precision, part_masks
from insegan_ros.metrics.masks import numbered_as, score
from insegan_ros.metrics.picks import free_parts
from insegan_ros.nodes.processes import start_node, start_segmenter, wait_for, watching
from insegan_ros.nodes.replay_config import ReplayConfig
from insegan_ros.picking.picks import Surface
from insegan_ros.workspace import Workspace, read_workspace, resolve_workspace

QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)
MASKS_TOPIC, PICKS_TOPIC = '/segmenter/instances', '/segmenter/pick_candidates'
# The last frames' answers are waited for as long as something is heard within such a time.
QUIET_S = 10.0
# The segmenter says once a second what became of its frames.
DIAGNOSIS_S = 2.0


class _Packed(NamedTuple):
    """Labels of a long recording, which are few kilobytes so."""

    content: bytes
    shape: tuple[int, ...]

    @classmethod
    def of(cls, labels: np.ndarray) -> _Packed:
        """Labels (H, W) uint16."""
        return cls(zlib.compress(labels.tobytes(), 1), labels.shape)

    def labels(self) -> np.ndarray:
        """The same again."""
        return np.frombuffer(zlib.decompress(self.content), np.uint16).reshape(self.shape)


class ReplayWatcher(Node):
    """Hears the recording's clock, and what the segmenter answers, by the frames' stamps; times are
    this machine's, in ns. judged: stamps of the frames whose masks are kept, packed."""

    def __init__(self, judged: Container[int]) -> None:
        super().__init__('insegan_replay')
        self.judged = judged
        self.played: dict[int, int] = {}
        self.answered: dict[int, int] = {}
        self.masks: dict[int, _Packed] = {}
        self.picks: dict[int, PoseArray | None] = {}
        self.diagnosis: dict[str, str] = {}
        # The latest frame or answer, by time.monotonic().
        self.heard_at = time.monotonic()
        self.create_subscription(Clock, '/clock', self._on_clock, QOS)
        self.create_subscription(Image, MASKS_TOPIC, self._on_masks, QOS)
        self.create_subscription(PoseArray, PICKS_TOPIC, self._on_picks, QOS)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, QOS)

    def _on_clock(self, message: Clock) -> None:
        self.heard_at = time.monotonic()
        self.played[message.clock.sec * 10**9 + message.clock.nanosec] = (
            self.get_clock().now().nanoseconds
        )

    def _on_masks(self, message: Image) -> None:
        self.heard_at = time.monotonic()
        stamp = stamp_ns(message.header)
        self.answered[stamp] = self.get_clock().now().nanoseconds
        if stamp in self.judged:
            self.masks[stamp] = _Packed.of(labels_from_message(message))

    def _on_picks(self, message: PoseArray) -> None:
        self.heard_at = time.monotonic()
        stamp = stamp_ns(message.header)
        self.picks.setdefault(stamp, message if stamp in self.judged else None)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for one in message.status:
            if one.name == '/segmenter':
                self.diagnosis = {pair.key: pair.value for pair in one.values}

    def missing(self) -> set[int]:
        """Stamps, in ns, of played frames that are not answered."""
        return self.played.keys() - self.answered.keys()

    def explained(self) -> bool:
        """Whether the latest diagnosis is younger than the latest answer."""
        return int(self.diagnosis.get('frames out', -1)) >= len(self.answered)

    def over(self) -> bool:
        """Whether, once all is played, nothing more is to be expected: answers come in order, picks
        behind masks, so that nothing comes after those of the last frame."""
        last = next(reversed(self.played), None)
        quiet = time.monotonic() - self.heard_at > QUIET_S
        return quiet or (last in self.answered and last in self.picks)


def run_replay(config: ReplayConfig) -> dict:
    """Run it; returns the numbers that replay.json holds. Raises InseganError where the recording
    cannot be used or no masks came."""
    out = Path(config.out)
    workspace = read_workspace(Path(config.workspace)) if config.workspace else None
    colour = load_segmenter(config.model).needs_colour
    _, scenes = read_recording(config.recording, workspace, colour)
    first = next(scenes, None)
    if first is None:
        raise InputError(f'{config.recording} holds no frames: expected one or more')
    workspace = first.workspace
    make_folder(out)
    # Of the recording itself: a tick of the clock that is not heard hides no frame.
    labelled = {
        scene.frame.stamp_ns: scene.truth is not None
        for scene in tqdm(chain([first], scenes), desc='read', unit='frame', leave=False)
    }
    judged = {stamp for stamp, known in labelled.items() if known}
    with watching(partial(ReplayWatcher, judged)) as (watcher, executor, processes):
        segmenter = start_segmenter(
            config.model, config.instances, workspace, {'use_sim_time': True}, colour
        )
        processes.append(segmenter)
        # Frames are not worked on for nobody, and answers to nobody are lost.
        wait_for(
            lambda: all(watcher.count_publishers(name) for name in (MASKS_TOPIC, PICKS_TOPIC)),
            executor,
            processes,
            config.timeout_s,
        )
        player = start_node(
            'recording_player',
            {
                'recording': str(Path(config.recording).resolve()),
                'rate': float(config.rate),
                'colour': colour,
            },
        )
        processes.append(player)
        # A short recording may be over before its first answer.
        wait_for(
            lambda: bool(watcher.answered) or player.poll() is not None,
            executor,
            [segmenter],
            config.timeout_s,
        )
        with tqdm(desc='replay', unit='frame') as bar:
            while player.poll() is None or not watcher.over():
                executor.spin_once(timeout_sec=0.05)
                if segmenter.poll() is not None or player.poll():
                    raise InseganError(
                        'one of the nodes stopped before the recording was over: see its message'
                        ' above'
                    )
                bar.update(len(watcher.played) - bar.n)
        end = time.monotonic() + DIAGNOSIS_S
        while watcher.missing() and not watcher.explained() and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.1)
    timing = _timing(watcher, labelled.keys())
    if timing['unanswered']:
        loss = _loss(watcher.diagnosis, timing, config.rate)
        if not timing['answered']:
            raise InseganError(loss)
        print(loss, file=sys.stderr)
    numbers = {
        'recording': config.recording,
        'model': config.model,
        'rate': config.rate,
        **timing,
        **_scored(watcher, config, workspace, colour, out / 'replay.png'),
    }
    write_json(out / 'replay.json', numbers, 2)
    return numbers


def _timing(watcher: ReplayWatcher, stamps: KeysView[int]) -> dict[str, float | int]:
    """Answers to the frames of these stamps, in ns, counted and timed."""
    answered = len(stamps & watcher.answered.keys())
    latencies = [
        (watcher.answered[stamp] - played) / 1e6
        for stamp, played in watcher.played.items()
        if stamp in watcher.answered
    ]
    return {
        'frames': len(stamps),
        'answered': answered,
        'unanswered': len(stamps) - answered,
        'latency_ms_median': round(float(np.median(latencies)), 2) if latencies else 0.0,
        'latency_ms_p99': round(float(np.percentile(latencies, 99)), 2) if latencies else 0.0,
    }


def _loss(diagnosis: dict[str, str], timing: dict[str, float | int], rate: float) -> str:
    """How many frames were not answered, why as far as the segmenter's /diagnostics tell, and what
    to do."""
    heard, out, dropped, refused, idle = (
        int(diagnosis.get(f'frames {name}', 0))
        for name in ('in', 'out', 'dropped', 'refused', 'idle')
    )
    reasons = {
        'replaced by newer ones while it was busy': dropped,
        'refused (see its messages above)': refused,
        'ignored because nobody listened': idle,
        'still being worked on, or without colour': heard - out - dropped - refused - idle,
        'never received (overtaken on the way, or lost)': timing['frames'] - heard,
        'answered, but the answer was not received': out - timing['answered'],
    }
    why = ', '.join(f'{count} {words}' for words, count in reasons.items() if count > 0)
    return (
        f'{timing["unanswered"]} of {timing["frames"]} frames were not answered: expected all;'
        f' the segmenter {f"counts {why}" if diagnosis else "says nothing on /diagnostics"};'
        f' lower --rate (it is {rate:g}), or use `insegan evaluate`, which looks at every frame'
    )


def _scored(
    watcher: ReplayWatcher,
    config: ReplayConfig,
    workspace: Workspace | None,
    colour: bool,
    picture: Path,
) -> dict[str, float | int]:
    """Masks and first picks against the recording's labels; empty where it has none."""
    rows: dict[int, dict[str, float]] = {}
    truths, answers, picks = [], [], []
    for scene in _judged(watcher, config, workspace, colour):
        stamp, labels = scene.frame.stamp_ns, watcher.masks[scene.frame.stamp_ns].labels()
        # Labels are ordered by score, the scores themselves do not travel with them.
        count = highest_label(labels)
        found = Instances(labels, np.linspace(1, 0.5, count, dtype=np.float32))
        rows[stamp] = asdict(score(scene.labelled(), found))
        truths.append(part_masks([scene.labelled()]))
        answers.append(part_masks([found]))
        if (offered := watcher.picks.get(stamp)) is not None and (
            free := _first_pick_free(scene, offered)
        ) is not None:
            picks.append(free)
    if not rows:
        return {}
    order = sorted(rows, key=lambda stamp: rows[stamp]['honest_miou'])
    chosen = {'worst': order[0], 'median': order[len(order) // 2], 'best': order[-1]}
    shown = {}
    for scene in _judged(watcher, config, workspace, colour):
        if (stamp := scene.frame.stamp_ns) in chosen.values():
            truth, labels = scene.labelled().labels, watcher.masks[stamp].labels()
            shown[stamp] = scene.frame.depth_m, numbered_as(truth, labels), truth
    write_png(
        picture, np.hstack([compared(title, *shown[stamp]) for title, stamp in chosen.items()])
    )
    precision = class_average_precision(MaskSet.joined(truths), MaskSet.joined(answers))
    out = {
        'scored': len(rows),
        **{
            name: round(float(np.mean([row[name] for row in rows.values()])), 4)
            for name in ('honest_miou', 'paper_miou', 'foreground_iou')
        },
        'count_error': round(float(np.mean([abs(row['count_error']) for row in rows.values()])), 3),
        **{name: round(value, 4) for name, value in precision.items()},
    }
    return (
        {**out, 'first_pick_free': round(float(np.mean(picks)), 4), 'first_picks': len(picks)}
        if picks
        else out
    )


def _judged(
    watcher: ReplayWatcher, config: ReplayConfig, workspace: Workspace | None, colour: bool
) -> Iterator[Scene]:
    """The recording's scenes that have labels of parts and an answer."""
    for scene in read_recording(config.recording, workspace, colour)[1]:
        known = scene.truth is not None and scene.truth.labels.any()
        if known and scene.frame.stamp_ns in watcher.masks:
            yield scene


def _first_pick_free(scene: Scene, picks: PoseArray) -> bool | None:
    """Whether the first pick's contact lies on a part that is truly free; None where no part is,
    False where none is offered."""
    surface = Surface(scene.frame, resolve_workspace(scene.workspace, scene.frame))
    free = free_parts(scene, surface)
    if not free.any():
        return None
    if not picks.poses:
        return False
    at, k = picks.poses[0].position, scene.frame.intrinsics
    row, column = round(at.y / at.z * k.fy + k.cy), round(at.x / at.z * k.fx + k.cx)
    label = int(
        scene.labelled().labels[min(max(row, 0), k.height - 1), min(max(column, 0), k.width - 1)]
    )
    return bool(0 < label < IGNORE and free[label - 1])
