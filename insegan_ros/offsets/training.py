"""The dense network's training: taught by label factories, then in rounds of self-training by its
own pseudo-labels of the real height maps as well. No label is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from insegan_ros.engine.checkpoint import Scales
from insegan_ros.engine.inputs import HeightImages
from insegan_ros.engine.run import RunContext
from insegan_ros.heights import FOREGROUND_SHARE, above_floor
from insegan_ros.offsets.inference import HeightInference, VoteRule
from insegan_ros.offsets.isolated import (
    MIN_CROPS,
    CropFactory,
    find_unoccluded,
    frequent_sizes,
    part_share,
    together,
)
from insegan_ros.offsets.labelled_images import LabelledImages
from insegan_ros.offsets.labels import LabelFactory, MixedFactory
from insegan_ros.offsets.network import OffsetNet
from insegan_ros.offsets.self_training import pseudo_labels, sure_instances
from insegan_ros.offsets.stage import OffsetStage, OffsetTrainConfig

# Where the number of parts is not known, an answer may have so many times as the foreground would
# hold side by side.
FEWER, MORE = 0.75, 1.6
# An equal share of the foreground is so many times what stands alone where the number of parts is
# right: from .85 to 1.06 on the ten parts of the paper.
MIN_EQUAL, MAX_EQUAL = 0.78, 1.28
# What is learnt from must be sure: a sliver is no instance, and a part in two pieces shows as two.
STRICT = VoteRule(centre_radius=0.75, min_votes=0.08, min_height=FOREGROUND_SHARE)


def believed_number(instances: int, counts: np.ndarray | None, speak: Callable[[str], None]) -> int:
    """The number of parts a height map to go by: the configuration's, unless the data know better,
    by the number in each (N,); that is said aloud. 0: it varies."""
    if counts is None or not instances or (counts == instances).all():
        return instances
    least, most = int(counts.min()), int(counts.max())
    number = least if least == most else 0
    held = f'{least}' if least == most else f'{least} to {most}'
    speak(
        f"the data hold {held} parts per height map, not instances {instances}: the data's number"
        f' is used (instances {number})'
    )
    return number


@dataclass(frozen=True)
class BinContent:
    """What lies in the training's bins: parts a height map, 0 where it is not known or varies; what
    one covers in px; the side of the height maps in px; whether the parts are flat, so that they
    cover much where they lie and little where they stand on edge."""

    instances: int
    share_px: float
    size: int
    flat: bool = False

    @classmethod
    def of(cls, images: Tensor, instances: int, flat: bool = False) -> BinContent:
        """Of signed height maps (N, 1, S, S) with so many parts each, 0 for any number."""
        return cls(instances, part_share(images, instances, flat), images.shape[-1], flat)

    def max_parts(self, images: Tensor) -> int:
        """How many parts one of the signed height maps (N, 1, S, S) holds; where that is not known,
        as many as cover the fullest of them."""
        if self.instances:
            return self.instances
        covered = above_floor(images).flatten(1).float().sum(1)
        return max(int(round(float(covered.quantile(0.95)) / self.share_px)), 1)

    def likely_numbers(self, images: Tensor, part_area_px: float) -> np.ndarray:
        """The smallest and the largest number of parts (N, 2) that may be in each height map: the
        number that is known, or what its foreground could hold, some of them half hidden."""
        if self.instances:
            return np.full((len(images), 2), self.instances)
        likely = (above_floor(images).flatten(1).float().sum(1) / part_area_px).cpu().numpy()
        return np.stack([np.floor(FEWER * likely), np.ceil(MORE * likely)], 1).astype(int)

    def doubt(self, images: Tensor, needed: bool = False) -> str:
        """Why height maps (N, 1, S, S) may not hold that number of parts each; empty where nothing
        speaks against it, or it is not known. needed: for a generator, which cannot learn without
        it."""
        sizes = frequent_sizes(images)[:, 0]
        if not self.instances or not len(sizes):
            return ''
        # A flat part has several sizes alone, one a side that it lies on; their mean is between.
        alone, largest = sizes[0], sizes[-1 if self.flat else 0]
        if MIN_EQUAL * alone < self.share_px < MAX_EQUAL * largest:
            return ''
        return (
            f'is instances {self.instances} right? An equal share of the foreground is'
            f' {self.share_px:.0f} px, but what stands alone covers mostly {alone:.0f} px: a wrong'
            f' number spoils the segmenter{"" if needed else ", with 0 it is not needed"}'
        )

    def composer(self, crops: Tensor, images: Tensor) -> CropFactory:
        """A label factory of isolated crops (M, 1, P, P) for bins as full as these."""
        return CropFactory(crops, self.max_parts(images), self.size, varying=not self.instances)


def label_itself(
    run: RunContext,
    data: HeightImages,
    network: OffsetNet,
    scales: Scales,
    content: BinContent,
    agreement: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a dense network is sure of in the real height maps: the indices (M,), labels (M, S, S)
    and centres (M, n, 2) px of pseudo_labels; where these are too few to learn from, of
    sure_instances, if it is sure of some in enough height maps."""
    inference = HeightInference(network.eval(), scales, STRICT)
    whole = pseudo_labels(
        data.maps.heights_m,
        inference.divide,
        content.likely_numbers(data.images, scales.part_area_px),
        agreement,
        progress=run.speaks,
    )
    if len(whole[0]) >= MIN_CROPS:
        return whole
    some = sure_instances(
        data.maps.heights_m,
        inference.divide,
        scales.part_area_px,
        inference.min_height_m,
        agreement,
        progress=run.speaks,
    )
    run.say(
        f'sure of all parts in {len(whole[0])} of {len(data.images)} height maps: too few to learn'
        f' from, {MIN_CROPS} or more are expected; of some, {some.number}, in {len(some.kept)}'
    )
    return (some.kept, some.labels, some.centres) if len(some.kept) >= MIN_CROPS else whole


