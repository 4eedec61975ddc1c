"""Cut-paste learning from unlabelled depth: parts that lie alone in the recorded bins are cut out,
composed into piles whose masks are known, and teach the dense network (after Dwibedi et al., "Cut,
Paste and Learn", ICCV 2017; that the crops cost no label is ours)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from insegan_ros.engine.checkpoint import Scales
from insegan_ros.engine.inputs import read_height_images
from insegan_ros.engine.loop import LoopConfig
from insegan_ros.engine.run import RunContext
from insegan_ros.errors import ConfigError, DatasetError
from insegan_ros.heights import IMAGE_SIZE
from insegan_ros.offsets.isolated import MIN_CROPS, find_isolated
from insegan_ros.offsets.stage import OffsetTrainConfig
from insegan_ros.offsets.training import BinContent, believed_number, taught_by, train_offsets


@dataclass(frozen=True)
class TrainCutPasteConfig:
    """`insegan train cutpaste`: unlabelled depth of bins in, an instance segmenter out.
    Stopped and started again, it goes on."""

    data: str = 'data/nut'
    """Folder of shards, a file of height maps, or a recording (rosbag2 folder, RealSense .bag).
    Depth alone is read, never a mask or a pose; and where they say how many parts lie in each bin,
    that number, if `instances` is another and not 0."""
    out: str = 'runs/nut'
    """Folder of the run: states, logs, and at the end the checkpoint."""
    instances: int = 5
    """Parts in a training image; 0 where it is not known or varies, as in a recording."""
    workspace: str = ''
    """For a recording: the YAML of `insegan calibrate`; empty takes the recording's own
    workspace.yaml."""
    scenes: int = 0
    """How many scenes of the data to learn from, the first ones; 0 is all of them."""
    seed: int = 0
    """Seed of everything."""
    size: int = IMAGE_SIZE
    """Side in px of the height maps that are learnt from, a multiple of 16. A part should be 12 px
    wide or more: raise it for bins of many small parts."""
    offsets: OffsetTrainConfig = field(default_factory=OffsetTrainConfig)
    """The dense network's training."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Device, precision, how often to save."""

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 16:
            raise ConfigError(f'size is {self.size}: expected a multiple of 16, at least 32')
        if self.scenes < 0:
            raise ConfigError(f'scenes is {self.scenes}: expected 0 (all) or more')
        if not 0 <= self.instances <= 50:
            raise ConfigError(
                f'instances is {self.instances}: expected 1 to 50, or 0 where it is not known'
            )
        self.offsets.check_steps()
        self.offsets.check_side(self.size)


def train_cutpaste(config: TrainCutPasteConfig) -> Path:
    """Train the dense network, or what is left of it; returns the checkpoint's folder. Raises
    DatasetError where too few parts lie alone in the data."""
    run = RunContext(config)
    data = read_height_images(config, run.device, size=config.size, workspace=config.workspace)
    instances = believed_number(config.instances, data.maps.counts, run.say)
    content = BinContent.of(data.images, instances, data.flat)
    crops = find_isolated(data.images, content.share_px)
    if len(crops) < MIN_CROPS:
        raise DatasetError(
            f'{len(crops)} parts lie alone in {len(data.images)} height maps of'
            f' {instances or "any number of"} parts: expected {MIN_CROPS} or more to cut'
            ' out; give more or emptier scenes, or train insegan, whose generator needs none'
        )
    run.claim(data.maps.fingerprint)
    run.say(
        f'{len(data.images)} height maps, {len(crops)} parts lie alone in them; one covers some'
        f' {content.share_px:.0f} px'
    )
    run.say(content.doubt(data.images))
    factory = content.composer(crops, data.images)
    scales = Scales(data.maps.pixel_m, data.height_m, factory.median_area, factory.median_radius)
    weights = train_offsets(run, data, config.offsets, [factory], scales, content)
    return run.save(
        'cutpaste',
        'offsets',
        data.maps.part,
        scales,
        {'offsets': weights},
        data=f'{len(data.images)} unlabelled scenes',
        values={'instances': instances},
        **_read(instances, config),
        **taught_by([factory], run),
    )


def _read(instances: int, config: TrainCutPasteConfig) -> dict[str, str]:
    """What the model card says of labels, where the number of parts was taken from the data."""
    if instances == config.instances:
        return {}
    return {'labels_read': 'of labels only the number of parts in each scene was read'}
