"""RGB pictures: solid textures, lamps with shadows, backgrounds, a camera's noise. All varied by
one random stream.

For methods that learn from colour it is variety that matters, not beauty; a path tracer would need
a GPU or minutes.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import open3d as o3d
import trimesh

from insegan_sim.camera import Camera, Rendering
from insegan_sim.parts import Part
from insegan_sim.shapes import FRUIT

PATTERNS = ('plain', 'blotches', 'stripes', 'checks', 'band')
INDUSTRIAL = np.array(
    [
        (0.62, 0.63, 0.65),
        (0.45, 0.46, 0.48),
        (0.72, 0.58, 0.30),
        (0.70, 0.40, 0.26),
        (0.15, 0.15, 0.16),
        (0.80, 0.80, 0.78),
    ]
)
# From unripe to dark.
RIPENESS = np.array(
    [
        (0.72, 0.66, 0.25),
        (0.85, 0.50, 0.22),
        (0.78, 0.24, 0.18),
        (0.50, 0.12, 0.20),
        (0.30, 0.12, 0.28),
    ]
)


@dataclass(frozen=True)
class Material:
    """A surface: two colours (3,) in linear RGB, the pattern that mixes them, its wave vectors (6,
    3) in rad/m and phases (6,), and gloss in [0, 1]."""

    base: np.ndarray
    other: np.ndarray
    pattern: str
    waves: np.ndarray
    phases: np.ndarray
    gloss: float

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        palette: np.ndarray | None = None,
        size_m: float = 0.08,
        pattern: str = '',
    ) -> Material:
        """A random one: of any colour, or near one of a palette (N, 3). size_m: the size of the
        thing, for the pattern's scale."""
        if palette is None:
            base, other = rng.uniform(0.03, 0.9, (2, 3)) ** 1.5
        else:
            near = palette[rng.integers(len(palette))] * rng.uniform(0.85, 1.15, 3)
            base = np.clip(near, 0.02, 0.95) ** 1.5
            other = base * rng.uniform(0.6, 0.9)
        waves = rng.normal(size=(6, 3)) * 2 * np.pi / size_m * rng.uniform(0.8, 2.5)
        return cls(
            base,
            other,
            pattern or str(rng.choice(PATTERNS)),
            waves,
            rng.uniform(0, 2 * np.pi, 6),
            float(rng.uniform(0, 0.6)),
        )

    def at(self, points: np.ndarray) -> np.ndarray:
        """Albedo (N, 3) at points (N, 3) in m of the thing's own frame."""
        if self.pattern == 'plain':
            return np.broadcast_to(self.base, points.shape)
        angle = points @ self.waves.T + self.phases
        if self.pattern == 'blotches':
            mix = 1 / (1 + np.exp(-3 * np.sin(angle).sum(1)))
        elif self.pattern == 'stripes':
            mix = (np.sin(angle[:, 0]) > 0).astype(float)
        elif self.pattern == 'checks':
            mix = (np.sin(angle[:, 0]) * np.sin(angle[:, 1]) > 0).astype(float)
        else:
            mix = (np.cos(0.35 * angle[:, 0]) > 0.2).astype(float)
        return self.base + mix[:, None] * (self.other - self.base)


def material_of(part: Part) -> Material:
    """A part's own look, the same in every scene: a product keeps its print, an industrial part its
    metal or plastic."""
    own = np.random.default_rng(zlib.crc32(part.name.encode()))
    if part.name.startswith('product-'):
        return Material.draw(own, size_m=part.diameter_m / 2)
    return Material.draw(own, INDUSTRIAL, part.diameter_m, pattern='plain')


def _fruit(part: Part, rng: np.random.Generator) -> Material:
    """The look of one fruit: no two of a part are of a colour."""
    return Material.draw(rng, RIPENESS, part.diameter_m, pattern='blotches')


