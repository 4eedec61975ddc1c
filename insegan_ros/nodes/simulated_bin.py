"""The bin that a simulated camera shows, as the node and the launch file both know it: which part,
how many, how full."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from insegan_ros.errors import ConfigError, InputError
from insegan_ros.files import user_path, write_whole
from insegan_ros.workspace import write_workspace
from insegan_sim.meshes import load_mesh_part
from insegan_sim.parts import PARTS, load_part
from insegan_sim.scenes import FILL, Setup, bin_setup


@dataclass(frozen=True)
class SimulatedBin:
    """What the parameters of `sim_camera` say of its bins. mesh: a user's part instead of `part`,
    mesh_scale metres in its unit; fill: the share of the floor that the parts would cover."""

    part: str = 'nut'
    mesh: str = ''
    mesh_scale: float = 1.0
    instances: int = 5
    fill: float = FILL
    seed: int = 100

    @property
    def name(self) -> str:
        """What lies in the bin, in a word."""
        return Path(self.mesh).stem if self.mesh else self.part

    @property
    def model(self) -> str:
        """The segmenter to use where none is named: the part's shipped checkpoint, or K-means for a
        part of which there is none."""
        return f'cutpaste-{self.part}' if self.part in PARTS and not self.mesh else 'kmeans'

    def setup(self, width: int = 640, height: int = 480) -> Setup:
        """The bins under a RealSense. Raises ConfigError, or InputError for a mesh that cannot be
        used."""
        if self.mesh:
            part = load_mesh_part(user_path(self.mesh, InputError), self.mesh_scale)
        else:
            part = load_part(self.part)
        if not 0.02 <= self.fill <= 20:
            raise ConfigError(f'fill is {self.fill:g}: expected 0.02 to 20')
        return bin_setup(part, self.instances, self.seed, (width, height), self.fill)

    def write_parameters(self, path: Path) -> None:
        """Write the segmenter's parameters for these bins as YAML: floor and bounds, and the number
        of parts and the mesh. Raises as `setup` does."""
        write_workspace(self.setup().camera.workspace, path)
        content: dict[str, Any] = yaml.safe_load(path.read_text())
        values = content['/**']['ros__parameters']
        values['instances'] = self.instances
        if self.mesh:
            values |= {'mesh': str(user_path(self.mesh, InputError).absolute())}
            values['mesh_scale'] = float(self.mesh_scale)
        write_whole(path, yaml.safe_dump(content, default_flow_style=None).encode())