def train_offsets(
    run: RunContext,
    data: HeightImages,
    config: OffsetTrainConfig,
    sources: Sequence[LabelFactory],
    scales: Scales,
    content: BinContent,
    new_crops: bool = True,
) -> dict[str, Tensor]:
    """Train the dense network, taught by the factories, then by its own pseudo-labels as well;
    returns its weights by name. new_crops: whether parts on top of the labelled piles may be a
    factory of their own where there is none of crops."""
    weights = train_round(run, data, config, sources)
    for round_ in range(1, config.self_training + 1):
        network = OffsetNet(config.network)
        network.load_state_dict(weights)
        network = network.to(run.device)
        kept, labels, centres = label_itself(run, data, network, scales, content, config.agreement)
        run.say(f'round {round_}: sure of {len(kept)} of {len(data.images)} height maps')
        if len(kept) < MIN_CROPS:
            run.say('the network stays as it is; more steps, or more height maps, make it surer')
            break
        sure = data.images[torch.from_numpy(kept).to(run.device)]
        factories = list(sources)
        if config.unoccluded:
            run.seed('tops', round_)
            crops = find_unoccluded(sure, labels)
            factories = _with_crops(sources, crops, content if new_crops else None)
        factories.append(LabelledImages(sure, labels, centres))
        weights = train_round(run, data, config, factories, round_, weights)
    return weights


def train_round(
    run: RunContext,
    data: HeightImages,
    config: OffsetTrainConfig,
    factories: Sequence[LabelFactory],
    round_: int = 0,
    start: dict[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """The weights after one round of teaching by these factories, from the weights `start`."""
    run.seed('weights', 3 + round_)
    factory = MixedFactory(factories)
    stage = OffsetStage(run.fabric, config, factory, data.relief_px, round_, start)
    return run.stage(stage).weights()


def _with_crops(
    sources: Sequence[LabelFactory], crops: Tensor, content: BinContent | None
) -> list[LabelFactory]:
    """The factories, the one of isolated crops with those of parts that lie on top (M, 1, P, P)
    besides; where no part lay alone, a new one of these, if it may be (content)."""
    out: list[LabelFactory] = [
        source.with_crops(together(source.crops, crops))
        if isinstance(source, CropFactory)
        else source
        for source in sources
    ]
    if (
        content is not None
        and len(crops) >= MIN_CROPS
        and not any(isinstance(source, CropFactory) for source in sources)
    ):
        out.append(CropFactory(crops, content.instances, content.size))
    return out


class TaughtBy(TypedDict, total=False):
    """What a checkpoint's history says of its dense network."""

    taught_by: str


def taught_by(sources: Sequence[LabelFactory], run: RunContext) -> TaughtBy:
    """What taught a dense network, in words for the model card; nothing where there is none."""
    if not sources:
        return {}
    names = [
        f'{len(source.crops)} parts that lie alone in the data'
        if isinstance(source, CropFactory)
        else 'the generator'
        for source in sources
    ]
    trained_itself = any(name.startswith('offsets-') for name in run.steps)
    more = ', then its own pseudo-labels of real height maps' if trained_itself else ''
    return {'taught_by': ' and '.join(names) + more}
