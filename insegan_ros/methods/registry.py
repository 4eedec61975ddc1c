"""The one registry: a segmenter by its name, or by the checkpoint that it was trained into."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

from insegan_ros.engine.checkpoint import WEIGHTS, Checkpoint
from insegan_ros.errors import CheckpointError, ConfigError, unknown
from insegan_ros.files import shipped_folders
from insegan_ros.tasks.segmenter import Segmenter
from insegan_ros.workspace import Workspace

# Those that need no training, and those that need a checkpoint. A new method is one line here; its
# module is imported when it is asked for, so that a node starts without the others' libraries.
UNTRAINED = {
    'kmeans': 'insegan_ros.methods.baselines.kmeans:KMeansSegmenter',
    'spectral': 'insegan_ros.methods.baselines.spectral:SpectralSegmenter',
    'grabcut': 'insegan_ros.methods.baselines.grabcut:GrabCutSegmenter',
    'graphcut': 'insegan_ros.methods.baselines.graphcut:GraphCutSegmenter',
    'felzenszwalb': 'insegan_ros.methods.baselines.felzenszwalb:FelzenszwalbSegmenter',
}
# The same for methods that only tell foreground from background.
FOREGROUND = {
    'grabcut-colour': 'insegan_ros.methods.baselines.colour:ColourGrabCutSegmenter',
    'kmeans-colour': 'insegan_ros.methods.baselines.colour:ColourKMeansSegmenter',
    'depth-threshold': 'insegan_ros.methods.baselines.colour:DepthThresholdSegmenter',
}
# The same for pictures of heaps of any number.
HEAPS = {
    f'{name}-heap': f'insegan_ros.methods.baselines.heaps:{kind}Segmenter'
    for name, kind in (
        ('watershed', 'Watershed'),
        ('felzenszwalb', 'Regions'),
        ('template', 'Template'),
        ('kmeans', 'Clusters'),
    )
}
READY = {**UNTRAINED, **FOREGROUND, **HEAPS}
TRAINED = {
    'displacement': 'insegan_ros.offsets.segmenter:DisplacementSegmenter',
    'insegan': 'insegan_ros.methods.insegan.segmenter:InSeGANSegmenter',
    'insegan-refined': 'insegan_ros.methods.insegan.segmenter:RefinedInSeGANSegmenter',
    'foreground': 'insegan_ros.methods.foreground.segmenter:ForegroundSegmenter',
    'hoc': 'insegan_ros.methods.hoc.segmenter:HocSegmenter',
    'masks': 'insegan_ros.methods.image_level.mask_segmenter:MaskSegmenter',
    'semantic': 'insegan_ros.methods.image_level.semantic_segmenter:SemanticSegmenter',
    'reconstruction': 'insegan_ros.methods.baselines.reconstruction_segmenter:ReconstructionSegmenter',
}
# Ways to run what `insegan train insegan` makes, as far as its checkpoint holds the networks. All
# others can be run in one way.
ONE_CHECKPOINT = 'displacement', 'insegan', 'insegan-refined'


def load_segmenter(
    model: str,
    segmenter: str = '',
    workspace: Workspace | None = None,
    device: str = 'auto',
    instances: int = 5,
    mesh: str = '',
    mesh_scale: float = 1.0,
    gate: str = '',
) -> Segmenter:
    """A segmenter that is ready to run.

    model: a checkpoint's folder, the name of a shipped one (insegan-nut), or the name of an
    untrained method (kmeans, spectral, …, which are told the number of `instances`). segmenter:
    another way to run the checkpoint (insegan: the paper's pose encoder) instead of its own. mesh:
    the part's STL, OBJ or PLY, `mesh_scale` metres a unit; poses are then its own, in metres,
    instead of principal axes. gate: a foreground method or checkpoint; what it takes for background
    is floor to the other. Raises InputError for a mesh that cannot be read, ConfigError for unknown
    names, CheckpointError for a checkpoint that cannot be used.
    """
    if mesh:
        from insegan_ros.geometry.registration import MeshRegistration, read_mesh
        from insegan_ros.methods.posed import PosedSegmenter

        return PosedSegmenter(
            load_segmenter(model, segmenter, workspace, device, instances, gate=gate),
            MeshRegistration(read_mesh(Path(mesh), mesh_scale)),
        )
    if gate:
        from insegan_ros.methods.gated import GatedSegmenter

        if _tells_foreground(model):
            raise ConfigError(
                f'a gate stands before {model}, which tells foreground itself: expected a model'
                ' that divides parts by depth, such as insegan-nut'
            )
        if not _tells_foreground(gate):
            raise ConfigError(
                f'the gate is {gate}, which divides parts: expected a foreground method or'
                f' checkpoint, {", ".join(FOREGROUND)} or layered-gan-tote'
            )
        inner = load_segmenter(model, segmenter, workspace, device, instances)
        if getattr(inner, 'look', '') == 'colour':
            raise ConfigError(
                f'a gate stands before {model}, which looks at colour alone, and a gate changes'
                ' depth: expected a model that divides parts by depth, such as insegan-nut'
            )
        return GatedSegmenter(inner, load_segmenter(gate, '', workspace, device))
    if model in READY:
        if segmenter:
            raise ConfigError(
                f'a segmenter ({segmenter}) is given for {model}, which needs no checkpoint:'
                ' expected a checkpoint, or no segmenter'
            )
        return _load(READY[model])(instances=instances, workspace=workspace)
    checkpoint = Checkpoint.load(find_checkpoint(model))
    name = segmenter or checkpoint.segmenter
    if name not in TRAINED:
        raise unknown('segmenter', name, list(TRAINED))
    ways = ONE_CHECKPOINT if checkpoint.segmenter in ONE_CHECKPOINT else (checkpoint.segmenter,)
    if name not in ways:
        raise CheckpointError(f'{model} cannot be run as {name}: expected {" or ".join(ways)}')
    return _load(TRAINED[name])(checkpoint, workspace=workspace, device=device)


def _tells_foreground(model: str) -> bool:
    """Whether a method's answer is foreground or background, and no more."""
    return (
        model in FOREGROUND
        or model not in READY
        and Checkpoint.load(find_checkpoint(model)).segmenter == 'foreground'
    )


def _load(place: str) -> Callable[..., Segmenter]:
    module, name = place.split(':')
    return getattr(importlib.import_module(module), name)


def find_checkpoint(model: str) -> Path:
    """Where a checkpoint lies: the path itself, or a shipped one of that name. Raises
    CheckpointError."""
    path = Path(model).expanduser()
    if path.exists():
        # A run's folder holds its checkpoint.
        return (
            path / 'checkpoint'
            if not (path / WEIGHTS).is_file() and (path / 'checkpoint' / WEIGHTS).is_file()
            else path
        )
    for folder in shipped_folders('checkpoints'):
        if (folder / path.name).is_dir():
            return folder / path.name
    names = sorted(
        {
            child.name
            for folder in shipped_folders('checkpoints')
            for child in folder.iterdir()
            if child.is_dir()
        }
    )
    raise CheckpointError(
        f'no checkpoint or method "{model}": expected a folder with weights.safetensors, one of the'
        f' shipped {", ".join(names) or "(none found)"}, or {", ".join(READY)}'
    )
