"""One interface for all methods: `segment(frame) -> Instances`."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
import torch

from insegan_ros.errors import ConfigError
from insegan_ros.frame import Frame, Instances
from insegan_ros.segmenters.checkpoint import Scales
from insegan_ros.segmenters.geometry import poses_from_points
from insegan_ros.segmenters.votes import drop_fragments
from insegan_ros.workspace import Workspace, fit_floor


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


def resolve_workspace(workspace: Workspace | None, frame: Frame) -> Workspace:
    """The given workspace, or one whose floor is fitted to this frame and that looks at all of
    it."""
    return workspace if workspace is not None else Workspace(fit_floor(frame))


def choose_device(name: str) -> torch.device:
    """auto, cpu, cuda or cuda:N as a torch device. Raises ConfigError where it is not there."""
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f'device is "{name}": expected auto, cpu, cuda or cuda:N') from None
    if device.type == 'cuda' and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f'device is "{name}" but torch sees {torch.cuda.device_count()} CUDA devices: expected'
            ' auto or cpu here'
        )
    if device.type not in ('cpu', 'cuda'):
        raise ConfigError(f'device is "{name}": expected auto, cpu, cuda or cuda:N')
    return device


def to_instances(
    frame: Frame, window: tuple[int, int, int, int], labels: np.ndarray, scores: np.ndarray
) -> Instances:
    """Instances of the whole image from labels (h, w) of a window (left, top, right, bottom),
    biggest score first."""
    left, top, right, bottom = window
    order = np.argsort(-scores, kind='stable')
    rank = np.zeros(len(scores) + 1, np.uint16)
    rank[order + 1] = np.arange(1, len(scores) + 1)
    whole = np.zeros(frame.depth_m.shape, np.uint16)
    whole[top:bottom, left:right] = rank[labels]
    return Instances(
        whole, scores[order].astype(np.float32), poses=poses_from_points(frame, whole, len(scores))
    )


def clean(labels: np.ndarray, min_area_px: float) -> np.ndarray:
    """Small filters on a label image: a median that closes single pixels, then fragments go."""
    return drop_fragments(cv2.medianBlur(labels.astype(np.uint16), 3), min_area_px)
