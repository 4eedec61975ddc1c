"""Parts as the simulator uses them: watertight meshes in metres about their centre of mass, convex
pieces, mass, symmetries."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product as pairs

import numpy as np
import trimesh
from scipy.spatial.transform import Rotation

from insegan_ros.errors import ConfigError, unknown
from insegan_sim import shapes

STEEL_KG_M3, GROCERY_KG_M3 = 7850.0, 700.0
# The InSeGAN paper's ten parts.
PARTS: tuple[str, ...] = tuple(shapes.INSTA10)
SHAPES = shapes.INSTA10 | shapes.OTHERS
PRODUCTS = 1000


@dataclass(frozen=True)
class Part:
    """A part. Lengths in m, origin at the centre of mass.

    pieces are convex and cover the mesh, so parts that do not interpenetrate in the physics do not
    in the picture. symmetries: generators (axis, fold) of the rotations that map the part onto
    itself, fold 0 for any angle.
    """

    name: str
    mesh: trimesh.Trimesh
    pieces: tuple[trimesh.Trimesh, ...]
    symmetries: tuple[shapes.Symmetry, ...] = ()
    density_kg_m3: float = STEEL_KG_M3
    friction: float = 0.4
    file_origin_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Where the origin of the mesh's file lies: files have it anywhere."""

    @property
    def mass_kg(self) -> float:
        """Mass of the solid part in kg."""
        return float(self.mesh.volume * self.density_kg_m3)

    @property
    def moved(self) -> bool:
        """Whether its file has another origin."""
        return bool(np.abs(self.file_origin_m).max() > 1e-6)

    @property
    def diameter_m(self) -> float:
        """Diameter in m of the sphere around the centre of mass that holds the part."""
        return float(2 * np.linalg.norm(self.mesh.vertices, axis=1).max())

    @property
    def footprint_m2(self) -> float:
        """Mean area in m² of its shadow over all orientations: a quarter of the convex hull's
        surface (Cauchy)."""
        return float(self.mesh.convex_hull.area / 4)

    def rotations(self, steps: int = 36) -> np.ndarray:
        """All rotations (N, 3, 3) that map the part onto itself; `steps` stand for a continuous
        one."""
        group = [np.eye(3)]
        for axis, fold in self.symmetries:
            count = fold or steps
            turns = Rotation.from_rotvec(
                np.outer(np.arange(count) * 2 * np.pi / count, axis)
            ).as_matrix()
            group = [a @ b for a, b in pairs(group, turns)]
        return np.stack(group)

    def info(self) -> dict[str, object]:
        """What BOP's models_info.json holds, in mm: diameter, box, symmetries beside the identity;
        and our name, mass, and where the origin of a user's file lies."""
        low, high = self.mesh.bounds * 1000
        discrete = Part(
            self.name, self.mesh, (), tuple(s for s in self.symmetries if s[1])
        ).rotations()[1:]
        blocks = [
            np.block([[rotation, np.zeros((3, 1))], [np.zeros((1, 3)), 1.0]])
            for rotation in discrete
        ]
        poses = [block.round(9).ravel().tolist() for block in blocks]
        continuous = [
            {'axis': list(axis), 'offset': [0.0, 0.0, 0.0]}
            for axis, fold in self.symmetries
            if not fold
        ]
        return {
            'name': self.name,
            'diameter': 1000 * self.diameter_m,
            **{f'min_{a}': float(v) for a, v in zip('xyz', low)},
            **{f'size_{a}': float(v) for a, v in zip('xyz', high - low)},
            'mass_kg': self.mass_kg,
            **({'file_origin': [1000 * v for v in self.file_origin_m]} if self.moved else {}),
            **({'symmetries_discrete': poses} if poses else {}),
            **({'symmetries_continuous': continuous} if continuous else {}),
        }


@cache
def load_part(name: str) -> Part:
    """The part of this name: one of SHAPES, or product-0 to product-999. Raises ConfigError for an
    unknown name."""
    if name in SHAPES:
        density = GROCERY_KG_M3 if name in shapes.FRUIT else STEEL_KG_M3
        return _in_metres(name, SHAPES[name](), density)
    if is_known(name):
        return _in_metres(name, shapes.product(int(name[8:])), GROCERY_KG_M3)
    raise unknown('part', name, [*SHAPES, f'product-0 to product-{PRODUCTS - 1}'])


def is_known(name: str) -> bool:
    """Whether the simulator has a part of this name."""
    product = name.startswith('product-') and name[8:].isdigit() and int(name[8:]) < PRODUCTS
    return name in SHAPES or product


def load_parts(names: str) -> tuple[Part, ...]:
    """The parts of names separated by commas; `product-0:20` is product-0 to product-19. Raises
    ConfigError."""
    found: list[str] = []
    for name in (word.strip() for word in names.split(',')):
        first, colon, end = name.removeprefix('product-').partition(':')
        if name.startswith('product-') and colon:
            if not (first.isdigit() and end.isdigit() and int(first) < int(end) <= PRODUCTS):
                raise ConfigError(
                    f'part "{name}" is not a range of products: expected one such as product-0:20,'
                    f' up to product-0:{PRODUCTS}'
                )
            found += [f'product-{number}' for number in range(int(first), int(end))]
        else:
            found.append(name)
    if len(set(found)) < len(found):
        raise ConfigError(f'part "{names}" names one part twice: expected each once')
    return tuple(load_part(name) for name in found)


def _in_metres(name: str, shape: shapes.Shape, density: float) -> Part:
    move = trimesh.transformations.scale_matrix(0.001) @ trimesh.transformations.translation_matrix(
        -shape.mesh.center_mass
    )
    mesh, pieces = shape.mesh.copy(), tuple(piece.copy() for piece in shape.pieces)
    for one in (mesh, *pieces):
        one.apply_transform(move)
    return Part(name, mesh, pieces, shape.symmetries, density)


def bin_width_m(parts: tuple[Part, ...], count: int, fill: float) -> float:
    """The inner width in m of a square bin whose floor `count` parts, side by side and each as
    large as its mean shadow, fill to this share."""
    area = float(np.mean([part.footprint_m2 for part in parts]))
    return max(
        float(np.sqrt(max(count, 1) * area / fill)), 1.2 * max(part.diameter_m for part in parts)
    )
