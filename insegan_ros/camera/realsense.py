"""A RealSense camera, or a recording of one, through librealsense itself: for those who do without
realsense-ros.

Where rclpy is used too it must be imported first: the other way round the process dies at exit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from insegan_ros.camera.lens import lens_warning
from insegan_ros.errors import CameraError, ConfigError, InseganWarning
from insegan_ros.frame import Frame, Intrinsics, metres, millimetres

QUEUE = 4
# Formats of a recording's colour, and the step that makes red first.
COLOURS = {'rgb8': 1, 'rgba8': 1, 'bgr8': -1, 'bgra8': -1}
READ_FILE_S = 0.5


@dataclass(frozen=True)
class RealSenseConfig:
    """Which camera, which streams, which of librealsense's filters."""

    serial: str = ''
    """Serial number of the camera; empty takes the first one."""
    file: str = ''
    """A recording of librealsense (.bag, .db3) to play instead of a camera."""
    repeat: bool = True
    """Whether a recording begins again at its end."""
    width: int = 640
    """Width of depth and colour in px."""
    height: int = 480
    """Height of depth and colour in px."""
    fps: int = 30
    """Frames a second."""
    colour: bool = True
    """Whether colour is streamed too."""
    align_depth: bool = True
    """Whether depth is also given in the colour camera's view."""
    decimation: int = 1
    """Decimation filter: width and height are divided by this; 1 leaves it out."""
    spatial: bool = False
    """Spatial filter: smooths depth, keeps edges."""
    temporal: bool = False
    """Temporal filter: averages over frames, for bins that stand still."""
    hole_filling: int = -1
    """Hole filling filter: 0 from the left, 1 farthest, 2 nearest around; -1 leaves it out."""
    min_depth_m: float = 0.0
    """Threshold filter: readings closer than this are dropped."""
    max_depth_m: float = 0.0
    """Threshold filter: readings farther away than this are dropped; 0: no limit."""

    def __post_init__(self) -> None:
        if (
            min(self.width, self.height, self.fps) < 1
            or not 1 <= self.decimation <= 8
            or not -1 <= self.hole_filling <= 2
        ):
            raise ConfigError(
                f'{self.width}x{self.height} at {self.fps} frames/s, decimation {self.decimation},'
                f' hole_filling {self.hole_filling}: expected positive sizes and rate, decimation'
                ' 1 to 8, hole_filling -1 to 2'
            )
        if not 0 <= self.min_depth_m < (self.max_depth_m or np.inf):
            raise ConfigError(
                f'min_depth_m {self.min_depth_m:g}, max_depth_m {self.max_depth_m:g}: expected 0 <='
                ' min_depth_m < max_depth_m, or max_depth_m 0'
            )


@dataclass(frozen=True)
class View:
    """One picture: pixels (H, W) uint16 in steps of unit_m (0 = no reading) or (H, W, 3) uint8 RGB,
    and its camera with the distortion's five coefficients."""

    pixels: np.ndarray
    camera: Intrinsics
    distortion: tuple[float, ...]
    unit_m: float = 1e-3

    @property
    def depth_m(self) -> np.ndarray:
        """Depth (H, W) float32 in m, NaN = no reading."""
        return metres(self.pixels, self.unit_m)

    @property
    def millimetres(self) -> np.ndarray:
        """The same as ROS messages have it, (H, W) uint16, 0 = no reading."""
        return self.pixels if self.unit_m == 1e-3 else millimetres(self.depth_m)


@dataclass(frozen=True)
class Capture:
    """One moment: depth, and colour and depth in its view where they are streamed. stamp_ms:
    librealsense's own."""

    depth: View
    colour: View | None
    aligned: View | None
    stamp_ms: float


