"""The checkpoint format: a folder with weights.safetensors, in whose metadata lie the
configuration, the scales that the networks see the world in, the data's fingerprint and the
measured quality. card.json and README.md say it to people."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from insegan_ros.engine.checksum import checksum
from insegan_ros.engine.config import configure
from insegan_ros.errors import MALFORMED, CheckpointError, InseganError, InseganWarning
from insegan_ros.files import write_whole
from insegan_ros.renamed import modern_head, modern_network
from insegan_ros.texts import reason

FORMAT = 'insegan-checkpoint-2'
# Of versions before 0.3.0; what is in it cannot be checked against anything.
WITHOUT_CHECKSUM = 'insegan-checkpoint-1'
WEIGHTS = 'weights.safetensors'
# Beside them, the mesh of the part in metres, where the training knew it.
MESH = 'part.ply'
# No scale of ours comes near: metres, or px of a picture.
LARGEST = 1e9
# What a file says of itself, and of which kind it is.
HEAD = {
    'method': str,
    'segmenter': str,
    'part': str,
    'scales': dict,
    'config': dict,
    'training': dict,
}
# What a network is made from may be anything, and torch raises RuntimeError for what it cannot be.
MALFORMED_NETWORK = (RuntimeError, InseganError, *MALFORMED)
AnyModule = TypeVar('AnyModule', bound=torch.nn.Module)
Configuration = TypeVar('Configuration')


@dataclass(frozen=True)
class Scales:
    """How a camera's image becomes what the networks saw in training."""

    pixel_m: float
    """Metres that a pixel covers on the bin's floor."""
    height_m: float
    """The height that becomes +1; the floor is -1."""
    part_area_px: float
    """Median area of one whole part, in such pixels."""
    part_radius_px: float
    """Median radius of gyration of one whole part, in such pixels."""

    @classmethod
    def none(cls) -> Scales:
        """For methods that look at colour and know no scale."""
        return cls(0.0, 0.0, 0.0, 0.0)

    @classmethod
    def of_share(cls, pixel_m: float, height_m: float, share_px: float) -> Scales:
        """Where nothing has shown a part alone: what one covers on average is its size, a disk its
        shape. share_px may be NaN, then neither is known."""
        area = share_px if math.isfinite(share_px) else 0.0
        return cls(pixel_m, height_m, area, math.sqrt(area / (2 * math.pi)))

    @property
    def part_area_m2(self) -> float:
        """Median area of one whole part in square metres of the floor; 0 where the method does not
        know it."""
        return self.part_area_px * self.pixel_m**2


