"""Parametric parts: watertight meshes in metres, centred on their centre of mass, with convex pieces for the physics."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import trimesh

from insegan_ros.errors import unknown

STEEL_KG_M3 = 7850.0


@dataclass(frozen=True)
class Part:
    """A part as the simulator uses it. Lengths in m; bin_width_m is the inner width of the bin that suits five of it."""

    name: str
    mesh: trimesh.Trimesh
    pieces: tuple[trimesh.Trimesh, ...]
    bin_width_m: float
    friction: float = 0.4

    @property
    def mass_kg(self) -> float:
        """Mass of the solid part in steel."""
        return float(self.mesh.volume * STEEL_KG_M3)

    @property
    def diameter_m(self) -> float:
        """Diameter of the sphere around the centre of mass that holds the part."""
        return float(2 * np.linalg.norm(self.mesh.vertices, axis=1).max())


def _nut() -> trimesh.Trimesh:
    hexagon = trimesh.creation.cylinder(radius=0.036, height=0.030, sections=6)
    return hexagon.difference(trimesh.creation.cylinder(radius=0.018, height=0.06, sections=48), engine='manifold')


def _bolt() -> trimesh.Trimesh:
    head = trimesh.creation.cylinder(radius=0.030, height=0.022, sections=6)
    shank = trimesh.creation.cylinder(radius=0.014, height=0.080, sections=32)
    shank.apply_translation([0, 0, 0.045])
    return head.union(shank, engine='manifold')


def _cylinder() -> trimesh.Trimesh:
    return trimesh.creation.cylinder(radius=0.020, height=0.070, sections=48)


def _cone() -> trimesh.Trimesh:
    return trimesh.creation.cone(radius=0.032, height=0.075, sections=48)


# name -> (mesh, inner width of the bin in m). The widths make five parts touch and overlap without hiding each other for good.
PARTS: dict[str, tuple[Callable[[], trimesh.Trimesh], float]] = {
    'nut': (_nut, 0.20),
    'bolt': (_bolt, 0.24),
    'cylinder': (_cylinder, 0.185),
    'cone': (_cone, 0.195),
}


@lru_cache(maxsize=None)
def load_part(name: str) -> Part:
    """The part of this name, its convex pieces computed once a process. Raises ConfigError for an unknown name."""
    if name not in PARTS:
        raise unknown('part', name, list(PARTS))
    build, bin_width_m = PARTS[name]
    mesh = build()
    mesh.apply_translation(-mesh.center_mass)
    return Part(name, mesh, tuple(convex_pieces(mesh)), bin_width_m)


def convex_pieces(mesh: trimesh.Trimesh, threshold: float = 0.1) -> list[trimesh.Trimesh]:
    """Approximate convex decomposition (CoACD), deterministic; a convex mesh is its own single piece."""
    if mesh.is_convex:
        return [mesh.convex_hull]
    import coacd
    coacd.set_log_level('error')
    parts = coacd.run_coacd(coacd.Mesh(np.asarray(mesh.vertices), np.asarray(mesh.faces)), threshold=threshold, seed=0)
    return [trimesh.Trimesh(vertices, faces).convex_hull for vertices, faces in parts]
