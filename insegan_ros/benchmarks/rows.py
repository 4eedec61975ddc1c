"""What all benchmarks write: a row a figure, {benchmark, method, part, protocol, metric, value,
...}, and tables for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from insegan_ros.benchmarks.cells import not_measured
from insegan_ros.files import write_whole
from insegan_ros.tasks.base import TEST_SEED, machine

Row = dict[str, Any]


def row(
    benchmark: str,
    method: str,
    part: str,
    protocol: str,
    metric: str,
    value: float,
    unit: str,
    small: bool,
    reference: str = '',
) -> Row:
    """One figure of a benchmark that trains nothing. unit: of the value, empty for shares;
    reference: what it is compared with."""
    return {
        'benchmark': benchmark,
        'method': method,
        'part': part,
        'protocol': protocol + (' (small budget)' if small else ''),
        'metric': metric,
        'value': round(value, 4),
        'unit': unit,
        'seed': TEST_SEED,
        'reference': reference,
        'machine': machine(),
        'command': f'insegan benchmark {benchmark}' + (' --budget small' if small else ''),
    }


def table_row(
    benchmark: str,
    result: Mapping[str, Any],
    part: str,
    protocol: str,
    metric: str,
    value: float,
    unit: str = '',
    **common: Any,
) -> Row:
    """One figure of a benchmark that trains. result: of the cell that it was measured in, with its
    table and method; common: seed, machine and command."""
    return {
        'benchmark': benchmark,
        'table': result['table'],
        'method': result['method'],
        'part': part,
        'protocol': protocol,
        'metric': metric,
        'value': value,
        'unit': unit,
        'reference': '',
        **common,
    }


def budget_suffix(budget: str) -> str:
    """What a row's protocol says of its budget: nothing of the full one."""
    return '' if budget == 'full' else f' ({budget} budget)'


def budget_sentence(budget: str) -> str:
    """What a page of tables says of its budget."""
    shrunken = '.' if budget == 'full' else ': a shrunken run, not the figures of the full one.'
    return f'Budget **{budget}**{shrunken}'


def print_rows(rows: list[Row]) -> None:
    """A line a figure."""
    width = max((len(one['method']) for one in rows), default=0) + 2
    for one in rows:
        print(
            f'{one["method"]:{width}}{one["part"]:12}{one["protocol"]:55}{one["metric"]:26}'
            f'{one["value"]:10.4g} {one["unit"]}'
        )


def write_tables(folder: Path, rows: list[Row], text: str) -> list[Row]:
    """tables.json and tables.md in a folder, the latter with what could not be measured, and
    printed; returns the rows."""
    text = '\n'.join([text.rstrip('\n'), '', *lines]) if (lines := not_measured(folder)) else text
    write_whole(folder / 'tables.json', (json.dumps(rows, indent=1) + '\n').encode())
    write_whole(folder / 'tables.md', text.encode())
    print(text)
    return rows
