"""AffinityNet on drawn pictures: labels beyond what the classifier looks at, and not all over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drawn_kinds import Drawn, write_drawn, write_maps
from scipy import sparse
from small_image_level import small_irnet

from insegan_ros.data.folders import read_png
from insegan_ros.errors import ConfigError
from insegan_ros.methods.image_level.affinity_net import AffinityNetConfig, label_by_walk
from insegan_ros.methods.image_level.class_maps import ClassMapsConfig, train_class_maps
from insegan_ros.methods.image_level.confident_areas import ConfidentAreasConfig
from insegan_ros.methods.image_level.dense_crf import DenseCrfConfig
from insegan_ros.methods.image_level.pseudo_labels import (
    make_affinity_labels,
    make_attention_labels,
    mine_relations,
    train_affinity_net,
)
from insegan_ros.methods.image_level.run import ImageRun
from insegan_ros.metrics.classes import Confusion

NO_CRF = DenseCrfConfig(relations=False, labels=False)


def miou(run: ImageRun, drawn: list[Drawn], make: Callable[[], None]) -> float:
    """Of the semantic labels that `make` makes."""
    for path in (run.out / 'semantic').glob('*.png'):
        path.unlink()
    make()
    confusion = Confusion(2)
    for name, one in zip(run.images.names, drawn):
        confusion.add(one.label, read_png(run.out / 'semantic' / f'{name}.png'))
    return confusion.miou()


@pytest.mark.slow
def test_its_labels_are_better_than_those_of_attention_alone(tmp_path: Path):
    """A walk at an eighth of the size without a background of its own had .14 here."""
    drawn = write_drawn(tmp_path / 'data')
    config = small_irnet(tmp_path / 'data', tmp_path / 'run', colours=0.05)
    run = ImageRun(config)
    run.claim_folder()
    write_maps(drawn, run.out)
    train_class_maps(run, ClassMapsConfig(steps=2, batch=4))
    mine_relations(run, ConfidentAreasConfig(), NO_CRF)
    settings = AffinityNetConfig(width=16, steps=40, batch=4)
    network = train_affinity_net(run, settings).eval()
    walked = miou(run, drawn, lambda: make_affinity_labels(run, settings, NO_CRF, network))
    looked_at = [
        miou(run, drawn, lambda: make_attention_labels(run, level, NO_CRF))
        for level in (0.1, 0.15, 0.2, 0.25)
    ]
    assert walked > max(looked_at) + 0.02, (walked, looked_at)
    assert walked > 0.82


def test_a_walk_between_two_halves_keeps_the_background_on_its_side():
    """Where affinities leak nowhere, each half is what most of it was: the few pixels that are
    looked at fill theirs, and the background keeps the other."""
    halves = np.kron(np.eye(2), np.full((32, 32), 1 / 32))
    matrix = sparse.csr_matrix(halves)
    maps = np.zeros((1, 8, 8), np.float32)
    maps[0, :4] = 0.3
    label = label_by_walk(maps, np.array([4]), matrix, (8, 8), AffinityNetConfig())
    assert (label[:4] == 5).all() and not label[4:].any()
    # With a lower power the background is the stronger one.
    label = label_by_walk(maps, np.array([4]), matrix, (8, 8), AffinityNetConfig(background=1.0))
    assert not label.any()


def test_values_that_make_no_sense_are_refused():
    for wrong in ({'walk': 0}, {'width': 1}, {'background': 0.0}):
        with pytest.raises(ConfigError, match='affinity_net: expected'):
            AffinityNetConfig(**wrong)
