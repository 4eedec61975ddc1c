"""One scene from a seed and a number: parts chosen, dropped, photographed, measured by a sensor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from insegan_ros.data.scene import Scene
from insegan_ros.errors import ConfigError
from insegan_ros.frame import Frame, Instances
from insegan_sim.camera import Camera, Jitter
from insegan_sim.container import Container
from insegan_sim.parts import Part, bin_width_m, load_part
from insegan_sim.sensor import IdealSensor, Sensor
from insegan_sim.world import Pile, World

# The share of its floor that a bin's parts would cover side by side. The paper chose bins in which
# segmentation "was challenging but not too hard"; at this fill a tenth of the average part is
# hidden.
FILL = 0.7
# A pile that is no good is drawn again from the same stream; so many in a row, and the settings are
# at fault.
TRIES, TRIES_HARD = 60, 4000


@dataclass(frozen=True)
class Setup:
    """What all scenes of a set have in common. count: the minimum and the maximum of parts in a
    bin; stream: of random numbers, beside the seed; emptied: pictures of a pile that is emptied;
    kinds: how many of the parts may lie in one bin, all if 0; patterned: the container, in
    colour."""

    parts: tuple[Part, ...]
    camera: Camera
    count: tuple[int, int] = (5, 5)
    sensor: Sensor = field(default_factory=IdealSensor)
    jitter: Jitter = field(default_factory=Jitter)
    colour: bool = False
    only_hard: bool = False
    seed: int = 0
    stream: int = 0
    emptied: int = 1
    kinds: int = 0
    patterned: bool = False

    @property
    def container(self) -> Container:
        """What the parts lie in."""
        return self.camera.container

    @property
    def classes(self) -> tuple[str, ...]:
        """The parts' names."""
        return tuple(part.name for part in self.parts)


@dataclass(frozen=True)
class Simulated:
    """A scene, the physics behind it, and the piles that were thrown away before it, by reason."""

    scene: Scene
    speed_m_s: float
    penetration_m: float
    rejected: Counter[str]


def make_container(
    parts: tuple[Part, ...],
    max_parts: int,
    kind: str = 'bin',
    fill: float = FILL,
    width_m: float = 0.0,
) -> Container:
    """A container for up to max_parts of these: as wide in m as the fill asks for, or as given.
    Raises ConfigError where a part does not fit in."""
    largest = max(part.diameter_m for part in parts)
    width = width_m or bin_width_m(parts, max_parts, fill)
    if width < largest * 1.05:
        name = max(parts, key=lambda part: part.diameter_m).name
        raise ConfigError(
            f'a {kind} of {1000 * width:.0f} mm is too small for {name}, {1000 * largest:.0f} mm'
            f' across: expected at least {1050 * largest:.0f} mm'
        )
    # A heap of many layers stays below the rim: parts as they fall fill about half of their space.
    volume = max_parts * float(np.mean([part.mesh.convex_hull.volume for part in parts]))
    height = max(largest * (1.15 if kind == 'shelf' else 1.3), 1.6 * volume / (0.5 * width**2))
    return Container(kind, width, width, height)


def bin_setup(
    part: str | Part,
    instances: int | tuple[int, int] = 5,
    seed: int = 0,
    realsense: tuple[int, int] | None = None,
    fill: float = FILL,
) -> Setup:
    """The plain case: one kind of part, a known one by its name, in a bin, ideal depth, the data
    sets' camera or a RealSense of this (width, height). instances: a number, or the minimum and the
    maximum. Raises ConfigError for an unknown name."""
    parts = (load_part(part) if isinstance(part, str) else part,)
    count = instances if isinstance(instances, tuple) else (instances, instances)
    container = make_container(parts, count[1], fill=fill)
    camera = Camera.realsense(container, *realsense) if realsense else Camera.over_bin(container)
    return Setup(parts, camera, count, seed=seed)


def simulate_scene(setup: Setup, world: World, index: int) -> Simulated:
    """The scene of this number, of a pile of its own: it depends on the setup and the number alone.
    Raises ConfigError where no pile is ever good."""
    rng = np.random.default_rng([setup.seed, setup.stream, index])
    rejected: Counter[str] = Counter()
    for parts, pile in good_piles(setup, world, rng, rejected):
        scene = photograph(setup, parts, pile.poses, rng, index)
        if not setup.only_hard or _is_hard(scene):
            return Simulated(scene, pile.speed_m_s, pile.penetration_m, rejected)
        rejected['easy for K-means'] += 1
    raise AssertionError('unreachable: the piles end in an error of their own')


