"""What the recipes that learn from image-level labels share: their configuration, the pictures of a
run, the files that a run makes of every picture, and what one run takes over from another."""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from torch import Tensor, nn
from tqdm import tqdm

from insegan_ros.data.image_set_reader import read_image_set
from insegan_ros.data.image_sets import RELIEF_M, ColourModality, require_every_class
from insegan_ros.data.mask_sets import IGNORED
from insegan_ros.engine.checkpoint import Scales
from insegan_ros.engine.loop import LoopConfig
from insegan_ros.engine.run import RunContext
from insegan_ros.errors import MALFORMED, ConfigError, DatasetError
from insegan_ros.files import write_whole
from insegan_ros.methods.image_level.backbone import BackboneConfig, to_tensor
from insegan_ros.renamed import modern_config
from insegan_ros.texts import read_mapping, reason

# Classes that are named before a training begins.
TOLD = 5
# Labels of pixels are bytes: 0 is the background, class + 1, and IGNORED.
MAX_CLASSES = IGNORED - 1
# What two runs must have in common for one to take over what the other made, and what that was made
# with: the classifier, its attention maps, and where these are confident.
MUST_AGREE = ('backbone', 'size', 'modality', 'split', 'scenes', 'above', 'colours')
MADE_WITH = ('class_maps', 'relations', 'crf')
# Where a training stops is no part of what it is.
MAY_DIFFER = ('stop_after', 'rounds')


@dataclass(frozen=True)
class ImageLevelConfig:
    """What the methods that learn from image-level labels have in common."""

    data: str = 'data/mixed'
    """Folder of shards with colour, PASCAL VOC 2012, COCO, or pictures with a labels.csv. Only what
    is in each picture is read, never a mask."""
    out: str = 'runs/irnet'
    """Folder of the run: states, logs, what every stage made, and at the end the checkpoint."""
    seed: int = 0
    """Seed of everything."""
    scenes: int = 0
    """How many pictures to learn from, the first ones; 0 is all of them."""
    split: str = 'training'
    """training, validation, test, or the name of one of the set's own lists, such as Main/train of
    PASCAL VOC."""
    size: int = 224
    """Longer side of the pictures in px, a multiple of 16; 512 for photographs."""
    modality: ColourModality = 'colour'
    """colour, or both: height above the floor as a fourth channel."""
    above: bool = True
    """The camera looks down, so pictures turned by quarters and mirrored are pictures too; false
    for photographs, which are mirrored sideways alone."""
    colours: float = 0.15
    """How much brightness, contrast and saturation are varied; 0 leaves colours as they are."""
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    """The residual network that all stages stand on."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Device, precision, how often to save."""

    def __post_init__(self) -> None:
        if self.size < 64 or self.size % 16:
            raise ConfigError(f'size is {self.size}: expected a multiple of 16, at least 64')
        if self.scenes < 0 or not 0 <= self.colours < 1:
            raise ConfigError(
                f'scenes is {self.scenes}, colours {self.colours}: expected 0 or more, 0 to below 1'
            )
        if self.loop.devices > 1:
            raise ConfigError(
                f'loop.devices is {self.loop.devices}: these networks are trained on one device,'
                ' expected 1'
            )


