"""What the parts lie in: a bin on a table, a tote, a compartment of a shelf. World frame: origin at
the floor's centre, z up, metres."""

from __future__ import annotations

from dataclasses import dataclass

import trimesh

from insegan_ros.errors import ConfigError
from insegan_sim.mouldings import SLOPE_DEG, TALL_M, THICK_M, Guide, Moulding

KINDS = ('bin', 'tote', 'shelf', 'moulded')
WALL_M = 0.004


@dataclass(frozen=True)
class Container:
    """Inner width (x), depth (y) and height (z) in m.

    A bin stands on a wide table and a tote is a bin with thick walls, both seen from above; a
    shelf's compartment is open to -y and seen from there. A moulded bin has round corners, a round
    foot and walls that lean outwards; its width and depth are where the walls' faces would meet the
    floor.
    """

    kind: str
    width_m: float
    depth_m: float
    height_m: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(
                f'unknown container "{self.kind}": expected one of {", ".join(KINDS)}'
            )

    @property
    def moulding(self) -> Moulding | None:
        """What shape its walls have; None where they are upright boards."""
        moulded = self.kind == 'moulded'
        return Moulding(self.width_m, self.depth_m, self.height_m) if moulded else None

    @property
    def rounding(self) -> tuple[float, float, float]:
        """Radii of its corners and of its foot in m, and degrees that its walls lean outwards."""
        made = self.moulding
        return (made.corner_m, made.foot_m, SLOPE_DEG) if made else (0.0, 0.0, 0.0)

    def guides(self) -> list[Guide]:
        """Floor and walls of the physics: thick, and far higher than the ones that are seen, so
        that no part is lost while it falls. A part that rests against what is not seen is found by
        `World`."""
        x, y = self.width_m / 2, self.depth_m / 2
        out = [Guide([x + 2 * THICK_M, y + 2 * THICK_M, THICK_M], [0, 0, -THICK_M])]
        if self.moulding:
            return [*out, *self.moulding.guides()]
        for sign in (-1, 1):
            out.append(Guide([THICK_M, y + 2 * THICK_M, TALL_M], [sign * (x + THICK_M), 0, TALL_M]))
            out.append(Guide([x + 2 * THICK_M, THICK_M, TALL_M], [0, sign * (y + THICK_M), TALL_M]))
        return out

    def mesh(self) -> trimesh.Trimesh:
        """The surface that the camera sees, in m in the world frame."""
        wall = 3 * WALL_M if self.kind in ('tote', 'shelf') else WALL_M
        x, y, z = self.width_m, self.depth_m, self.height_m
        around = 20 * max(x, y) if self.kind != 'shelf' else max(x, y) + 2 * wall
        boxes = [([around, around if self.kind != 'shelf' else y, 0.001], [0, 0, -0.0005])]
        for sign in () if self.moulding else (-1, 1):
            boxes.append(([wall, y + 2 * wall, z], [sign * (x + wall) / 2, 0, z / 2]))
            if self.kind != 'shelf' or sign > 0:
                boxes.append(([x + 2 * wall, wall, z], [0, sign * (y + wall) / 2, z / 2]))
        if self.kind == 'shelf':
            # The board above, and the room behind: a camera that looks past the compartment sees
            # something.
            boxes += [
                ([x + 2 * wall, y, wall], [0, 0, z + wall / 2]),
                ([20 * x, 0.001, 20 * z], [0, y / 2 + wall + 0.3, 0]),
            ]
        meshes: list[trimesh.Trimesh] = []
        for extents, centre in boxes:
            meshes.append(trimesh.creation.box(extents))
            meshes[-1].apply_translation(centre)
        if self.moulding:
            meshes.append(self.moulding.mesh(wall))
        joined = trimesh.util.concatenate(meshes)
        assert isinstance(joined, trimesh.Trimesh), 'meshes make a mesh'
        return joined
