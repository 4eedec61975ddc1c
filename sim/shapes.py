"""The parametric shapes of the parts: what is seen, and the convex pieces that collide. Lengths in
mm, z is the main axis.

The seven parts of the InSeGAN paper's own library are made after its figures and names, the three
`obj…` in the manner of T-LESS objects 01, 05 and 14: look-alikes with sizes of our own, not copies
of their models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import trimesh

Solid = trimesh.Trimesh
# An axis through the centre of mass, and how many turns about it map a shape onto itself, 0 for
# any.
Symmetry = tuple[tuple[float, float, float], int]


@dataclass(frozen=True)
class Round:
    """How circles become polygons: around the circle (the physics, so that what is seen never
    interpenetrates) or in it."""

    sections: int
    around: bool

    def cylinder(
        self,
        radius: float,
        height: float,
        z: float = 0.0,
        x: float = 0.0,
        y: float = 0.0,
        top: float | None = None,
    ) -> Solid:
        """A cylinder that stands on z, or a frustum that narrows to the radius `top` (0 is a
        cone)."""
        # A pin needs no more corners than a nut.
        sections = self.sections if radius > 6 else self.sections // 2
        grow = 1 / np.cos(np.pi / sections) if self.around else 1.0
        angles = np.arange(sections) * 2 * np.pi / sections
        circle = np.stack([np.cos(angles), np.sin(angles), np.zeros_like(angles)], 1)
        upper = circle * grow * (radius if top is None else top) + [x, y, z + height]
        return trimesh.convex.convex_hull(
            np.concatenate([circle * grow * radius + [x, y, z], upper if top != 0 else upper[:1]])
        )


VISIBLE, PHYSICAL = Round(48, False), Round(16, True)


@dataclass(frozen=True)
class Shape:
    """A shape in mm: mesh that the camera sees, convex pieces that cover it, generators of its
    rotation group.

    symmetries: (axis, fold) with fold 0 for any angle; every axis goes through the centre of mass.
    """

    mesh: Solid
    pieces: tuple[Solid, ...]
    symmetries: tuple[Symmetry, ...] = ()


Z, X = (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)


def box(dx: float, dy: float, dz: float, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Solid:
    """A box that stands on z, centred on x and y."""
    solid = trimesh.creation.box([dx, dy, dz])
    solid.apply_translation([x, y, z + dz / 2])
    return solid


def _of_convex(solids: Callable[[Round], list[Solid]], *symmetries: Symmetry) -> Shape:
    seen = solids(VISIBLE)
    mesh = seen[0].union(seen[1:], engine='manifold') if len(seen) > 1 else seen[0]
    return Shape(mesh, tuple(solids(PHYSICAL)), symmetries)


def ring(outer: np.ndarray, inner: np.ndarray, height: float, z: float = 0.0) -> list[Solid]:
    """Convex wedges of a height that stand on z, between two polygons (N, 2) with as many corners
    each: a hole stays a hole."""
    wedges = []
    for here, there in zip(range(len(outer)), np.roll(range(len(outer)), -1)):
        corners = np.array([outer[here], outer[there], inner[there], inner[here]])
        low, high = (np.column_stack([corners, np.full(4, level)]) for level in (z, z + height))
        wedges.append(trimesh.convex.convex_hull(np.concatenate([low, high])))
    return wedges


def _polygon(radius: float, corners: int) -> np.ndarray:
    angles = np.arange(corners) * 2 * np.pi / corners
    return radius * np.stack([np.cos(angles), np.sin(angles)], 1)


def nut() -> Shape:
    """Hexagon nut, 72 across corners, 30 high, hole of 36."""
    mesh = trimesh.creation.cylinder(radius=36, height=30, sections=6).difference(
        trimesh.creation.cylinder(radius=18, height=60, sections=48), engine='manifold'
    )
    return Shape(mesh, tuple(ring(_polygon(36, 6), _polygon(18, 6), 30, -15)), ((Z, 6), (X, 2)))


def stopper() -> Shape:
    """Tapered plug, 37 long, with a flange and a knob."""
    return _of_convex(
        lambda r: [
            r.cylinder(16, 38, top=21),
            r.cylinder(28, 7, 38),
            r.cylinder(14, 17, 45, top=17),
        ],
        (Z, 0),
    )


def cylinder() -> Shape:
    """Cylinder, 40 across, 70 long."""
    return _of_convex(lambda r: [r.cylinder(20, 70)], (Z, 0), (X, 2))


def bolt() -> Shape:
    """Hexagon bolt, 96 long, shank of 28."""
    return _of_convex(
        lambda r: [
            trimesh.creation.cylinder(radius=30, height=22, sections=6),
            r.cylinder(14, 80, 5),
        ],
        (Z, 6),
    )


def cone() -> Shape:
    """Cone, 64 across, 75 high."""
    return _of_convex(lambda r: [r.cylinder(32, 75, top=0)], (Z, 0))


def connector() -> Shape:
    """Rectangular plug housing, 58 x 36 x 20, with an open cavity, a latch on top and a cable
    boot."""
    return _of_convex(
        lambda r: [
            box(26, 36, 20, -16),
            box(32, 36, 4, 13),
            box(32, 36, 4, 13, z=16),
            box(32, 4, 20, 13, -16),
            box(32, 4, 20, 13, 16),
            box(20, 12, 6, 4, z=20),
            box(16, 16, 12, -37, z=4),
        ]
    )


def five_pin() -> Shape:
    """Round plug, 52 across, with five pins."""

    def solids(r: Round) -> list[Solid]:
        pins = [r.cylinder(3, 20, 21, x, y) for x, y in _polygon(13, 5)]
        return [r.cylinder(26, 6), r.cylinder(22, 16, 5.5), *pins]

    return _of_convex(solids, (Z, 5))


def obj01() -> Shape:
    """In the manner of T-LESS 01: stepped socket with a collar and two lugs."""
    return _of_convex(
        lambda r: [
            r.cylinder(20, 24),
            r.cylinder(14, 24, 23),
            r.cylinder(17, 6, 42),
            box(54, 9, 11, z=6),
        ],
        (Z, 2),
    )


def obj05() -> Shape:
    """In the manner of T-LESS 05: rectangular base with two round terminals."""
    return _of_convex(
        lambda r: [box(60, 38, 22), r.cylinder(13, 22, 21, -15), r.cylinder(13, 22, 21, 15)], (Z, 2)
    )


def obj14() -> Shape:
    """In the manner of T-LESS 14: round base with a square block and a button."""
    return _of_convex(
        lambda r: [r.cylinder(31, 13), box(34, 34, 16, z=12), r.cylinder(10, 9, 27)], (Z, 4)
    )


def angle_bracket() -> Shape:
    """Angle bracket of 3 mm sheet, 60 x 40 and 40 high, a hole in either leg."""
    legs = [box(60, 40, 3, 30), box(3, 40, 40, 1.5)]
    below = trimesh.creation.cylinder(4, 20).apply_translation([40, 0, 0])
    beside = trimesh.creation.cylinder(3, 20, sections=32)
    beside.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [0, 1, 0]))
    beside.apply_translation([0, -8, 28])
    mesh = legs[0].union(legs[1], engine='manifold')
    return Shape(mesh.difference([below, beside], engine='manifold'), tuple(legs))


def plum() -> Shape:
    """A fruit: an ellipsoid, 36 across and 44 long."""
    fine, coarse = trimesh.creation.icosphere(3), trimesh.creation.icosphere(2)
    # Around the fine one, so that what is seen never interpenetrates.
    coarse.apply_scale(1 / (coarse.face_normals * coarse.triangles[:, 0]).sum(1).min())
    for ball in (fine, coarse):
        ball.apply_scale([18, 18, 22])
    return Shape(fine, (coarse,), ((Z, 0), (X, 2)))


INSTA10: dict[str, Callable[[], Shape]] = {
    'nut': nut,
    'stopper': stopper,
    'cylinder': cylinder,
    'bolt': bolt,
    'cone': cone,
    'connector': connector,
    '5-pin': five_pin,
    'obj01': obj01,
    'obj05': obj05,
    'obj14': obj14,
}
# What the paper has not: sheet, flatter than a noisy camera's edges are wide; and fruit, for heaps
# in colour.
OTHERS: dict[str, Callable[[], Shape]] = {'angle-bracket': angle_bracket, 'plum': plum}
FRUIT = frozenset({'plum'})


# Draws a length in mm between two.
Draw = Callable[[float, float], float]


def product(number: int) -> Shape:
    """One of the endless things on a shop's shelf: carton, can, bottle, tube, cup, bar of soap,
    sizes drawn from its number."""
    rng = np.random.default_rng([number, 77])
    kinds = (_carton, _can, _bottle, _tube, _cup, _soap)
    return kinds[number % len(kinds)](lambda low, high: float(rng.uniform(low, high)))


def _carton(mm: Draw) -> Shape:
    dx, dy, dz = mm(60, 130), mm(25, 70), mm(70, 160)
    return _of_convex(lambda r: [box(dx, dy, dz)], (Z, 2), (X, 2))


def _can(mm: Draw) -> Shape:
    radius, height = mm(25, 42), mm(50, 130)
    return _of_convex(lambda r: [r.cylinder(radius, height)], (Z, 0), (X, 2))


def _bottle(mm: Draw) -> Shape:
    radius, height, neck = mm(26, 40), mm(90, 140), mm(10, 16)
    return _of_convex(
        lambda r: [
            r.cylinder(radius, height),
            r.cylinder(radius, 25, height, top=neck),
            r.cylinder(neck, 22, height + 24),
        ],
        (Z, 0),
    )


def _tube(mm: Draw) -> Shape:
    radius, height, flat = mm(18, 28), mm(90, 150), mm(4, 8)

    def solids(r: Round) -> list[Solid]:
        seam = box(2 * radius, flat, 4, z=height)
        return [_around(r.cylinder(radius, 12), seam), r.cylinder(radius * 0.7, 16, -16)]

    return _of_convex(solids, (Z, 2))


def _cup(mm: Draw) -> Shape:
    outer, wall, height = mm(34, 48), mm(3, 5), mm(70, 110)
    mesh = trimesh.creation.cylinder(radius=outer, height=height, sections=48)
    hollow = trimesh.creation.cylinder(radius=outer - wall, height=height, sections=48)
    hollow.apply_translation([0, 0, 5])
    rim, inside = _polygon(outer / np.cos(np.pi / 24), 24), _polygon(outer - wall, 24)
    pieces = ring(rim, inside, height, -height / 2)
    return Shape(
        mesh.difference(hollow, engine='manifold'),
        (*pieces, PHYSICAL.cylinder(outer, 5, -height / 2)),
        ((Z, 0),),
    )


def _soap(mm: Draw) -> Shape:
    dx, dy, dz = mm(50, 90), mm(35, 60), mm(20, 35)
    return _of_convex(
        lambda r: [_around(box(dx, dy, dz * 0.5, z=dz * 0.25), box(dx * 0.8, dy * 0.8, dz))],
        (Z, 2),
        (X, 2),
    )


def _around(*solids: Solid) -> Solid:
    """The convex hull of solids."""
    return trimesh.convex.convex_hull(np.concatenate([solid.vertices for solid in solids]))
