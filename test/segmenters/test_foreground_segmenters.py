"""Foreground methods under the one interface, and as a gate in front of another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from insegan_ros.benchmarks.foreground import evaluate_foreground
from insegan_ros.data.shards import ShardDataset
from insegan_ros.errors import CheckpointError, ConfigError, InputError
from insegan_ros.frame import Frame, Instances, Intrinsics
from insegan_ros.geometry.label_images import to_instances
from insegan_ros.methods.gated import GatedSegmenter
from insegan_ros.methods.registry import FOREGROUND, load_segmenter
from insegan_ros.workspace import Workspace

CAMERA = Intrinsics(200.0, 200.0, 79.5, 59.5, 160, 120)
FLOOR = Workspace((0.0, 0.0, -1.0, 0.5))


def scene() -> tuple[Frame, np.ndarray]:
    """A blue box and a red box of the same height on a grey floor; the mask of the red one."""
    depth, colour = np.full((120, 160), 0.5, np.float32), np.full((120, 160, 3), 120, np.uint8)
    for left, paint in ((30, (20, 20, 230)), (100, (230, 20, 20))):
        depth[40:80, left : left + 30] -= 0.04
        colour[40:80, left : left + 30] = paint
    red = np.zeros((120, 160), bool)
    red[40:80, 100:130] = True
    return Frame(depth, CAMERA, colour), red


class RedSegmenter:
    """Finds what is red."""

    needs_colour = True

    def __init__(self) -> None:
        self.workspace: Workspace | None = None

    def segment(self, frame: Frame) -> Instances:
        """See Segmenter."""
        if frame.colour is None:
            raise InputError('no colour')
        labels = ((frame.colour[..., 0] > 200) & (frame.colour[..., 2] < 100)).astype(np.uint16)
        return to_instances(frame, (0, 0, 160, 120), labels, np.ones(int(labels.max()), np.float32))


@pytest.mark.parametrize('name', ['grabcut-colour', 'kmeans-colour'])
def test_colour_methods_find_pieces_of_another_colour(name):
    frame, _ = scene()
    found = load_segmenter(name).segment(
        replace(
            frame, colour=np.where(frame.depth_m[..., None] < 0.48, np.uint8(230), frame.colour)
        )
    )
    assert len(found) == 2 and found.poses.shape == (2, 4, 4)
    for piece in (slice(30, 60), slice(100, 130)):
        own = found.labels[45:75, piece]
        assert (own > 0).mean() > 0.95 and len(np.unique(own[own > 0])) == 1
    assert (found.labels[:30] > 0).mean() < 0.02


def test_the_depth_threshold_finds_what_stands():
    frame, _ = scene()
    found = load_segmenter('depth-threshold', workspace=FLOOR).segment(frame)
    assert np.array_equal(found.labels > 0, frame.depth_m < 0.48)


@pytest.mark.parametrize('name', ['grabcut-colour', 'kmeans-colour'])
def test_a_frame_without_colour_is_refused_in_one_line(name):
    with pytest.raises(InputError, match='the frame has no colour: expected'):
        load_segmenter(name).segment(replace(scene()[0], colour=None))


@pytest.mark.parametrize('name', list(FOREGROUND))
def test_a_picture_of_nothing_gives_nothing(name):
    frame = Frame(
        np.full((120, 160), 0.5, np.float32), CAMERA, np.full((120, 160, 3), 120, np.uint8)
    )
    assert len(load_segmenter(name, workspace=FLOOR).segment(frame)) == 0


def test_the_gate_takes_from_the_other_what_it_does_not_find():
    frame, red = scene()
    alone = load_segmenter('kmeans', instances=2, workspace=FLOOR).segment(frame)
    assert (alone.labels[45:75, 35:55] > 0).all() and (alone.labels[45:75, 105:125] > 0).all()
    gated = GatedSegmenter(load_segmenter('kmeans', instances=1), RedSegmenter())
    gated.workspace = FLOOR
    found = gated.segment(frame)
    assert gated.needs_colour and gated.gate.workspace is FLOOR
    assert (
        not (found.labels[:, :90] > 0).any() and ((found.labels > 0) & red).sum() / red.sum() > 0.9
    )
    with pytest.raises(InputError):
        gated.segment(replace(frame, colour=None))


def test_a_gate_by_its_name_and_one_that_is_none():
    frame, _ = scene()
    gated = load_segmenter('kmeans', instances=2, workspace=FLOOR, gate='depth-threshold')
    assert not gated.needs_colour and len(gated.segment(frame)) == 2
    with pytest.raises(CheckpointError, match='no checkpoint or method "nobody"'):
        load_segmenter('kmeans', gate='nobody')
    with pytest.raises(ConfigError, match='the gate is insegan-nut, which divides parts'):
        load_segmenter('kmeans', gate='insegan-nut')
    with pytest.raises(
        ConfigError, match='a gate stands before irnet-mixed, which looks at colour alone'
    ):
        load_segmenter('irnet-mixed', gate='depth-threshold')
    with pytest.raises(ConfigError, match='a gate stands before grabcut-colour'):
        load_segmenter('grabcut-colour', gate='depth-threshold')


def test_the_floor_that_a_gate_shows_is_the_floor():
    tilted = Workspace((0.0, -np.sin(0.3), -np.cos(0.3), 0.5))
    depth = tilted.floor_depth(CAMERA)
    assert np.abs(tilted.height_of(CAMERA.rays() * depth[..., None])).max() < 1e-5


def test_scores_are_taken_within_the_tote(tote_data):
    class Truth:
        workspace = None

        def __init__(self, scenes):
            self.answers = iter(scenes)

        def segment(self, frame):
            return next(self.answers).labelled()

    scenes = list(ShardDataset(tote_data))
    for one in evaluate_foreground(Truth(scenes), scenes):
        assert all(one[name] == pytest.approx(1.0) for name in ('acc', 'iou', 'miou', 'ari'))
