"""Frames, labels and pictures as a rosbag2 recording (mcap) on the topics of realsense-ros, which
Foxglove and `ros2 bag play` open."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
from rosbags.typesys import Stores, get_typestore

from insegan_ros.data.mcap_checksums import seal
from insegan_ros.data.scene import Scene
from insegan_ros.errors import DatasetError, WriteError
from insegan_ros.files import lost
from insegan_ros.frame import Frame, millimetres
from insegan_ros.workspace import Workspace, write_workspace

if TYPE_CHECKING:
    # The library has this type for type checkers alone.
    from rosbags.typesys.store import Msg

DEPTH_TOPIC = '/camera/camera/depth/image_rect_raw'
INFO_TOPIC = '/camera/camera/depth/camera_info'
# Frames with colour: depth is in the colour camera's view.
ALIGNED_TOPIC = '/camera/camera/aligned_depth_to_color/image_raw'
ALIGNED_INFO_TOPIC = '/camera/camera/aligned_depth_to_color/camera_info'
COLOUR_TOPIC = '/camera/camera/color/image_raw'
TRUTH_TOPIC = '/camera/camera/ground_truth/labels'
INSTANCES_TOPIC, OVERLAY_TOPIC = '/segmenter/instances', '/segmenter/overlay'
# Beside the recording's own files: where the bin is.
WORKSPACE_FILE = 'workspace.yaml'
FRAME_NS = 33_333_333


class RecordingWriter:
    """Writes a new recording; what was begun is removed where something goes wrong. Raises
    DatasetError where the folder exists, WriteError where it cannot be written.

    Frames without a stamp get one: thirty a second from one second on.
    """

    def __init__(self, folder: Path) -> None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DatasetError(f'{folder} is not empty: expected a new folder')
        # The library wants to make the folder itself.
        if folder.exists():
            folder.rmdir()
        self.folder, self.count = folder, 0
        self.store = get_typestore(Stores.ROS2_KILTED)
        self.types = self.store.types
        self.writer = Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP)
        self.connections: dict[str, Connection] = {}

    def __enter__(self) -> RecordingWriter:
        try:
            self.writer.open()
        except (WriterError, OSError) as error:
            raise WriteError(
                f'{self.folder} cannot be created ({error}): expected a writable place; choose'
                ' another'
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            with suppress(Exception):
                self.writer.abort()
            self._remove()
            return
        try:
            self.writer.close()
            seal(self.folder / f'{self.folder.name}.mcap')
        except OSError as problem:
            self._remove()
            raise lost(self.folder, problem) from problem

    def _remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)

    def add(
        self,
        frame: Frame,
        labels: np.ndarray | None = None,
        labels_topic: str = TRUTH_TOPIC,
        picture: np.ndarray | None = None,
    ) -> None:
        """Write one frame: depth in mm and its camera_info, its colour, labels (H, W) uint16 and a
        picture (H, W, 3) uint8 RGB where there are some."""
        stamp = frame.stamp_ns or 10**9 + self.count * FRAME_NS
        header = self.types['std_msgs/msg/Header'](
            self.types['builtin_interfaces/msg/Time'](stamp // 10**9, stamp % 10**9), frame.frame_id
        )
        self.count += 1
        k = frame.intrinsics
        matrix = k.matrix
        info = self.types['sensor_msgs/msg/CameraInfo'](
            header,
            k.height,
            k.width,
            'plumb_bob',
            np.zeros(5),
            matrix.ravel(),
            np.eye(3).ravel(),
            np.hstack([matrix, np.zeros((3, 1))]).ravel(),
            0,
            0,
            self.types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False),
        )
        aligned = frame.colour is not None
        self._write(ALIGNED_INFO_TOPIC if aligned else INFO_TOPIC, info, stamp)
        if labels is not None:
            self._image(labels_topic, labels, '16UC1', header, stamp)
        if frame.colour is not None:
            self._image(COLOUR_TOPIC, frame.colour, 'rgb8', header, stamp)
        depth_topic = ALIGNED_TOPIC if aligned else DEPTH_TOPIC
        self._image(depth_topic, millimetres(frame.depth_m), '16UC1', header, stamp)
        if picture is not None:
            self._image(OVERLAY_TOPIC, picture, 'rgb8', header, stamp)

    def _image(
        self, topic: str, pixels: np.ndarray, encoding: str, header: Msg, stamp: int
    ) -> None:
        pixels = np.ascontiguousarray(pixels)
        message = self.types['sensor_msgs/msg/Image'](
            header,
            pixels.shape[0],
            pixels.shape[1],
            encoding,
            0,
            pixels.strides[0],
            pixels.reshape(-1).view(np.uint8),
        )
        self._write(topic, message, stamp)

    def _write(self, topic: str, message: Msg, stamp: int) -> None:
        kind = message.__msgtype__
        if topic not in self.connections:
            self.connections[topic] = self.writer.add_connection(topic, kind, typestore=self.store)
        content = self.store.serialize_cdr(message, kind)
        try:
            self.writer.write(self.connections[topic], stamp, content)
        except OSError as error:
            raise lost(self.folder, error) from error


def write_recording(
    scenes: Iterable[Scene], classes: tuple[str, ...], out: Path, models: Path | None
) -> None:
    """Write scenes as a recording with their labels, and where the bin is beside it. classes and
    models are not used. Raises DatasetError where the bin moves between scenes: a recording has
    one."""
    workspaces: set[Workspace | None] = set()
    with RecordingWriter(out) as writer:
        for scene in scenes:
            workspaces.add(scene.workspace)
            if len(workspaces) > 1:
                raise DatasetError(
                    'the scenes have different floors or bounds: expected one camera that stands'
                    ' still, as a recording has (simulate with --jitter.position_m 0'
                    ' --jitter.tilt_deg 0 --jitter.focal_share 0 --jitter.centre_px 0)'
                )
            writer.add(scene.frame, None if scene.truth is None else scene.truth.labels)
    workspace = workspaces.pop() if workspaces else None
    if workspace is not None:
        write_workspace(workspace, out / WORKSPACE_FILE)
