"""The benchmark's results for machines (rows) and for people (Markdown, one HTML page without
anything beside it)."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from insegan_ros.benchmarks.cells import not_measured
from insegan_ros.benchmarks.insta10_rows import INSTA10, PRINTED_MEANS, in_the_paper, is_papers_form
from insegan_ros.benchmarks.insta10_runs import Insta10, protocol_check, segment_scene
from insegan_ros.benchmarks.rows import Row, budget_sentence, budget_suffix
from insegan_ros.drawing.panels import compared
from insegan_ros.files import write_whole
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.metrics.masks import numbered_as
from insegan_ros.tasks.base import TEST_SEED

SETS = {'random': 'random scenes', 'hard': 'scenes on which K-means fails'}
METRICS = {'honest_miou': 'honest mIoU', 'paper_miou': "paper's mIoU"}
# What others quote, of Table 1: means over the parts.
OTHERS = {'ap': 'AP[.5:.95]', 'ari': 'ARI', 'msc': 'MSC'}
TITLES = {
    'methods': 'Table 1: methods',
    'noisy': 'In place of Table 3: noisy depth of a simulated D435',
    'losses': "Table 2: the encoder's losses",
    'ablation': 'What each part of the product gives',
    'images': 'Fig. 4a: number of training images',
    'number': 'Fig. 4b: n, where five parts are in the bin',
}
# What is said of rows of the paper's form that were measured before it had the paper's widths.
EARLIER_FORM = "measured at half the paper's widths and twice its rate"
Result = dict[str, Any]
# What random and dilated answers are worth: answer -> measure -> mean.
Checks = Mapping[str, Mapping[str, float]]


class Key(NamedTuple):
    """Which figure."""

    table: str
    method: str
    part: str
    set: str
    metric: str


class Figure(NamedTuple):
    """mean and spread (standard deviation) over `seeds` seeds; scenes: of each."""

    mean: float
    spread: float
    seeds: int
    scenes: int


def means(results: Sequence[Result]) -> dict[Key, Figure]:
    """All figures of the results."""
    by: dict[Key, list[tuple[float, int]]] = defaultdict(list)
    for one in results:
        for name in SETS:
            chosen = [scores for scores, inside in zip(one['scores'], one[name]) if inside]
            if chosen:
                # Whatever each was measured by: older results have fewer measures.
                values = {
                    metric: float(np.mean([scores[metric] for scores in chosen]))
                    for metric in chosen[0]
                    if metric != 'count_error'
                }
                values['count_error'] = float(np.mean([abs(one['count_error']) for one in chosen]))
                if 'ap' in one:
                    values['ap'] = one['ap'][name]
                for metric, value in values.items():
                    key = Key(one['table'], one['method'], one['part'], name, metric)
                    by[key].append((value, len(chosen)))
    return {
        key: Figure(
            float(np.mean([value for value, _ in values])),
            float(np.std([value for value, _ in values])),
            len(values),
            values[0][1],
        )
        for key, values in by.items()
    }


def rows(
    results: Sequence[Result], checks: Checks, budget: str, machine: str, command: str
) -> list[Row]:
    """One row a figure, as all benchmarks write them."""
    common = {
        'benchmark': 'insta10',
        'unit': '',
        'seed': TEST_SEED,
        'machine': machine,
        'command': command,
    }
    out = [
        {
            **common,
            'table': 'protocol',
            'method': name,
            'part': '',
            'protocol': 'what the measures are worth',
            'metric': metric,
            'value': round(value, 4),
            'spread': 0.0,
            'seeds': 1,
            'reference': '',
        }
        for name, values in checks.items()
        for metric, value in values.items()
    ]
    for key, figure in means(results).items():
        out.append(
            {
                **common,
                'table': key.table,
                'method': key.method,
                'part': key.part,
                'protocol': f'{figure.scenes} {SETS[key.set]}{budget_suffix(budget)}',
                'metric': key.metric,
                'value': round(figure.mean, 4),
                'spread': round(figure.spread, 4),
                'seeds': figure.seeds,
                'reference': _reference(key),
            }
        )
    return out


def _reference(key: Key) -> str:
    """The paper's figure for the same, if it has one."""
    quoted = in_the_paper(key.table, key.set, key.metric, key.method)
    return f'paper {quoted[key.part]}' if key.part in quoted else ''


