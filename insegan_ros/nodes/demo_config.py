"""The demo's configuration, apart from the demo so that the command line can be built without
ROS."""

from __future__ import annotations

import math
from dataclasses import dataclass

from insegan_ros.errors import ConfigError
from insegan_ros.nodes.silence import check_timeout


@dataclass(frozen=True)
class DemoConfig:
    """The demo: what lies in the bin, which model looks at it, for how long."""

    part: str = 'nut'
    """Part in the bin; the shipped checkpoint cutpaste-PART segments it unless `model` names
    another."""
    model: str = ''
    """Checkpoint folder or name, or kmeans."""
    out: str = 'out'
    """Folder for demo.png and demo.json."""
    seconds: float = 20.0
    """How long to watch once masks flow."""
    rate: float = 30.0
    """The camera's frames a second."""
    instances: int = 5
    """Parts in the bin."""
    fill: float = 0.7
    """The share of the floor that they would cover side by side: with 2 they lie in layers."""
    seed: int = 100
    """Seed of the bins."""
    timeout_s: float = 60.0
    """How long to wait for the first masks once both nodes run; for these three times as long."""

    def __post_init__(self) -> None:
        check_timeout(self.timeout_s)
        if not 0 < self.seconds < math.inf:
            raise ConfigError(f'seconds is {self.seconds:g}: expected a positive time')
