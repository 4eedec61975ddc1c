"""What a recording gives to the piles that are simulated for it: the part's mesh, the camera before
its bin, the sensor's noise. Each is a file in the run's folder: it can be looked at, a second start
takes it as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from insegan_ros.data.convert import open_dataset
from insegan_ros.data.scene import Scene
from insegan_ros.errors import ConfigError, InputError
from insegan_ros.files import write_whole
from insegan_ros.reconstruction.pipeline import reconstruct
from insegan_ros.reconstruction.report import MESH, STAGES, write_reconstruction
from insegan_ros.reconstruction.stages import stages_of
from insegan_ros.workspace import Workspace, read_workspace
from insegan_sim.sensor_fit import fit_sensor, write_sensor
from insegan_sim.viewpoint import read_viewpoint, write_viewpoint

# Files of a run's folder.
PART, CAMERA, SENSOR, REFUSED = 'part', 'camera.yaml', 'sensor.yaml', 'refused.txt'
# The sensor that gives way to one that was fitted, and how many frames that is done with.
DEFAULT_SENSOR, SENSOR_FRAMES = 'd435', 60


class RefusedMesh(InputError):
    """The part's mesh cannot be told from the recording, and why."""


@dataclass(frozen=True)
class Recording:
    """A recording or data set, and the YAML of its bin if that is not in its own file; out: the
    folder of the run; speak: prints a line."""

    data: str
    workspace: str
    out: Path
    speak: Callable[[str], None]

    @property
    def bin(self) -> Workspace | None:
        """The bin that was given. Raises InputError for a file that is none."""
        return read_workspace(Path(self.workspace)) if self.workspace else None

    def scenes(self) -> tuple[tuple[str, ...], Iterator[Scene]]:
        """Names of the parts, and scenes. Raises DatasetError."""
        return open_dataset(Path(self.data), self.bin)

    def mesh(self, views: int, seed: int) -> Path:
        """The file of the part's mesh, reconstructed where it is not there yet. Raises RefusedMesh
        where it cannot be told, also at the next start, DatasetError where the data cannot be
        read."""
        folder, refused = self.out / PART, self.out / REFUSED
        if refused.exists():
            raise RefusedMesh(refused.read_text().strip())
        if not (folder / MESH).exists():
            _, scenes = self.scenes()
            try:
                stages = stages_of(folder / STAGES, Path(self.data), self.bin, views, seed)
                write_reconstruction(reconstruct(scenes, views, seed, stages), folder)
            except InputError as error:
                write_whole(refused, f'{error}\n'.encode())
                raise RefusedMesh(str(error)) from error
        self.speak(f'{folder / MESH} is what the piles are made of: look at part.png beside it')
        return folder / MESH

    def camera(self) -> str:
        """The file of the camera before its bin; empty, said aloud, where the bin has no bounds:
        the usual camera then photographs the piles."""
        path = self.out / CAMERA
        if not path.exists():
            try:
                view = read_viewpoint(self.data, self.workspace)
            except ConfigError as error:
                self.speak(f'{error}; the piles are seen by a camera that looks straight down')
                return ''
            write_viewpoint(view, path, f'the camera of {self.data}, for insegan simulate --camera')
        return str(path)

    def sensor(self) -> str:
        """The file of the sensor that its frames were fitted with, or the default's name, said
        aloud, where they cannot tell."""
        path = self.out / SENSOR
        if not path.exists():
            some = [scene for scene in islice(self.scenes()[1], SENSOR_FRAMES) if scene.workspace]
            # A camera that was knocked is another one.
            frames = [one.frame for one in some if one.workspace == some[0].workspace]
            try:
                if not some or some[0].workspace is None:
                    raise InputError('no frame whose bin is known')
                found = fit_sensor(frames, some[0].workspace)
            except InputError as error:
                self.speak(f'the noise of the piles is that of {DEFAULT_SENSOR}: {error}')
                return DEFAULT_SENSOR
            write_sensor(found, path)
            self.speak(f'the noise of the piles is fitted, {path}: {found.text()}')
        return str(path)
