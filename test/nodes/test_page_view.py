"""What the page shows of the messages that it hears."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Float32, Header, String

from insegan_ros.nodes import page_view
from insegan_ros.nodes.conversions import image_message
from insegan_ros.nodes.page_view import PageView, read_card
from insegan_ros.nodes.pick_messages import ROW, table_message


def diagnostics(text: str, level: bytes = DiagnosticStatus.OK, **values: object) -> DiagnosticArray:
    pairs = [KeyValue(key=key.replace('_', ' '), value=str(one)) for key, one in values.items()]
    return DiagnosticArray(
        status=[
            DiagnosticStatus(name='/other', level=DiagnosticStatus.ERROR, message='not ours'),
            DiagnosticStatus(name='/segmenter', level=level, message=text, values=pairs),
        ]
    )


@pytest.fixture
def view() -> PageView:
    return PageView('/segmenter')


def test_before_anything_comes_nothing_is_known(view):
    status = view.status()
    assert status['level'] == 'silent' and status['message'].startswith('nothing is heard')
    assert status['instances'] is None and status['picks'] == [] and view.picture() is None
    json.dumps(status, allow_nan=False)


def test_what_the_outputs_say_is_shown(view):
    labels = np.zeros((4, 5), np.uint16)
    labels[1, 1:4] = [1, 2, 3]
    rows = np.zeros(20, ROW)
    rows['label'], rows['x'], rows['score'], rows['double'] = np.arange(20), 0.0125, 0.5, 1
    view.on_instances(image_message(labels, '16UC1', Header()))
    view.on_bin_state(String(data='pickable'))
    view.on_fill_level(Float32(data=62.5))
    view.on_pick_table(table_message(rows, Header()))
    status = view.status()
    assert (status['instances'], status['bin_state'], status['fill_level']) == (3, 'pickable', 62.5)
    assert status['picks_in_all'] == 20 and len(status['picks']) == 12
    third = status['picks'][2]
    assert (third['label'], third['x'], third['double']) == (2, pytest.approx(12.5), True)


def test_the_diagnostics_of_the_segmenter_are_shown_with_its_cards_figures(view):
    view.on_diagnostics(
        diagnostics('9.5 frames/s', model='piles-nut', frames_a_second=9.5, frames_in='many')
    )
    status = view.status()
    assert (status['level'], status['message']) == ('ok', '9.5 frames/s')
    assert status['frames_per_s'] == 9.5 and status['frames']['in'] is None
    assert status['card']['part'] == 'nut'
    assert 0.8 < status['card']['figures']['mIoU, forty parts'] < 1


def test_a_card_is_of_a_shipped_model_alone(tmp_path):
    (tmp_path / 'card.json').write_text('{"part": "secret"}')
    for model in (str(tmp_path), '../checkpoints/piles-nut', '..', '', 'kmeans'):
        assert read_card(model) == {}


def test_frames_that_were_left_out_are_listed_with_the_reason(view):
    warn = DiagnosticStatus.WARN
    view.on_diagnostics(diagnostics('old trouble', warn, frames_refused=5))
    assert view.status()['refused'] == [], 'from before the page was there'
    view.on_diagnostics(diagnostics('no camera_info', warn, frames_refused=8))
    view.on_diagnostics(diagnostics('no camera_info', warn, frames_refused=8))
    view.on_diagnostics(diagnostics('<b>two</b> sizes', warn, frames_refused=1))
    refused = view.status()['refused']
    assert [(one['frames'], one['why']) for one in refused] == [
        (1, '<b>two</b> sizes'),
        (3, 'no camera_info'),
    ]
    for count in range(2, 40):
        view.on_diagnostics(diagnostics(f'size {count // 2}', warn, frames_refused=count))
    refused = view.status()['refused']
    assert len(refused) == page_view.LAST_REFUSED and refused[0]['why'] == 'size 19'
    assert refused[0]['frames'] == 2, 'the same reason twice in a row is one line'


def test_the_picture_is_the_newest_overlay(view):
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:, :32, 0] = 250
    view.on_overlay(image_message(pixels, 'rgb8', Header()))
    jpeg = view.picture()
    assert jpeg is view.picture(), 'encoded once'
    shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (48, 64, 3) and shown[24, 8, 2] > 200 and shown[24, 56].max() < 40


def test_what_cannot_be_read_is_not_shown(view):
    nothing = np.zeros((2, 2), np.uint8)
    view.on_overlay(image_message(nothing, '8UC7', Header()))
    view.on_instances(image_message(nothing, 'mono8', Header()))
    view.on_fill_level(Float32(data=float('nan')))
    rows = np.full(1, np.nan, np.dtype([('label', '<f4')]))
    view.on_pick_table(table_message(rows, Header()))
    status = view.status()
    assert view.picture() is None and status['instances'] is None and status['fill_level'] is None
    assert status['picks'] == [] and status['picks_in_all'] is None


def test_what_is_old_is_not_shown(view, monkeypatch):
    view.on_bin_state(String(data='empty'))
    assert view.status()['bin_state'] == 'empty'
    monkeypatch.setattr(page_view, 'FRESH_S', 0.0)
    assert view.status()['bin_state'] is None
