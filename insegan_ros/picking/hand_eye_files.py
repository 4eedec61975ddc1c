"""What hand-eye calibration reads and writes: pictures with the hand's pose for each; a transform,
its launch line, and a picture of what is left of errors."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from insegan_ros.errors import MALFORMED, InputError
from insegan_ros.files import write_whole
from insegan_ros.picking.hand_eye import HandEye
from insegan_ros.picking.poses import pose_of, values_of
from insegan_ros.texts import read_mapping

MOST = 1000


class Sample(NamedTuple):
    """A picture's file, and the pose (4, 4) of the hand in the base when it was taken, in m."""

    image: Path
    hand: np.ndarray


def read_samples(path: Path) -> list[Sample]:
    """The pictures that a YAML file names beside it, with the hand's poses. Raises InputError where
    it cannot be read, or names a file elsewhere."""
    if not path.is_file():
        raise InputError(f'{path} does not exist: expected a YAML file with poses')
    values = read_mapping(path, InputError).get('poses')
    if not isinstance(values, list) or not 0 < len(values) <= MOST:
        raise InputError(
            f'{path} holds no list "poses" of 1 to {MOST}: expected image, position and quaternion'
            ' of each'
        )
    folder, samples = path.parent.resolve(), []
    for number, one in enumerate(values, start=1):
        try:
            image = (folder / str(one['image'])).resolve()
            samples.append(Sample(image, pose_of(one)))
        except MALFORMED as error:
            raise InputError(
                f'{path}: pose {number} cannot be read ({type(error).__name__}: {error}): expected'
                ' image, position (m) and quaternion (x, y, z, w) or rpy_deg of the hand in the'
                ' base'
            ) from error
        if not image.is_relative_to(folder):
            raise InputError(
                f'{path}: {one["image"]} is in another folder: expected a file beside it'
            )
    return samples


def write_hand_eye(
    found: HandEye, names: list[str], parent: str, child: str, pose: np.ndarray, path: Path
) -> Path:
    """Write the pose (4, 4) of a child frame in its parent as YAML, and beside it a picture of what
    every picture is off by; returns the latter's path. Raises DatasetError."""
    content = {
        'parent': parent,
        'child': child,
        **values_of(pose),
        'solver': found.solver,
        'pictures': len(names),
        'off_mm_median': round(1000 * float(np.median(found.off_m)), 3),
        'off_mm_worst': round(1000 * float(found.off_m.max()), 3),
        'off_deg_median': round(float(np.median(found.off_deg)), 4),
        'off_deg_worst': round(float(found.off_deg.max()), 4),
    }
    head = f'# {launch_line(parent, child, pose)}\n'
    write_whole(
        path, (head + yaml.safe_dump(content, sort_keys=False, default_flow_style=None)).encode()
    )
    drawn = path.with_suffix('.png')
    write_whole(drawn, _picture(found, names))
    return drawn


def launch_line(parent: str, child: str, pose: np.ndarray) -> str:
    """The command that publishes the transform on /tf_static."""
    values = values_of(pose)
    x, y, z = values['position']
    qx, qy, qz, qw = values['quaternion']
    return (
        f'ros2 run tf2_ros static_transform_publisher --x {x} --y {y} --z {z} --qx {qx} --qy {qy}'
        f' --qz {qz} --qw {qw} --frame-id {parent} --child-frame-id {child}'
    )


def _picture(found: HandEye, names: list[str]) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure((max(6, 0.3 * len(names)), 6), layout='constrained')
    colours = np.where(found.far_off, 'tab:red', 'tab:blue')
    for axes, values, unit in zip(
        figure.subplots(2, sharex=True), (1000 * found.off_m, found.off_deg), ('mm', 'degrees')
    ):
        axes.bar(names, values, color=colours)
        axes.axhline(float(np.median(values)), color='black', linewidth=1)
        axes.set_ylabel(f'off by {unit}')
        axes.tick_params('x', rotation=90)
    figure.suptitle(f'{len(names)} pictures; median as a line, far off in red')
    content = io.BytesIO()
    figure.savefig(content, format='png', dpi=100)
    return content.getvalue()
