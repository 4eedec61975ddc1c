"""Learning from simulated piles: the part's mesh, a user's own or one that was reconstructed from
unlabelled depth, is dropped into bins by the simulator's physics, photographed by an ideal and a
noisy camera, and teaches the dense network with exact labels. No picture was labelled by anybody,
and real piles have what no composite of crops has: poses that lean, jam and lie in layers."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from insegan_ros.engine.checkpoint import MESH, Checkpoint
from insegan_ros.engine.loop import LoopConfig
from insegan_ros.engine.run import RunContext
from insegan_ros.errors import ConfigError
from insegan_ros.files import write_whole
from insegan_ros.geometry.meshes import read_mesh
from insegan_ros.methods.piles.crops import learn_from_crops
from insegan_ros.methods.piles.pictures import read_piles, true_centres, true_labels
from insegan_ros.methods.piles.real_frames import real_frames, self_train
from insegan_ros.methods.piles.recording import DEFAULT_SENSOR, Recording, RefusedMesh
from insegan_ros.methods.registry import find_checkpoint
from insegan_ros.offsets.inference import VoteRule
from insegan_ros.offsets.labelled_images import LabelledImages
from insegan_ros.offsets.network import OffsetNetConfig, finer
from insegan_ros.offsets.segmenter import network_config
from insegan_ros.offsets.stage import OffsetStage, OffsetTrainConfig
from insegan_ros.reconstruction.stages import fingerprint
from insegan_ros.workspace import VIEW_MARGIN
from insegan_sim.generate import SimulateConfig, simulate
from insegan_sim.parts import Part

# Px of a simulated picture for one that is learnt from, along a side.
OVERSAMPLED = 2.0


@dataclass(frozen=True)
class PilesConfig:
    """What the simulator drops, and what photographs it."""

    part: str = ''
    """One of the simulator's parts; several separated by commas make bins of mixed parts, for a
    network that others begin with. Empty where `mesh` is given."""
    mesh: str = ''
    """The part's STL, OBJ or PLY file, as `insegan reconstruct` makes it or of your own."""
    scale: float = 1.0
    """Metres per unit of the mesh."""
    concavity: float = 0.15
    """How far collisions may bridge hollows, see `insegan simulate`: meshes from depth ripple."""
    instances: str = '1-50'
    """Parts in a bin, from the emptiest to the fullest."""
    fill: float = 2.5
    """Layers that the fullest bin holds: the share of the floor that its parts would cover side by
    side."""
    emptied: int = 5
    """Pictures of a pile, of which more and more is taken away, see `insegan simulate`."""
    scenes: int = 80
    """Scenes for each sensor."""
    sensors: tuple[str, ...] = ('ideal', 'd435')
    """Whose depth is learnt from; names or YAML files, see `insegan simulate --sensor`. With
    `data`, d435 gives way to a sensor that is fitted to them."""
    camera: str = ''
    """Who photographs the piles, see `insegan simulate --camera`; with `data` it is theirs."""
    workers: int = 2
    """Processes that simulate."""

    def __post_init__(self) -> None:
        if self.part and self.mesh:
            raise ConfigError(
                f'piles.part is "{self.part}", piles.mesh "{self.mesh}": expected one of them'
            )
        if not self.sensors:
            raise ConfigError('piles.sensors is empty: expected one sensor or more, such as d435')

    @property
    def most(self) -> int:
        """Parts in the fullest bin."""
        return int(self.instances.rpartition('-')[2])

    def simulation(self, sensor: str, out: Path, seed: int, part_px: float) -> SimulateConfig:
        """The set of one of the sensors in its folder, finer than part_px px a part; raises
        ConfigError for what cannot be simulated."""
        return SimulateConfig(
            part=self.part or 'nut',
            mesh=self.mesh,
            scale=self.scale,
            concavity=self.concavity,
            scenes=self.scenes,
            out=str(out),
            instances=self.instances,
            fill=self.fill,
            emptied=self.emptied,
            sensor=sensor,
            camera=self.camera,
            size=str(self._longest_px(part_px)) if self.camera else SimulateConfig.size,
            seed=seed,
            workers=self.workers,
            shard_scenes=20,
        )

    def _longest_px(self, part_px: float) -> int:
        """The longest side of a picture of the fullest bin in which a part has OVERSAMPLED part_px
        px, and more where that costs little."""
        wanted = OVERSAMPLED * part_px * math.sqrt(self.most / self.fill) * (1 + VIEW_MARGIN)
        return max(math.ceil(wanted), int(SimulateConfig.size))


