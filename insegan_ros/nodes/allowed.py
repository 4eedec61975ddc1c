"""Which files the parameters of a node may name: on a network without access control anybody can
set them, and would hear from the answer whether a file exists."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from insegan_ros.errors import ConfigError
from insegan_ros.files import shipped_folders
from insegan_ros.methods.registry import OWN_MESH, ready
from insegan_ros.renamed import MODELS

# Parameters of the segmenter that name a file or a folder.
PATHS = ('model', 'mesh', 'roi_filter', 'gate', 'picks.gripper_file', 'picks.grasps_file')


def check_allowed(values: Mapping[str, str], folders: Iterable[str]) -> None:
    """Raise ConfigError where one of the values, by their parameter's name, lies in none of the
    folders, links followed; whether it exists is neither looked at nor said. Names of methods and
    of shipped checkpoints may always be given; without folders everything may."""
    roots = [Path(os.path.expanduser(folder)).resolve() for folder in folders]
    for name, value in values.items():
        own = name == 'mesh' and value == OWN_MESH
        if not roots or not value or own or _is_name(value):
            continue
        path = Path(os.path.expanduser(value)).resolve()
        if not any(path.is_relative_to(root) for root in roots):
            raise ConfigError(
                f'parameter {name} is "{value}": expected a path in one of allowed_folders'
                f' ({", ".join(map(str, roots))}) or the name of a shipped checkpoint'
            )


def _is_name(value: str) -> bool:
    shipped = shipped_folders('checkpoints')
    return Path(value).name == value and (
        value in ready() or any((folder / MODELS.get(value, value)).is_dir() for folder in shipped)
    )
