"""Deep bins of the cards."""

from __future__ import annotations

import pytest

from insegan_ros.methods.registry import load_segmenter
from insegan_ros.tasks.deep_bins import PARTS, deep_table, evaluate_deep


@pytest.mark.slow
def test_deep_bins_are_measured_under_each_sensor():
    """K-means, told the number, finds some of a pile's parts and by no means all."""
    metrics = evaluate_deep(load_segmenter('kmeans', instances=PARTS), 'nut', 1)
    assert metrics['deep_scenes'] == 1
    for sensor in ('ideal', 'd435'):
        assert 0.2 < metrics[f'deep_{sensor}_seen_miou'] < 0.8
        assert metrics[f'deep_{sensor}_found75'] < metrics[f'deep_{sensor}_found50'] < 1
        assert 0 < metrics[f'deep_{sensor}_precision'] < 1
    text = '\n'.join(deep_table(metrics))
    assert f'1 bins of {PARTS} parts in 2 layers' in text
    assert f'{metrics["deep_d435_precision"]:.3f} |' in text
    assert deep_table({}) == []
