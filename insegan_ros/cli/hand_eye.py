"""`insegan calibrate hand-eye`: where the camera is, on a robot's hand or beside the robot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jsonargparse import ArgumentParser, Namespace

from insegan_ros.cli.options import add_intrinsics_argument
from insegan_ros.errors import ConfigError, InputError, InseganError

if TYPE_CHECKING:
    from insegan_ros.picking.hand_eye_files import Sample

NAME = 'hand-eye'
# The depth camera in camera_link, as realsense-ros and our own nodes have it.
DEPTH_OPTICAL = '0,0,0,-0.5,0.5,-0.5,0.5'


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of `insegan calibrate hand-eye`."""
    parser.add_argument('what', type=str, help=NAME)
    parser.add_argument(
        'poses',
        type=str,
        help=(
            "YAML file beside the pictures: a list `poses` of image, and the hand's position (m)"
            ' and quaternion (x, y, z, w) or rpy_deg in the base'
        ),
    )
    parser.add_argument(
        '--mounted',
        type=str,
        required=True,
        help=(
            'hand: the camera is on the hand, and the target stands still; base: the camera stands'
            ' still, and the target is fixed to the hand'
        ),
    )
    parser.add_argument(
        '--board',
        type=str,
        default='',
        help=(
            'the target is a board, seen in grey or colour pictures: charuco:7x5 (squares) or'
            ' chessboard:9x6 (inner corners)'
        ),
    )
    parser.add_argument('--square', type=float, default=0.0, help="side of the board's squares, m")
    parser.add_argument('--marker', type=float, default=0.0, help='side of its markers, m')
    parser.add_argument(
        '--dictionary',
        type=str,
        default='4X4_50',
        help='dictionary of its markers, as OpenCV names it',
    )
    parser.add_argument(
        '--mesh',
        type=str,
        default='',
        help='instead: the target is a single part, seen in depth pictures; its STL, OBJ or PLY',
    )
    parser.add_argument('--mesh-scale', type=float, default=1.0, help='metres per unit of the mesh')
    parser.add_argument(
        '--model', type=str, default='kmeans', help='what finds the part, as for insegan segment'
    )
    parser.add_argument(
        '--workspace', type=str, default='', help='YAML with the floor that the part lies on'
    )
    add_intrinsics_argument(parser)
    parser.add_argument(
        '--parent', type=str, default='', help='frame of the hand or base; tool0 or base_link'
    )
    parser.add_argument('--child', type=str, default='camera_link', help='frame to publish')
    parser.add_argument(
        '--link-from-optical',
        type=str,
        default=DEPTH_OPTICAL,
        help=(
            "pose of the pictures' optical frame in --child, x,y,z,qx,qy,qz,qw; the default is that"
            ' of depth and the left infrared picture in camera_link'
        ),
    )
    parser.add_argument(
        '--out', type=str, required=True, help='new YAML file; a picture goes beside it'
    )