def simulate_scenes(setup: Setup, world: World, indices: Iterable[int]) -> Iterator[Simulated]:
    """Scenes of these numbers, each as it is whatever others are made. Of a pile that is emptied
    there are `emptied` in a row: all of its parts, then fewer and fewer, those on top taken away.
    Raises ConfigError where no pile is ever good."""
    if setup.emptied == 1:
        yield from (simulate_scene(setup, world, index) for index in indices)
        return
    before, rejected = -1, Counter[str]()
    for index in indices:
        number, taken = divmod(index, setup.emptied)
        if number != before:
            rng = np.random.default_rng([setup.seed, setup.stream, number])
            parts, pile = next(good_piles(setup, world, rng, rejected))
            before = number
        own = np.random.default_rng([setup.seed, setup.stream, number, taken + 1])
        left = _left(pile, parts, taken / setup.emptied, setup.count[0], own)
        scene = photograph(setup, [parts[one] for one in left], pile.poses[left], own, index)
        yield Simulated(scene, pile.speed_m_s, pile.penetration_m, rejected)
        rejected = Counter()


def _left(
    pile: Pile, parts: list[Part], taken: float, minimum: int, rng: np.random.Generator
) -> np.ndarray:
    """The parts (K,) that are left of a pile when a share of them is taken away, about in order of
    their height: what lies on top lies free, and takes nothing with it."""
    height = pile.poses[:, 2, 3] + 0.1 * parts[0].diameter_m * rng.standard_normal(len(parts))
    count = max(round((1 - taken) * len(parts)), minimum)
    return np.sort(np.argsort(height)[:count])


def _kinds(setup: Setup, rng: np.random.Generator) -> list[int]:
    """The numbers of the parts that may lie in a bin."""
    everything = range(len(setup.parts))
    if not setup.kinds:
        return list(everything)
    return sorted(rng.choice(everything, setup.kinds, replace=False).tolist())


def good_piles(
    setup: Setup, world: World, rng: np.random.Generator, rejected: Counter[str]
) -> Iterator[tuple[list[Part], Pile]]:
    """Parts and the piles in which they have come to rest, until the tries are used up, which is a
    ConfigError; rejected counts what is thrown away, by reason."""
    for _ in range(TRIES_HARD if setup.only_hard else TRIES):
        count = int(rng.integers(setup.count[0], setup.count[1] + 1))
        own = [setup.parts[kind] for kind in _kinds(setup, rng)]
        parts = [own[kind] for kind in rng.integers(len(own), size=count)]
        pile = world.drop(parts, rng)
        if isinstance(pile, str):
            rejected[pile] += 1
        else:
            yield parts, pile
    reasons = ', '.join(f'{count} {reason}' for reason, count in rejected.most_common())
    raise ConfigError(
        f'no good pile of {setup.count[0]} to {setup.count[1]} x {", ".join(setup.classes[:4])} in'
        f' a {setup.container.kind} of {1000 * setup.container.width_m:.0f} mm in'
        f' {sum(rejected.values())} tries ({reasons}): expected fewer instances or a wider one'
    )


def _is_hard(scene: Scene) -> bool:
    # scikit-learn takes a second to import.
    from insegan_ros.metrics.hard import kmeans_fails

    return kmeans_fails(scene)


def photograph(
    setup: Setup,
    parts: list[Part],
    world_poses: np.ndarray,
    rng: np.random.Generator,
    index: int = 0,
) -> Scene:
    """The scene that setup's camera and sensor see of parts at these world-from-object poses (N, 4,
    4)."""
    camera = setup.camera.jittered(setup.jitter, rng)
    rendering = camera.render(parts, world_poses, surfaces=setup.colour)
    colour = None
    if setup.colour:
        from insegan_sim.colour import shade

        colour = shade(rendering, camera, parts, world_poses, rng, setup.patterned)
    frame = setup.sensor.measure(
        Frame(rendering.depth_m, camera.intrinsics, colour, stamp_ns=index), rng
    )
    poses = (camera.camera_from_world @ world_poses).astype(np.float32).reshape(-1, 4, 4)
    names = tuple(part.name for part in parts)
    truth = Instances(
        rendering.labels, np.ones(len(parts), np.float32), names, poses, rendering.amodal
    )
    return Scene(
        frame, truth, camera.workspace, tuple(name for name in setup.classes if name in names)
    )


def scene_stream(setup: Setup) -> Generator[Scene]:
    """Scenes without end, for a simulated camera or an evaluation.

    >>> scene = next(scene_stream(bin_setup('nut', instances=5)))
    >>> scene.frame.depth_m.shape, scene.present, len(scene.labelled())
    ((224, 224), ('nut',), 5)
    """
    with World(setup.container) as world:
        index = 0
        while True:
            yield simulate_scene(setup, world, index).scene
            index += 1
