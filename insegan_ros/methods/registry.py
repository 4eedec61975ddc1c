"""The one registry: every method by its name, how it is trained, how what it learns is run, and
which task it solves. A new method is a folder and one line here; its modules are imported when they
are asked for, so that a node starts without the others' libraries."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from insegan_ros.engine.checkpoint import MESH, WEIGHTS, Checkpoint
from insegan_ros.errors import MALFORMED, CheckpointError, ConfigError, InputError, unknown
from insegan_ros.files import shipped_folders, user_path
from insegan_ros.offsets.runtimes import check_runtime
from insegan_ros.renamed import modern_model, modern_segmenter
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.texts import reason


@dataclass(frozen=True)
class Method:
    """A method. help: one line for people. task: of tasks/. config and train: `module:name` of its
    configuration and of what trains it, below insegan_ros; empty where it learns nothing.
    segmenters: `module:name` of every way to run it, the usual one first."""

    help: str
    task: str
    segmenters: dict[str, str] = field(default_factory=dict)
    config: str = ''
    train: str = ''

    @property
    def config_class(self) -> type[Any]:
        """The class of its configuration, a dataclass."""
        return resolve(self.config)

    def run(self, config: Any) -> Path:
        """Train it, or what is left of it; returns the checkpoint's folder."""
        return resolve(self.train)(config)


def resolve(place: str) -> Any:
    """What `module:name`, below insegan_ros, stands for."""
    module, name = place.split(':')
    return getattr(importlib.import_module(f'insegan_ros.{module}'), name)


DENSE = {'offsets': 'offsets.segmenter:OffsetSegmenter'}
POSE_ENCODER = {
    'insegan': 'methods.insegan.segmenter:InSeGANSegmenter',
    'insegan-refined': 'methods.insegan.segmenter:RefinedInSeGANSegmenter',
    'insegan-searched': 'methods.insegan.search:SearchedInSeGANSegmenter',
    'insegan-views': 'methods.insegan.views:ViewSegmenter',
}
SLOTS = {'reconstruction': 'methods.baselines.reconstruction_segmenter:ReconstructionSegmenter'}
UNET = {'foreground': 'methods.foreground.segmenter:ForegroundSegmenter'}
MASKS = {'masks': 'methods.image_level.mask_rcnn:MaskSegmenter'}
CLASSES = {**MASKS, 'semantic': 'methods.image_level.semantic:SemanticSegmenter'}


def _learnt(help_: str, task: str, segmenters: dict[str, str], module: str, name: str) -> Method:
    config, train = (f'methods.{module}:{one}' for one in name.split(' '))
    return Method(help_, task, segmenters, config, train)


def _ready(help_: str, task: str, name: str, place: str) -> Method:
    return Method(help_, task, {name: f'methods.baselines.{place}'})


