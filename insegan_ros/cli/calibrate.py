"""`insegan calibrate`: floor and inside of a bin; `insegan calibrate hand-eye`: the camera's place
on a robot."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from insegan_ros.cli import hand_eye
from insegan_ros.cli.options import add_bin_arguments, add_intrinsics_argument, four_numbers
from insegan_ros.cli.ros import needs_ros
from insegan_ros.errors import ConfigError

if TYPE_CHECKING:
    from insegan_ros.frame import Frame


def add_arguments(parser: ArgumentParser, what: str = '') -> None:
    """Add the options of `insegan calibrate`, or of `insegan calibrate hand-eye`."""
    if what == hand_eye.NAME:
        hand_eye.add_arguments(parser)
        return
    parser.add_argument(
        'input',
        type=str,
        nargs='?',
        default='',
        help=(
            'the empty bin, or with --in-use one in use: a recording, depth images or clouds. To'
            ' find where the camera is on or beside a robot, see insegan calibrate hand-eye'
            ' --help'
        ),
    )
    parser.add_argument(
        '--topic',
        type=str,
        default='',
        help='instead: a live depth topic, such as /camera/camera/depth/image_rect_raw',
    )
    add_intrinsics_argument(parser)
    parser.add_argument(
        '--in-use',
        action='store_true',
        help=(
            'the bin is not empty: its floor is what is seen farthest in many pictures of its use'
        ),
    )
    add_bin_arguments(parser, 'given by hand', 'given by hand')
    parser.add_argument(
        '--out',
        type=str,
        required=True,
        help=(
            "new YAML file with the segmenter's floor and bounds; a picture of what was found goes"
            ' beside it'
        ),
    )


def run(arguments: Namespace) -> None:
    """Run `insegan calibrate` with the options that were given."""
    if 'poses' in arguments:
        hand_eye.run(arguments)
        return
    from insegan_ros.camera.given import given_camera
    from insegan_ros.data.items import frames_of
    from insegan_ros.picking.calibrate import (
        FRAMES,
        calibrate,
        check_calibration_path,
        write_calibration,
    )

    if bool(arguments.input) == bool(arguments.topic):
        raise ConfigError(
            'calibrate needs a recording or picture of the empty bin, or --topic: expected one of'
            ' them'
        )
    floor = four_numbers('--floor', arguments.floor)
    bounds = four_numbers('--bounds', arguments.bounds)
    check_calibration_path(Path(arguments.out))
    if arguments.topic:
        with needs_ros():
            from insegan_ros.nodes.live import live_frames
        frames: Iterable[Frame] = live_frames(arguments.topic, FRAMES)
    else:
        frames = frames_of(Path(arguments.input), given_camera(arguments.intrinsics))
    found, picture = calibrate(frames, floor, bounds, arguments.in_use)
    drawn = write_calibration(found, picture, Path(arguments.out))
    print(f'{found.text()}\n{arguments.out} and {drawn}')
