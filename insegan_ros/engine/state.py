"""The state of a training run as one safetensors file: modules and optimisers, no pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from insegan_ros.engine.checksum import checksum
from insegan_ros.errors import MALFORMED, CheckpointError
from insegan_ros.files import write_whole
from insegan_ros.texts import reason


def save_state(path: Path, parts: dict[str, Any], step: int, seconds: float) -> None:
    """Write the state_dicts of `parts` (name -> module or optimiser), the steps done and the
    seconds they took, whole or not at all. Raises DatasetError where that is not possible."""
    tensors: dict[str, Tensor] = {}
    skeleton = {name: _strip(part.state_dict(), name, tensors) for name, part in parts.items()}
    told = {'step': str(step), 'seconds': str(seconds), 'skeleton': json.dumps(skeleton)}
    write_whole(path, save(tensors, {**told, 'sha256': checksum(json.dumps(told), tensors)}))


def load_state(path: Path, parts: dict[str, Any]) -> tuple[int, float]:
    """Put a saved state back; returns the steps done and the seconds they took. Raises
    CheckpointError where it does not fit, or is not as it was written; states of
    earlier versions have no checksum to tell by."""
    try:
        with safe_open(path, 'pt') as file:
            meta = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}
        told = {name: meta[name] for name in ('step', 'seconds', 'skeleton')}
        if 'sha256' in meta and meta['sha256'] != checksum(json.dumps(told), tensors):
            raise ValueError('it is not as it was written, its checksum is another')
        skeleton = json.loads(told['skeleton'])
        for name, part in parts.items():
            part.load_state_dict(_fill(skeleton[name], tensors))
        return int(told['step']), float(told['seconds'])
    except (SafetensorError, OSError, RuntimeError, *MALFORMED) as error:
        raise CheckpointError(
            f'{path} does not continue this training ({reason(error)}): '
            'expected a state of the same configuration; give another --out or delete it'
        ) from error


def _strip(value: Any, key: str, tensors: dict[str, Tensor]) -> Any:
    """A JSON skeleton of a state_dict whose tensors went into `tensors` under their path."""
    if isinstance(value, Tensor):
        # A copy: safetensors refuses tensors that share memory.
        tensors[key] = value.detach().cpu().contiguous().clone()
        return {'tensor': key}
    if isinstance(value, dict):
        return {'items': [[k, _strip(v, f'{key}/{k}', tensors)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        return {'list': [_strip(v, f'{key}/{i}', tensors) for i, v in enumerate(value)]}
    return {'value': value}


def _fill(skeleton: Any, tensors: dict[str, Tensor]) -> Any:
    if 'tensor' in skeleton:
        return tensors[skeleton['tensor']]
    if 'items' in skeleton:
        return {k: _fill(v, tensors) for k, v in skeleton['items']}
    if 'list' in skeleton:
        return [_fill(v, tensors) for v in skeleton['list']]
    return skeleton['value']


class Record(torch.nn.Module):
    """The best figure so far, saved with the training's state."""

    value: Tensor

    def __init__(self, start: float) -> None:
        super().__init__()
        self.register_buffer('value', torch.tensor(start))


def average_into(target: torch.nn.Module, source: torch.nn.Module, decay: float) -> None:
    """Exponential moving average, in place: the target's weights become `decay` times themselves
    plus 1 - decay times the source's. So do buffers of numbers, batch norm's statistics: those of
    the last few batches do not belong to weights of some hundred steps. Others are copied."""
    with torch.no_grad():
        for weight, newer in zip(target.parameters(), source.parameters()):
            weight.lerp_(newer, 1 - decay)
        for buffer, current in zip(target.buffers(), source.buffers()):
            if buffer.is_floating_point():
                buffer.lerp_(current, 1 - decay)
            else:
                buffer.copy_(current)
