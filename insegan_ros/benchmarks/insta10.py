"""`insegan benchmark insta10`: the tables of the InSeGAN paper, from the simulator to the page, in
one command that can be stopped."""

from __future__ import annotations

import shlex
from pathlib import Path

from insegan_ros.benchmarks.insta10_report import write_report
from insegan_ros.benchmarks.insta10_rows import Insta10Budget
from insegan_ros.benchmarks.insta10_runs import Insta10
from insegan_ros.benchmarks.rows import Row
from insegan_ros.tasks.base import machine


def run_insta10(folder: Path, budget: str, only: set[str], measured: bool = False) -> list[Row]:
    """The paper's tables in a folder, and printed. A second start goes on where the first was
    stopped."""
    benchmark = Insta10(folder, Insta10Budget.read(budget))
    chosen = f' --only {shlex.quote(",".join(sorted(only)))}' if only else ''
    command = f'insegan benchmark insta10 --budget {budget}{chosen}'
    rows = write_report(benchmark, benchmark.run(only, measured), machine(), command)
    print((folder / 'tables.md').read_text())
    return rows
