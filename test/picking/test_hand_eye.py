"""Hand-eye calibration on a simulated robot, whose camera's place is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from insegan_ros.errors import InputError
from insegan_ros.picking.hand_eye import SIZE_IN_DOUBT, solve_hand_eye


def pose(rotation: Rotation, place) -> np.ndarray:
    made = np.eye(4)
    made[:3, :3], made[:3, 3] = rotation.as_matrix(), place
    return made


# The camera on the hand and the target before the robot; and the camera above it, the target in the
# hand.
CAMERA = {
    'hand': pose(Rotation.from_euler('xyz', (5, -8, 88), degrees=True), (0.04, -0.06, 0.09)),
    'base': pose(Rotation.from_euler('xyz', (178, 4, 30), degrees=True), (0.5, 0.1, 1.1)),
}
TARGET = {
    'hand': pose(Rotation.from_euler('xyz', (178, 4, 30), degrees=True), (0.5, 0.1, 0.02)),
    'base': pose(Rotation.from_euler('xyz', (5, -8, 88), degrees=True), (0.04, -0.06, 0.09)),
}


def simulated(mounted: str, count: int = 20, noise_m=0.0005, noise_deg=0.1, seed=0, axes=(1, 1, 1)):
    """Hand's and target's poses of pictures around a target, the latter with noise."""
    rng = np.random.default_rng(seed)
    hands, targets = [], []
    for _ in range(count):
        turn = Rotation.from_rotvec(rng.uniform(-0.6, 0.6, 3) * axes)
        hand = pose(turn * Rotation.from_euler('x', 180, degrees=True), rng.uniform(-0.2, 0.2, 3))
        hand[:3, 3] += 0.5, 0.0, 0.5
        fixed = hand if mounted == 'hand' else np.linalg.inv(hand)
        seen = np.linalg.inv(fixed @ CAMERA[mounted]) @ TARGET[mounted]
        seen = seen @ pose(
            Rotation.from_rotvec(rng.normal(0, np.radians(noise_deg), 3)), rng.normal(0, noise_m, 3)
        )
        hands.append(hand)
        targets.append(seen)
    return np.array(hands), np.array(targets)


def off(found: np.ndarray, mounted: str = 'hand') -> tuple[float, float]:
    """mm and degrees from the true place."""
    apart = np.linalg.inv(CAMERA[mounted]) @ found
    turned = np.degrees(Rotation.from_matrix(apart[:3, :3]).magnitude())
    return 1000 * float(np.linalg.norm(apart[:3, 3])), float(turned)


@pytest.mark.parametrize('mounted', ['hand', 'base'])
def test_without_noise_it_is_exact(mounted):
    found = solve_hand_eye(*simulated(mounted, noise_m=0, noise_deg=0), mounted)
    assert np.allclose(off(found.pose, mounted), 0, atol=1e-4)
    assert np.allclose(found.target, TARGET[mounted])
    assert found.off_m.max() < 1e-6 and len(found.off_deg) == 20


@pytest.mark.slow
@pytest.mark.parametrize('mounted', ['hand', 'base'])
def test_with_a_cameras_noise_it_is_within_a_millimetre(mounted):
    """Half a millimetre and a tenth of a degree in every picture, on four robots."""
    errors = np.array(
        [
            off(solve_hand_eye(*simulated(mounted, seed=seed), mounted).pose, mounted)
            for seed in range(4)
        ]
    )
    assert errors[:, 0].max() < 1.0 and errors[:, 1].max() < 0.1
    found = solve_hand_eye(*simulated(mounted), mounted)
    # What is left of errors is what was put in: three axes of half a millimetre.
    assert np.median(found.off_m) == pytest.approx(0.0005 * np.sqrt(3), rel=0.5)
    assert not found.far_off.any()


def test_a_bad_picture_is_named_and_does_not_govern():
    hands, targets = simulated('hand')
    targets[3, :3, 3] += 0.03
    found = solve_hand_eye(hands, targets, 'hand')
    assert np.flatnonzero(found.far_off).tolist() == [3] and off(found.pose)[0] < 1.5


def test_poses_that_cannot_tell_are_refused():
    with pytest.raises(InputError, match='expected 5 or more pictures'):
        solve_hand_eye(*simulated('hand', 4), 'hand')
    with pytest.raises(InputError, match='about one axis alone'):
        solve_hand_eye(*simulated('hand', axes=(0, 0, 1)), 'hand')
    with pytest.raises(InputError, match='the hand turned by'):
        solve_hand_eye(*simulated('hand', axes=(0.1, 0.1, 0.1)), 'hand')
    # Four degrees about the others; and a hand that only moved, however it is turned.
    with pytest.raises(InputError, match='about one axis alone'):
        solve_hand_eye(*simulated('hand', axes=(1, 0.1, 0.1)), 'hand')
    hands, targets = simulated('hand')
    hands[:, :3, :3] = Rotation.from_euler('x', 100, degrees=True).as_matrix()
    with pytest.raises(InputError, match='the hand turned by 0.0 degrees at most'):
        solve_hand_eye(hands, targets, 'hand')


def in_mm(hands: np.ndarray) -> np.ndarray:
    wrong = hands.copy()
    wrong[:, :3, 3] *= 1000
    return wrong


def w_first(hands: np.ndarray) -> np.ndarray:
    """Quaternions as some robots write them."""
    wrong = hands.copy()
    quaternions = Rotation.from_matrix(hands[:, :3, :3]).as_quat()
    wrong[:, :3, :3] = Rotation.from_quat(np.roll(quaternions, 1, axis=1)).as_matrix()
    return wrong


@pytest.mark.parametrize('mounted', ['hand', 'base'])
@pytest.mark.parametrize('mistake', [in_mm, w_first, np.linalg.inv, np.flipud])
def test_poses_that_do_not_belong_together_are_no_calibration(mistake, mounted):
    """Each was written as a transform, the camera decimetres from where it is."""
    hands, targets = simulated(mounted, count=10)
    with pytest.raises(InputError, match='no place of the camera fits the poses'):
        solve_hand_eye(mistake(hands), targets, mounted)


def looking(taken_for: float, seed: int = 0, spread_m: float = 0.12):
    """Hand's and target's poses where the camera looks at the middle of a target from about one
    distance, as who wants it large in the picture moves it. taken_for: the target's size that poses
    were computed with, of its true one."""
    rng = np.random.default_rng(seed)
    hands, targets = [], []
    for _ in range(16):
        seen = pose(Rotation.from_euler('xyz', rng.uniform(-28, 28, 3), degrees=True), np.zeros(3))
        seen[2, 3] = 0.38 + rng.uniform(0, spread_m)
        seen[:3, 3] -= seen[:3, :3] @ (0.105, 0.075, 0)
        hands.append(TARGET['hand'] @ np.linalg.inv(CAMERA['hand'] @ seen))
        seen[:3, 3] += rng.normal(0, 0.0005, 3)
        seen[:3, 3] *= taken_for
        targets.append(seen)
    return np.array(hands), np.array(targets)


@pytest.mark.parametrize('seed', range(3))
def test_a_target_of_another_size_is_found_out(seed):
    """Every picture looks the same; what the hand moved by does not."""
    found = solve_hand_eye(*looking(1.0, seed), 'hand')
    assert not found.size_off_by_more_than(SIZE_IN_DOUBT) and found.size_std < SIZE_IN_DOUBT
    with pytest.raises(InputError, match=r'fit a target 1\.[12]\d\d ± .* as large as given'):
        solve_hand_eye(*looking(0.83, seed), 'hand')
    # A sheet that was printed to fit the page puts the camera a centimetre off.
    shrunk = solve_hand_eye(*looking(0.97, seed), 'hand')
    assert shrunk.size == pytest.approx(1 / 0.97, abs=0.015) and off(shrunk.pose)[0] > 8
    assert shrunk.size_off_by_more_than(SIZE_IN_DOUBT)
    # From one distance alone nothing tells, and nothing is claimed.
    blind = solve_hand_eye(*looking(0.83, seed, spread_m=0), 'hand')
    assert blind.size_std > SIZE_IN_DOUBT and not blind.size_off_by_more_than(SIZE_IN_DOUBT)
