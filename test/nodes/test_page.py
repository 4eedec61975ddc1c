"""The page beside a live segmenter, asked for as a browser does."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')

from live_nodes import CAMERA, FLOOR, Process, box_depth, segmenter_node
from rclpy.parameter import Parameter
from std_msgs.msg import String

from insegan_ros.files import shipped_file
from insegan_ros.nodes.page import PageNode
from insegan_ros.nodes.page_view import PageView


def ask(address: str, path: str) -> bytes:
    with urllib.request.urlopen(f'{address}/{path}', timeout=20) as answer:
        return answer.read()


@pytest.mark.slow
def test_a_browser_sees_what_the_segmenter_finds_and_nothing_is_worked_out_for_nobody(
    robot, tmp_path
):
    node = segmenter_node(tmp_path / 'segmenter', name='looked_at', model='kmeans', floor=FLOOR)
    page = Process(
        'insegan_ros.nodes.page',
        ['--ros-args', '-p', 'segmenter:=looked_at', '-p', 'port:=0'],
        tmp_path / 'page',
    )
    try:
        said = page.wait_for('/looked_at is shown on', robot.spin)
        address = re.search(r'http://127\.0\.0\.1:\d+', said)[0]
        assert b'<script src="page.js"' in ask(address, '')
        node.wait_for('listening on', robot.spin)
        assert not robot.count_subscribers('/looked_at/overlay'), 'nobody has looked yet'
        end = time.monotonic() + 60
        # Each comes on a topic of its own, and diagnostics once a second.
        known = 'picks_in_all', 'instances', 'bin_state', 'model'
        while None in [(status := json.loads(ask(address, 'status.json')))[one] for one in known]:
            assert time.monotonic() < end, f'not all came: {status}'
            robot.send(box_depth(), '16UC1', CAMERA)
            robot.spin()
        assert (status['level'], status['model']) == ('ok', 'kmeans')
        assert status['instances'] == 5 and status['bin_state'] == 'pickable'
        picture = cv2.imdecode(np.frombuffer(ask(address, 'overlay.jpg'), np.uint8), 1)
        assert picture.shape == (240, 320, 3) and np.ptp(picture.astype(int), axis=-1).max() > 40
        robot.until(lambda: not robot.count_subscribers('/looked_at/overlay'), 60)
        with pytest.raises(urllib.error.HTTPError, match='404'):
            while ask(address, 'overlay.jpg'):
                robot.spin()
    finally:
        node.stop()
        assert page.stop() == 0
    assert 'Traceback' not in page.text()


@pytest.mark.slow
def test_a_page_that_cannot_be_is_one_line(robot, tmp_path):
    for parameter, words in (
        ('segmenter:=no name', 'expected the name of a node, such as /segmenter'),
        ('address:=192.0.2.1', 'the page cannot be served on 192.0.2.1, port 8080'),
    ):
        page = Process('insegan_ros.nodes.page', ['--ros-args', '-p', parameter], tmp_path / 'log')
        assert page.popen.wait(timeout=60) == 2
        assert words in page.text() and 'Traceback' not in page.text()


def test_the_manuals_table_is_the_nodes(robot, root):
    page = PageNode(parameter_overrides=[Parameter('port', value=0)])
    try:
        rows = []
        for name in ('segmenter', 'address', 'port', 'hosts', 'picks'):
            about = page.describe_parameter(name)
            default = 8080 if name == 'port' else page.get_parameter(name).value
            rows.append(f'| `{name}` | `{default}` | {about.description} |')
            assert about.read_only
    finally:
        page.destroy_node()
    text = (root / 'docs/nodes.md').read_text().partition('<!-- page:')[2].partition('## ')[0]
    assert [line for line in text.splitlines() if line.startswith('| `')] == rows


def test_the_pages_files_load_nothing_from_elsewhere_and_write_text_alone():
    texts = {name: shipped_file('web', name).read_text() for name in ('page.html', 'page.js')}
    texts['page.css'] = shipped_file('web', 'page.css').read_text()
    for name, text in texts.items():
        assert '://' not in text and 'url(' not in text, name
    for way in ('innerHTML', 'outerHTML', 'insertAdjacentHTML', 'document.write', 'eval('):
        assert way not in texts['page.js']
    assert 'style=' not in texts['page.html'] and not re.search(r'\son\w+=', texts['page.html'])
    wanted = set(re.findall(r"(?:find|write)\('#([\w-]+)", texts['page.js']))
    assert len(wanted) > 12 and wanted <= set(re.findall(r'id="([\w-]+)"', texts['page.html']))


def test_a_page_is_light():
    """A screen beside the cell needs none of what masks are made with."""
    code = "import sys, insegan_ros.nodes.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0


# What page.js finds in a browser: elements, and a server that answers once and is silent then.
BROWSER = """
const elements = {};
globalThis.document = {
  body: {}, createElement: () => ({append() {}}),
  querySelector: (name) => elements[name] ??= {replaceChildren(...all) { this.all = all; }},
};
let answers = 0;
globalThis.fetch = (path, {signal}) => path !== 'status.json' || answers++
  ? new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  : Promise.resolve({ok: true, json: () => (STATUS)});
const seen = () => ({
  level: document.body.className, bin: elements['#state'].textContent,
  parts: elements['#instances'].textContent, picks: elements['#picks tbody'].all.length,
});
setTimeout(() => console.log(JSON.stringify(seen())), 30);
setTimeout(() => { console.log(JSON.stringify(seen())); process.exit(); }, 400);
SCRIPT
"""


@pytest.mark.skipif(shutil.which('node') is None, reason='node is not installed')
def test_what_a_silent_server_said_before_is_not_shown_any_more():
    view = PageView('/segmenter')
    view.on_bin_state(String(data='pickable'))
    status = {**view.status(), 'level': 'ok', 'instances': 5, 'picks': [{}]}
    script = shipped_file('web', 'page.js').read_text()
    script = script.replace('WITHIN_MS = 3000', 'WITHIN_MS = 9').replace(
        'EVERY_MS = 500', 'EVERY_MS = 50'
    )
    code = BROWSER.replace('STATUS', json.dumps(status)).replace('SCRIPT', script)
    ran = subprocess.run(['node', '-'], input=code, capture_output=True, text=True, timeout=60)
    heard, silent = map(json.loads, ran.stdout.splitlines())
    assert heard == {'level': 'ok', 'bin': 'pickable', 'parts': '5', 'picks': 1}
    assert silent == {'level': 'silent', 'bin': 'bin not known', 'parts': '–', 'picks': 0}