class ImageRun(RunContext):
    """A training on pictures of which image-level labels are known. images: what `config.data`
    names. Raises DatasetError for pictures that cannot teach; makes nothing before `claim_folder`.

    run = ImageRun(config)
    run.claim_folder()
    """

    def __init__(self, config: ImageLevelConfig) -> None:
        super().__init__(config)
        self.images = read_image_set(
            config.data, config.size, config.modality, config.split, config.scenes
        )
        require_every_class(self.images)
        # A name that is misspelt once is a class of one picture.
        shown = sorted(zip(self.images.present.sum(0), self.images.classes))[:TOLD]
        self.say(
            f'{self.images.name}: {len(self.images)} pictures of {len(self.images.classes)}'
            f' classes; the rarest: {", ".join(f"{name} in {count}" for count, name in shown)}'
        )

    def claim_folder(self) -> None:
        """Take the run's folder for these pictures, or go on in it. Raises ConfigError where it
        holds another training."""
        self.claim(self.images.fingerprint, MAY_DIFFER)

    def picture(self, index: int) -> Tensor:
        """One picture (C, H, W) uint8 on the training's device."""
        return to_tensor(self.images.picture(index), self.device)

    def save_network(
        self,
        method: str,
        segmenter: str,
        name: str,
        network: nn.Module,
        frozen_norm: bool,
        taught_by: str = 'image-level labels',
    ) -> Path:
        """Write the checkpoint of what was trained; returns its folder. segmenter: what runs it;
        name: of its weights; frozen_norm: whether its batch norm is ImageNet's."""
        relief_m = RELIEF_M if self.config.modality == 'both' else 0.0
        return self.save(
            method,
            segmenter,
            self.images.name,
            Scales(0.0, relief_m, 0.0, 0.0),
            {name: network.state_dict()},
            data=f'{len(self.images)} pictures with {taught_by}',
            values={'classes': list(self.images.classes), 'frozen_norm': frozen_norm},
        )

    def for_every_picture(
        self, folder: str, suffix: str, make: Callable[[int], bytes | None]
    ) -> list[str]:
        """Make a file FOLDER/NAME.suffix of every picture, those that are missing; `make` gives its
        bytes, or None where nothing can be made of the picture. Stopped and started again it goes
        on. Returns the names of pictures of which nothing was made. Raises DatasetError where that
        is all of them."""
        place, images, nothing = self.out / folder, self.images, []
        place.mkdir(parents=True, exist_ok=True)
        for index in self.progress(range(len(images)), folder):
            path = place / f'{images.names[index]}.{suffix}'
            if not path.exists():
                write_whole(path, make(index) or b'')
            if not path.stat().st_size:
                nothing.append(images.names[index])
        if len(nothing) == len(images):
            raise DatasetError(
                f'{folder}: nothing could be made of any of {len(images)} pictures: expected some;'
                ' was the stage before it trained long enough?'
            )
        if nothing:
            self.say(
                f'{folder}: nothing in {len(nothing)} of {len(images)} pictures (such as'
                f' {nothing[0]}); they are left out'
            )
        return nothing

    def progress(self, indices: Sequence[int], what: str, unit: str = 'picture') -> tqdm:
        """The indices behind a progress bar."""
        return tqdm(indices, desc=what, unit=unit, disable=not self.speaks)


def read_arrays(path: Path, *names: str) -> list[np.ndarray]:
    """Arrays of these names in a file that a stage has made. Raises DatasetError."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return [file[name] for name in names]
    except (OSError, EOFError, BadZipFile, zlib.error, *MALFORMED) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> DatasetError:
    """The one sentence for what a stage has made and cannot be read again."""
    return DatasetError(f'{path} cannot be read ({reason(error)}): delete it, and it is made again')


def share(run: Path, other: Path, names: Sequence[str]) -> None:
    """Give another run the files and folders of these names, those that `run` has and `other` has
    not: as hard links, which take no room, or as copies."""

    def link(source: str, target: str) -> None:
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)

    for name in names:
        source, target = run / name, other / name
        if source.is_dir() and not target.exists():
            # A kill leaves no half folder that looks whole.
            half = target.with_name(f'.{name}.part')
            shutil.rmtree(half, ignore_errors=True)
            shutil.copytree(source, half, copy_function=link)
            half.rename(target)
        elif source.is_file() and not target.exists():
            link(str(source), str(target))


def check_numbered(run: ImageRun) -> None:
    """Raise DatasetError for more classes than labels of pixels have numbers for."""
    count = len(run.images.classes)
    if count > MAX_CLASSES:
        raise DatasetError(
            f'{run.images.name} has {count} classes: expected {MAX_CLASSES} or fewer, which is what'
            ' labels of pixels can tell apart; leave out the rarest, or divide the set'
        )


def check_begun(begun: Path, run: ImageRun) -> None:
    """Raise ConfigError where the run in the folder `begun` holds no classifier and relations that
    this one could take over."""
    note = begun / 'config.yaml'
    if not (begun / 'class_maps' / 'weights.safetensors').is_file() or not note.is_file():
        raise ConfigError(
            f'begin is {begun}, which holds no classifier: expected the folder of a run of irnet or'
            ' ccgr'
        )
    before, now = modern_config(read_mapping(note, ConfigError)), asdict(run.config)
    pairs = [(name, before.get(name), now[name]) for name in MUST_AGREE]
    # A dense CRF that only aligns masks has made nothing yet. Of what a run of an earlier version
    # does not say, it cannot be told whether it was the same.
    later = {'labels'} if now['crf']['relations'] else {*now['crf']} - {'relations'}
    pairs += [
        (f'{name}.{key}', one[key], value)
        for name in MADE_WITH
        if isinstance(one := before.get(name), dict)
        for key, value in now[name].items()
        if key in one and not (name == 'crf' and key in later)
    ]
    for name, own, here in pairs:
        if own != here:
            raise ConfigError(
                f'begin is {begun}, whose {name} is {own} and here {here}: expected the same, for'
                ' what was made with it is taken over'
            )
    if before.get('fingerprint') != run.images.fingerprint:
        raise ConfigError(
            f'begin is {begun}, a run on other pictures or labels: expected the same --data'
        )


def take_over_relations(begun: Path, run: ImageRun) -> None:
    """Give a run the classifier, attention maps and relations that another has made of the same
    pictures, see check_begun."""
    share(begun, run.out, ('class_maps', 'cams', 'relations'))
