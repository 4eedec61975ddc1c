"""`insegan calibrate` on pictures of an empty bin."""

from __future__ import annotations

import cv2
import numpy as np
from empty_bins import empty
from shell import command


def test_the_command_says_what_it_found_and_writes_nothing_over(tmp_path, capsys):
    for index, frame in enumerate(empty('noise')):
        millimetres = (np.nan_to_num(frame.depth_m) * 1000).round().astype(np.uint16)
        cv2.imwrite(str(tmp_path / f'{index}.png'), millimetres)
    out = tmp_path / 'out'
    out.mkdir()
    assert command('calibrate', tmp_path, '--out', out / 'bin.yaml') == 0
    text = capsys.readouterr().out
    assert '3 pictures: floor at 0.' in text and 'walls of' in text and (out / 'bin.png').exists()
    before = (out / 'bin.yaml').read_text()
    assert command('calibrate', tmp_path, '--out', out / 'bin.yaml') == 2
    assert (
        'exists: expected a new file' in capsys.readouterr().err
        and (out / 'bin.yaml').read_text() == before
    )