def shade(
    rendering: Rendering,
    camera: Camera,
    parts: Sequence[Part],
    world_poses: np.ndarray,
    rng: np.random.Generator,
    patterned: bool = False,
) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a rendering with surfaces, of parts at world-from-object poses (N, 4,
    4); lamps, background and noise are drawn from rng. patterned: the container is printed with a
    pattern in two colours, not of one colour. Raises InputError for a rendering without
    surfaces."""
    shape = rendering.depth_m.shape
    normals, _ = rendering.require_surfaces()
    points = camera.intrinsics.points(np.nan_to_num(rendering.depth_m))
    normals = normals * np.where((normals * points).sum(-1, keepdims=True) > 0, -1, 1)
    albedo, gloss = _surfaces(rendering, camera, parts, rng, patterned)
    light = np.full((*shape, 3), rng.uniform(0.15, 0.4))
    shine = np.zeros((*shape, 3))
    view = -points / np.maximum(np.linalg.norm(points, axis=-1, keepdims=True), 1e-9)
    scene = _scene(camera, parts, world_poses)
    for number in range(int(rng.integers(1, 4))):
        towards = _lamp(camera, rng) - points
        towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
        strength = rng.uniform(0.3, 0.9) * rng.uniform(0.85, 1.0, 3)
        lit = np.clip((normals * towards).sum(-1), 0, None)
        if number == 0:
            lit = lit * ~_shadowed(scene, points, normals, towards)
        half_way = towards + view
        half_way /= np.maximum(np.linalg.norm(half_way, axis=-1, keepdims=True), 1e-9)
        glint = np.clip((normals * half_way).sum(-1), 0, 1) ** 40 * (lit > 0) * gloss
        light += lit[..., None] * strength
        shine += glint[..., None] * strength
    seen = np.isfinite(rendering.depth_m)
    picture = np.where(seen[..., None], albedo * light + 0.4 * shine, 0.02)
    return _exposed(picture, rng)


def _surfaces(
    rendering: Rendering,
    camera: Camera,
    parts: Sequence[Part],
    rng: np.random.Generator,
    patterned: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Albedo (H, W, 3) and gloss (H, W) of what is seen: table, container, parts."""
    shape = rendering.depth_m.shape
    _, surface = rendering.require_surfaces()
    albedo, gloss = np.zeros((*shape, 3)), np.zeros(shape)
    # Table and container, told apart by their place.
    table = Material.draw(rng, size_m=camera.container.width_m)
    pattern = str(rng.choice(PATTERNS[1:])) if patterned else 'plain'
    walls = Material.draw(rng, size_m=camera.container.width_m, pattern=pattern)
    half = np.array([camera.container.width_m, camera.container.depth_m]) / 2
    outside = (rendering.labels == 0) & (np.abs(surface[..., :2]) > half + 0.02).any(-1)
    for mask, material in ((rendering.labels == 0, walls), (outside, table)):
        albedo[mask], gloss[mask] = material.at(surface[mask]), material.gloss
    tint = rng.uniform(0.9, 1.1, 3)
    for index, part in enumerate(parts):
        mask = rendering.labels == index + 1
        if mask.any():
            material = _fruit(part, rng) if part.name in FRUIT else material_of(part)
            albedo[mask], gloss[mask] = material.at(surface[mask]) * tint, material.gloss
    return albedo, gloss


def _lamp(camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """A lamp's place (3,) in the camera's frame, in m: above the container in the world, where most
    of the light comes from."""
    reach = max(camera.distance_m, 0.3)
    lamp_world = np.array([*rng.uniform(-3, 3, 2), rng.uniform(1.0, 3.0)]) * reach
    if camera.container.kind == 'shelf':
        lamp_world[1] = -abs(lamp_world[1]) - camera.distance_m
    return camera.camera_from_world[:3, :3] @ lamp_world + camera.camera_from_world[:3, 3]


def _exposed(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light (H, W, 3) as the camera gives it, uint8: exposure to the scene, then the sensor's blur,
    noise, gamma."""
    picture = picture * rng.uniform(0.35, 0.55) / max(float(np.quantile(picture, 0.8)), 0.05)
    picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.3, 0.8)))
    noise = rng.normal(0, rng.uniform(0.004, 0.02), picture.shape)
    picture = np.clip(picture, 0, 1) ** (1 / 2.2) + noise
    return (np.clip(picture, 0, 1) * 255).round().astype(np.uint8)


def _scene(
    camera: Camera, parts: Sequence[Part], world_poses: np.ndarray
) -> o3d.t.geometry.RaycastingScene:
    """Everything at once, in the camera's frame: shadows fall from each on all."""
    scene = o3d.t.geometry.RaycastingScene(nthreads=1)
    pairs: list[tuple[trimesh.Trimesh, np.ndarray]] = [
        (camera.container.mesh(), camera.camera_from_world)
    ]
    pairs += [
        (part.mesh, camera.camera_from_world @ pose) for part, pose in zip(parts, world_poses)
    ]
    for mesh, pose in pairs:
        vertices = trimesh.transform_points(mesh.vertices, pose).astype(np.float32)
        scene.add_triangles(
            o3d.core.Tensor.from_numpy(vertices),
            o3d.core.Tensor.from_numpy(np.asarray(mesh.faces, np.uint32)),
        )
    return scene


def _shadowed(
    scene: o3d.t.geometry.RaycastingScene,
    points: np.ndarray,
    normals: np.ndarray,
    towards: np.ndarray,
) -> np.ndarray:
    """Which points (H, W, 3) with normals (H, W, 3) something hides from a lamp towards (H, W, 3),
    (H, W) bool."""
    rays = np.concatenate([points + 0.0005 * normals, towards], -1).astype(np.float32)
    return scene.test_occlusions(o3d.core.Tensor.from_numpy(rays), nthreads=1).numpy()
