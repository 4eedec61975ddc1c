"""Recordings of height maps that are known."""

from __future__ import annotations

import numpy as np

from insegan_ros.data.recording_writer import RecordingWriter
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.workspace import Workspace, write_workspace


def write_piles(path, piles: list[np.ndarray], workspace: Workspace | None) -> None:
    """A recording of height maps in m (48, 64) over a floor at half a metre, one frame each."""
    camera = Intrinsics(60.0, 60.0, 31.5, 23.5, 64, 48)
    with RecordingWriter(path) as writer:
        for height in piles:
            writer.add(
                Frame(np.where(np.isnan(height), np.nan, 0.5 - height).astype(np.float32), camera)
            )
    if workspace is not None:
        write_workspace(workspace, path / 'workspace.yaml')
