"""Poses as people write them."""

from __future__ import annotations

import numpy as np
import pytest

from insegan_ros.errors import MALFORMED
from insegan_ros.picking.poses import OPTICAL, numbers, pose_of, values_of


def test_turns_are_about_the_fixed_axes_one_after_another():
    """x to y by a turn about z, then about none of the turned axes: roll, pitch, yaw."""
    pose = pose_of({'position': [1, 2, 3], 'rpy_deg': [90, 0, 90]})
    # z goes to -y by the roll, and that to x by the yaw.
    assert pose[:3, :3] @ (0, 0, 1) == pytest.approx((1, 0, 0), abs=1e-12)
    assert pose[:3, :3] @ (1, 0, 0) == pytest.approx((0, 1, 0), abs=1e-12)
    assert pose[:3, 3].tolist() == [1, 2, 3] and pose[3].tolist() == [0, 0, 0, 1]
    tilted = pose_of({'position': [0, 0, 0], 'rpy_deg': [0, 90, 90]})
    assert tilted[:3, :3] @ (1, 0, 0) == pytest.approx((0, 0, -1), abs=1e-12)


def test_a_quaternion_has_its_real_part_last_and_goes_before_turns():
    half = np.sqrt(0.5)
    values = {'position': [0, 0, 0.5], 'quaternion': [0, 0, half, half], 'rpy_deg': [9, 9, 9]}
    pose = pose_of(values)
    assert pose[:3, :3] @ (1, 0, 0) == pytest.approx((0, 1, 0), abs=1e-12)
    written = values_of(pose)
    assert written['position'] == [0, 0, 0.5]
    assert np.abs(written['quaternion']) == pytest.approx((0, 0, half, half), abs=1e-6)
    assert np.allclose(pose_of(written), pose, atol=1e-6)


@pytest.mark.parametrize(
    'values', [[1, 2], [1, 2, 3, 4], [1, float('nan'), 3], [1, float('inf'), 3], 'abc', 7, None]
)
def test_what_are_no_three_numbers_is_refused(values):
    with pytest.raises(MALFORMED):
        numbers(values, 3)
    with pytest.raises(MALFORMED):
        pose_of({'position': values, 'rpy_deg': [0, 0, 0]})


def test_an_optical_frame_looks_along_x_of_the_cameras_own():
    """REP 103: z forward, x to the right, y down; x forward, y to the left, z up."""
    assert (OPTICAL[:3, :3] @ np.eye(3)).T.tolist() == [[0, -1, 0], [0, 0, -1], [1, 0, 0]]
