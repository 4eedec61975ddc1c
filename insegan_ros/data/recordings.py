"""Recordings as frames: RealSense .bag and .db3 (written by librealsense), rosbag2 folders
(sqlite3, mcap), depth images."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_typestore

from insegan_ros.camera.given import GivenCamera, usual_colour_camera, usual_depth_camera
from insegan_ros.camera.messages import (
    colour_from_message,
    depth_from_message,
    intrinsics_from_message,
    labels_from_message,
    lens_warning_of,
    stamp_ns,
)
from insegan_ros.camera.pairing import Pairing
from insegan_ros.camera.realsense import read_realsense
from insegan_ros.data.folders import inside
from insegan_ros.data.images import depth_in, read_picture
from insegan_ros.data.mcap_checksums import check_summary
from insegan_ros.data.recording_writer import WORKSPACE_FILE
from insegan_ros.data.scene import Scene, seen_instances
from insegan_ros.errors import (
    MALFORMED,
    CameraError,
    DatasetError,
    InputError,
    InseganError,
    InseganWarning,
)
from insegan_ros.frame import DEPTH_FRAME, Frame, Intrinsics, metres
from insegan_ros.texts import read_mapping, reason
from insegan_ros.workspace import Workspace, read_workspace

IMAGE_TYPE, INFO_TYPE = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CameraInfo'
# Depth and colour whose stamps are nearer are of one moment.
SLOP_S = 0.02
# Labels that are held until their frames come.
LABELS_AHEAD = 32
DEPTH_ENCODINGS = ('16UC1', 'mono16', '32FC1')


def read_frames(source: str | Path, depth_topic: str = '', colour: bool = False) -> Iterator[Frame]:
    """Every depth frame of a recording, in order, with its intrinsics; with colour, depth in the
    colour camera's view and the picture of the same moment, frames that have one.

    source: a RealSense .bag or a rosbag2 folder. Raises DatasetError where it cannot be read or
    holds no depth, or no colour where it is asked for.
    """
    path, found = Path(source), False
    for frame in _read(path, depth_topic, colour):
        found = True
        yield frame
    if colour and not found:
        raise DatasetError(
            f'{path} holds no colour picture taken at the same moment as depth: expected pictures'
            f' less than {1000 * SLOP_S:.0f} ms apart'
        )


def _read(path: Path, depth_topic: str, colour: bool) -> Iterator[Frame]:
    # librealsense since 2.58: a rosbag2 file without metadata, depth as PNG, which it reads best
    # itself; and it alone can bring depth into colour's view.
    by_librealsense = path.is_file() and path.suffix == '.db3'
    if not by_librealsense:
        with _open(path) as reader:
            by_librealsense = colour and any(
                c.topic.startswith('/device_') for c in reader.connections
            )
            if not by_librealsense:
                yield from (
                    _frames(reader, path, *_colour_topics(reader, path))
                    if colour
                    else _frames(reader, path, depth_topic or _find_depth_topic(reader, path))
                )
                return
    try:
        yield from read_realsense(path, colour)
    except CameraError as error:
        raise DatasetError(
            f'{path} cannot be read as a recording of librealsense ({error}): expected a whole .db3'
            f' or .bag{" with colour" * colour}; a rosbag2 recording is a folder'
        ) from error


def is_recording(path: Path) -> bool:
    """Whether a path is a rosbag2 folder, whole or not, or a RealSense .bag."""
    if path.is_dir():
        return (path / 'metadata.yaml').exists() or bool(_bare_files(path))
    return path.is_file() and path.suffix in ('.bag', '.db3', '.mcap')


def _bare_files(path: Path) -> list[Path]:
    """What a recorder that was killed leaves in a folder: files of messages, and nothing else."""
    files = sorted(path.iterdir())
    return files if all(file.suffix.startswith(('.db3', '.mcap')) for file in files) else []


def read_recording(
    source: str | Path, workspace: Workspace | None = None, colour: bool = False
) -> tuple[tuple[str, ...], Iterator[Scene]]:
    """A recording as scenes: its name as the only class, and every depth frame, with the labels of
    the same stamp where the recording has a topic that ends in /labels. workspace: None takes the
    recording's own file where there is one. colour: see read_frames. Raises DatasetError."""
    path = Path(source)
    return (path.stem,), _scenes(path, workspace or own_workspace(path), colour)


def own_workspace(path: Path) -> Workspace | None:
    """The bin that a recording's own file describes, None where it has none."""
    own = path / WORKSPACE_FILE
    return read_workspace(own) if own.is_file() else None


def _scenes(path: Path, workspace: Workspace | None, colour: bool) -> Iterator[Scene]:
    truths = LabelsAhead(_labels(path))
    for frame in read_frames(path, colour=colour):
        labels, truth = truths.of(frame.stamp_ns), None
        if labels is not None:
            if labels.shape != frame.depth_m.shape:
                raise DatasetError(
                    f'{path} holds labels of {labels.shape[1]}x{labels.shape[0]} beside depth of'
                    f' {frame.depth_m.shape[1]}x{frame.depth_m.shape[0]}: expected one size'
                )
            truth = seen_instances(labels)
        yield Scene(frame, truth, workspace)