@dataclass(frozen=True)
class TrainPilesConfig:
    """`insegan train piles`: a part's mesh or unlabelled depth in, an instance segmenter out.
    It is for bins of any fill. From depth, the mesh is reconstructed first. Stopped and started
    again, it goes on."""

    data: str = ''
    """Recording or data set in which the part lies alone now and then. The mesh is reconstructed
    from it (see `insegan reconstruct`) unless it is given; the piles are seen by its camera, with
    its noise. Only depth is read. May be empty where the mesh is given."""
    workspace: str = ''
    """For a recording: the YAML of `insegan calibrate`; empty takes the recording's own
    workspace.yaml."""
    views: int = 40
    """How many views of the lone part the mesh is made from, at most."""
    piles: PilesConfig = field(default_factory=PilesConfig)
    """The simulated piles."""
    out: str = 'runs/piles'
    """Folder of the run: piles, states, logs, and at the end the checkpoint."""
    part_px: float = 28.0
    """Resolution that is learnt at: the side in px of a square that covers as much as one part."""
    begin: str = 'piles-base'
    """Checkpoint whose dense network the training begins with: the shipped one has learnt piles of
    sixty simulated products. Empty begins from scratch, which takes more scenes and steps."""
    seed: int = 0
    """Seed of everything."""
    offsets: OffsetTrainConfig = field(
        default_factory=lambda: OffsetTrainConfig(
            network=OffsetNetConfig(cell=2), steps=400, batch=12, self_training=0
        )
    )
    """The dense network's training; self_training counts rounds on the frames of `data`."""
    crops: OffsetTrainConfig = field(
        default_factory=lambda: OffsetTrainConfig(steps=1000, self_training_steps=500)
    )
    """Its training where the mesh cannot be told from `data`: `cutpaste` then learns from isolated
    parts instead. With steps 0 that is an error."""
    votes: VoteRule = field(
        default_factory=lambda: VoteRule(
            centre_radius=0.7,
            min_votes=0.25,
            min_height=0.0,
            min_height_m=0.002,
            min_foreground=0.2,
            cover=True,
        )
    )
    """The rule that turns votes into centres; the segmenter takes it from the checkpoint. Chosen
    with the labels of simulated bins of nuts, bolts and connectors of seed 77."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Device, precision, how often to save."""

    def __post_init__(self) -> None:
        if not 6 <= self.part_px <= 128:
            raise ConfigError(f'part_px is {self.part_px:g}: expected 6 to 128')
        self.offsets.check_steps()
        if self.offsets.self_training and not self.data:
            raise ConfigError(
                f'offsets.self_training is {self.offsets.self_training} without data: expected 0,'
                ' simulated piles have labels, or data whose frames are learnt from as well'
            )


def train_piles(config: TrainPilesConfig) -> Path:
    """Simulate, then train the dense network, or what is left of it; returns the checkpoint's
    folder. Raises ConfigError or InputError for a mesh that cannot be simulated, DatasetError where
    nothing can be learnt from the data."""
    run, start = RunContext(config), first_weights(config)
    recording = Recording(config.data, config.workspace, Path(config.out), run.say)
    try:
        piles, name = _what_to_simulate(config, run, recording)
    except RefusedMesh as refused:
        if not config.crops.steps:
            raise
        return learn_from_crops(recording, refused, config.crops, config.loop, config.seed)
    folders, parts = _simulated(config, run, piles)
    stride = config.offsets.network.stride
    maps, data, scales = read_piles(folders, parts, config.part_px, run.device, stride)
    labels, centres = true_labels(maps, config.votes), true_centres(maps)
    run.say(
        f'{len(labels)} piles of up to {labels.max()} parts at {labels.shape[-1]} px; one part'
        f' covers some {scales.part_area_px:.0f} px'
    )
    factory = LabelledImages(data.images, labels, centres, True)
    run.seed('weights', 3)
    stage = OffsetStage(run.fabric, config.offsets, factory, data.relief_px, 0, start)
    weights, rounds = run.stage(stage).weights(), 0
    if config.offsets.self_training and (
        frames := real_frames(recording, scales, run.device, stride)
    ):
        weights, rounds = self_train(
            run, config.offsets, factory, frames, scales, config.votes, weights
        )
    if len(parts) == 1 and run.speaks:
        _keep_mesh(piles, parts[0], Path(config.out) / 'checkpoint')
    return run.save(
        'piles',
        'offsets',
        name or '+'.join(part.name for part in parts),
        scales,
        {'offsets': weights},
        data=f'{len(data.images)} simulated piles',
        taught_by=f'piles that were simulated of {_origin(config)}'
        + ', then by its own labels of real frames' * bool(rounds),
        labels_read="the labels are the simulator's own, of the piles that it made",
    )