class RealSense:
    """Opens, reads, and can be opened again after the camera was unplugged.

    find: a function that gives librealsense's device, instead of the configuration's camera or
    recording; it gives None where there is none.
    """

    def __init__(
        self, config: RealSenseConfig = RealSenseConfig(), find: Callable[[], Any] | None = None
    ) -> None:
        import pyrealsense2

        self.rs, self.config, self.find = pyrealsense2, config, find or self._find
        self.context = pyrealsense2.context()
        self.device: Any = None
        self.sensors: list[Any] = []
        self.profiles: dict[str, Any] = {}

    def open(self, real_time: bool = True) -> str:
        """Start streaming; returns the camera's name. A recording is played in its own time, or as
        fast as it is read. Raises CameraError where there is no camera, or none with such
        streams."""
        rs, config = self.rs, self.config
        try:
            self.device = self.find()
            if self.device is None:
                raise CameraError(
                    f'no RealSense camera{" with serial " + config.serial if config.serial else ""}'
                    ' is connected: expected one on a USB 3 port; is another program using it?'
                )
            if self.device.is_playback():
                self.device.as_playback().set_real_time(real_time)
            self.syncer = rs.syncer(QUEUE)
            kinds = [(rs.stream.depth, rs.format.z16)]
            self._start([*kinds, (rs.stream.color, rs.format.rgb8)] if config.colour else kinds)
            self._filters = self._make_filters()
            self._align = (
                rs.align(rs.stream.color) if config.colour and config.align_depth else None
            )
            return (
                self.device.get_info(rs.camera_info.name)
                if self.device.supports(rs.camera_info.name)
                else 'RealSense'
            )
        except RuntimeError as error:
            self.close()
            what = (
                f'{self.config.file} cannot be played'
                if self.config.file
                else 'the camera cannot be started'
            )
            raise CameraError(f'{what}: {error}') from error
        except CameraError:
            self.close()
            raise

    def close(self) -> None:
        """Stop streaming. A camera that is gone is no error."""
        for sensor in self.sensors:
            for stop in (sensor.stop, sensor.close):
                try:
                    stop()
                except RuntimeError:
                    pass
        self.sensors, self.profiles, self.device = [], {}, None

    @property
    def ended(self) -> bool:
        """Whether a recording was played to its end."""
        return (
            self.device is not None
            and self.device.is_playback()
            and self.device.as_playback().current_status() == self.rs.playback_status.stopped
        )

    def colour_from_depth(self) -> np.ndarray | None:
        """Where depth's points are for the colour camera (4, 4) in m, in optical frames; None where
        there is no colour, or a recording does not say it."""
        if not {'depth', 'color'} <= set(self.profiles):
            return None
        try:
            between = self.profiles['depth'].get_extrinsics_to(self.profiles['color'])
        except RuntimeError:
            return None
        pose = np.eye(4)
        # librealsense counts down the columns.
        pose[:3, :3] = np.reshape(between.rotation, (3, 3)).T
        pose[:3, 3] = between.translation
        return pose

    def read(self, timeout_s: float = 1.0) -> Capture | None:
        """The next frames; None where none came in time. Raises CameraError where the camera
        fails."""
        try:
            came, frames = self.syncer.try_wait_for_frames(int(1000 * timeout_s))
            if not came or not frames.get_depth_frame():
                return None
            for one in self._filters:
                frames = one.process(frames).as_frameset()
            depth, colour = frames.get_depth_frame(), frames.get_color_frame()
            aligned = None
            if self._align is not None and colour:
                aligned = self._depth(self._align.process(frames).get_depth_frame())
            picture = None
            if colour:
                picture = View(_rgb(colour), *self._camera(colour))
            return Capture(self._depth(depth), picture, aligned, frames.get_timestamp())
        except RuntimeError as error:
            raise CameraError(f'the camera failed: {error}') from error

    def _find(self) -> Any:
        if self.config.file:
            if not Path(self.config.file).is_file():
                raise CameraError(
                    f'{self.config.file} does not exist: expected a recording of librealsense'
                    ' (.bag, .db3)'
                )
            return self.context.load_device(self.config.file)
        for device in self.context.query_devices():
            if (
                not self.config.serial
                or device.get_info(self.rs.camera_info.serial_number) == self.config.serial
            ):
                return device
        return None

    def _start(self, kinds: Sequence[tuple[Any, Any]]) -> None:
        """Start the sensors that have streams of these kinds and formats. A sensor is opened once:
        a D405's has both."""
        sensors = list(self.device.query_sensors())
        chosen: dict[int, list[Any]] = {}
        for kind, form in kinds:
            number, profile = self._choose(sensors, kind, form)
            chosen.setdefault(number, []).append(profile)
            self.profiles[str(kind).rpartition('.')[2]] = profile
        for number, profiles in chosen.items():
            sensors[number].open(profiles)
            self.sensors.append(sensors[number])
            sensors[number].start(self.syncer)

    def _choose(self, sensors: Sequence[Any], kind: Any, form: Any) -> tuple[int, Any]:
        """The number of the sensor that has a stream of this kind, as configured, and its profile;
        a recording's as it is. Raises CameraError where there is none."""
        config, name = self.config, str(kind).rpartition('.')[2]
        offered = [
            (number, profile.as_video_stream_profile())
            for number, sensor in enumerate(sensors)
            for profile in sensor.get_stream_profiles()
            if profile.stream_type() == kind
        ]
        fitting = [
            (number, profile)
            for number, profile in offered
            if self.device.is_playback()
            or (profile.width(), profile.height(), profile.fps(), profile.format())
            == (config.width, config.height, config.fps, form)
        ]
        if not fitting:
            have = sorted(
                {f'{p.width()}x{p.height()}@{p.fps()}' for _, p in offered if p.format() == form}
            )
            raise CameraError(
                f'the camera has no {name} of {config.width}x{config.height} at {config.fps}'
                f' frames/s: expected one of {", ".join(have) or "none"}'
            )
        return fitting[0]

    def _make_filters(self) -> list[Any]:
        """librealsense's post-processing in the order that it recommends, spatial and temporal in
        disparity."""
        rs, config = self.rs, self.config
        out = []
        if config.decimation > 1:
            out.append(rs.decimation_filter(config.decimation))
        if config.min_depth_m or config.max_depth_m:
            out.append(rs.threshold_filter(config.min_depth_m, config.max_depth_m or 16.0))
        smooth = [
            make()
            for make, wanted in (
                (rs.spatial_filter, config.spatial),
                (rs.temporal_filter, config.temporal),
            )
            if wanted
        ]
        if smooth:
            out += [rs.disparity_transform(True), *smooth, rs.disparity_transform(False)]
        if config.hole_filling >= 0:
            out.append(rs.hole_filling_filter(config.hole_filling))
        return out

    def _depth(self, frame: Any) -> View:
        unit_m = frame.get_units()
        # Some cameras count in tenths of a millimetre; a millimetre comes as a float32.
        unit_m = 1e-3 if abs(unit_m - 1e-3) < 1e-9 else unit_m
        return View(np.asanyarray(frame.get_data()).copy(), *self._camera(frame), unit_m)

    def _camera(self, frame: Any) -> tuple[Intrinsics, tuple[float, ...]]:
        k = frame.profile.as_video_stream_profile().intrinsics
        return Intrinsics(k.fx, k.fy, k.ppx, k.ppy, k.width, k.height), tuple(k.coeffs)