@dataclass(frozen=True)
class Checkpoint:
    """A trained method.

    method: how it was trained; segmenter: what runs it; part: what it has learnt to see; config: of
    its training; weights: by network and by name; training: its history, for the model card.
    """

    method: str
    segmenter: str
    part: str
    scales: Scales
    config: dict[str, Any]
    weights: dict[str, dict[str, Tensor]]
    training: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write weights.safetensors into the folder, whole or not at all, with a checksum. Floats
        are stored as float16. Raises DatasetError where it cannot be written."""
        tensors = {
            f'{network}.{name}': (
                (value.half() if value.is_floating_point() else value)
                .detach()
                .cpu()
                .contiguous()
                .clone()
            )
            for network, state in self.weights.items()
            for name, value in state.items()
        }
        head = json.dumps(
            {
                'method': self.method,
                'segmenter': self.segmenter,
                'part': self.part,
                'scales': asdict(self.scales),
                'config': self.config,
                'training': self.training,
            }
        )
        told = {'format': FORMAT, 'head': head, 'sha256': checksum(head, tensors)}
        write_whole(folder / WEIGHTS, save(tensors, told))

    @classmethod
    def load(cls, folder: str | Path) -> Checkpoint:
        """Read a checkpoint's folder, or its weights.safetensors. Raises CheckpointError where it
        is missing, damaged or foreign. One of an earlier version, which has no checksum, is loaded
        too, and it is said that damage would not be noticed.

        >>> checkpoint = Checkpoint.load('checkpoints/cutpaste-nut')
        >>> checkpoint.method, checkpoint.segmenter, checkpoint.part, list(checkpoint.weights)
        ('cutpaste', 'offsets', 'nut', ['offsets'])
        """
        path = Path(folder)
        path = path / WEIGHTS if path.is_dir() else path
        if not path.is_file():
            raise CheckpointError(
                f'no checkpoint at {folder}: expected a folder with {WEIGHTS}, such as'
                ' checkpoints/cutpaste-nut'
            )
        try:
            head, tensors = _read(path)
            weights: dict[str, dict[str, Tensor]] = {}
            for key, value in tensors.items():
                network, name = key.split('.', 1)
                weights.setdefault(modern_network(network), {})[name] = value
            scales = _scales(head['scales'])
            return cls(**{**modern_head(head, set(weights)), 'scales': scales}, weights=weights)
        except (SafetensorError, OSError, *MALFORMED) as error:
            raise CheckpointError(
                f'{path} cannot be read, it is cut short or damaged ({reason(error)}): copy or'
                ' train it again'
            ) from error

    def settings(self, kind: type[Configuration], *path: str, **values: Any) -> Configuration:
        """A part of the configuration as the dataclass that it was. path: the names that lead to
        it; values: what holds where it says nothing. Raises CheckpointError where it is not there
        or does not fit."""
        name = '.'.join(path)
        try:
            found: Any = self.config
            for one in path:
                found = found[one]
            return configure(kind, values, found)
        except (InseganError, *MALFORMED) as error:
            raise self.unusable(name, reason(error)) from error

    def number(self, name: str, low: float, high: float) -> float:
        """A number of the configuration. Raises CheckpointError where it is none from low to
        high."""
        value = self.config.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.unusable(name, f'{value!r} is not a number')
        if not low <= value <= high:
            raise self.unusable(name, f'{value:g}, expected {low:g} to {high:g}')
        return value

    def names(self, name: str) -> tuple[str, ...]:
        """A list of names of the configuration. Raises CheckpointError where it is none."""
        value = self.config.get(name)
        if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
            raise self.unusable(name, f'{value!r} is not a list of names')
        return tuple(value)

    def require_scales(self) -> Scales:
        """The scales. Raises CheckpointError where metres are not among them."""
        if not (self.scales.pixel_m > 0 and self.scales.height_m > 0):
            raise self.unusable('scales', 'metres a pixel or height are 0')
        return self.scales

    @staticmethod
    def unusable(name: str, why: str) -> CheckpointError:
        """The one sentence for a value that a method cannot use."""
        return CheckpointError(
            f'the checkpoint cannot be used because of its {name} ({why}): copy or train it again'
        )

    def require(self, network: str) -> None:
        """Raise CheckpointError where the weights of a network are not there."""
        if network not in self.weights:
            raise CheckpointError(
                f'this checkpoint holds {", ".join(sorted(self.weights))} but no {network}: '
                f'expected one trained with it; its own segmenter is "{self.segmenter}"'
            )

    def restore(self, network: str, make: Callable[[], AnyModule]) -> AnyModule:
        """The module that `make` gives with the weights of one network, in evaluation mode. Raises
        CheckpointError where they are not there or do not fit, before memory is taken for it."""
        self.require(network)
        try:
            # Shapes alone: a width that nobody could hold is refused by the weights.
            with torch.device('meta'):
                wanted = {name: value.shape for name, value in make().state_dict().items()}
            given = {name: value.shape for name, value in self.weights[network].items()}
            if wanted != given:
                raise ValueError(_unlike(wanted, given))
            module = make()
            module.load_state_dict(self.weights[network])
        except MALFORMED_NETWORK as error:
            raise CheckpointError(
                f'the weights of {network} do not fit its configuration ({reason(error)}): copy or'
                ' train it again'
            ) from error
        return module.eval()


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a checkpoint's file says of itself, and its tensors by name, halves as floats. Raises
    CheckpointError for a file that is none of ours or not as it was written, else what the reading
    stumbled over."""
    with safe_open(path, 'pt') as file:
        meta = file.metadata() or {}
        tensors = {key: file.get_tensor(key) for key in file.keys()}
    if meta.get('format') not in (FORMAT, WITHOUT_CHECKSUM):
        raise CheckpointError(
            f'{path} is not an insegan checkpoint: expected format {FORMAT}, found'
            f' {meta.get("format")}'
        )
    if meta['format'] == FORMAT and meta.get('sha256') != checksum(meta['head'], tensors):
        raise CheckpointError(
            f'{path} is damaged, its checksum does not match: copy or train it again'
        )
    if meta['format'] == WITHOUT_CHECKSUM:
        warnings.warn(
            f'{path} is of an earlier version and has no checksum, so damage would not be noticed:'
            ' give its `insegan train` command again, which rewrites the finished checkpoint',
            InseganWarning,
            stacklevel=3,
        )
    head = json.loads(meta['head'])
    for name, kind in HEAD.items():
        if not isinstance(head[name], kind):
            raise ValueError(f'{name} is {type(head[name]).__name__}, not {kind.__name__}')
    floats = {key: value.float() for key, value in tensors.items() if value.is_floating_point()}
    if strange := [key for key, value in floats.items() if not value.isfinite().all()]:
        raise ValueError(f'{strange[0]} holds weights that are not numbers')
    return head, {key: floats.get(key, value) for key, value in tensors.items()}


def _scales(values: dict[str, Any]) -> Scales:
    """The scales of a head. Raises ValueError or TypeError for what is none."""
    for name, value in values.items():
        if not isinstance(value, (int, float)) or not 0 <= value < LARGEST:
            raise ValueError(f'{name} is {value!r}: expected 0 to {LARGEST:g}')
    return Scales(**values)


def _unlike(wanted: Mapping[str, torch.Size], given: Mapping[str, torch.Size]) -> str:
    """The first name of which the shapes differ, with both."""
    name = next(name for name in sorted({**wanted, **given}) if wanted.get(name) != given.get(name))
    sizes = (list(shapes[name]) if name in shapes else 'missing' for shapes in (wanted, given))
    return '{} is {} by its configuration and {} in the file'.format(name, *sizes)
