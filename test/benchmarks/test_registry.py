"""Benchmarks by their names, and the budgets that they know."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from shell import command

from insegan_ros.benchmarks.registry import BENCHMARKS, run_benchmark
from insegan_ros.errors import ConfigError

ROOT = Path(__file__).parents[2]


def test_every_benchmark_is_there():
    for name, benchmark in BENCHMARKS.items():
        assert callable(benchmark.function) and benchmark.help, name
        assert benchmark.budgets[0] == 'small' and benchmark.budgets[-1] == 'full'
        assert ('medium' in benchmark.budgets) == benchmark.keeps


def test_names_and_budgets_that_are_unknown_are_said(tmp_path):
    with pytest.raises(
        ConfigError, match='unknown benchmark "speed": expected one of .*foreground'
    ):
        run_benchmark('speed', 'small')
    with pytest.raises(
        ConfigError, match='benchmark picks has the budgets small and full: expected one of these'
    ):
        run_benchmark('picks', 'medium')
    for given in ({'out': tmp_path / 'new'}, {'only': {'nut'}}, {'measured': True}):
        with pytest.raises(ConfigError, match='benchmark picks keeps no folder.*expected --json'):
            run_benchmark('picks', 'small', **given)
    for name in ('picks', 'weak'):
        with pytest.raises(ConfigError, match=f'benchmark {name} takes no --pictures.*with hoc'):
            run_benchmark(name, 'small', pictures=tmp_path)
    assert not (tmp_path / 'new').exists()


@pytest.mark.parametrize('name', [name for name, one in BENCHMARKS.items() if one.keeps])
def test_what_has_been_measured_is_told_in_tables_though_it_is_nothing(name, tmp_path, capsys):
    measured = ('--measured', '--budget', 'small', '--out', tmp_path / name)
    assert command('benchmark', name, *measured, '--json', tmp_path / 'rows.json') == 0
    assert (tmp_path / 'rows.json').read_text() == '[]\n'
    assert 'Budget **small**: a shrunken run' in capsys.readouterr().out
    assert not (tmp_path / name / 'results').exists()


def test_the_command_names_what_is_unknown(tmp_path, capsys):
    out = ('--budget', 'small', '--out', tmp_path)
    assert command('benchmark', 'hoc', *out, '--only', 'everything,nothing') == 2
    assert 'unknown table or method "everything, nothing"' in capsys.readouterr().err


def test_names_that_the_manual_gives_to_only_are_known(tmp_path, capsys):
    pages = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
    found = {
        line
        for page in pages
        for line in re.findall(r'insegan (benchmark \w+ [^`\n#]*--only [^`\n#]*)', page.read_text())
    }
    assert len(found) > 10
    for number, line in enumerate(sorted(found)):
        words = (*shlex.split(line), '--measured', '--out', tmp_path / str(number))
        assert command(*words) == 0, capsys.readouterr().err[:200]