def _rgb(frame: Any) -> np.ndarray:
    """A colour frame's pixels, (H, W, 3) uint8 RGB. Raises CameraError for other formats."""
    name = str(frame.profile.format()).rpartition('.')[2]
    if name not in COLOURS:
        raise CameraError(f'colour is recorded as {name}: expected {", ".join(COLOURS)}')
    pixels: np.ndarray = np.asanyarray(frame.get_data())
    return pixels[..., :3][..., :: COLOURS[name]].copy()


def read_realsense(path: Path, colour: bool = False) -> Iterator[Frame]:
    """Every depth frame of a recording of librealsense, in order; with colour, in the colour
    camera's view, those that have a colour picture. Raises CameraError where it cannot be read."""
    camera = RealSense(RealSenseConfig(file=str(path), repeat=False, colour=colour))
    camera.open(real_time=False)
    first = True
    try:
        while True:
            capture = camera.read(READ_FILE_S)
            if capture is None:
                if camera.ended:
                    return
                continue
            depth, aligned, picture = capture.depth, capture.aligned, capture.colour
            view = aligned if colour and aligned is not None else depth
            if first and (warning := lens_warning(view.camera, view.distortion)):
                warnings.warn(f'{path}: {warning}', InseganWarning, stacklevel=2)
            first = False
            stamp_ns = int(capture.stamp_ms * 1e6)
            if not colour:
                yield Frame(depth.depth_m, depth.camera, stamp_ns=stamp_ns)
            elif aligned is not None and picture is not None:
                frame_id = 'camera_color_optical_frame'
                yield Frame(aligned.depth_m, aligned.camera, picture.pixels, stamp_ns, frame_id)
    finally:
        camera.close()
