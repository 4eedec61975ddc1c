"""One interface for all methods: `segment(frame) -> Instances`."""

from __future__ import annotations

from typing import Protocol

import torch

from insegan_ros.engine.checkpoint import Scales
from insegan_ros.frame import Frame, Instances
from insegan_ros.workspace import Workspace


class Segmenter(Protocol):
    """A method that is ready to run. `workspace` may be replaced at any time; None fits the floor
    to every frame.

    Methods that were trained on a part also have its name, `part`, and the training's `scales`;
    methods that look at colour have `needs_colour`, True.
    """

    workspace: Workspace | None

    def segment(self, frame: Frame) -> Instances:
        """Labels at the frame's resolution, scores, poses. Raises InputError for a frame that
        cannot be used."""


class WrappedSegmenter:
    """What all methods share that work on another's answers or pictures: its part, its scales, its
    workspace."""

    def __init__(self, inner: Segmenter) -> None:
        self.inner = inner

    @property
    def scales(self) -> Scales | None:
        """The wrapped segmenter's, None where it has none."""
        return getattr(self.inner, 'scales', None)

    @property
    def part(self) -> str:
        """The wrapped segmenter's, empty where it has none."""
        return getattr(self.inner, 'part', '')

    @property
    def generator(self) -> torch.nn.Module | None:
        """The wrapped segmenter's, None where it decodes no poses."""
        return getattr(self.inner, 'generator', None)

    @property
    def needs_colour(self) -> bool:
        """Whether frames must have colour."""
        return getattr(self.inner, 'needs_colour', False)

    @property
    def workspace(self) -> Workspace | None:
        """The wrapped segmenter's."""
        return self.inner.workspace

    @workspace.setter
    def workspace(self, workspace: Workspace | None) -> None:
        self.inner.workspace = workspace