def _what_to_simulate(
    config: TrainPilesConfig, run: RunContext, recording: Recording
) -> tuple[PilesConfig, str]:
    """The piles, with what a recording tells of them, and what it calls the part, if there is one;
    the run's folder is claimed for them. Raises RefusedMesh where the mesh cannot be told from the
    recording."""
    piles = config.piles
    if config.data:
        run.claim(fingerprint(Path(config.data)))
        return of_recording(config, run, recording)
    if not (piles.mesh or piles.part):
        raise ConfigError(
            'neither data nor piles.mesh is given: expected depth of the part, its mesh, or the'
            ' name of one of the simulator as piles.part'
        )
    plan = piles.simulation(piles.sensors[0], Path(config.out), config.seed, config.part_px)
    run.claim(str(plan.identity().get('mesh_sha256', piles.part))[:16])
    return piles, ''


def _simulated(
    config: TrainPilesConfig, run: RunContext, piles: PilesConfig
) -> tuple[list[Path], tuple[Part, ...]]:
    """The folders of the piles, one a sensor, simulated where they are missing, and the parts."""
    plans = [
        piles.simulation(
            sensor,
            Path(config.out) / 'piles' / Path(sensor).stem,
            config.seed + number,
            config.part_px,
        )
        for number, sensor in enumerate(piles.sensors)
    ]
    parts = plans[0].parts()
    for plan in plans if run.speaks else ():
        simulate(plan)
    run.fabric.barrier()
    return [plan.folder for plan in plans], parts


def _keep_mesh(piles: PilesConfig, part: Part, folder: Path) -> None:
    """Write the part's mesh beside the weights to come, in metres about its file's own origin:
    poses are registered to it, see load_segmenter."""
    mesh = read_mesh(Path(piles.mesh), piles.scale) if piles.mesh else part.mesh
    content = mesh.export(file_type='ply')
    assert isinstance(content, bytes), 'a binary PLY'
    write_whole(folder / MESH, content)


def of_recording(
    config: TrainPilesConfig, run: RunContext, recording: Recording
) -> tuple[PilesConfig, str]:
    """The piles with the recording's mesh, camera and sensor, as far as they were not given, and
    what it calls the part. Raises RefusedMesh where the mesh cannot be told from it."""
    made = None
    if run.speaks:
        # What one process has refused, all of them read.
        with suppress(RefusedMesh):
            made = _of_recording(config, recording)
    run.fabric.barrier()
    return made or _of_recording(config, recording)


def _of_recording(config: TrainPilesConfig, recording: Recording) -> tuple[PilesConfig, str]:
    piles, name = config.piles, ''
    if not (piles.mesh or piles.part):
        name = '+'.join(recording.scenes()[0])
        piles = replace(piles, mesh=str(recording.mesh(config.views, config.seed)))
    if not piles.camera:
        piles = replace(piles, camera=recording.camera())
    if DEFAULT_SENSOR in piles.sensors:
        fitted = recording.sensor()
        sensors = (fitted if one == DEFAULT_SENSOR else one for one in piles.sensors)
        piles = replace(piles, sensors=tuple(sensors))
    return piles, name


def _origin(config: TrainPilesConfig) -> str:
    """What the piles are made of, in words."""
    if config.data and not (config.piles.mesh or config.piles.part):
        return 'a mesh that was reconstructed from unlabelled depth'
    return 'its mesh' if config.piles.mesh else 'the part'


def first_weights(config: TrainPilesConfig) -> dict[str, torch.Tensor] | None:
    """The weights that the dense network begins with; None for new ones. Raises ConfigError for a
    network of another shape, CheckpointError for a checkpoint without one."""
    if not config.begin:
        return None
    checkpoint = Checkpoint.load(find_checkpoint(config.begin))
    checkpoint.require('offsets')
    shape, wanted = network_config(checkpoint), config.offsets.network
    weights = {name: value.float() for name, value in checkpoint.weights['offsets'].items()}
    if shape != wanted and replace(shape, cell=wanted.cell) == wanted and shape.cell == 1:
        return finer(weights, wanted.cell)
    if shape != wanted:
        raise ConfigError(
            f'begin is {config.begin}, whose network is {shape}: expected the shape of'
            f' offsets.network, {wanted}, or --begin "" for a new network'
        )
    return weights
