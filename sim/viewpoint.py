"""A real camera's view of its bin: the simulator's camera takes its place."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from insegan_ros.data.convert import open_dataset
from insegan_ros.errors import ConfigError, InputError
from insegan_ros.files import write_whole
from insegan_ros.frame import Intrinsics
from insegan_ros.texts import read_mapping
from insegan_ros.workspace import Workspace, read_workspace, workspace_of, workspace_values
from insegan_sim.camera import Camera
from insegan_sim.container import Container

# Walls that are seen end below the camera by this share of its distance from the floor.
HIGHEST_WALL = 0.6
# The narrowest side of a bin in sizes of its part, at least; narrower ones hold none.
ROOM, TIGHT = 1.2, 1.05


@dataclass(frozen=True)
class Viewpoint:
    """A camera and the bin before it: where the floor lies says how far away the camera is, and how
    it is tilted. The bin's bounds are known. Raises InputError where they are not."""

    intrinsics: Intrinsics
    workspace: Workspace

    def __post_init__(self) -> None:
        self.workspace.require_bounds()

    @property
    def bin_m(self) -> tuple[float, float]:
        """Width and depth of the bin's inside, along x and y of the floor's frame, in m."""
        x_min, y_min, x_max, y_max = self.workspace.require_bounds()
        clearance = 2 * Camera.clearance_m(self.workspace.wall_noise_m)
        return x_max - x_min + clearance, y_max - y_min + clearance

    @property
    def tilt_deg(self) -> float:
        """Angle between the optical axis and the floor's normal."""
        return float(np.degrees(np.arccos(np.clip(-self.workspace.floor[2], -1, 1))))

    def container(self, wanted: Container, part_m: float) -> Container:
        """This bin, or in its middle one of its shape and of the area that is wanted; as high as
        wanted, if the camera stands well above it. part_m: what has to fit in. Raises ConfigError
        where it does not."""
        width, depth = self.bin_m
        share = np.sqrt(wanted.width_m * wanted.depth_m / (width * depth))
        share = float(min(max(share, ROOM * part_m / min(width, depth)), 1.0))
        if share * min(width, depth) < TIGHT * part_m:
            raise ConfigError(
                f"the camera's bin is {1000 * width:.0f} x {1000 * depth:.0f} mm inside, the part"
                f' {1000 * part_m:.0f} mm across: expected a part that fits in (is the scale of its'
                ' mesh right?)'
            )
        height = min(wanted.height_m, HIGHEST_WALL * self.workspace.floor[3])
        return Container(wanted.kind, share * width, share * depth, height)

    def camera(self, container: Container, longest_px: int) -> tuple[Camera, float]:
        """The camera before a container that stands in the bin's middle: the part of its picture
        that shows the container with a rim, at most so many px long; and by how much its px are
        coarser for that, as a factor up to 1."""
        view = Camera(container, self.intrinsics, self._pose(), self.workspace.wall_noise_m)
        left, top, right, bottom = view.workspace.window(self.intrinsics)
        k = self.intrinsics
        scale = min(longest_px / max(right - left, bottom - top), 1.0)
        # The middle of the first pixel lies half a pixel from the picture's border.
        part = Intrinsics(
            k.fx * scale,
            k.fy * scale,
            (k.cx - left + 0.5) * scale - 0.5,
            (k.cy - top + 0.5) * scale - 0.5,
            max(round((right - left) * scale), 1),
            max(round((bottom - top) * scale), 1),
        )
        return replace(view, intrinsics=part), scale

    def _pose(self) -> np.ndarray:
        """Camera-from-world (4, 4) of a container in the middle of the bounds, its sides along
        them."""
        x_min, y_min, x_max, y_max = self.workspace.require_bounds()
        across, up = self.workspace.axes[0], np.asarray(self.workspace.floor[:3])
        pose = np.eye(4)
        pose[:3, :3] = np.stack([across, np.cross(up, across), up], 1)
        pose[:3, 3] = self.workspace.from_floor(
            np.array([(x_min + x_max) / 2, (y_min + y_max) / 2])
        )
        return pose

    def values(self) -> dict[str, Any]:
        """What a file says of it."""
        return {**asdict(self.intrinsics), **workspace_values(self.workspace)}


def read_viewpoint(source: str, workspace: str = '') -> Viewpoint:
    """What the first frame of a recording or data set shows, or what a YAML file of
    write_viewpoint says. workspace: the YAML of a recording's bin, if not in its own file. Raises
    ConfigError for a file that is none and where the bin is not known, DatasetError or InputError
    for what cannot be read."""
    path = Path(source)
    if path.suffix in ('.yaml', '.yml'):
        return _from_file(path)
    _, scenes = open_dataset(path, read_workspace(Path(workspace)) if workspace else None)
    first = next(scenes, None)
    if first is None or first.workspace is None or first.workspace.bounds is None:
        raise ConfigError(
            f'{source} does not say where its bin is: expected a recording with the workspace of'
            ' `insegan calibrate`, floor and bounds'
        )
    return Viewpoint(first.frame.intrinsics, first.workspace)


def _from_file(path: Path) -> Viewpoint:
    values = read_mapping(path, ConfigError)
    try:
        fx, fy, cx, cy = (float(values[name]) for name in ('fx', 'fy', 'cx', 'cy'))
        width, height = int(values['width']), int(values['height'])
        return Viewpoint(Intrinsics(fx, fy, cx, cy, width, height), workspace_of(values))
    except (KeyError, TypeError, ValueError, InputError) as error:
        reason = ' '.join(str(error).split())
        raise ConfigError(
            f'{path} describes no camera before a bin ({type(error).__name__} {reason}): expected'
            ' fx, fy, cx, cy, width, height in px, and floor and bounds of `insegan calibrate`'
        ) from error


def write_viewpoint(viewpoint: Viewpoint, path: Path, comment: str) -> None:
    """Write a YAML file that `insegan simulate --camera` takes, with a comment on its first
    line."""
    text = yaml.safe_dump(viewpoint.values(), default_flow_style=None, sort_keys=False)
    write_whole(path, f'# {comment}\n{text}'.encode())
