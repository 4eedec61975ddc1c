"""Calibration boards in pictures: their pose before the camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from insegan_ros.errors import ConfigError
from insegan_ros.frame import Intrinsics

# Fewer corners tell no pose; what lies farther from its place is no board's, in px.
FEWEST_CORNERS, WORST_PX = 6, 2.0


@dataclass(frozen=True)
class Board:
    """A chessboard, or a ChArUco board, which may be seen in part.

    columns, rows: inner corners of a chessboard, squares of a ChArUco board; square_m: side of a
    square; marker_m: side of a marker; dictionary: of the markers, as OpenCV names it. Raises
    ConfigError for boards that cannot be.
    """

    kind: str
    columns: int
    rows: int
    square_m: float
    marker_m: float = 0.0
    dictionary: str = '4X4_50'

    def __post_init__(self) -> None:
        if (
            self.kind not in ('chessboard', 'charuco')
            or not 3 <= self.columns <= 100
            or not 3 <= self.rows <= 100
            or not 0 < self.square_m < 1
        ):
            raise ConfigError(
                f'board {self.kind} {self.columns}x{self.rows} of {self.square_m:g} m: expected'
                ' chessboard:COLUMNSxROWS (inner corners) or charuco:COLUMNSxROWS (squares), 3 or'
                ' more each, and --square in m'
            )
        if self.kind == 'charuco' and not 0 < self.marker_m < self.square_m:
            raise ConfigError(
                f'the markers of the board are {self.marker_m:g} m wide: expected --marker in m,'
                f' smaller than the squares, {self.square_m:g}'
            )
        if self.kind == 'charuco' and not hasattr(cv2.aruco, f'DICT_{self.dictionary}'):
            raise ConfigError(
                f'unknown dictionary of markers "{self.dictionary}": expected one of OpenCV, such'
                ' as 4X4_50 or 5X5_100'
            )
        if self.kind == 'chessboard' and (self.columns + self.rows) % 2 == 0:
            raise ConfigError(
                f'a chessboard of {self.columns}x{self.rows} inner corners looks the same upside'
                ' down: expected one odd and one even number, or a ChArUco board'
            )

    def charuco(self) -> cv2.aruco.CharucoBoard:
        """OpenCV's own board, also to print it."""
        dictionary = cv2.aruco.getPredefinedDictionary(
            getattr(cv2.aruco, f'DICT_{self.dictionary}')
        )
        size = (self.columns, self.rows)
        return cv2.aruco.CharucoBoard(size, self.square_m, self.marker_m, dictionary)

    def find(self, grey: np.ndarray, camera: Intrinsics) -> np.ndarray | None:
        """The board's pose (4, 4) before the camera in m, by a picture (H, W) uint8; None where it
        is not found. Origin and axes are OpenCV's: a corner, x along columns, y along rows."""
        corners = self._corners(grey)
        if corners is None or len(corners[0]) < FEWEST_CORNERS:
            return None
        points, pixels = corners
        # A flat board may look the same from two sides: of both the better one.
        count, turns, shifts, errors = cv2.solvePnPGeneric(
            points, pixels, camera.matrix, None, flags=cv2.SOLVEPNP_IPPE
        )
        # Corners of one row tell no pose: its error is no number.
        if not count or not float(np.ravel(errors)[0]) <= WORST_PX:
            return None
        turn, shift = cv2.solvePnPRefineLM(points, pixels, camera.matrix, None, turns[0], shifts[0])
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = cv2.Rodrigues(turn)[0], shift.ravel()
        return pose

    def _corners(self, grey: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Points (N, 3) in m of the corners that are seen, and their pixels (N, 2)."""
        if self.kind == 'charuco':
            board = self.charuco()
            pixels, numbers, _, _ = cv2.aruco.CharucoDetector(board).detectBoard(grey)
            if numbers is None:
                return None
            return np.array(board.getChessboardCorners())[numbers.ravel()], pixels.reshape(-1, 2)
        found, pixels = cv2.findChessboardCornersSB(
            grey, (self.columns, self.rows), flags=cv2.CALIB_CB_ACCURACY
        )
        if not found:
            return None
        row, column = np.divmod(np.arange(self.columns * self.rows), self.columns)
        points = np.stack([column, row, np.zeros_like(row)], 1) * self.square_m
        return points.astype(np.float32), pixels.reshape(-1, 2)


def board_of(text: str, square_m: float, marker_m: float, dictionary: str) -> Board:
    """A board as the command line says it: chessboard:9x6. Raises ConfigError."""
    kind, _, size = text.partition(':')
    columns, _, rows = size.partition('x')
    counts = [int(one) if one.isdecimal() else 0 for one in (columns, rows)]
    return Board(kind, counts[0], counts[1], square_m, marker_m, dictionary)