def markdown(results: Sequence[Result], checks: Checks, budget: str, machine: str) -> str:
    """All tables that there are results for."""
    figures = means(results)
    lines = [
        '# Insta-10, simulated',
        '',
        f'{budget_sentence(budget)} {machine}. Mean over scenes and seeds; ± is the spread over'
        ' seeds where there are several. *Honest*: one to one, predicted foreground, full'
        " resolution. *Paper's*: the best IoU of every true instance, true foreground; it flatters."
        ' The classical methods are told the number of parts, the product is not. `shipped` are the'
        ' checkpoints that come with the package: by itself `cutpaste-*`, else those of that name.',
        '',
        *_earlier_form(results),
    ]
    for name in TITLES:
        for key, title in SETS.items():
            for metric, label in METRICS.items():
                lines += _table(figures, name, key, metric, f'{TITLES[name]}: {label}, {title}')
        if name == 'methods':
            lines += _other_measures(figures)
    return '\n'.join([*lines, *_training_times(results), *_scene_times(results), *_checks(checks)])


def _earlier_form(results: Sequence[Result]) -> list[str]:
    """What is to be said of results of the paper's form that do not tell their configuration: they
    are older than its widths and its rate."""
    earlier = dict.fromkeys(
        one['method'] for one in results if is_papers_form(one['method']) and 'config' not in one
    )
    if not earlier:
        return []
    return [f'{EARLIER_FORM[0].upper()}{EARLIER_FORM[1:]}: {"; ".join(earlier)}.', '']


def _training_times(results: Sequence[Result]) -> list[str]:
    """The section of what trainings took."""
    minutes: dict[str, list[float]] = defaultdict(list)
    for one in results:
        if one['table'] == 'methods' and one['minutes'] is not None:
            minutes[one['method']].append(one['minutes'])
    if not minutes:
        return []
    return [
        '## Training time',
        '',
        '| method | minutes a part | parts and seeds |',
        '|---|---|---|',
        *(
            f'| {method} | {np.mean(values):.1f} | {len(values)} |'
            for method, values in minutes.items()
        ),
        '',
    ]


def _scene_times(results: Sequence[Result]) -> list[str]:
    """The section of what a scene takes."""
    timed = [one for one in results if one['table'] == 'ablation' and 'scene_ms' in one]
    if not timed:
        return []
    return [
        '## Time to segment a scene',
        '',
        '| method | part | ms |',
        '|---|---|---|',
        *(f'| {one["method"]} | {one["part"]} | {one["scene_ms"]:.0f} |' for one in timed),
        '',
    ]


def _checks(checks: Checks) -> list[str]:
    """The section of what no honest measure may praise."""
    if not checks:
        return []
    columns = {**METRICS, 'ari': OTHERS['ari'], 'msc': OTHERS['msc']}
    return [
        '## What the measures are worth',
        '',
        f'| answer | {" | ".join(columns.values())} |',
        '|---' * (len(columns) + 1) + '|',
        *(
            f'| {name} | ' + ' | '.join(f'{values[one]:.3f}' for one in columns) + ' |'
            for name, values in checks.items()
        ),
        '',
    ]


def _table(
    figures: Mapping[Key, Figure], name: str, set_: str, metric: str, title: str
) -> list[str]:
    """One table of a set and a metric: a row a method, a column a part."""
    own = {
        (key.method, key.part): figure
        for key, figure in figures.items()
        if (key.table, key.set, key.metric) == (name, set_, metric)
    }
    if not own:
        return []
    parts = [part for part in INSTA10 if any(there == part for _, there in own)]
    scenes = [max(one.scenes for (_, there), one in own.items() if there == part) for part in parts]
    lines = [
        f'## {title}',
        '',
        f'| | {" | ".join(parts)} | mean |',
        '|---' * (len(parts) + 2) + '|',
        f'| *scenes* | {" | ".join(map(str, scenes))} | |',
    ]
    for method in dict.fromkeys(method for method, _ in own):
        cells = [own.get((method, part)) for part in parts]
        there = [cell.mean for cell in cells if cell]
        mean = f'{np.mean(there):.3f}' if len(there) == len(parts) else f'({np.mean(there):.3f})'
        lines.append(f'| {method} | ' + ' | '.join(map(_cell, cells)) + f' | {mean} |')
        lines += _papers_row(method, in_the_paper(name, set_, metric, method), parts)
    return lines + ['']


