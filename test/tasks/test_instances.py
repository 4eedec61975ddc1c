"""Equal parts in a bin, scored scene by scene."""

from __future__ import annotations

from dataclasses import replace

import pytest

from insegan_ros.data.scene import Scene
from insegan_ros.data.shards import ShardDataset
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import ConfigError, DatasetError, InseganWarning
from insegan_ros.frame import Frame, Instances
from insegan_ros.methods.insegan import search
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.tasks.base import make_card
from insegan_ros.tasks.instances import InstancesTask, evaluate
from insegan_ros.workspace import Workspace


class Truth(Segmenter):
    """A segmenter that knows the answers, frame by frame."""

    def __init__(self, scenes: list[Scene]) -> None:
        self.answers = {id(one.frame): one.truth for one in scenes}

    def segment(self, frame: Frame, workspace: Workspace | None = None) -> Instances:
        assert workspace is not None, 'a scene brings its bin'
        return self.answers[id(frame)]


def test_an_evaluation_reports_precision_and_picks_and_passes_over_frames_without_labels(nut_data):
    scenes = list(ShardDataset(nut_data))
    mixed = [Scene(scenes[0].frame, None, scenes[0].workspace), *scenes]
    found = evaluate(Truth(scenes), mixed, limit=10, progress=False).summary()
    assert (
        found['scenes'] == 6
        and found['honest_miou'] == 1
        and found['ap50'] == 1
        and found['ap75'] == 1
        and found['first_pick_free'] == 1
    )
    # The first two are those with labels, wherever they come.
    late = evaluate(Truth(scenes), [mixed[0]] * 3 + scenes, limit=2, progress=False).summary()
    assert (late['scenes'], late['looked_at']) == (2, 6)
    with pytest.raises(DatasetError, match='no labelled scenes'):
        evaluate(Truth(scenes), mixed[:1], progress=False)


def test_a_bin_that_has_become_empty_does_not_end_an_evaluation(nut_data):
    scenes = list(ShardDataset(nut_data))
    empty = replace(scenes[0], truth=Instances.none(scenes[0].frame.depth_m.shape))
    with pytest.warns(InseganWarning, match='^1 scenes without a visible part are passed over'):
        found = evaluate(Truth(scenes), [scenes[0], empty, scenes[1]], progress=False).summary()
    assert found['scenes'] == 2 and found['honest_miou'] == 1
    with pytest.raises(DatasetError, match='no labelled scenes'):
        evaluate(Truth(scenes), [empty], progress=False)


def test_a_card_tells_what_the_pose_encoder_reaches_beside_the_dense_network(
    insegan_run, tmp_path, monkeypatch
):
    monkeypatch.setattr(search, 'CODES', 100)
    card = make_card(InstancesTask(), insegan_run / 'checkpoint', tmp_path / 'card', limit=1)
    metrics = card['metrics']
    assert card['segmenter'] == 'offsets' and metrics['scenes'] == metrics['scenes_hard'] == 1
    encoder, refined, searched = (
        metrics[f'{way}_honest_miou'] for way in ('insegan', 'insegan-refined', 'insegan-searched')
    )
    assert 0 < encoder < metrics['kmeans_honest_miou'] and 0 < refined and encoder < searched
    text = (tmp_path / 'card/README.md').read_text()
    assert (
        text.startswith('# insegan-generator-nut')
        and 'checkpoints/insegan-generator-nut ' in text
        and '(`--segmenter insegan-refined`)' in text
    )
    assert '![singles](singles.png)' in text and all(
        (tmp_path / 'card' / f'{name}.png').stat().st_size > 1000 for name in ('singles', 'scenes')
    )
    with pytest.raises(ConfigError, match='is not empty: expected a new folder'):
        make_card(InstancesTask(), insegan_run / 'checkpoint', tmp_path / 'card', limit=1)


def test_a_pose_encoder_by_itself_has_a_card_too(insegan_run, tmp_path, monkeypatch):
    """It knows the bin of its training alone: of the larger ones, in layers, the card is silent."""
    monkeypatch.setattr(search, 'CODES', 100)
    whole = Checkpoint.load(insegan_run / 'checkpoint')
    weights = {name: value for name, value in whole.weights.items() if name != 'offsets'}
    replace(whole, segmenter='insegan', weights=weights).save(tmp_path / 'model')
    card = make_card(InstancesTask(), tmp_path / 'model', tmp_path / 'card', limit=1)
    assert card['segmenter'] == 'insegan' and card['metrics']['scenes'] == 1
    assert not any(name.startswith('deep') for name in card['metrics'])
    assert 'layers' not in (tmp_path / 'card/README.md').read_text()
