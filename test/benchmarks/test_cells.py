"""Tables of cells: each measured once, what could not be measured said."""

from __future__ import annotations

from dataclasses import dataclass

from insegan_ros.benchmarks.cells import not_measured, run_cells
from insegan_ros.errors import DatasetError


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