METHODS: dict[str, Method] = {
    'cutpaste': _learnt(
        'isolated parts, cropped from unlabelled depth and pasted into piles, teach a network',
        'instances',
        DENSE,
        'cutpaste.recipe',
        'TrainCutPasteConfig train_cutpaste',
    ),
    'piles': _learnt(
        "piles simulated of the part's mesh, its own or a reconstructed one, teach a network",
        'instances',
        DENSE,
        'piles.recipe',
        'TrainPilesConfig train_piles',
    ),
    'insegan': _learnt(
        'a generator that explains every depth image as n copies of one object (InSeGAN)',
        'instances',
        {**DENSE, **POSE_ENCODER},
        'insegan.recipe',
        'TrainInseganConfig train_insegan',
    ),
    'supervised': _learnt(
        "the dense network trained on the simulator's true labels: the upper bound",
        'instances',
        DENSE,
        'baselines.supervised',
        'TrainSupervisedConfig train_supervised',
    ),
    'slot-attention': _learnt(
        'a baseline (Locatello et al., 2020)',
        'instances',
        SLOTS,
        'baselines.reconstruction_recipe',
        'TrainSlotAttentionConfig train_slot_attention',
    ),
    'iodine': _learnt(
        'a baseline (Greff et al., 2019)',
        'instances',
        SLOTS,
        'baselines.reconstruction_recipe',
        'TrainIodineConfig train_iodine',
    ),
    'point-template': _learnt(
        'a baseline (Wu et al., 2019)',
        'instances',
        SLOTS,
        'baselines.reconstruction_recipe',
        'TrainPointTemplateConfig train_point_template',
    ),
    'hoc': _learnt(
        'instances of a heap, learnt from a single image of one',
        'heaps',
        {'hoc': 'methods.hoc.segmenter:HocSegmenter'},
        'hoc.recipe',
        'TrainHocConfig train_hoc',
    ),
    'layered-gan': _learnt(
        'foreground of colour images of single objects, learnt without masks',
        'foreground',
        UNET,
        'foreground.layered_recipe',
        'TrainLayeredGanConfig train_layered_gan',
    ),
    'independence-foreground': _learnt(
        'foreground of crops around single objects, learnt without masks',
        'foreground',
        UNET,
        'foreground.independence_recipe',
        'TrainIndependenceConfig train_independence',
    ),
    'supervised-foreground': _learnt(
        'the same network trained on true masks: the upper bound',
        'foreground',
        UNET,
        'foreground.supervised_recipe',
        'TrainForegroundConfig train_supervised_foreground',
    ),
    'irnet': _learnt(
        'masks with classes, learnt from image-level labels (IRNet)',
        'classes',
        CLASSES,
        'image_level.irnet_recipe',
        'TrainIRNetConfig train_irnet',
    ),
    'ccgr': _learnt(
        'masks with classes, learnt from image-level labels (CCGR)',
        'classes',
        MASKS,
        'image_level.ccgr_recipe',
        'TrainCcgrConfig train_ccgr',
    ),
    'supervised-masks': _learnt(
        'Mask R-CNN trained on true masks with classes: the upper bound',
        'classes',
        MASKS,
        'image_level.mask_rcnn_recipe',
        'TrainMaskRcnnConfig train_supervised_masks',
    ),
    'kmeans': _ready('a baseline', 'instances', 'kmeans', 'kmeans:KMeansSegmenter'),
    'spectral': _ready('a baseline', 'instances', 'spectral', 'spectral:SpectralSegmenter'),
    'mean-shift': _ready('a baseline', 'instances', 'mean-shift', 'mean_shift:MeanShiftSegmenter'),
    'grabcut': _ready('a baseline', 'instances', 'grabcut', 'grabcut:GrabCutSegmenter'),
    'graphcut': _ready('a baseline', 'instances', 'graphcut', 'graphcut:GraphCutSegmenter'),
    'felzenszwalb': _ready(
        'a baseline', 'instances', 'felzenszwalb', 'felzenszwalb:FelzenszwalbSegmenter'
    ),
    'grabcut-colour': _ready(
        'a baseline', 'foreground', 'grabcut-colour', 'colour:ColourGrabCutSegmenter'
    ),
    'kmeans-colour': _ready(
        'a baseline', 'foreground', 'kmeans-colour', 'colour:ColourKMeansSegmenter'
    ),
    'depth-threshold': _ready(
        'a baseline', 'foreground', 'depth-threshold', 'colour:DepthThresholdSegmenter'
    ),
    'watershed-heap': _ready('a baseline', 'heaps', 'watershed-heap', 'heaps:WatershedSegmenter'),
    'felzenszwalb-heap': _ready(
        'a baseline', 'heaps', 'felzenszwalb-heap', 'heaps:RegionsSegmenter'
    ),
    'template-heap': _ready('a baseline', 'heaps', 'template-heap', 'heaps:TemplateSegmenter'),
    'kmeans-heap': _ready('a baseline', 'heaps', 'kmeans-heap', 'heaps:ClustersSegmenter'),
}
# name -> `module:name` of every way to run a checkpoint.
TRAINED = {
    name: place
    for method in METHODS.values()
    if method.train
    for name, place in method.segmenters.items()
}
# In place of a mesh's file: the one that the model was taught with.
OWN_MESH = 'own'


def recipes() -> dict[str, Method]:
    """The methods that learn."""
    return {name: method for name, method in METHODS.items() if method.train}


def ready(task: str = '') -> list[str]:
    """The methods that run without a checkpoint, of one task if given."""
    return [
        name for name, method in METHODS.items() if not method.train and task in ('', method.task)
    ]


def task_of(checkpoint: Checkpoint) -> str:
    """The task that a checkpoint is for. Raises CheckpointError for a method that is none of
    these."""
    if checkpoint.method not in METHODS:
        raise CheckpointError(
            f'the checkpoint is of a method "{checkpoint.method}": expected one of'
            f' {", ".join(recipes())}'
        )
    return METHODS[checkpoint.method].task


