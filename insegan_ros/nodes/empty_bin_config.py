"""What `insegan empty` is told, apart from the rest so that the command line can be built without
ROS."""

from __future__ import annotations

from dataclasses import dataclass

from insegan_ros.errors import ConfigError
from insegan_ros.nodes.silence import SILENCE_S, check_timeout


@dataclass(frozen=True)
class EmptyBinConfig:
    """A simulated bin that is emptied by the segmenter's picks."""

    part: str = 'nut'
    """Part in the bin; the shipped checkpoint piles-PART segments it unless `model` names
    another."""
    model: str = ''
    """Checkpoint folder or name, or kmeans."""
    out: str = 'out'
    """Folder for empty.json."""
    bins: int = 1
    """Bins, one after another; the seed of each is one more than that of the one before."""
    instances: int = 20
    """Parts in the full bin."""
    fill: float = 1.5
    """The share of the floor that they would cover side by side: with 1.5 they lie in layers."""
    sensor: str = 'd435'
    """The camera: ideal, noise, d435, or a YAML file of sensor parameters."""
    seed: int = 100
    """Seed of the first bin."""
    timeout_s: float = 120.0
    """How long to wait for the nodes to start, and for each of their answers."""

    def __post_init__(self) -> None:
        for name in ('bins', 'instances'):
            if getattr(self, name) < 1:
                raise ConfigError(f'{name} is {getattr(self, name)}: expected 1 or more')
        check_timeout(self.timeout_s)

    @property
    def silence_s(self) -> float:
        """After how long without a picture the segmenter is to warn: bins are made meanwhile."""
        return min(10 * self.timeout_s, float(SILENCE_S[1]))
