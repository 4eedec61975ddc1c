"""One interface for all methods: `segment(frame, workspace) -> Instances`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from insegan_ros.engine.checkpoint import Scales
from insegan_ros.frame import Frame, Instances, Modality
from insegan_ros.workspace import Workspace

if TYPE_CHECKING:
    # It brings Open3D.
    from insegan_ros.geometry.registration import MeshRegistration


class MeshFile(NamedTuple):
    """A mesh that poses are of: its file, the metres in its unit, and the corners (2, 3) of the box
    around it, in m about the file's origin."""

    path: Path
    scale: float
    bounds: np.ndarray


class Segmenter(ABC):
    """A method that is ready to run. Everything a caller may ask stands here, with the answer of a
    method that does not know. `load_segmenter` makes one."""

    task = 'instances'
    """What it is for: instances, foreground, heaps or classes; see tasks/."""
    part = ''
    """The part that it was trained on; empty where it knows none."""
    classes: tuple[str, ...] = ()
    """The names that it gives to what it finds; empty where all is `part`."""
    scales: Scales = Scales.none()
    """How it sees a camera's image; zeros where it knows no scale."""
    modality: Modality = 'depth'
    """What of a frame it looks at."""
    device = torch.device('cpu')
    """Where its network runs."""
    mesh: MeshFile | None = None
    """The mesh that its poses are of; None where they are of none."""
    runtime = 'torch'
    """What runs it, see offsets/runtimes.py."""

    @abstractmethod
    def segment(self, frame: Frame, workspace: Workspace | None = None) -> Instances:
        """The instances in a frame: labels at its resolution, scores, poses. workspace: the bin;
        without one the floor is fitted to the frame, or the whole picture is looked at. Raises
        InputError for a frame that cannot be used.

        >>> from insegan_ros.methods.registry import load_segmenter
        >>> from insegan_sim.scenes import bin_setup, scene_stream
        >>> scene = next(scene_stream(bin_setup('nut', seed=2)))
        >>> found = load_segmenter('cutpaste-nut').segment(scene.frame, scene.workspace)
        >>> len(found), found.labels.shape, found.require_poses().shape
        (5, (224, 224), (5, 4, 4))
        """

    @property
    def needs_colour(self) -> bool:
        """Whether frames must have colour."""
        return self.modality != 'depth'

    def task_for(self, data: Path) -> str:
        """The task that this method is scored at on such data; its own, unless the data's labels
        say less."""
        return self.task

    def told(self, instances: int) -> Segmenter:
        """The same method, told how many instances to expect; itself, where it need not be told."""
        return self

    def template_rotation(self, registration: MeshRegistration) -> np.ndarray | None:
        """The rotation (3, 3) from a mesh's frame to that of the poses it answers with; None where
        its poses are no part's."""
        return None


class WrappedSegmenter(Segmenter):
    """What all methods share that work on the answers or the input of another one."""

    def __init__(self, inner: Segmenter) -> None:
        self.inner, self.part, self.scales = inner, inner.part, inner.scales
        self.task, self.modality, self.device = inner.task, inner.modality, inner.device
        self.runtime, self.classes = inner.runtime, inner.classes

    def told(self, instances: int) -> Segmenter:
        """The same method, the wrapped one told how many instances to expect."""
        self.inner = self.inner.told(instances)
        return self

    def task_for(self, data: Path) -> str:
        """The wrapped method's task on such data."""
        return self.inner.task_for(data)

    def template_rotation(self, registration: MeshRegistration) -> np.ndarray | None:
        """The wrapped method's rotation (3, 3), or None."""
        return self.inner.template_rotation(registration)
