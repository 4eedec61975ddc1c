"""`insegan benchmark carrier`: from what movement on a bin is said to have moved, how often one
that stands still is, how full it is said to be, and what that takes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
from tqdm import tqdm

from insegan_ros.benchmarks.rows import Row, row
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.picking.calibrate import calibrate
from insegan_ros.picking.carrier import LoadCarrier, Place, find_carrier
from insegan_ros.tasks.base import TEST_SEED
from insegan_ros.workspace import Workspace
from insegan_sim.camera import Camera, Jitter
from insegan_sim.container import Container
from insegan_sim.parts import load_part
from insegan_sim.scenes import Setup, good_piles, make_container, photograph
from insegan_sim.sensor import load_sensor
from insegan_sim.world import World

# So many parts, in how many layers.
PART, PARTS, FILL = 'nut', 40, 2.0
CAMERA = Intrinsics(615.0, 615.0, 319.5, 239.5, 640, 480)
SENSORS = ('ideal', 'd435')
# Millimetres and degrees that a bin was moved by.
MOVES = ((0, 0), (1, 0), (2, 0), (3, 0), (5, 0), (10, 0), (20, 0), (0, 1), (0, 3))
# How the camera stands over the bin differs from installation to installation.
MOUNT = Jitter(position_m=0.015, tilt_deg=5.0)
# Around the rim the picture shows so much more, in m; the highest part lies so much below it.
AROUND_M, BELOW_M = 0.045, 0.005
EMPTY_PICTURES = 10


def benchmark_carrier(small: bool) -> list[Row]:
    """Rows of each sensor, for the empty and for the full bin: the share of frames in which it is
    said to have moved, the largest error of the shift, and the fill level."""
    installations, still, moved = (1, 2, 1) if small else (5, 10, 4)
    container, pile = _full_bin()
    rows, times = [], []
    for sensor, filled in product(SENSORS, (False, True)):
        parts = pile if filled else np.zeros((0, 4, 4))
        found: dict[tuple[int, int], list[tuple[LoadCarrier, np.ndarray]]] = {}
        for number in tqdm(range(installations), desc=f'bins, {sensor}', unit='bin'):
            # The same cameras, noise and movements for the empty bin and for the full one.
            rng = np.random.default_rng([TEST_SEED, number])
            setup = _installed(container, sensor, rng)
            workspace = _calibrated(setup, rng)
            for move in MOVES:
                for _ in range(moved if any(move) else still):
                    frame, shift_m = _moved(setup, parts, move, workspace, rng)
                    begun = time.process_time()
                    carrier = find_carrier(frame, workspace)
                    times.append(1000 * (time.process_time() - begun))
                    found.setdefault(move, []).append((carrier, shift_m))
        rows += list(_rows(found, sensor, 'full' if filled else 'empty', small))
    used = float(np.median(times))
    return [*rows, row('carrier', 'rim', '', '640x480', 'processor time', used, 'ms', small)]


def _rows(
    found: dict[tuple[int, int], list[tuple[LoadCarrier, np.ndarray]]],
    sensor: str,
    filled: str,
    small: bool,
) -> Iterator[Row]:
    for (mm, degrees), answers in found.items():
        protocol = f'{filled}, {sensor}, moved {mm} mm, {degrees} degrees, {len(answers)} frames'
        places = [carrier.place for carrier, _ in answers]
        off_mm = [
            1000 * float(np.linalg.norm(carrier.rim.shift_m - shift_m))
            for carrier, shift_m in answers
            if carrier.rim
        ]
        for metric, value, unit in (
            ('said to have moved', np.mean([place == Place.MOVED for place in places]), ''),
            ('rim not seen', np.mean([place == Place.NOT_SEEN for place in places]), ''),
            ('largest error of the shift', max(off_mm, default=np.nan), 'mm'),
            ('mean fill', 100 * np.mean([carrier.fill for carrier, _ in answers]), '%'),
        ):
            yield row('carrier', 'rim', PART, protocol, metric, float(value), unit, small)


def _full_bin() -> tuple[Container, np.ndarray]:
    """A bin whose rim is just above the highest of its parts, and their poses (PARTS, 4, 4)."""
    part = load_part(PART)
    wide = make_container((part,), PARTS, fill=FILL)
    setup = Setup((part,), Camera.over_bin(wide), (PARTS, PARTS), seed=TEST_SEED)
    with World(wide) as world:
        rng = np.random.default_rng(TEST_SEED)
        _, pile = next(good_piles(setup, world, rng, Counter()))
    points = part.mesh.vertices @ pile.poses[:, 2, :3].T + pile.poses[:, 2, 3]
    return replace(wide, height_m=float(points.max()) + BELOW_M), pile.poses


def _installed(container: Container, sensor: str, rng: np.random.Generator) -> Setup:
    """A camera whose picture holds the rim with room for movements, not quite straight above."""
    straight = np.diag([1.0, -1.0, -1.0, 1.0])
    shown_m = container.width_m + 2 * AROUND_M
    straight[2, 3] = container.height_m + shown_m * CAMERA.fy / CAMERA.height
    camera = Camera(container, CAMERA, straight).jittered(MOUNT, rng)
    return Setup((load_part(PART),), camera, (PARTS, PARTS), load_sensor(sensor))


def _calibrated(setup: Setup, rng: np.random.Generator) -> Workspace:
    """The workspace as `insegan calibrate` finds it in pictures of the empty bin."""
    nothing = np.zeros((0, 4, 4))
    pictures = (photograph(setup, [], nothing, rng).frame for _ in range(EMPTY_PICTURES))
    return calibrate(pictures)[0].workspace


def _moved(
    setup: Setup,
    parts: np.ndarray,
    move: tuple[int, int],
    workspace: Workspace,
    rng: np.random.Generator,
) -> tuple[Frame, np.ndarray]:
    """A picture of the bin with its parts (N, 4, 4), moved by so many mm in any direction and
    turned by so many degrees in either; and its middle's shift (2,) in m in the floor's frame."""
    mm, degrees = move
    way, turn = rng.uniform(0, 2 * np.pi), np.radians(degrees * rng.choice([-1, 1]))
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    pose[:2, 3] = mm / 1000 * np.array([np.cos(way), np.sin(way)])
    camera = replace(setup.camera, camera_from_world=setup.camera.camera_from_world @ pose)
    scene = photograph(replace(setup, camera=camera), [setup.parts[0]] * len(parts), parts, rng)
    middle = workspace.on_floor(
        np.stack([one.camera_from_world[:3, 3] for one in (camera, setup.camera)])
    )
    return scene.frame, middle[0] - middle[1]
