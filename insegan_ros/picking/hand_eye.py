"""Where the camera is, on a robot's hand or beside the robot: hand-eye calibration, from poses of
the hand and of a target that the camera sees.

On the hand the target stands still in the base: base_from_hand · X · camera_from_target is the same
for every picture. Beside the robot the target is fixed to the hand, and hand_from_base · X ·
camera_from_target is. X is the camera's pose in the hand, or in the base.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from insegan_ros.errors import InputError

Mounting = Literal['hand', 'base']
# OpenCV's solvers, all of which are tried.
SOLVERS = {
    'Tsai': cv2.CALIB_HAND_EYE_TSAI,
    'Park': cv2.CALIB_HAND_EYE_PARK,
    'Horaud': cv2.CALIB_HAND_EYE_HORAUD,
    'Andreff': cv2.CALIB_HAND_EYE_ANDREFF,
    'Daniilidis': cv2.CALIB_HAND_EYE_DANIILIDIS,
}
# Fewer poses, or a hand that turned less, or about one axis alone, leave the camera's place open.
FEWEST, LEAST_TURN_DEG, LEAST_SECOND_DEG = 5, 20.0, 8.0
# A radian weighs as much as so many metres: a target is seen from about that far.
ARM_M = 0.5
# A picture that is so many times farther off than the usual one is said, and weighs less.
FAR_OFF = 4.0
# Where half of all pictures are farther off than this, the poses do not belong together.
WORST_M, WORST_DEG = 0.02, 4.0
# A target whose size the robot's motions contradict: by so many standard deviations, and by more
# than a camera's calibration is off; and by more than anything else explains.
SURE, SIZE_IN_DOUBT, SIZE_WRONG = 3.0, 0.01, 0.05
# What moves no picture by more, of all that may be moved by 1, is not told by them.
LEAST_STRENGTH = 1e-9


@dataclass(frozen=True)
class HandEye:
    """The camera's pose (4, 4) in the hand or in the base, in m; the solver that it began with; the
    target's fixed pose (4, 4); how far every picture puts the target from there: off_m, off_deg
    (N,). size: how large the target is by the hand's motions, of what it was taken for, and its
    standard deviation."""

    pose: np.ndarray
    solver: str
    target: np.ndarray
    off_m: np.ndarray
    off_deg: np.ndarray
    size: float = 1.0
    size_std: float = np.inf

    @property
    def far_off(self) -> np.ndarray:
        """Pictures that fit badly, (N,) bool."""
        return (self.off_m > FAR_OFF * np.median(self.off_m)) | (
            self.off_deg > FAR_OFF * np.median(self.off_deg)
        )

    def size_off_by_more_than(self, share: float) -> bool:
        """Whether the target is surely so much larger or smaller than it was taken for."""
        # In its own metres, in which it was found: a size that nothing tells has no bound.
        return abs(1 / self.size - 1) > max(SURE * self.size_std, share)


def solve_hand_eye(hands: np.ndarray, targets: np.ndarray, mounted: Mounting) -> HandEye:
    """The camera's place from poses (N, 4, 4) of the hand in the base and of the target in the
    camera, in m: the best of OpenCV's solvers, refined on all pictures at once, by a loss that
    single bad ones do not govern. Raises InputError where the poses cannot tell it, or tell that
    the target has another size."""
    if len(hands) != len(targets) or len(hands) < FEWEST:
        raise InputError(
            f'{len(hands)} poses of the hand and {len(targets)} of the target: expected {FEWEST} or'
            ' more pictures in which the target was found, each with its pose; twenty are good'
        )
    _check_turns(hands)
    moved = hands if mounted == 'hand' else np.linalg.inv(hands)
    solved = {name: _solved(moved, targets, number) for name, number in SOLVERS.items()}
    found = {name: pose for name, pose in solved.items() if pose is not None}
    errors = {
        name: float(np.median(np.linalg.norm(_errors(pose, moved, targets), axis=1)))
        for name, pose in found.items()
    }
    if not errors:
        raise InputError(
            'no solver finds where the camera is: expected poses of one hand and of one target; are'
            ' they in the same order, in m, and of the hand in the base?'
        )
    solver = min(errors, key=lambda name: errors[name])
    begun = found[solver]
    result = _fitted(begun, _middle(moved @ begun @ targets), solver, moved, targets)
    sized = _fitted(result.pose, result.target, solver, moved, targets, sized=True)
    if _fits(sized) and sized.size_off_by_more_than(SIZE_WRONG):
        raise InputError(
            f"the hand's motions fit a target {sized.size:.3f} ± {sized.size_std:.3f} times as"
            ' large as given: expected its true size; is the size of its squares, or the scale of'
            " its mesh, right, and are the hand's positions in m?"
        )
    _check_fit(result)
    return replace(result, size=sized.size, size_std=sized.size_std)


def _fits(found: HandEye) -> bool:
    return bool(np.median(found.off_m) <= WORST_M and np.median(found.off_deg) <= WORST_DEG)


def _check_fit(found: HandEye) -> None:
    """Raise InputError where no place of the camera explains the poses: it would be published, and
    believed by a robot."""
    off_m, off_deg = float(np.median(found.off_m)), float(np.median(found.off_deg))
    if not _fits(found):
        raise InputError(
            'no place of the camera fits the poses: half of the pictures are off by'
            f' {1000 * off_m:.0f} mm or {off_deg:.1f} degrees or more, expected'
            f' {1000 * WORST_M:.0f} mm and {WORST_DEG:g} degrees at most; are the positions in m,'
            ' quaternions x, y, z, w, the poses of the hand in the base, each beside its own'
            ' picture, and is --mounted right?'
        )


def _check_turns(hands: np.ndarray) -> None:
    """Raise InputError where the hand turned too little, or about one axis alone."""
    between = hands[:, None, :3, :3].swapaxes(-1, -2) @ hands[None, :, :3, :3]
    turns = Rotation.from_matrix(between.reshape(-1, 3, 3)).as_rotvec(degrees=True)
    largest = float(np.linalg.norm(turns, axis=1).max())
    if largest < LEAST_TURN_DEG:
        raise InputError(
            f'the hand turned by {largest:.1f} degrees at most: expected {LEAST_TURN_DEG:g} or'
            ' more, about different axes'
        )
    # Spread of the turns across the axis that most of them share.
    second = float(np.linalg.svd(turns, compute_uv=False)[1] / np.sqrt(len(turns)))
    if second < LEAST_SECOND_DEG:
        raise InputError(
            f'the hand turned about one axis alone ({second:.1f} degrees about others): expected'
            f' {LEAST_SECOND_DEG:g} or more, for instance tilted to all sides'
        )


def _solved(moved: np.ndarray, targets: np.ndarray, solver: int) -> np.ndarray | None:
    """What one of OpenCV's solvers says, None where it fails."""
    try:
        rotation, place = cv2.calibrateHandEye(
            list(moved[:, :3, :3]),
            list(moved[:, :3, 3]),
            list(targets[:, :3, :3]),
            list(targets[:, :3, 3]),
            method=solver,
        )
    except cv2.error:
        return None
    if not np.isfinite(rotation).all() or not np.isfinite(place).all():
        return None
    if abs(np.linalg.det(rotation) - 1) > 0.01:
        return None
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, place.ravel()
    return pose


