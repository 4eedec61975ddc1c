"""Masks with classes in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from insegan_ros.data.mask_sets import Mask, MaskSet, from_instances
from insegan_ros.errors import DatasetError


def test_masks_go_through_a_file_with_their_holes(tmp_path: Path):
    """Toy: polygons, which lose them."""
    ring = np.zeros((40, 50), bool)
    ring[5:35, 5:35] = True
    ring[15:25, 15:25] = False
    masks = MaskSet(('nut', 'bolt'), ((40, 50), (30, 20)), ((Mask.of(0, 0.75, ring),), ()))
    masks.save(tmp_path / 'labels.json')
    again = MaskSet.load(tmp_path / 'labels.json')
    assert (
        again == masks
        and (again.masks[0][0].pixels() == ring).all()
        and again.masks[0][0].area == 800
        and again.masks[0][0].box == [5, 5, 30, 30]
    )
    (tmp_path / 'labels.json').write_text('{"images": []}')
    with pytest.raises(DatasetError, match='holds no masks'):
        MaskSet.load(tmp_path / 'labels.json')
    with pytest.raises(DatasetError, match='no classes'):
        from_instances(('nut',), [type('Unnamed', (), {'classes': None})()])
