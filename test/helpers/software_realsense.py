"""A camera without hardware, made of librealsense's own software device: what comes out has gone
through the real library."""

from __future__ import annotations

import threading
import time

import numpy as np

WIDTH, HEIGHT, FOCAL, UNIT_M = 320, 240, 300.0, 0.001


class SoftwareRealSense:
    """Depth and colour at 320x240; `feed` in a thread until stopped. shift_m: how far the colour
    camera stands to the right of depth's; form: of colour, as librealsense names it. together: one
    sensor gives both, as a D405's does."""

    def __init__(
        self,
        depth: np.ndarray,
        colour: np.ndarray,
        unit_m: float = UNIT_M,
        shift_m: float = 0.0,
        form: str = 'rgb8',
        together: bool = False,
    ) -> None:
        import pyrealsense2 as rs

        self.rs, self.unit_m, self.pixels = rs, unit_m, (depth, colour)
        self.device = rs.software_device()
        self.device.register_info(rs.camera_info.name, 'software device')
        self.device.register_info(rs.camera_info.serial_number, '42')
        first = self.device.add_sensor('Depth')
        self.sensors = [first, first if together else self.device.add_sensor('Color')]
        self.profiles = [
            sensor.add_video_stream(self._stream(number, *kind), True)
            for number, (sensor, kind) in enumerate(
                zip(
                    self.sensors,
                    (
                        (rs.stream.depth, rs.format.z16, 2),
                        (rs.stream.color, getattr(rs.format, form), colour.shape[2]),
                    ),
                ),
                start=1,
            )
        ]
        self.sensors[0].add_read_only_option(rs.option.depth_units, unit_m)
        between = rs.extrinsics()
        between.rotation, between.translation = [1, 0, 0, 0, 1, 0, 0, 0, 1], [-shift_m, 0, 0]
        self.profiles[0].register_extrinsics_to(self.profiles[1], between)
        self.device.create_matcher(rs.matchers.default)
        self.feeding = True
        self.thread = threading.Thread(target=self._feed, daemon=True)
        self.thread.start()

    def _stream(self, number: int, kind, form, bytes_: int):
        stream, k = self.rs.video_stream(), self.rs.intrinsics()
        k.width, k.height, k.fx, k.fy, k.ppx, k.ppy = WIDTH, HEIGHT, FOCAL, FOCAL, 159.5, 119.5
        k.model = self.rs.distortion.brown_conrady
        k.coeffs = [0.1, 0.0, 0.0, 0.0, 0.0] if number == 2 else [0.0] * 5
        stream.type = kind
        stream.index = 0
        stream.uid = number
        stream.width = WIDTH
        stream.height = HEIGHT
        stream.fps, stream.bpp, stream.fmt, stream.intrinsics = 30, bytes_, form, k
        return stream

    def _feed(self) -> None:
        count = 0
        while self.feeding:
            for sensor, profile, pixels in zip(self.sensors, self.profiles, self.pixels):
                frame = self.rs.software_video_frame()
                frame.pixels = pixels
                frame.bpp = pixels[0, 0].nbytes
                frame.stride = pixels[0].nbytes
                frame.timestamp = count * 33.3
                frame.domain = self.rs.timestamp_domain.hardware_clock
                frame.frame_number = count
                frame.profile = profile.as_video_stream_profile()
                if pixels.ndim == 2:
                    frame.depth_units = self.unit_m
                try:
                    sensor.on_video_frame(frame)
                except RuntimeError:
                    # Not started, or stopped just now.
                    pass
            count += 1
            time.sleep(0.033)

    def unplug(self) -> None:
        """No frames come any more."""
        self.feeding = False
        self.thread.join()
