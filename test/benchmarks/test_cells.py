"""Tables of cells: each measured once, what could not be measured said."""

from __future__ import annotations

import errno
from dataclasses import dataclass

import pytest

from insegan_ros.benchmarks.cells import not_measured, run_cells
from insegan_ros.errors import DatasetError, WriteError
from insegan_ros.files import lost


@dataclass(frozen=True)
class Cell:
    table: str
    method: str


def test_what_cannot_be_measured_is_said_until_it_is(tmp_path):
    asked, broken = [], {'spectral'}

    def measure(cell):
        asked.append(cell.method)
        if cell.method in broken:
            raise DatasetError('19 parts lie alone: expected 30')
        return {'method': cell.method}

    def run(**options):
        return run_cells(
            'test',
            tmp_path,
            [Cell('one', 'kmeans'), Cell('one', 'spectral')],
            ('table', 'method'),
            options.get('only', set()),
            repr,
            options.get('measure', measure),
        )

    assert run() == [{'method': 'kmeans'}] and asked == ['kmeans', 'spectral']
    assert not_measured(tmp_path) == [
        '## Not measured',
        '',
        '- one-spectral: 19 parts lie alone: expected 30',
        '',
    ]
    # What only reads leaves it as it is.
    assert run(measure=None) == [{'method': 'kmeans'}] and len(not_measured(tmp_path)) == 4
    broken.clear()
    # Nor what is measured without the others having been tried again.
    assert run(only={'kmeans'}) == [{'method': 'kmeans'}] and len(not_measured(tmp_path)) == 4
    assert len(run()) == 2 and asked[2:] == ['spectral'] and not_measured(tmp_path) == []


def test_a_full_disk_ends_the_run_and_is_no_cells_fault(tmp_path):
    asked = []

    def measure(cell):
        asked.append(cell.method)
        raise lost(tmp_path / 'state.safetensors', OSError(errno.ENOSPC, 'No space left on device'))

    with pytest.raises(WriteError, match='free some space'):
        run_cells(
            'test',
            tmp_path,
            [Cell('one', 'kmeans'), Cell('one', 'spectral')],
            ('table', 'method'),
            set(),
            repr,
            measure,
        )
    assert asked == ['kmeans'] and not not_measured(tmp_path)


def test_results_that_do_not_hold_any_more_are_said_and_write_over_no_table(tmp_path, capsys):
    def run(version, measure, *methods):
        cells = [Cell('one', method) for method in methods]

        def identity(cell):
            return f'{version} {cell}'

        return run_cells('test', tmp_path, cells, ('method',), set(), identity, measure)

    def measure(cell):
        return {'method': cell.method}

    run('0.1', measure, 'kmeans')
    assert 'other settings' not in capsys.readouterr().out
    with pytest.raises(
        DatasetError, match='holds results of other settings.*1, such as kmeans-.*as before'
    ):
        run('0.2', None, 'kmeans', 'kmeans-2')
    assert run('0.2', measure, 'kmeans') == [{'method': 'kmeans'}]
    assert 'such as kmeans-' in capsys.readouterr().out
    assert len(list((tmp_path / 'results').iterdir())) == 2