def run(arguments: Namespace) -> None:
    """Run `insegan calibrate hand-eye` with the options that were given."""
    from insegan_ros.picking.calibrate import check_calibration_path
    from insegan_ros.picking.hand_eye import SIZE_IN_DOUBT, solve_hand_eye
    from insegan_ros.picking.hand_eye_files import launch_line, read_samples, write_hand_eye

    if arguments.mounted not in ('hand', 'base'):
        raise ConfigError(f'--mounted is {arguments.mounted}: expected hand or base')
    if bool(arguments.board) == bool(arguments.mesh):
        raise ConfigError('hand-eye needs --board, or --mesh of a part: expected one of them')
    parent = arguments.parent or {'hand': 'tool0', 'base': 'base_link'}[arguments.mounted]
    for option, frame in (('--parent', parent), ('--child', arguments.child)):
        if not frame or frame.split() != [frame]:
            raise ConfigError(
                f'{option} is {frame!r}: expected the name of a frame, without spaces'
            )
    if parent == arguments.child:
        raise ConfigError(f'--parent and --child are both {parent}: expected two frames')
    link_from_optical = _pose(arguments.link_from_optical)
    check_calibration_path(Path(arguments.out))
    find = _board_finder(arguments) if arguments.board else _part_finder(arguments)
    samples = read_samples(Path(arguments.poses))
    found = [(one, target) for one in samples if (target := _found(find, one)) is not None]
    names = [one.image.stem for one, _ in found]
    result = solve_hand_eye(
        np.array([one.hand for one, _ in found]),
        np.array([target for _, target in found]),
        arguments.mounted,
    )
    pose = result.pose @ np.linalg.inv(link_from_optical)
    drawn = write_hand_eye(result, names, parent, arguments.child, pose, Path(arguments.out))
    far = [name for name, off in zip(names, result.far_off) if off]
    print(
        f'{len(names)} of {len(samples)} pictures, begun with {result.solver}: off by'
        f' {1000 * np.median(result.off_m):.2f} mm and {np.median(result.off_deg):.3f} degrees'
        f' (median), {1000 * result.off_m.max():.2f} mm and {result.off_deg.max():.3f} degrees at'
        ' most'
    )
    if result.size_off_by_more_than(SIZE_IN_DOUBT):
        print(
            f"judging by the hand's motions, the target is {result.size:.3f} ±"
            f' {result.size_std:.3f} times as large as given: measure its squares, and check'
            ' --intrinsics'
        )
    elif result.size_std > SIZE_IN_DOUBT:
        print(
            "the hand's motions do not tell the target's size: measure it, or add pictures from"
            ' different distances and with the target off centre'
        )
    if far:
        print(f'far off, check these pictures: {", ".join(far)}')
    print(f'{arguments.out} and {drawn}\n{launch_line(parent, arguments.child, pose)}')


def _found(find: Callable[[Path], np.ndarray | None], sample: Sample) -> np.ndarray | None:
    try:
        target = find(sample.image)
    except InseganError as error:
        print(f'{sample.image.name} left out: {error}')
        return None
    if target is None:
        print(f'{sample.image.name} left out: the target was not found in it')
    return target


def _board_finder(arguments: Namespace) -> Callable[[Path], np.ndarray | None]:
    import cv2

    from insegan_ros.camera.given import given_camera
    from insegan_ros.data.images import read_picture
    from insegan_ros.picking.boards import board_of

    board = board_of(arguments.board, arguments.square, arguments.marker, arguments.dictionary)
    camera = given_camera(arguments.intrinsics)
    if camera is None:
        raise ConfigError(
            "a board needs the camera's intrinsics: expected --intrinsics fx,fy,cx,cy, or a file"
            ' with them'
        )

    def find(path: Path) -> np.ndarray | None:
        grey = read_picture(path, cv2.IMREAD_GRAYSCALE)
        if grey is None:
            raise InputError(f'{path} cannot be read: expected a picture')
        return board.find(grey, camera.intrinsics(*grey.shape))

    return find


def _part_finder(arguments: Namespace) -> Callable[[Path], np.ndarray | None]:
    from insegan_ros.camera.given import given_camera
    from insegan_ros.data.items import frames_of
    from insegan_ros.methods.registry import load_segmenter
    from insegan_ros.workspace import read_workspace

    segmenter = load_segmenter(
        arguments.model, instances=1, mesh=arguments.mesh, mesh_scale=arguments.mesh_scale
    )
    camera = given_camera(arguments.intrinsics)
    workspace = read_workspace(Path(arguments.workspace)) if arguments.workspace else None

    def find(path: Path) -> np.ndarray | None:
        found = segmenter.segment(next(iter(frames_of(path, camera))), workspace)
        found = found.only(found.in_mesh_frame)
        return None if not len(found) else found.require_poses()[int(found.scores.argmax())]

    return find


def _pose(text: str) -> np.ndarray:
    from insegan_ros.errors import MALFORMED
    from insegan_ros.picking.poses import numbers, pose_of

    try:
        values = numbers(text.split(','), 7)
        return pose_of({'position': values[:3], 'quaternion': values[3:]})
    except MALFORMED as error:
        raise ConfigError(f'--link-from-optical is {text}: expected x,y,z,qx,qy,qz,qw') from error
