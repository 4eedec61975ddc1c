"""The meshes that a data set keeps of its parts, as BOP has them: models/obj_000001.ply in mm, and
models_info.json with names and symmetries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from insegan_ros.errors import MALFORMED, DatasetError
from insegan_ros.texts import read_json, reason

# What stands for a turn by any angle.
STEPS = 36
METRES = 0.001


@dataclass(frozen=True)
class Model:
    """A part's mesh in a data set: its file in mm, the motions (S, 4, 4) in m that map the part
    onto itself, the identity among them, and its diameter in m. The data's poses are of its
    frame."""

    name: str
    path: Path
    symmetries: np.ndarray
    diameter_m: float


def find_models(folder: Path) -> Path | None:
    """The folder of models that belongs to a data set: in it, or up to two folders above, as for a
    split; None where it keeps none."""
    places = (folder, *folder.resolve().parents[:2])
    return next(
        (place / 'models' for place in places if (place / 'models/models_info.json').is_file()),
        None,
    )


def read_models(folder: Path) -> list[Model]:
    """The parts of a data set by their number; none where it keeps no models. Raises DatasetError
    where they cannot be read."""
    models = find_models(folder)
    if models is None:
        return []
    try:
        info = read_json(models / 'models_info.json', DatasetError)
        return [_model(models, int(number), info[number]) for number in sorted(info, key=int)]
    except MALFORMED as error:
        raise DatasetError(
            f'{models}/models_info.json is not in BOP format ({reason(error)})'
        ) from error


def _model(models: Path, number: int, info: dict[str, Any]) -> Model:
    motions = [np.eye(4)]
    for one in info.get('symmetries_discrete', []):
        motion = np.array(one, float).reshape(4, 4)
        motion[:3, 3] *= METRES
        motions.append(motion)
    for one in info.get('symmetries_continuous', []):
        motions = [motion @ turn for motion in motions for turn in _turns(one)]
    path = models / f'obj_{number:06d}.ply'
    name = str(info.get('name', path.stem))
    return Model(name, path, np.stack(motions), METRES * float(info['diameter']))


def _turns(symmetry: dict[str, Any]) -> np.ndarray:
    """Motions (STEPS, 4, 4) about an axis of BOP's."""
    axis, offset = (np.array(symmetry[key], float) for key in ('axis', 'offset'))
    angles = np.arange(STEPS) * 2 * np.pi / STEPS
    motions = np.tile(np.eye(4), (STEPS, 1, 1))
    motions[:, :3, :3] = Rotation.from_rotvec(np.outer(angles, axis)).as_matrix()
    motions[:, :3, 3] = METRES * (offset - motions[:, :3, :3] @ offset)
    return motions
