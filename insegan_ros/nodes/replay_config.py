"""The replay's configuration, apart from the replay so that the command line can be built without
ROS."""

from __future__ import annotations

from dataclasses import dataclass

from insegan_ros.errors import ConfigError


@dataclass(frozen=True)
class ReplayConfig:
    """A recording through the live node: which, which model looks at it, how fast."""

    recording: str
    """rosbag2 folder or RealSense .bag."""
    model: str
    """Checkpoint folder or name, or kmeans."""
    out: str = 'out'
    """Folder for replay.json and, where the recording has labels, replay.png."""
    workspace: str = ''
    """YAML of `insegan calibrate`; the recording's own workspace.yaml if left out, else the floor
    is fitted to every frame."""
    rate: float = 1.0
    """How many times as fast as recorded."""
    instances: int = 5
    """Parts in the bin, for methods that must be told."""
    timeout_s: float = 60.0
    """How long to wait for the first masks."""

    def __post_init__(self) -> None:
        if not 0.01 <= self.rate <= 100 or self.instances < 1 or self.timeout_s <= 0:
            raise ConfigError(
                f'rate {self.rate:g}, instances {self.instances}, timeout_s {self.timeout_s:g}:'
                ' expected 0.01 to 100, 1 or more, a positive time, in that order'
            )
