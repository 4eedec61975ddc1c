"""The checkpoint format: a folder with weights.safetensors, in whose metadata lie the
configuration, the scales that the networks see the world in, the data's fingerprint and the
measured quality. card.json and README.md say it to people."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from insegan_ros.errors import CheckpointError
from insegan_ros.renamed import modern_head, modern_network

FORMAT = 'insegan-checkpoint-1'
WEIGHTS = 'weights.safetensors'
AnyModule = TypeVar('AnyModule', bound=torch.nn.Module)


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
        """Write weights.safetensors into the folder, whole or not at all. Floats are stored as
        float16."""
        folder.mkdir(parents=True, exist_ok=True)
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
        head = {
            'method': self.method,
            'segmenter': self.segmenter,
            'part': self.part,
            'scales': asdict(self.scales),
            'config': self.config,
            'training': self.training,
        }
        temporary = folder / f'{WEIGHTS}.part'
        # Written by ourselves, others of the machine may read it: the library's file is its owner's
        # alone.
        temporary.write_bytes(save(tensors, {'format': FORMAT, 'head': json.dumps(head)}))
        os.replace(temporary, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: str | Path) -> Checkpoint:
        """Read a checkpoint's folder, or its weights.safetensors. Raises CheckpointError where it
        is missing, cut short or foreign.

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
            with safe_open(path, 'pt') as file:
                meta = file.metadata() or {}
                if meta.get('format') != FORMAT:
                    raise CheckpointError(
                        f'{path} is no checkpoint of ours: expected format {FORMAT}, found'
                        f' {meta.get("format")}'
                    )
                head = json.loads(meta['head'])
                weights: dict[str, dict[str, Tensor]] = {}
                for key in file.keys():
                    network, name = key.split('.', 1)
                    network = modern_network(network)
                    value = file.get_tensor(key)
                    weights.setdefault(network, {})[name] = (
                        value.float() if value.is_floating_point() else value
                    )
        except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
            raise CheckpointError(
                f'{path} cannot be read, it is cut short or damaged ({error}): copy or train it'
                ' again'
            ) from error
        head = modern_head(head, set(weights))
        return cls(**{**head, 'scales': Scales(**head['scales'])}, weights=weights)

    def require(self, network: str) -> None:
        """Raise CheckpointError where the weights of a network are not there."""
        if network not in self.weights:
            raise CheckpointError(
                f'this checkpoint holds {", ".join(sorted(self.weights))} but no {network}: '
                f'expected one trained with it; its own segmenter is "{self.segmenter}"'
            )

    def restore(self, network: str, module: AnyModule) -> AnyModule:
        """The module, which is of the same configuration, with the weights of one network, in
        evaluation mode. Raises CheckpointError where they are not there or do not fit."""
        self.require(network)
        try:
            module.load_state_dict(self.weights[network])
        except RuntimeError as error:
            raise CheckpointError(
                f'the weights of {network} do not fit its configuration'
                f' ({str(error).splitlines()[0]})'
            ) from error
        return module.eval()