def load_segmenter(
    model: str,
    segmenter: str = '',
    device: str = 'auto',
    instances: int = 5,
    mesh: str = '',
    mesh_scale: float = 1.0,
    roi_filter: str = '',
    runtime: str = 'torch',
) -> Segmenter:
    """A segmenter that is ready to run.

    model: a checkpoint's folder, the name of a shipped one (cutpaste-nut), or the name of a method
    that learns nothing (kmeans, spectral, …, which are told the number of `instances`). segmenter:
    another way to run the checkpoint (insegan: the paper's pose encoder) instead of its own. mesh:
    the part's STL, OBJ or PLY, `mesh_scale` metres per unit, or `own`, the one that the model was
    taught with; poses are then its own, in metres, instead of principal axes. roi_filter: a
    foreground method or checkpoint; what it takes for background is floor to the other. runtime:
    what runs a dense network, torch, onnx, or auto, the faster of those that are installed; other
    methods run on torch. Raises InputError for a mesh that cannot be read, ConfigError for unknown
    names, CheckpointError for a checkpoint that cannot be used.

    >>> segmenter = load_segmenter('cutpaste-nut')
    >>> segmenter.task, segmenter.part, segmenter.needs_colour
    ('instances', 'nut', False)

    It is run as `segmenter.segment(frame, workspace).labels`.
    """
    check_runtime(runtime)
    if mesh:
        from insegan_ros.geometry.meshes import read_mesh
        from insegan_ros.geometry.registration import MeshRegistration
        from insegan_ros.methods.posed import PosedSegmenter

        inner = load_segmenter(model, segmenter, device, instances, '', 1.0, roi_filter, runtime)
        path = mesh_file(model, mesh, mesh_scale)
        registration = MeshRegistration(read_mesh(path, mesh_scale))
        return PosedSegmenter(inner, registration, path, mesh_scale)
    if roi_filter:
        return _filtered(model, segmenter, device, instances, roi_filter, runtime)
    if model in METHODS and not METHODS[model].train:
        if segmenter:
            raise ConfigError(
                f'a segmenter ({segmenter}) is given for {model}, which needs no checkpoint:'
                ' expected a checkpoint, or no segmenter'
            )
        return resolve(METHODS[model].segmenters[model])(instances=instances)
    checkpoint = Checkpoint.load(find_checkpoint(model))
    name = modern_segmenter(segmenter) or checkpoint.segmenter
    if name not in TRAINED:
        raise unknown('segmenter', name, list(TRAINED))
    method = METHODS.get(checkpoint.method)
    ways = method.segmenters if method else (checkpoint.segmenter,)
    if name not in ways:
        raise CheckpointError(f'{model} cannot be run as {name}: expected {" or ".join(ways)}')
    options = {'runtime': runtime} if name in DENSE else {}
    try:
        return resolve(TRAINED[name])(checkpoint, device=device, **options)
    except MALFORMED as error:
        raise CheckpointError(
            f'{model}: its configuration cannot be used ({reason(error)}): copy or train it again'
        ) from error


def _filtered(
    model: str, segmenter: str, device: str, instances: int, roi_filter: str, runtime: str
) -> Segmenter:
    """A method behind a region-of-interest filter."""
    from insegan_ros.methods.roi_filter import RoiFilteredSegmenter

    parts = 'expected a model that divides parts by depth, such as cutpaste-nut'
    inner = load_segmenter(model, segmenter, device, instances, runtime=runtime)
    if inner.task == 'foreground':
        raise ConfigError(
            f'a region-of-interest filter stands before {model}, which finds the foreground'
            f' itself: {parts}'
        )
    if inner.modality == 'colour':
        raise ConfigError(
            f'a region-of-interest filter stands before {model}, which looks at colour alone, and a'
            f' filter changes depth: {parts}'
        )
    found = load_segmenter(roi_filter, device=device)
    if found.task != 'foreground':
        raise ConfigError(
            f'the region-of-interest filter is {roi_filter}, which divides parts: expected a'
            f' foreground method or checkpoint, {", ".join(ready("foreground"))} or'
            ' layered-gan-tote'
        )
    return RoiFilteredSegmenter(inner, found)


def mesh_file(model: str, mesh: str, scale: float = 1.0) -> Path:
    """The file of a part's mesh: `mesh`, or for `own` the one that the model was taught with.
    Raises ConfigError where it was taught without one, or for a scale of what is in metres."""
    if mesh != OWN_MESH:
        return user_path(mesh, InputError)
    # A method that learns nothing has no folder.
    found = None if model in ready() else find_checkpoint(model)
    path = found and (found if found.is_dir() else found.parent) / MESH
    if path is None or not path.is_file():
        raise ConfigError(
            f'{model} knows no mesh of its part: expected the file of one, or a model that was'
            ' taught with one, by insegan train piles'
        )
    if scale != 1:
        raise ConfigError(
            f"the mesh is {model}'s own, the scale {scale:g}: expected no scale, it is in metres"
            ' already'
        )
    return path


def find_checkpoint(model: str) -> Path:
    """Where a checkpoint lies: the path itself, or a shipped one of that name. Raises
    CheckpointError."""
    if not model:
        raise CheckpointError('no model is named: expected a checkpoint or a method')
    path = user_path(model, CheckpointError)
    if not path.exists():
        path = path.with_name(modern_model(path.name))
    if path.exists():
        # A run's folder holds its checkpoint.
        inside = path / 'checkpoint'
        is_run = not (path / WEIGHTS).is_file() and (inside / WEIGHTS).is_file()
        return inside if is_run else path
    for folder in shipped_folders('checkpoints'):
        if (folder / path.name).is_dir():
            return folder / path.name
    names = {
        child.name
        for folder in shipped_folders('checkpoints')
        for child in folder.iterdir()
        if child.is_dir()
    }
    raise CheckpointError(
        f'no checkpoint or method "{model}": expected a folder with weights.safetensors, one of the'
        f' shipped {", ".join(sorted(names)) or "(none found)"}, or {", ".join(ready())}'
    )
