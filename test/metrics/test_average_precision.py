"""Average precision by hand."""

from __future__ import annotations

import numpy as np
import pytest
from box_scenes import box_masks

from insegan_ros.frame import Instances
from insegan_ros.metrics.average_precision import average_precision


def test_average_precision_counts_each_truth_once_and_knows_the_order_of_scores():
    truth = box_masks((10, 10, 30, 30), (60, 60, 80, 80))
    assert average_precision([truth], [truth]) == {'ap25': 1.0, 'ap50': 1.0, 'ap75': 1.0}
    # One found, the other not; a wrong one less sure than the right one costs nothing, a surer one
    # does.
    after = average_precision(
        [truth], [box_masks((10, 10, 30, 30), (100, 10, 120, 30), scores=(0.9, 0.2))]
    )['ap50']
    before = average_precision(
        [truth], [box_masks((10, 10, 30, 30), (100, 10, 120, 30), scores=(0.2, 0.9))]
    )['ap50']
    assert after == pytest.approx(0.5, abs=0.01) and before == pytest.approx(0.25, abs=0.01)
    # Shifted by a quarter: IoU .6.
    shifted = average_precision([truth], [box_masks((15, 10, 35, 30), (65, 60, 85, 80))])
    assert shifted['ap50'] == 1 and shifted['ap75'] == 0
    assert average_precision([truth], [Instances.none((120, 160))])['ap50'] == 0
    assert np.isnan(average_precision([Instances.none((120, 160))], [truth])['ap50'])
