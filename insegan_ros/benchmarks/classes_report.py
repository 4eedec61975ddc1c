"""The tables of `insegan benchmark weak`, for programs and for people."""

from __future__ import annotations

from typing import Any

from insegan_ros.benchmarks.cells import table_lines
from insegan_ros.benchmarks.classes_refinement import step_lines
from insegan_ros.benchmarks.classes_rows import ClassesBudget
from insegan_ros.benchmarks.rows import Row, budget_sentence, budget_suffix, table_row
from insegan_ros.tasks.classes import TEST

Result = dict[str, Any]


def as_rows(results: list[Result], machine: str, command: str) -> list[Row]:
    """One row a figure, as all benchmarks write them."""
    common = {'seed': TEST, 'machine': machine, 'command': command}
    units = {'minutes': 'min', 'seconds': 's', 'matrix_mib': 'MiB'}
    out = []
    for one in results:
        protocol = f'image-level labels{budget_suffix(one["budget"])}'
        for metric, value in {**one, **_on_the_way(one)}.items():
            if isinstance(value, float):
                unit = units.get(metric, '')
                out.append(table_row('weak', one, 'mixed', protocol, metric, value, unit, **common))
    return out


def _on_the_way(one: Result) -> dict[str, float]:
    """What a result says of the steps of the refinement, a figure each."""
    out = {
        f'box_ap50 at step {step}': value for step, value in one.get('box_ap50_by_step', {}).items()
    }
    for key in ('iou_by_class', 'iou_by_begun'):
        for name, means in one.get(key, {}).items():
            begin = f'box IoU, {"begun at " * (key == "iou_by_begun")}{name}, at step'
            out |= {f'{begin} {step}': value for step, value in means.items() if step != 'boxes'}
    return out


def markdown(results: list[Result], budget: ClassesBudget, machine: str) -> str:
    """All tables that there are results for."""
    kinds = (
        f'{len(budget.parts.split(","))} kinds ({budget.parts})' if budget.parts else 'ten kinds'
    )
    size = budget.config('irnet').size
    lines = [
        '# Masks with classes from image-level labels',
        '',
        f'{budget_sentence(budget.name)} {machine}. {budget.training} simulated bins of two to six'
        f' parts of {kinds}, {size} px; of each only is known which kinds lie in it.'
        f' {budget.test} others are judged. AP is the mean over the classes, by masks; box_ap50 by'
        f' boxes. Pseudo-labels of training pictures are judged on the first {budget.judged}; there'
        ' the classes are known, and so the figures higher. Crowded bins hold six to eight parts of'
        ' three of the kinds, at a fill of .7.',
        '',
    ]
    for table in dict.fromkeys(one['table'] for one in results):
        own = [one for one in results if one['table'] == table]
        figures = [key for one in own for key, value in one.items() if isinstance(value, float)]
        lines += [*table_lines(table, own, list(dict.fromkeys(figures))), '']
        for one in own:
            lines += step_lines(one)
    return '\n'.join(lines)
