"""What a depth sensor makes of ideal depth. Parameters and their sources: config/sensors/*.yaml."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import cv2
import numpy as np

from insegan_ros.errors import ConfigError
from insegan_ros.files import shipped_file
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.texts import read_mapping


@dataclass(frozen=True)
class IdealSensor:
    """Depth as it is."""

    def measure(self, frame: Frame, rng: np.random.Generator) -> Frame:
        """The frame itself."""
        return frame

    def scaled(self, scale: float) -> IdealSensor:
        """The same for any size of px."""
        return self


@dataclass(frozen=True)
class StereoSensor:
    """An active stereo camera whose left imager is the depth's frame. See config/sensors/d435.yaml
    for units and sources."""

    baseline_m: float = 0.050
    disparity_step_px: float = 1 / 32
    disparity_rms_px: float = 0.06
    window_px: int = 5
    edge_hole_share: float = 0.35
    flying_share: float = 0.15
    edge_step_share: float = 0.015
    edge_smear_px: float = 0.0
    shadow: bool = True
    steep_from_deg: float = 72.0
    steep_to_deg: float = 84.0
    hole_share: float = 0.004
    min_depth_m: float = 0.28
    max_depth_m: float = 10.0
    depth_unit_m: float = 0.001

    def __post_init__(self) -> None:
        for name in ('edge_hole_share', 'flying_share', 'hole_share'):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f'sensor: {name} is {getattr(self, name)}: expected 0 to 1')
        for name in ('baseline_m', 'window_px', 'min_depth_m', 'depth_unit_m', 'edge_step_share'):
            if getattr(self, name) <= 0:
                raise ConfigError(f'sensor: {name} is {getattr(self, name)}: expected more than 0')
        for name in ('disparity_step_px', 'disparity_rms_px', 'edge_smear_px'):
            if getattr(self, name) < 0:
                raise ConfigError(f'sensor: {name} is {getattr(self, name)}: expected 0 or more')
        if not self.steep_from_deg < self.steep_to_deg <= 90:
            raise ConfigError(
                f'sensor: steep_from_deg {self.steep_from_deg}, steep_to_deg {self.steep_to_deg}:'
                ' expected from < to <= 90'
            )

    def scaled(self, scale: float) -> StereoSensor:
        """The same camera in px that are coarser by this factor up to 1: noise in metres and widths
        in angles stay what they are."""
        window_px = max(round(self.window_px * scale), 1)
        return replace(
            self,
            disparity_step_px=self.disparity_step_px * scale,
            disparity_rms_px=self.disparity_rms_px * scale,
            edge_smear_px=self.edge_smear_px * scale,
            # OpenCV's windows have a middle.
            window_px=window_px + 1 - window_px % 2,
        )

    def measure(self, frame: Frame, rng: np.random.Generator) -> Frame:
        """The frame as the camera would deliver it: noisy, quantised, with holes (NaN)."""
        ideal, k = frame.depth_m, frame.intrinsics
        # Geometry first, on the ideal picture: where a match is impossible.
        lost = ~np.isfinite(ideal) | (ideal < self.min_depth_m) | (ideal > self.max_depth_m)
        if self.shadow:
            lost |= self.shadowed(ideal, k)
        lost |= rng.random(ideal.shape) < self._steepness(ideal, k)
        edge, depth = self._edges(ideal, rng)
        if self.edge_smear_px:
            depth = self._smeared(depth, ideal)
        lost |= edge & (rng.random(ideal.shape) < self.edge_hole_share)
        lost |= self._blobs(ideal.shape, rng)
        # Then the measurement: disparity with correlated noise, in steps; depth on the output's
        # grid.
        with np.errstate(divide='ignore', invalid='ignore'):
            disparity = k.fx * self.baseline_m / depth
            disparity += self.disparity_rms_px * self._grain(ideal.shape, rng)
            if self.disparity_step_px:
                disparity = np.round(disparity / self.disparity_step_px) * self.disparity_step_px
            measured = k.fx * self.baseline_m / np.where(disparity > 0, disparity, np.nan)
            measured = np.round(measured / self.depth_unit_m) * self.depth_unit_m
        measured[lost] = np.nan
        return replace(frame, depth_m=measured.astype(np.float32))

    def shadowed(self, depth_m: np.ndarray, k: Intrinsics) -> np.ndarray:
        """(H, W) bool: seen by the left imager, hidden from the right one, which lies baseline_m
        towards +x.

        A pixel u is matched at u - fx b / z. It is hidden where a nearer surface further right is
        matched at or left of it.
        """
        far = np.nan_to_num(depth_m, nan=np.inf)
        matched = np.arange(k.width) - k.fx * self.baseline_m / far
        beyond = np.full_like(matched, np.inf)
        beyond[:, :-1] = np.minimum.accumulate(matched[:, ::-1], axis=1)[:, ::-1][:, 1:]
        return matched > beyond + 0.5

    def _steepness(self, depth_m: np.ndarray, k: Intrinsics) -> np.ndarray:
        """Chance of no reading, from the angle between surface and line of sight; steps are edges,
        not faces."""
        points = k.points(depth_m)
        across, down = np.gradient(points, axis=1), np.gradient(points, axis=0)
        normal = np.cross(across, down)
        with np.errstate(invalid='ignore', divide='ignore'):
            cosine = np.abs((normal * points).sum(-1)) / (
                np.linalg.norm(normal, axis=-1) * np.linalg.norm(points, axis=-1)
            )
            angle = np.degrees(np.arccos(np.clip(cosine, 0, 1)))
        chance = np.clip(
            (angle - self.steep_from_deg) / (self.steep_to_deg - self.steep_from_deg), 0, 1
        )
        return np.where(np.isfinite(chance) & ~self._steps(depth_m), chance, 0)

    def _steps(self, depth_m: np.ndarray) -> np.ndarray:
        filled = np.nan_to_num(depth_m, nan=0).astype(np.float32)
        kernel = np.ones((3, 3), np.uint8)
        return cv2.dilate(filled, kernel) - cv2.erode(
            filled, kernel
        ) > self.edge_step_share * np.maximum(filled, 1e-3)

    def _edges(
        self, depth_m: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pixels within the window of an edge, and the depth with a share of them between the two
        sides."""
        filled = np.nan_to_num(depth_m, nan=0).astype(np.float32)
        kernel = np.ones((self.window_px, self.window_px), np.uint8)
        near = cv2.erode(np.where(filled > 0, filled, np.inf).astype(np.float32), kernel)
        far = cv2.dilate(filled, kernel)
        edge = cv2.dilate(self._steps(depth_m).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        flying = edge & np.isfinite(near) & (rng.random(depth_m.shape) < self.flying_share)
        between = far - rng.random(depth_m.shape) * (far - np.where(flying, near, far))
        return edge, np.where(flying, between, depth_m)

    def _smeared(self, depth_m: np.ndarray, ideal_m: np.ndarray) -> np.ndarray:
        """Depth whose disparity is blurred beside the ideal depth's steps, by a Gaussian of
        edge_smear_px: the matcher's window sees both sides."""
        known = np.isfinite(depth_m)
        inverse = np.where(known, 1 / np.where(known, depth_m, 1), 0).astype(np.float32)
        sigma = self.edge_smear_px
        weight = cv2.GaussianBlur(known.astype(np.float32), (0, 0), sigma)
        blurred = cv2.GaussianBlur(inverse, (0, 0), sigma) / np.maximum(weight, 1e-6)
        reach = 2 * int(np.ceil(3 * sigma)) + 1
        beside = cv2.dilate(
            self._steps(ideal_m).astype(np.uint8), np.ones((reach, reach), np.uint8)
        )
        return np.where(known & (beside > 0), 1 / np.maximum(blurred, 1e-6), depth_m)

    def _grain(self, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """Noise of unit variance, correlated over the window."""
        smooth = cv2.GaussianBlur(rng.standard_normal(shape), (0, 0), self.window_px / 3)
        return smooth / smooth.std()

    def _blobs(self, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        if not self.hole_share:
            return np.zeros(shape, bool)
        grain = self._grain(shape, rng)
        return grain > np.quantile(grain, 1 - self.hole_share)


Sensor = IdealSensor | StereoSensor
MODELS: dict[str, type] = {'ideal': IdealSensor, 'stereo': StereoSensor}
# What a file's values must be, in words.
KINDS = {bool: 'yes or no', int: 'a whole number', float: 'a number'}


def load_sensor(name: str) -> Sensor:
    """A sensor by the name of a shipped file (ideal, noise, d435) or by a YAML file of one's own.
    Raises ConfigError."""
    path = (
        Path(name)
        if name.endswith(('.yaml', '.yml'))
        else shipped_file('config', f'sensors/{Path(name).name}.yaml')
    )
    if path is None or not path.is_file():
        raise ConfigError(
            f'no sensor "{name}": expected ideal, noise, d435, or a YAML file such as'
            ' config/sensors/d435.yaml'
        )
    values = read_mapping(path, ConfigError)
    if values.get('model') not in (*MODELS,):
        raise ConfigError(
            f'{path} names no sensor model: expected "model: ideal" or "model: stereo"'
        )
    model = MODELS[values.pop('model')]
    known = {field.name: type(field.default) for field in fields(model)}
    for key, value in values.items():
        if key not in known:
            raise ConfigError(
                f'{path}: unknown value "{key}": expected one of {", ".join(sorted(known))}'
            )
        fits = type(value) is known[key] or (type(value) is int and known[key] is float)
        if not fits or not abs(value) < np.inf:
            raise ConfigError(f'{path}: {key} is {value!r}: expected {KINDS[known[key]]}')
    return model(**values)
