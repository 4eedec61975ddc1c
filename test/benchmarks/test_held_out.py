"""The scenes that all methods of a benchmark meet: made once, kept whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from insegan_ros.benchmarks.held_out import held_out
from insegan_ros.files import write_whole


def test_scenes_that_a_stopped_run_has_replaced_are_not_taken_for_the_former(tmp_path, monkeypatch):
    assert len(held_out(tmp_path, 'nut', 'ideal', 2, 2).scenes) >= 2

    def stopped(path: Path, content: bytes) -> None:
        if path.name == 'sets.json':
            raise KeyboardInterrupt
        write_whole(path, content)

    monkeypatch.setattr('insegan_ros.benchmarks.held_out.write_whole', stopped)
    with pytest.raises(KeyboardInterrupt):
        held_out(tmp_path, 'nut', 'ideal', 1, 1)
    monkeypatch.undo()
    again = held_out(tmp_path, 'nut', 'ideal', 2, 2)
    assert len(again.scenes) == len(again.random) == len(again.hard) == 2
    assert held_out(tmp_path, 'nut', 'ideal', 2, 2).random == again.random