def _other_measures(figures: Mapping[Key, Figure]) -> list[str]:
    """Table 1 by what others quote: a row a method, means over the parts that it was measured on,
    in brackets where those are fewer than others'."""
    columns = [(set_, metric) for set_ in SETS for metric in OTHERS]
    own: dict[str, dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    for key, figure in figures.items():
        if key.table == 'methods' and key.metric in OTHERS:
            own[key.method][key.set, key.metric].append(figure.mean)
    if not own:
        return []
    most = {column: max(len(values[column]) for values in own.values()) for column in columns}

    def cell(column: tuple[str, str], values: Sequence[float]) -> str:
        if not values:
            return '-'
        mean = f'{np.mean(values):.3f}'
        return mean if len(values) == most[column] else f'({mean})'

    return [
        '## Table 1: what others quote, means over the parts',
        '',
        f'| | {" | ".join(f"{OTHERS[metric]}, {set_}" for set_, metric in columns)} |',
        '|---' * (len(columns) + 1) + '|',
        *(
            f'| {method} | ' + ' | '.join(cell(one, values[one]) for one in columns) + ' |'
            for method, values in own.items()
        ),
        '',
        'AP is of masks, by the scores that a method gives them. ARI: adjusted Rand index of the'
        " true parts' pixels, whatever is found of the floor, so it flatters as the paper's mIoU"
        ' does. MSC: the best IoU that anything found has with each true part.',
        '',
    ]


def _papers_row(method: str, quoted: Mapping[str, float], parts: Sequence[str]) -> list[str]:
    """The paper's figures in a row of their own, with the mean of the parts that are shown; what it
    prints beside, where that is another."""
    shown = [quoted[part] for part in parts if part in quoted]
    if not shown:
        return []
    printed = PRINTED_MEANS.get(method) if len(shown) == len(INSTA10) else None
    mean = f'*{np.mean(shown):.3f}*' + (f' (printed: {printed:.3f})' if printed else '')
    cells = ' | '.join(f'*{quoted[part]:.3f}*' if part in quoted else '-' for part in parts)
    return [f'| *{method}, in the paper* | {cells} | {mean} |']


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return '-'
    return f'{figure.mean:.3f}' + (f' ±{figure.spread:.3f}' if figure.seeds > 1 else '')


def page(benchmark: Insta10, results: Sequence[Result], text: str) -> str:
    """The tables, the two charts, and for every part the worst, the median and the best scene of
    the product."""
    body = [_html_of(text)]
    for table, axis in (('images', 'training images'), ('number', 'n of the model')):
        if any(one['table'] == table for one in results):
            body.append(
                f'<h2>{html.escape(TITLES[table])}</h2>{_image(_chart(results, table, axis))}'
            )
    shown = {
        (one['part'], one['sensor']): one
        for one in results
        if one['method'] in ('product', 'shipped') and one['table'] in ('methods', 'noisy')
    }
    for (part, sensor), one in shown.items():
        body.append(
            f'<h2>{html.escape(one["method"])}, {part}, {sensor} depth: worst, median and best'
            f' random scene (depth, masks, truth)</h2>{_image(_scenes(benchmark, one))}'
        )
    return (
        '<!doctype html><html lang="en"><meta'
        ' charset="utf-8"><title>Insta-10</title><style>body{font:15px/1.5'
        ' sans-serif;max-width:1200px;margin:2em auto;padding:0'
        ' 1em}table{border-collapse:collapse}td,th{padding:.2em .6em;border-bottom:1px solid'
        ' #ccc;text-align:right}td:first-child{text-align:left}img{max-width:100%}</style>'
        + '\n'.join(body)
        + '</html>'
    )


def _html_of(text: str) -> str:
    """Our own Markdown (headings, paragraphs, tables) as HTML."""
    out, inside = [], False
    for line in text.splitlines():
        if line.startswith('|'):
            if set(line) <= set('|-'):
                continue
            if not inside:
                out.append('<table>')
            cells = [
                html.escape(cell.strip()).replace('*', '') for cell in line.strip('|').split('|')
            ]
            out.append('<tr>' + ''.join(f'<td>{cell}</td>' for cell in cells) + '</tr>')
            inside = True
            continue
        if inside:
            out.append('</table>')
            inside = False
        level = len(line) - len(line.lstrip('#'))
        if level:
            out.append(f'<h{level}>{html.escape(line[level:].strip())}</h{level}>')
        elif line:
            out.append(f'<p>{html.escape(line).replace("*", "").replace("`", "")}</p>')
    return '\n'.join(out + (['</table>'] if inside else []))


def _image(png: bytes) -> str:
    """A picture that lies in the page itself."""
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _chart(results: Sequence[Result], table: str, axis: str) -> bytes:
    """A study's figures by the number in its rows' names, a line a form and part, as PNG."""
    from matplotlib.figure import Figure as PlotFigure

    chart = PlotFigure((7, 4), dpi=110)
    plot = chart.subplots()
    lines: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for key, figure in means(results).items():
        if (key.table, key.set, key.metric) == (table, 'random', 'honest_miou'):
            form, number = re.split(r' on | with n = ', key.method)
            lines[f'{form}, {key.part}'].append((int(number.split()[0]), figure.mean))
    for name, points in lines.items():
        plot.plot(*zip(*sorted(points)), 'o-', label=name)
    plot.set(
        xlabel=axis,
        ylabel='honest mIoU, random scenes',
        ylim=(0, 1),
        xscale='log' if table == 'images' else 'linear',
    )
    plot.grid(alpha=0.3)
    plot.legend()
    buffer = io.BytesIO()
    chart.savefig(buffer, format='png', bbox_inches='tight')
    return buffer.getvalue()


def _scenes(benchmark: Insta10, one: Result) -> bytes:
    """Worst, median and best random scene: depth, masks, truth in a column each, as PNG."""
    tests = benchmark.tests(one['part'], one['sensor'])
    model = one['checkpoint'] if one['model'] else str(benchmark.folder / one['checkpoint'])
    segmenter = load_segmenter(model, one['segmenter'], device=benchmark.device)
    ranked = sorted(
        (scores['honest_miou'], index)
        for index, (scores, inside) in enumerate(zip(one['scores'], one['random']))
        if inside
    )
    columns = []
    for title, (value, index) in zip(
        ('worst', 'median', 'best'), (ranked[0], ranked[len(ranked) // 2], ranked[-1])
    ):
        scene, truth = tests.scenes[index], tests.scenes[index].labelled().labels
        found = numbered_as(truth, segment_scene(segmenter, scene).labels)
        columns.append(compared(f'{title} {value:.2f}', scene.frame.depth_m, found, truth))
    return cv2.imencode('.png', cv2.cvtColor(np.hstack(columns), cv2.COLOR_RGB2BGR))[1].tobytes()


def write_report(
    benchmark: Insta10, results: Sequence[Result], machine: str, command: str
) -> list[Row]:
    """tables.json, tables.md and report.html in the benchmark's folder. Returns the rows."""
    first = next((one for one in results if one['table'] == 'methods'), None)
    checks = protocol_check(benchmark.tests(first['part'], first['sensor'])) if first else {}
    found = rows(results, checks, benchmark.budget.name, machine, command)
    text = '\n'.join(
        [
            markdown(results, checks, benchmark.budget.name, machine),
            *not_measured(benchmark.folder),
            f'Made by `{command}`.',
            '',
        ]
    )
    files = {
        'tables.json': json.dumps(found, indent=1) + '\n',
        'tables.md': text,
        'report.html': page(benchmark, results, text),
    }
    for name, content in files.items():
        write_whole(benchmark.folder / name, content.encode())
    return found