class LabelsAhead:
    """Labels (H, W) by their frame's stamp, read in the order in which they were recorded, which is
    the frames'; stamps may jump back where a clock was set. A few are held, for not every frame has
    labels, nor all labels a frame."""

    def __init__(self, labels: Iterator[tuple[int, np.ndarray]]) -> None:
        self.labels, self.held = labels, dict[int, np.ndarray]()

    def of(self, stamp: int) -> np.ndarray | None:
        """The labels with this stamp; None where there are none."""
        while stamp not in self.held:
            if len(self.held) == LABELS_AHEAD:
                # Of frames that were not recorded; those still to come are later than this one.
                self.held = {at: held for at, held in self.held.items() if at > stamp}
                if len(self.held) == LABELS_AHEAD:
                    return None
            if (following := next(self.labels, None)) is None:
                return None
            self.held[following[0]] = following[1]
        # What was recorded before them belongs to no frame that is still to come.
        while (first := next(iter(self.held))) != stamp:
            del self.held[first]
        return self.held.pop(stamp)


def _labels(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """Stamps in ns and labels (H, W) uint16 of a recording, if it has any."""
    if path.is_file() and path.suffix == '.db3':
        return
    with _open(path) as reader:
        wanted = [
            c for c in reader.connections if c.msgtype == IMAGE_TYPE and c.topic.endswith('/labels')
        ]
        for connection, _, raw in reader.messages(connections=wanted) if wanted else ():
            message = deserialize(reader, connection, raw)
            yield stamp_ns(message.header), labels_from_message(message)


@contextmanager
def _open(path: Path) -> Iterator[AnyReader]:
    """The recording, opened. Raises DatasetError for what is none, also while it is read."""
    _check_files(path)
    try:
        with AnyReader([path], default_typestore=get_typestore(Stores.ROS2_KILTED)) as reader:
            yield reader
    except InseganError:
        raise
    # Any other: the readers raise whatever a broken file makes them stumble over.
    except Exception as error:
        raise DatasetError(
            f'{path} cannot be read as a recording ({reason(error)}): expected a whole RealSense'
            ' .bag or rosbag2 folder (where the recorder was killed, `ros2 bag reindex` may'
            ' repair it)'
        ) from error


def _check_files(path: Path) -> None:
    """Raise DatasetError where a recording is not there, is made of pipes, names files out of its
    folder, or where an MCAP's checksum is wrong."""
    if not path.exists():
        raise DatasetError(f'{path} does not exist: expected a RealSense .bag or a rosbag2 folder')
    files = [path]
    if path.is_dir():
        note = path / 'metadata.yaml'
        if not note.exists() and (bare := _bare_files(path)):
            raise DatasetError(
                f'{path} holds {bare[0].name} but no metadata.yaml, which a recorder writes at its'
                f' end: expected a whole recording; where it was killed, `ros2 bag reindex {path}`'
                ' makes it'
            )
        if not note.exists():
            raise DatasetError(
                f'{path} is no recording: expected a RealSense .bag, or a rosbag2 folder with its'
                ' metadata.yaml'
            )
        content = read_mapping(note, DatasetError)
        try:
            names = content['rosbag2_bagfile_information']['relative_file_paths']
            # Earlier versions of rosbag2 name the folder too.
            files = [path / inside(path, name).name for name in names]
        except MALFORMED as error:
            raise DatasetError(
                f'{note} names no files ({reason(error)}): expected the metadata of rosbag2; `ros2'
                ' bag reindex` may repair it'
            ) from error
    for file in files:
        if not file.is_file():
            raise DatasetError(
                f'{file} is missing or not a regular file: expected a whole recording'
            )
        if file.suffix == '.mcap':
            check_summary(file)


def _frames(reader: AnyReader, path: Path, topic: str, colour_topic: str = '') -> Iterator[Frame]:
    info_topic = _info_topic(reader, topic, path)
    intrinsics: Intrinsics | None = None
    pending: list[tuple[Any, Any, int]] = []
    pairing = Pairing()
    wanted = [c for c in reader.connections if c.topic in (topic, info_topic, colour_topic)]
    for connection, stamp, raw in reader.messages(connections=wanted):
        message = deserialize(reader, connection, raw)
        if connection.msgtype == INFO_TYPE:
            if intrinsics is None and (warning := lens_warning_of(message)):
                warnings.warn(f'{path}: {warning}', InseganWarning, stacklevel=2)
            intrinsics = intrinsics_from_message(message)
        elif not colour_topic:
            pending.append((message, None, stamp))
        elif pair := (pairing.depth if connection.topic == topic else pairing.colour)(
            message, SLOP_S
        ):
            pending.append((*pair, stamp))
        while pending and intrinsics is not None:
            yield _frame(*pending.pop(0), intrinsics)


def _frame(depth: Any, colour: Any, stamp: int, intrinsics: Intrinsics) -> Frame:
    picture = None if colour is None else colour_from_message(colour)
    if picture is not None and picture.shape[:2] != (depth.height, depth.width):
        raise DatasetError(
            f'the recording holds colour of {colour.width}x{colour.height} beside depth of'
            f' {depth.width}x{depth.height}: expected one size'
        )
    return Frame(
        depth_from_message(depth),
        intrinsics,
        picture,
        stamp_ns(depth.header) or stamp,
        depth.header.frame_id or DEPTH_FRAME,
    )


def _colour_topics(reader: AnyReader, path: Path) -> tuple[str, str]:
    """Depth in the colour camera's view, and colour."""
    images = sorted({c.topic for c in reader.connections if c.msgtype == IMAGE_TYPE})
    depth = [name for name in images if 'aligned_depth_to_color' in name]
    colour = [name for name in images if name.rsplit('/', 1)[0].endswith('/color')]
    if not depth or not colour:
        raise DatasetError(
            f'{path} holds no colour with depth in its view: expected .../color/image_raw and'
            ' .../aligned_depth_to_color/image_raw (realsense-ros: align_depth.enable:=true),'
            f' found images on {", ".join(images) or "no topic"}'
        )
    return depth[0], colour[0]


def deserialize(reader: AnyReader, connection: Any, raw: bytes) -> Any:
    """A message of a recording, from its bytes. librealsense leaves four bytes behind its ROS 1
    images, which the strict reader refuses."""
    try:
        return reader.deserialize(raw, connection.msgtype)
    except (SerdeError, AssertionError):
        if reader.is2 or connection.msgtype != IMAGE_TYPE:
            raise
        return reader.deserialize(raw[:-4], connection.msgtype)


def _find_depth_topic(reader: AnyReader, path: Path) -> str:
    candidates = sorted(
        {
            c.topic
            for c in reader.connections
            if c.msgtype == IMAGE_TYPE and 'depth' in c.topic.lower()
        },
        key=lambda name: ('aligned' in name, name),
    )
    for topic in candidates:
        for connection, _, raw in reader.messages(
            connections=[c for c in reader.connections if c.topic == topic]
        ):
            if deserialize(reader, connection, raw).encoding in DEPTH_ENCODINGS:
                return topic
            break
    images = sorted({c.topic for c in reader.connections if c.msgtype == IMAGE_TYPE})
    raise DatasetError(
        f'{path} holds no depth images: expected a topic with "depth" in its name and encoding'
        f' 16UC1 or 32FC1, found images on {", ".join(images) or "no topic"}'
    )


def _info_topic(reader: AnyReader, topic: str, path: Path) -> str:
    infos = {c.topic for c in reader.connections if c.msgtype == INFO_TYPE and c.msgcount}
    # realsense-ros: .../depth/image_rect_raw beside .../depth/camera_info; librealsense:
    # .../Depth_0/image/data, .../Depth_0/info/camera_info.
    base = topic.rsplit('/', 1)[0]
    for name in (f'{base}/camera_info', f'{base.rsplit("/", 1)[0]}/info/camera_info'):
        if name in infos:
            return name
    raise DatasetError(
        f'{path} holds depth on {topic} but no camera_info beside it: found'
        f' {", ".join(sorted(infos)) or "none"}'
    )


def read_depth_image(path: str | Path, camera: GivenCamera | None = None) -> Frame:
    """A 16-bit depth PNG (0 = no reading) as a frame: in millimetres, of a D4xx's usual depth
    camera, or as the camera given says. Raises InputError for any other image."""
    image = read_picture(Path(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise InputError(
            f'{path} cannot be read as an image: expected a 16-bit depth PNG in millimetres'
        )
    if image.dtype != np.uint16 or image.ndim != 2:
        raise InputError(
            f'{path} is {image.dtype} with {1 if image.ndim == 2 else image.shape[2]} channels:'
            ' expected a 16-bit depth PNG in millimetres'
        )
    if camera is None:
        return Frame(metres(image), usual_depth_camera(*image.shape))
    return Frame(metres(image, camera.depth_unit_m), camera.intrinsics(*image.shape))


def read_colour_image(path: str | Path, camera: GivenCamera | None = None) -> Frame:
    """A photograph as a frame without depth, of the camera given or a D4xx's usual colour camera.
    Raises InputError where it cannot be read, or is depth."""
    image = read_picture(Path(path))
    if image is None:
        raise InputError(f'{path} cannot be read as an image: expected a photograph')
    if depth := depth_in(Path(path), image):
        raise InputError(f'{path} {depth}: the model looks at colour, expected a photograph')
    shape = image.shape[:2]
    return Frame(
        np.full(shape, np.nan, np.float32),
        camera.intrinsics(*shape) if camera else usual_colour_camera(*shape),
        np.ascontiguousarray(image[..., ::-1]),
    )
