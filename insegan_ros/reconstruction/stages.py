"""What a reconstruction has found so far, kept in a folder, so that one that was stopped goes on: a
safetensors file a stage, no pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from insegan_ros.errors import DatasetError
from insegan_ros.files import FolderLock, hold_folder, write_whole
from insegan_ros.frame import Intrinsics
from insegan_ros.reconstruction.clusters import Cluster, cluster_of
from insegan_ros.reconstruction.fields import Shape
from insegan_ros.reconstruction.linking import Hypothesis, joined_all
from insegan_ros.reconstruction.views import View
from insegan_ros.workspace import Workspace

# Files of another form are not gone on with.
FORM = 1
# Files that are compared whole, such as a workspace.
SMALL_BYTES = 100_000
Kept = TypeVar('Kept')


class Packed(NamedTuple):
    """A result as a file holds it: tensors by name, and the rest as JSON."""

    tensors: dict[str, Tensor]
    rest: Any


class Stages:
    """The folder of a reconstruction's stages. identity: what they were made of and with which
    options; None as a folder keeps nothing."""

    def __init__(self, folder: Path | None, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        self.lock: FolderLock | None = None
        self.identity = json.dumps({'form': FORM, **identity}, sort_keys=True)

    def keep(
        self,
        name: str,
        make: Callable[[], Kept],
        pack: Callable[[Kept], Packed],
        unpack: Callable[[Packed], Kept],
    ) -> Kept:
        """What a stage found before, or what it finds now, which is then kept. Raises DatasetError
        for a file of other data or options, or one that cannot be read, and where another process
        keeps its own there."""
        if self.folder is None:
            return make()
        path = self.folder / f'{name}.safetensors'
        if not path.exists():
            found = make()
            # Not before something is to be kept: what is refused at once leaves no folder.
            self.lock = hold_folder(self.folder, DatasetError)
        # Another process may have been faster.
        if path.exists():
            self.lock = hold_folder(self.folder, DatasetError)
            return unpack(self._read(path))
        packed = pack(found)
        notes = {'identity': self.identity, 'rest': json.dumps(packed.rest)}
        tensors = {key: one.contiguous().clone() for key, one in packed.tensors.items()}
        write_whole(path, save(tensors, notes))
        return found

    def _read(self, path: Path) -> Packed:
        try:
            with safe_open(path, 'pt') as file:
                notes = file.metadata()
                same = notes['identity'] == self.identity
                packed = Packed({k: file.get_tensor(k) for k in file.keys()}, notes['rest'])
                rest = json.loads(packed.rest)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise DatasetError(
                f'{path} cannot be continued from ({str(error).splitlines()[0]}): expected a stage'
                ' of this reconstruction; delete it or give a new --out'
            ) from error
        if not same:
            raise DatasetError(
                f'{path.parent.parent} was begun with other data or other options: expected the'
                ' same ones to continue it; give them, or a new --out'
            )
        return packed._replace(rest=rest)


def stages_of(
    folder: Path, data: Path, workspace: Workspace | None, views: int, seed: int
) -> Stages:
    """The stages of a reconstruction of a recording or data set, with its bin if that is given
    beside it, in a folder."""
    bin_ = asdict(workspace) if workspace else None
    asked = {'data': fingerprint(data), 'workspace': bin_, 'views': views, 'seed': seed}
    return Stages(folder, asked)


def fingerprint(data: Path) -> str:
    """Of a file or folder: the names and sizes of what it holds, and what small files hold."""
    out = hashlib.sha256()
    for one in sorted(data.rglob('*')) if data.is_dir() else [data]:
        if one.is_file():
            size = one.stat().st_size
            out.update(f'{one.relative_to(data)} {size}\n'.encode())
            out.update(one.read_bytes() if size < SMALL_BYTES else b'')
    return out.hexdigest()[:16]


def pack_views(found: tuple[list[View], float]) -> Packed:
    """Views, and the depth's noise in m."""
    views, noise_m = found
    tensors, rest = {}, []
    for number, view in enumerate(views):
        tensors[f'{number}/picture'], tensors[f'{number}/points'] = view.picture, view.points
        tensors[f'{number}/camera'] = torch.from_numpy(view.camera_from_view)
        rest.append(
            {
                'scene': view.scene,
                'corner': view.corner,
                'intrinsics': asdict(view.intrinsics),
                'floor_m': view.floor_m,
                'ground_m': view.ground_m,
            }
        )
    return Packed(tensors, {'views': rest, 'noise_m': noise_m})


def unpack_views(packed: Packed) -> tuple[list[View], float]:
    """What `pack_views` packed."""
    views = []
    for number, rest in enumerate(packed.rest['views']):
        left, top = rest['corner']
        views.append(
            View(
                rest['scene'],
                packed.tensors[f'{number}/picture'],
                (left, top),
                Intrinsics(**rest['intrinsics']),
                packed.tensors[f'{number}/camera'].numpy(),
                rest['floor_m'],
                packed.tensors[f'{number}/points'],
                rest['ground_m'],
            )
        )
    return views, packed.rest['noise_m']


def pack_clusters(clusters: Sequence[Cluster]) -> Packed:
    """Resting poses; their shapes are made anew."""
    tensors = {}
    for number, one in enumerate(clusters):
        tensors[f'{number}/turns'], tensors[f'{number}/shifts'] = one.turns, one.shifts
    return Packed(tensors, [one.members for one in clusters])


def unpack_clusters(
    packed: Packed, views: Sequence[View], shapes: Sequence[Shape]
) -> list[Cluster]:
    """What `pack_clusters` packed, of views with their shapes."""
    return [
        cluster_of(
            views,
            shapes,
            tuple(members),
            packed.tensors[f'{number}/turns'],
            packed.tensors[f'{number}/shifts'],
        )
        for number, members in enumerate(packed.rest)
    ]


def pack_linked(linked: Sequence[Hypothesis]) -> Packed:
    """Hypotheses; their shapes are made anew."""
    tensors = {}
    for number, one in enumerate(linked):
        tensors[f'{number}/turns'], tensors[f'{number}/shifts'] = one.turns, one.shifts
    return Packed(tensors, len(linked))


def unpack_linked(packed: Packed, clusters: Sequence[Cluster], slack_m: float) -> list[Hypothesis]:
    """What `pack_linked` packed, of the clusters that were linked."""
    return [
        joined_all(clusters, packed.tensors[f'{n}/turns'], packed.tensors[f'{n}/shifts'], slack_m)
        for n in range(packed.rest)
    ]
