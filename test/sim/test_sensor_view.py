"""A recording and models of its sensor, side by side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tilted_bins import DEPTH_CAMERA, tilted_camera

from insegan_ros.frame import Frame
from insegan_sim.sensor import load_sensor
from insegan_sim.sensor_fit import fit_sensor
from insegan_sim.sensor_view import HOLE, PANEL_PX, beside_models, sharpened

D435 = load_sensor('d435')


def test_a_smeared_step_is_made_sharp_again():
    true = np.where(np.arange(40) < 20, 0.5, 0.47)[None].repeat(9, 0)
    smeared = np.stack([np.interp(np.arange(40), [17, 23], [0.5, 0.47])] * 9)
    smeared[4, 30] = np.nan
    sharp = sharpened(smeared, 6.0)
    assert np.isnan(sharp[4, 30]) and np.isnan(sharp).sum() == 1
    assert (np.abs(np.nan_to_num(sharp - true)) > 1e-6).sum() <= 9, 'a column that lies halfway'
    slope = np.linspace(0.5, 0.49, 40)[None].repeat(9, 0)
    assert np.array_equal(sharpened(slope, 6.0), slope), 'a slope is no step'


def test_models_are_shown_the_scene_that_was_recorded():
    depth = np.full((400, 600), 0.5, np.float32)
    for left, top in ((150, 130), (150, 230), (300, 130), (300, 230), (400, 180)):
        depth[top : top + 60, left : left + 60] = 0.47
    true = replace(D435, edge_smear_px=1.5, disparity_rms_px=0.1, hole_share=0.02)
    scene = Frame(depth, DEPTH_CAMERA)
    frames = [true.measure(scene, np.random.default_rng(seed)) for seed in range(8)]
    workspace = tilted_camera((0.0, 0.0, 0.0)).workspace
    found = fit_sensor(frames, workspace)
    models = {'as measured': found.sensor(), 'd435': D435}
    picture, figures = beside_models(frames, workspace, models, found.edge_px)
    recorded, measured, shipped = (figures[name] for name in ('recorded', 'as measured', 'd435'))
    # What was measured is as the recording is; a D435 as shipped is sharper and quieter.
    assert measured.edge_px == pytest.approx(recorded.edge_px, abs=1.0)
    assert measured.rms_px == pytest.approx(recorded.rms_px, rel=0.15)
    assert shipped.edge_px < recorded.edge_px - 1 and shipped.rms_px < 0.8 * recorded.rms_px
    columns = np.split(picture, 3, axis=1)
    assert columns[0].shape[1] >= PANEL_PX
    red = [(column == HOLE).all(-1).mean() for column in columns]
    assert red[0] > 0.01 and red[1] == pytest.approx(red[0], rel=0.5)


def test_where_every_frame_shows_another_pile_models_are_shown_one_of_them():
    """The median of different piles is a pile that nobody recorded."""
    workspace = tilted_camera((0.0, 0.0, 0.0)).workspace
    frames = []
    for number in range(8):
        depth = np.full((400, 600), 0.5, np.float32)
        left = 150 + 25 * number
        depth[130:310, left : left + 60] = 0.47
        frames.append(Frame(depth, DEPTH_CAMERA))
    picture, figures = beside_models(frames, workspace, {'as measured': load_sensor('ideal')}, 1.0)
    # An ideal camera sees what was recorded, pixel by pixel, below the titles.
    recorded, measured = np.split(picture, 2, axis=1)
    assert figures['as measured'].edges > 100
    assert (recorded != measured)[40:].mean() < 0.01
