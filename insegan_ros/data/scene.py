"""One picture of a data set with what is known about it: what every reader yields and every writer
takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from insegan_ros.errors import InputError
from insegan_ros.frame import Frame, Instances, highest_label
from insegan_ros.workspace import Workspace


@dataclass(frozen=True)
class Scene:
    """A frame, its truth, and the bin in it.

    truth: instances with their classes, or None where only `present`, the names of what lies in the
    bin, is known. workspace: the floor and the bin's inside in the frame's optical frame, or None
    where unknown.
    """

    frame: Frame
    truth: Instances | None
    workspace: Workspace | None
    present: tuple[str, ...] = ()

    def labelled(self) -> Instances:
        """The truth. Raises InputError where there is none."""
        if self.truth is None:
            raise InputError(
                'the scene has image-level labels only: expected instance masks (simulate with'
                ' --truth full)'
            )
        return self.truth

    def known_labels(self) -> np.ndarray:
        """The true labels (H, W) uint16; all background where there are none."""
        if self.truth is None:
            return np.zeros(self.frame.depth_m.shape, np.uint16)
        return self.truth.labels

    def require_workspace(self) -> Workspace:
        """The bin. Raises InputError where it is not known."""
        if self.workspace is None:
            raise InputError(
                'it is not known where the bin is: expected the floor and bounds of `insegan'
                ' calibrate`'
            )
        return self.workspace


def seen_instances(labels: np.ndarray) -> Instances:
    """The truth of a picture of which only labels (H, W) uint16 are known: the parts that are seen,
    numbered anew in the same order, for a number that no pixel has stands for no part."""
    count = highest_label(labels)
    every = Instances(labels, np.ones(count, np.float32))
    return every.only(np.isin(np.arange(1, count + 1), labels))


def visible_fractions(truth: Instances) -> np.ndarray:
    """The share of each amodal mask that is visible, (N,) float32; 0 for what is out of the
    picture. Raises InputError without amodal masks."""
    if truth.amodal is None:
        raise InputError(
            'the instances have no amodal masks: expected them, to tell how much of each is seen'
        )
    whole = truth.amodal.sum(axis=(1, 2))
    seen = np.bincount(truth.labels.ravel(), minlength=len(truth) + 1)[1 : len(truth) + 1]
    return (seen / np.maximum(whole, 1)).astype(np.float32)
