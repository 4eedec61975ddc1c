"""What the parts lie in: a bin on a table, a tote, a compartment of a shelf. World frame: origin at
the floor's centre, z up, metres."""

from __future__ import annotations

from dataclasses import dataclass

import trimesh

from insegan_ros.errors import ConfigError

KINDS = ('bin', 'tote', 'shelf')
WALL_M = 0.004


@dataclass(frozen=True)
class Container:
    """Inner width (x), depth (y) and height (z) in m.

    A bin stands on a wide table and a tote is a bin with thick walls, both seen from above; a
    shelf's compartment is open to -y and seen from there.
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

    def guides(self) -> list[tuple[list[float], list[float]]]:
        """Floor and walls of the physics as (half extents, centre) in m: thick, and far higher than
        the ones that are seen, so that no part is lost while it falls. A part that rests against
        what is not seen is found by `World`."""
        thick, tall = 0.05, 1.0
        x, y = self.width_m / 2, self.depth_m / 2
        out = [([x + 2 * thick, y + 2 * thick, thick], [0, 0, -thick])]
        for sign in (-1, 1):
            out.append(([thick, y + 2 * thick, tall], [sign * (x + thick), 0, tall]))
            out.append(([x + 2 * thick, thick, tall], [0, sign * (y + thick), tall]))
        return out

    def mesh(self) -> trimesh.Trimesh:
        """The surface that the camera sees, in m in the world frame."""
        wall = WALL_M if self.kind == 'bin' else 3 * WALL_M
        x, y, z = self.width_m, self.depth_m, self.height_m
        around = 20 * max(x, y) if self.kind != 'shelf' else max(x, y) + 2 * wall
        boxes = [([around, around if self.kind != 'shelf' else y, 0.001], [0, 0, -0.0005])]
        for sign in (-1, 1):
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
        joined = trimesh.util.concatenate(meshes)
        assert isinstance(joined, trimesh.Trimesh), 'meshes make a mesh'
        return joined
