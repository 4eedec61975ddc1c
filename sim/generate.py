"""Data sets of simulated scenes: described by one configuration, made in shards, on any number of
processes."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import yaml
from tqdm import tqdm

from insegan_ros.data.shards import FORMAT, ShardInfo, is_shards, pack_shard, shard_path
from insegan_ros.data.whole_sets import NOTE
from insegan_ros.errors import ConfigError, DatasetError, InseganError
from insegan_ros.files import hold_folder, write_whole
from insegan_ros.texts import read_mapping, read_text
from insegan_sim.camera import Camera, Jitter
from insegan_sim.container import KINDS, Container
from insegan_sim.engines import ENGINES, run_jobs
from insegan_sim.meshes import CONCAVITY, load_mesh_part
from insegan_sim.parts import Part, load_parts
from insegan_sim.scenes import FILL, Setup, make_container, simulate_scenes
from insegan_sim.sensor import load_sensor
from insegan_sim.viewpoint import read_viewpoint
from insegan_sim.world import World

# The paper's splits beside training: so many scenes each, from streams of random numbers that never
# meet.
SPLITS = {'training': 0, 'validation': 1, 'test': 2, 'hard': 3}
SPLIT_SCENES = 100
# The sample of an estimate: so many scenes, a few at a time, or as many as fit into this time.
ESTIMATE_SCENES, ESTIMATE_STEP, ESTIMATE_S = 40, 5, 20.0


@dataclass(frozen=True)
class SimulateConfig:
    """A data set of simulated scenes.
    Scene k depends on these values and k alone, whatever the number of workers."""

    part: str = 'nut'
    """What lies in the bin: one of the ten parts, or several kinds separated by commas (nut,bolt;
    product-0:50 is fifty products)."""
    mesh: str = ''
    """Your own part instead: an STL, OBJ or PLY file."""
    scale: float = 1.0
    """Metres per unit of the mesh: 0.001 for a file in millimetres."""
    concavity: float = CONCAVITY
    """How far the mesh's collision shape may bridge hollows, in CoACD's measure: with fewer convex
    pieces, piles settle faster. What the camera sees stays the same."""
    density: float = 0.0
    """kg/m3 of all parts; 0 for their own (steel for a mesh)."""
    scenes: int = 1000
    """Number of scenes."""
    out: str = ''
    """Folder of the shards, data/PART if left out; one that was begun with the same settings is
    continued."""
    instances: str = '5'
    """Parts in a bin: 5, or a range such as 1-8."""
    kinds: int = 0
    """Of several kinds, how many may lie in one bin, drawn anew for every pile; 0 is all."""
    size: str = '224'
    """The picture in px: 224 for a square one, or 640x480. With a camera of your own, the longest
    side that its picture of the bin may have; it is scaled down to that."""
    camera: str = ''
    """A recording or data set whose camera photographs the bin: its intrinsics, its distance and
    tilt to the floor, the bin's own walls; or a YAML file of these. Empty: a camera that looks
    straight down. The bin is then the recording's, or a smaller one of its shape where `fill` asks
    for less."""
    workspace: str = ''
    """For a recording as camera: the YAML of `insegan calibrate`; empty takes its own
    workspace.yaml."""
    container: str = 'bin'
    """bin, tote, shelf, or moulded: a plastic box with round corners."""
    fill: float = FILL
    """Share of the floor that the parts, as many as there can be, would cover side by side: it
    gives the container's width. Above 1 they lie in layers."""
    bin_width: float = 0.0
    """Inner width of the container in m instead; 0 takes it from the fill."""
    floor_share: float = 0.0
    """With `bin_width`: of the kinds of parts only those that fit in and whose mean shadow covers
    this share of the floor or more. 0 takes them all."""
    sensor: str = 'ideal'
    """ideal, noise (a D435 without its holes), d435, or a YAML file with a sensor's parameters."""
    colour: bool = False
    """RGB beside depth, with textures, lamps and backgrounds drawn anew for every scene."""
    patterned: bool = False
    """With colour: the container is printed with blotches, stripes, checks or a band in two colours
    instead of being of one colour."""
    emptied: int = 1
    """Pictures of a pile: of all its parts, then of fewer and fewer, those on top taken away, as a
    robot empties a bin. 1 is a new pile for every picture; more save most of the time."""
    jitter: Jitter = field(default_factory=Jitter)
    """How much the camera's pose and intrinsics differ from scene to scene."""
    truth: str = 'full'
    """full: instance masks, amodal masks, classes, poses; image: only which parts are in the
    bin."""
    only_hard: bool = False
    """Keep only scenes on which K-means fails, as the paper's test set does."""
    paper_splits: bool = False
    """Make out/training (`scenes`), and out/validation, out/test and out/hard of 100 scenes each,
    as in the paper."""
    seed: int = 0
    """Seed of the whole set."""
    workers: int = 2
    """Processes."""
    engine: str = 'local'
    """local: this machine; ray: a Ray cluster."""
    address: str = ''
    """Address of the Ray cluster; one is started on this machine if left out."""
    shard_scenes: int = 100
    """Scenes in a shard: what a killed worker can lose, and how often progress shows."""
    estimate: bool = False
    """Make some scenes, print how long the whole set will take and how large it will be, write
    nothing."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ('scenes', 1, 10**7),
            ('workers', 1, 4096),
            ('shard_scenes', 1, 10**5),
            ('emptied', 1, 1000),
            ('kinds', 0, 10**5),
        ):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f'{name} is {getattr(self, name)}: expected {low} to {high}')
        for name, minimum, maximum in (
            ('fill', 0.02, 20),
            ('bin_width', 0, 5),
            ('floor_share', 0, 1),
            ('density', 0, 25000),
            ('scale', 1e-6, 1e3),
            ('concavity', 0.01, 1),
        ):
            if not minimum <= getattr(self, name) <= maximum:
                raise ConfigError(
                    f'{name} is {getattr(self, name):g}: expected {minimum:g} to {maximum:g}'
                )
        for name, known in (
            ('container', KINDS),
            ('truth', ('full', 'image')),
            ('engine', ENGINES),
        ):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f'{name} is "{getattr(self, name)}": expected one of {", ".join(known)}'
                )
        if self.seed < 0:
            raise ConfigError(f'seed is {self.seed}: expected 0 or more')
        if self.truth == 'image' and self.only_hard:
            raise ConfigError(
                'only_hard with truth "image": expected truth "full", hard scenes are found by'
                ' their masks'
            )
        if self.floor_share and not self.bin_width:
            raise ConfigError('floor_share without bin_width: expected both, the share is of it')
        if self.patterned and not self.colour:
            raise ConfigError('patterned without colour: expected both, depth shows no pattern')
        if self.emptied > 1 and (self.only_hard or self.paper_splits):
            raise ConfigError(
                f'only_hard or paper_splits with emptied {self.emptied}: expected 1, a hard picture'
                ' has a pile of its own'
            )
        if self.camera and self.container == 'shelf':
            raise ConfigError(
                'camera with container "shelf": expected bin or tote, seen from above'
            )
        if self.workspace and not self.camera:
            raise ConfigError('workspace without camera: expected both, a recording and its bin')
        # Texts that are no numbers are refused now, not when they are first used.
        _ = self.count, self.shape

    @property
    def count(self) -> tuple[int, int]:
        """The minimum and the maximum of parts in a bin."""
        found = re.fullmatch(r'(\d+)(?:-(\d+))?', str(self.instances).strip())
        low, high = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if not 0 <= low <= high <= 1000 or high == 0:
            raise ConfigError(
                f'instances is "{self.instances}": expected a number up to 1000 or a range such'
                ' as 1-8'
            )
        return low, high

    @property
    def shape(self) -> tuple[int, int]:
        """Width and height in px."""
        found = re.fullmatch(r'(\d+)(?:x(\d+))?', str(self.size).strip())
        width, height = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not (16 <= width <= 4096 and 16 <= height <= 4096):
            raise ConfigError(
                f'size is "{self.size}": expected px such as 224 or 640x480, 16 to 4096'
            )
        return width, height

    @property
    def folder(self) -> Path:
        """Where the set lies."""
        name = Path(self.mesh).stem if self.mesh else self.part.replace(',', '+').replace(':', '-')
        return Path(self.out or f'data/{name}')

    def parts(self) -> tuple[Part, ...]:
        """What lies in the bin. Raises ConfigError, or InputError for a mesh that cannot be
        used."""
        if self.mesh:
            parts: tuple[Part, ...] = (
                load_mesh_part(Path(self.mesh), self.scale, concavity=self.concavity),
            )
        else:
            parts = load_parts(self.part)
        if self.floor_share:
            parts = tuple(part for part in parts if self._covers(part))
            if not parts:
                raise ConfigError(
                    f'no part of "{self.part}" fits into {1000 * self.bin_width:.0f} mm and covers'
                    f' {self.floor_share:.0%} of it: expected a smaller floor_share'
                )
        if not self.density:
            return parts
        return tuple(replace(part, density_kg_m3=self.density) for part in parts)

    def _covers(self, part: Part) -> bool:
        """Whether a part fits into bin_width and covers floor_share of its floor."""
        fits = part.diameter_m * 1.05 <= self.bin_width
        return fits and part.footprint_m2 >= self.floor_share * self.bin_width**2

    def setup(self, parts: tuple[Part, ...], stream: int = 0) -> Setup:
        """The configuration as container, camera and sensor for these parts; stream: of its random
        numbers. Raises ConfigError where a part does not fit in."""
        if self.kinds > len(parts):
            raise ConfigError(
                f'kinds is {self.kinds}, and part names {len(parts)}: expected as many or fewer'
            )
        container = make_container(parts, self.count[1], self.container, self.fill, self.bin_width)
        sensor, count = load_sensor(self.sensor), self.count
        if self.camera:
            camera, scale = self._given_camera(container, max(part.diameter_m for part in parts))
            sensor, count = sensor.scaled(scale), self._fitting(container, camera.container)
        else:
            nearest_m = getattr(sensor, 'min_depth_m', 0.0)
            camera = Camera.over_bin(container, *self.shape, nearest_m=nearest_m)
        return Setup(
            parts,
            camera,
            count,
            sensor,
            self.jitter,
            self.colour,
            self.only_hard,
            self.seed,
            stream,
            self.emptied,
            self.kinds,
            self.patterned,
        )

    def _given_camera(self, wanted: Container, part_m: float) -> tuple[Camera, float]:
        """The camera that was given before its own bin, or one as large as wanted, and by how much
        its px are coarser."""
        view = read_viewpoint(self.camera, self.workspace)
        return view.camera(view.container(wanted, part_m), max(self.shape))

    def _fitting(self, wanted: Container, found: Container) -> tuple[int, int]:
        """The numbers of parts in a container that may be smaller than wanted, as high a pile."""
        share = found.width_m * found.depth_m / (wanted.width_m * wanted.depth_m)
        low, high = self.count
        return low, max(min(int(high * share + 1e-6), high), low, 1)

    def identity(self) -> dict[str, object]:
        """What makes the set what it is: everything but where and how it is made."""
        values = asdict(self)
        elsewhere = ('out', 'workers', 'engine', 'address', 'estimate', 'paper_splits', 'mesh')
        # As in sets of earlier versions, where these were not known.
        unused = ('emptied',) * (self.emptied == 1) + ('camera',) * (not self.camera)
        unused += ('kinds',) * (not self.kinds)
        unused += ('patterned',) * (not self.patterned)
        unused += ('floor_share',) * (not self.floor_share)
        for name in (*elsewhere, 'workspace', *unused):
            values.pop(name)
        if self.concavity == CONCAVITY:
            values.pop('concavity')
        if self.camera:
            values['camera'] = read_viewpoint(self.camera, self.workspace).values()
        values |= {'instances': list(self.count), 'size': list(self.shape)}
        if self.mesh:
            values['part'] = Path(self.mesh).stem
            values['mesh_sha256'] = hashlib.sha256(Path(self.mesh).read_bytes()).hexdigest()
        values['sensor'] = {'name': Path(self.sensor).stem, **asdict(load_sensor(self.sensor))}
        return {'format': FORMAT, **values}


def simulate(config: SimulateConfig) -> Path:
    """Make the data set, or what is missing of it. Returns its folder. Raises ConfigError,
    InputError or DatasetError."""
    parts = config.parts()
    setup = config.setup(parts)
    if config.camera:
        print(_seen_by(config, setup))
    if config.estimate:
        print(estimate(config, setup))
        return config.folder
    if not config.paper_splits:
        _simulate_set(config, setup, config.folder, config.folder.name)
        return config.folder
    for split, stream in SPLITS.items():
        part_of = replace(
            config,
            paper_splits=False,
            only_hard=split == 'hard',
            scenes=config.scenes if split == 'training' else SPLIT_SCENES,
        )
        _simulate_set(
            part_of,
            part_of.setup(parts, stream),
            config.folder / split,
            f'{config.folder.name}/{split}',
        )
    return config.folder


def _seen_by(config: SimulateConfig, setup: Setup) -> str:
    """What becomes of a camera that was given, in a sentence."""
    view, k, bin_ = read_viewpoint(config.camera, config.workspace), setup.camera, setup.container
    own = view.intrinsics
    width, depth = view.bin_m
    return (
        f'the camera of {config.camera}, {1000 * view.workspace.floor[3]:.0f} mm above the floor,'
        f' tilted by {view.tilt_deg:.0f} degrees: a bin of {1000 * bin_.width_m:.0f} x'
        f' {1000 * bin_.depth_m:.0f} mm (its own {1000 * width:.0f} x {1000 * depth:.0f}) with up'
        f' to {setup.count[1]} parts, {k.intrinsics.width}x{k.intrinsics.height} px of'
        f' {own.width}x{own.height}, px {own.fx / k.intrinsics.fx:.2g} times as coarse'
    )


def simulate_shard(setup: Setup, scenes: range, truth: str) -> tuple[bytes, Counter[str]]:
    """Make one shard: its bytes, and what was thrown away on the way. Runs in a worker and writes
    nothing."""
    with World(setup.container) as world:
        made = list(simulate_scenes(setup, world, scenes))
    rejected = sum((one.rejected for one in made), Counter[str]())
    info = ShardInfo(setup.classes, setup.seed, scenes.start, dict(rejected))
    keep = [one.scene if truth == 'full' else replace(one.scene, truth=None) for one in made]
    quality = np.array([(one.speed_m_s, one.penetration_m) for one in made])
    return pack_shard(keep, info, quality), rejected


def estimate(config: SimulateConfig, setup: Setup) -> str:
    """Time and disk for the whole set, from a sample made here and now on one core."""
    begun = time.perf_counter()
    count = 0
    size = 0
    while count < min(ESTIMATE_SCENES, config.scenes) and time.perf_counter() - begun < ESTIMATE_S:
        end = min(count + ESTIMATE_STEP, config.scenes)
        content, _ = simulate_shard(setup, range(count, end), config.truth)
        size += len(content)
        count = end
    rate, scene_bytes = count / (time.perf_counter() - begun), size / count
    total = config.scenes + (3 * SPLIT_SCENES if config.paper_splits else 0)
    hours, gigabytes = total / rate / config.workers / 3600, total * scene_bytes / 1e9
    free = shutil.disk_usage(_existing(config.folder)).free / 1e9
    hard = config.only_hard or config.paper_splits
    return (
        f'{total} scenes: {hours:.2f} h with {config.workers} workers at {rate:.1f} scenes/s each,'
        f' {gigabytes:.2f} GB ({scene_bytes / 1000:.1f} kB a scene), {free:.0f} GB are free;'
        f' measured on {count} scenes{"; hard scenes take many times as long" * hard}'
    )


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.absolute().parents) if parent.exists())


def _simulate_set(config: SimulateConfig, setup: Setup, folder: Path, title: str) -> None:
    with _claimed(folder, {**config.identity(), 'stream': setup.stream}):
        _write_models(folder, setup.parts)
        shards = {
            index: range(first, min(first + config.shard_scenes, config.scenes))
            for index, first in enumerate(range(0, config.scenes, config.shard_scenes))
        }
        missing = [index for index in shards if not shard_path(folder, index).exists()]
        done = config.scenes - sum(len(shards[index]) for index in missing)
        rejected: Counter[str] = Counter()
        with tqdm(
            total=config.scenes, initial=done, unit='scene', desc=f'simulate {title}', smoothing=0.1
        ) as bar:
            jobs = {index: (setup, shards[index], config.truth) for index in missing}
            for index, (content, thrown) in run_jobs(
                config.engine, simulate_shard, jobs, config.workers, config.address
            ):
                write_whole(shard_path(folder, index), content)
                rejected += thrown
                bar.update(len(shards[index]))
        if rejected:
            print(
                f'{title}: discarded:'
                f' {", ".join(f"{count} {reason}" for reason, count in rejected.most_common())}'
            )


@contextmanager
def _claimed(folder: Path, identity: dict[str, object]) -> Iterator[None]:
    """Hold the folder for one set and one process. Raises DatasetError where it holds anything
    else: nothing is ever mixed or written over."""
    _lock = hold_folder(folder, DatasetError)  # as long as the set is being made
    note = folder / NOTE
    text = yaml.safe_dump(identity, sort_keys=False)
    if not note.exists():
        if any(path for path in folder.iterdir() if not path.name.endswith('.part')):
            raise DatasetError(
                f'{folder} is not empty and holds no data set of `insegan simulate`: expected an'
                ' empty folder'
            )
        write_whole(note, text.encode())
    elif read_text(note, DatasetError) != text:
        raise DatasetError(
            f'{folder} holds another data set ({_differences(note, identity)}): expected an empty'
            ' folder or the same settings'
        )
    for stale in folder.glob('.*.part'):
        stale.unlink()
    try:
        yield
    except InseganError:
        # Settings that made nothing must not keep the folder from better ones.
        if not is_shards(folder):
            note.unlink()
            shutil.rmtree(folder / 'models', ignore_errors=True)
        raise


def _differences(note: Path, identity: dict[str, object]) -> str:
    try:
        held = read_mapping(note, DatasetError)
    except DatasetError:
        return 'its dataset.yaml cannot be read'
    return '; '.join(
        f'{key}: {held.get(key)}, not {identity.get(key)}'
        for key in {**held, **identity}
        if held.get(key) != identity.get(key)
    )


def _write_models(folder: Path, parts: tuple[Part, ...]) -> None:
    """The parts' meshes in mm and their symmetries, as BOP has them: a set explains itself without
    the simulator."""
    if (folder / 'models/models_info.json').exists():
        return
    for number, part in enumerate(parts, 1):
        mesh = part.mesh.copy()
        mesh.apply_scale(1000)
        content = mesh.export(file_type='ply')
        assert isinstance(content, bytes), 'a binary PLY'
        write_whole(folder / f'models/obj_{number:06d}.ply', content)
    info = {str(number): part.info() for number, part in enumerate(parts, 1)}
    write_whole(folder / 'models/models_info.json', (json.dumps(info, indent=1) + '\n').encode())
