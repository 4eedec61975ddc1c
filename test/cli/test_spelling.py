"""Options by any of their spellings."""

from __future__ import annotations

import pytest

from insegan_ros.cli.main import build_parser
from insegan_ros.cli.spelling import known_spelling, options_of


@pytest.mark.parametrize(
    'line, expected',
    [
        ('simulate --bin-width 0.3 --mesh-scale=0.001', 'simulate --bin_width 0.3 --scale=0.001'),
        (
            'segment x --mesh_scale 1 --roi_filter=kmeans',
            'segment x --mesh-scale 1 --roi-filter=kmeans',
        ),
        ('segment x --scale 0.001', 'segment x --mesh-scale 0.001'),
        ('demo --timeout-s 3 --nothing-known', 'demo --timeout_s 3 --nothing-known'),
        ('train piles --piles.max-parts=9', 'train piles --piles.max-parts=9'),
        (
            'segment x --floor -0.1,0,-1,0.6 --instances -1',
            'segment x --floor=-0.1,0,-1,0.6 --instances -1',
        ),
        (
            'segment x --floor=0,0,-1,0.6 --bounds -.1,-1e-1,.1,.1',
            'segment x --floor=0,0,-1,0.6 --bounds=-.1,-1e-1,.1,.1',
        ),
    ],
)
def test_hyphens_and_underscores_are_the_same(line, expected):
    words = line.split()
    known = options_of(build_parser(*words[:2]), words)
    assert '--help' in known and known_spelling(words, known) == expected.split()


def test_options_of_a_recipe_are_known():
    words = ['train', 'cutpaste', '--loop.log-every', '5', '-1', '--']
    known = options_of(build_parser(*words[:2]), words)
    assert (
        '--config' in known and '--data' in known and known_spelling(words, known)[3:] == words[3:]
    )
