"""Boards in pictures that are drawn of them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from insegan_ros.errors import ConfigError
from insegan_ros.frame import Intrinsics
from insegan_ros.picking.boards import Board, board_of

CAMERA = Intrinsics(615.0, 615.0, 319.5, 239.5, 640, 480)
CHARUCO = board_of('charuco:7x5', 0.03, 0.022, '4X4_50')
CHESS = board_of('chessboard:9x6', 0.02, 0.0, '4X4_50')
# Pixels of the flat drawing in a metre.
SHARP = 8000


def drawing(board: Board) -> tuple[np.ndarray, tuple[float, float]]:
    """The board seen from straight above, and where in it its origin lies, in m."""
    side = round(board.square_m * SHARP)
    if board.kind == 'charuco':
        size = (board.columns * side, board.rows * side)
        return board.charuco().generateImage(size, marginSize=0), (0.0, 0.0)
    rows, columns = np.indices(((board.rows + 1) * side, (board.columns + 1) * side)) // side
    squares = np.where((rows + columns) % 2, 0, 255).astype(np.uint8)
    return np.pad(squares, side, constant_values=255), (2 * board.square_m, 2 * board.square_m)


def photograph(board: Board, pose: np.ndarray) -> np.ndarray:
    """The board at a pose (4, 4), as CAMERA sees it on grey."""
    flat, (left, top) = drawing(board)
    from_pixel = np.array(
        [[1 / SHARP, 0, 0.5 / SHARP - left], [0, 1 / SHARP, 0.5 / SHARP - top], [0, 0, 1]]
    )
    plane = CAMERA.matrix @ np.stack([pose[:3, 0], pose[:3, 1], pose[:3, 3]], 1) @ from_pixel
    # Drawn larger and made smaller, as a lens blurs.
    larger = np.array([[3.0, 0, 1.0], [0, 3.0, 1.0], [0, 0, 1.0]])
    big = cv2.warpPerspective(
        flat, larger @ plane, (1920, 1440), flags=cv2.INTER_AREA, borderValue=150
    )
    return cv2.resize(big, (640, 480), interpolation=cv2.INTER_AREA)


def looking_at(board: Board, tilt: tuple[float, float, float], away_m: float) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler('xyz', tilt, degrees=True).as_matrix()
    middle = np.array([board.columns, board.rows, 0]) * board.square_m / 2
    pose[:3, 3] = np.array([0.01, -0.02, away_m]) - pose[:3, :3] @ middle
    return pose


@pytest.mark.parametrize('board', [CHARUCO, CHESS], ids=['charuco', 'chessboard'])
@pytest.mark.parametrize('tilt', [(0, 0, 0), (25, -15, 40), (-30, 20, -10)])
def test_a_boards_pose_is_found_to_within_a_millimetre(board, tilt):
    pose = looking_at(board, tilt, 0.45)
    found = board.find(photograph(board, pose), CAMERA)
    assert found is not None
    apart = np.linalg.inv(pose) @ found
    assert np.linalg.norm(apart[:3, 3]) < 0.002
    assert np.degrees(Rotation.from_matrix(apart[:3, :3]).magnitude()) < 0.6


def test_one_row_of_corners_tells_no_pose():
    board = board_of('charuco:9x7', 0.03, 0.022, '4X4_50')
    picture = np.full((480, 640), 255, np.uint8)
    picture[30:450, 50:590] = board.charuco().generateImage((540, 420), marginSize=0)
    assert board.find(picture, CAMERA) is not None
    # The upper two rows of squares.
    picture[150:] = 255
    assert board.find(picture, CAMERA) is None


def test_a_board_that_is_not_there_is_not_found():
    grey = np.full((480, 640), 128, np.uint8)
    assert CHARUCO.find(grey, CAMERA) is None and CHESS.find(grey, CAMERA) is None
    # Covered by half, a ChArUco board is still found.
    pose = looking_at(CHARUCO, (10, 0, 0), 0.45)
    picture = photograph(CHARUCO, pose)
    picture[:, :300] = 150
    found = CHARUCO.find(picture, CAMERA)
    assert found is not None and np.allclose(found[:3, 3], pose[:3, 3], atol=0.004)


@pytest.mark.parametrize(
    'text, square, marker, words',
    [
        ('circles:7x5', 0.03, 0.02, 'expected chessboard:COLUMNSxROWS'),
        ('charuco:7', 0.03, 0.02, '3 or more each'),
        ('charuco:7x5', 0.03, 0.03, 'expected --marker in m'),
        ('chessboard:9x7', 0.03, 0.0, 'looks the same upside down'),
        ('charuco:7x5', 30.0, 20.0, '--square in m'),
    ],
)
def test_boards_that_cannot_be_are_one_line(text, square, marker, words):
    with pytest.raises(ConfigError, match=words):
        board_of(text, square, marker, '4X4_50')
    with pytest.raises(ConfigError, match='dictionary'):
        board_of('charuco:7x5', 0.03, 0.02, '9X9_9')
