"""Pictures of heaps in colour: the bin itself is no object."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.methods.baselines.heaps import WatershedSegmenter
from insegan_ros.segmenters.heap import without_the_bin
from insegan_ros.workspace import Workspace

# Columns of the middles of discs in px: two parts, a mark on the floor, something beyond the wall.
PARTS, MARK, BEYOND = (60, 110), 160, 215


def bright_discs() -> tuple[Frame, Workspace]:
    """Four equal discs on a dark floor 60 cm below the camera; the parts are 2 cm high, and so is
    what lies beyond the wall."""
    depth, colour = np.full((120, 280), 0.6, np.float32), np.full((120, 280, 3), 20, np.uint8)
    for column in (*PARTS, MARK, BEYOND):
        disc = np.zeros(depth.shape, np.uint8)
        cv2.circle(disc, (column, 60), 15, 1, -1)
        colour[disc > 0] = (200, 180, 160)
        if column != MARK:
            depth[disc > 0] = 0.58
    camera = Intrinsics(300.0, 300.0, 139.5, 59.5, 280, 120)
    edge = (195 - camera.cx) / camera.fx * 0.6
    return Frame(depth, camera, colour), Workspace((0.0, 0.0, -1.0, 0.6), (-0.25, -0.1, edge, 0.1))


def columns(frame: Frame, workspace: Workspace | None) -> list[int]:
    found = WatershedSegmenter(modality='colour', size_px=30).segment(frame, workspace)
    return sorted(
        int(np.nonzero(found.labels == number)[1].mean()) for number in range(1, len(found) + 1)
    )


def test_marks_on_the_floor_and_what_lies_beyond_the_walls_are_no_objects():
    frame, workspace = bright_discs()
    assert columns(frame, workspace) == list(PARTS)
    assert columns(frame, None) == sorted((*PARTS, MARK, BEYOND)), 'nothing says where the bin is'


def test_a_part_ends_where_the_floor_begins():
    frame, workspace = bright_discs()
    colour = frame.colour.copy()
    colour[58:63, 60:110] = (200, 180, 160)
    found = WatershedSegmenter(modality='colour', size_px=30).segment(
        replace(frame, colour=colour), workspace
    )
    assert len(found) == 2 and not found.labels[frame.depth_m > 0.59].any()


def test_what_has_no_depth_is_kept():
    frame, workspace = bright_discs()
    blind = replace(frame, depth_m=np.full_like(frame.depth_m, np.nan))
    # The last is cut by the window's border.
    assert columns(blind, workspace) == pytest.approx(sorted((*PARTS, MARK, BEYOND)), abs=5)


def test_what_lies_on_the_floor_by_half_is_no_object():
    depth, labels = np.full((20, 30), 0.58, np.float32), np.zeros((10, 20), np.uint16)
    labels[1], labels[3], labels[5], labels[7] = 1, 2, 3, 4
    window = (4, 6, 24, 16)
    inside = depth[6:16, 4:24]
    inside[1, :9], inside[3, :10], inside[5] = 0.6, 0.6, np.nan
    # Of ten readings six are the floor's.
    inside[7, :6], inside[7, 10:] = 0.6, np.nan
    frame = Frame(depth, Intrinsics(30.0, 30.0, 14.5, 9.5, 30, 20))
    found, scores = without_the_bin(
        frame, Workspace((0.0, 0.0, -1.0, 0.6)), window, labels, np.array([0.4, 0.3, 0.2, 0.1])
    )
    assert scores.tolist() == [0.4, 0.2]
    assert found[1].tolist() == [0] * 9 + [1] * 11 and (found[5] == 2).all()
    assert np.count_nonzero(found) == 31