def _errors(
    pose: np.ndarray, moved: np.ndarray, targets: np.ndarray, target: np.ndarray | None = None
) -> np.ndarray:
    """(N, 6): how far every picture puts the target from its fixed pose, or from their middle: m,
    and rotations as m at ARM_M."""
    seen = moved @ pose @ targets
    if target is None:
        target = _middle(seen)
    turned = Rotation.from_matrix(target[:3, :3].T @ seen[:, :3, :3]).as_rotvec()
    return np.concatenate([seen[:, :3, 3] - target[:3, 3], turned * ARM_M], axis=1)


def _middle(poses: np.ndarray) -> np.ndarray:
    """The pose (4, 4) amid others (N, 4, 4)."""
    middle = np.eye(4)
    middle[:3, :3] = Rotation.from_matrix(poses[:, :3, :3]).mean().as_matrix()
    middle[:3, 3] = np.median(poses[:, :3, 3], axis=0)
    return middle


def _fitted(
    begun: np.ndarray,
    target: np.ndarray,
    solver: str,
    moved: np.ndarray,
    targets: np.ndarray,
    sized: bool = False,
) -> HandEye:
    """The camera's pose and the target's, moved to where all pictures agree best. sized: and the
    target's size. What a camera sees says nothing of it, for twice the size at twice the distance
    looks the same; but the hand moved by known metres. Where all pictures are from one distance
    these tell little, and the standard deviation says so."""
    scale = max(float(np.median(np.abs(_errors(begun, moved, targets, target)))), 1e-6)

    def both(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return begun @ _step(values[:6]), target @ _step(values[6:12])

    def errors(values: np.ndarray) -> np.ndarray:
        pose, fixed = both(values)
        # In the target's metres. In the robot's, noise would make it small: what is small is off
        # by less.
        shown = moved.copy()
        shown[:, :3, 3] *= np.exp(-values[12:]).prod()
        return _errors(pose, shown, targets, fixed)

    found = least_squares(
        lambda values: errors(values).ravel(),
        np.zeros(13 if sized else 12),
        loss='soft_l1',
        f_scale=3 * scale,
        x_scale=0.01,
    )
    left, (pose, fixed) = errors(found.x), both(found.x)
    off_m = np.linalg.norm(left[:, :3], axis=1)
    off_deg = np.degrees(np.linalg.norm(left[:, 3:], axis=1) / ARM_M)
    result = HandEye(pose, solver, fixed, off_m, off_deg)
    if not sized:
        return result
    size = float(np.exp(found.x[12]))
    # At the size that was given: where the motions do not tell it, anything fits, nothing too.
    jac = least_squares(lambda values: errors(values).ravel(), np.zeros(13), max_nfev=1).jac
    _, strength, axes = np.linalg.svd(jac, full_matrices=False)
    share = ((axes[:, 12] / np.maximum(strength, LEAST_STRENGTH)) ** 2).sum()
    noise = (left**2).sum() / (left.size - len(found.x))
    return replace(result, off_m=size * off_m, size=size, size_std=float(np.sqrt(share * noise)))


def _step(values: np.ndarray) -> np.ndarray:
    """A small motion (4, 4): metres, radians."""
    step = np.eye(4)
    step[:3, :3] = Rotation.from_rotvec(values[3:]).as_matrix()
    step[:3, 3] = values[:3]
    return step
