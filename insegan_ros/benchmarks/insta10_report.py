"""The benchmark's results for machines (rows) and for people (Markdown, one HTML page without
anything beside it)."""

from __future__ import annotations

import base64
import html
import io
import json
from collections import defaultdict
from typing import Any

import cv2
import numpy as np

from insegan_ros.benchmarks.cells import not_measured
from insegan_ros.benchmarks.held_out import TEST_SEED
from insegan_ros.benchmarks.insta10 import INSTA10, PAPER, Insta10, protocol_check, segment_scene
from insegan_ros.drawing.panels import compared
from insegan_ros.methods.registry import load_segmenter

SETS = (('random', 'random scenes'), ('hard', 'scenes on which K-means fails'))
METRICS = (('honest_miou', 'honest mIoU'), ('paper_miou', "paper's mIoU"))
TITLES = {
    'methods': 'Table 1: methods',
    'noisy': 'In place of Table 3: noisy depth of a simulated D435',
    'losses': "Table 2: the encoder's losses",
    'ablation': 'What each part of the product gives',
    'images': 'Fig. 4a: number of training images',
    'number': 'Fig. 4b: n, where five parts are in the bin',
}
Result = dict[str, Any]


def means(
    results: list[Result],
) -> dict[tuple[str, str, str, str, str], tuple[float, float, int, int]]:
    """(table, method, part, set, metric) -> mean over seeds, spread (standard deviation) over
    seeds, seeds, scenes."""
    by: dict[tuple[str, str, str, str, str], list[tuple[float, int]]] = defaultdict(list)
    for one in results:
        for name, _ in SETS:
            chosen = [scores for scores, inside in zip(one['scores'], one[name]) if inside]
            if chosen:
                for metric in ('honest_miou', 'paper_miou', 'foreground_iou', 'count_error'):
                    value = float(np.mean([abs(scores[metric]) for scores in chosen]))
                    by[one['table'], one['method'], one['part'], name, metric].append(
                        (value, len(chosen))
                    )
    return {
        key: (
            float(np.mean([v for v, _ in values])),
            float(np.std([v for v, _ in values])),
            len(values),
            values[0][1],
        )
        for key, values in by.items()
    }


def rows(
    results: list[Result],
    checks: dict[str, dict[str, float]],
    budget: str,
    machine: str,
    command: str,
) -> list[dict[str, Any]]:
    """One row a figure, as all benchmarks write them."""
    common = {
        'benchmark': 'insta10',
        'unit': '',
        'seed': TEST_SEED,
        'machine': machine,
        'command': command,
    }
    small = '' if budget == 'full' else f' ({budget} budget)'
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
    for (table, method, part, name, metric), (value, spread, seeds, scenes) in means(
        results
    ).items():
        paper = PAPER.get(method, ())
        reference = (
            f'paper {paper[INSTA10.index(part)]}'
            if paper
            and part in INSTA10
            and (table, name, metric) == ('methods', 'hard', 'paper_miou')
            else ''
        )
        out.append(
            {
                **common,
                'table': table,
                'method': method,
                'part': part,
                'protocol': f'{scenes} {dict(SETS)[name]}{small}',
                'metric': metric,
                'value': round(value, 4),
                'spread': round(spread, 4),
                'seeds': seeds,
                'reference': reference,
            }
        )
    return out


def markdown(
    results: list[Result], checks: dict[str, dict[str, float]], budget: str, machine: str
) -> str:
    """All tables that there are results for."""
    table = means(results)
    lines = [
        '# Insta-10, simulated',
        '',
        f'Budget **{budget}**'
        + ('.' if budget == 'full' else ': a shrunken run, not the figures of the full one.')
        + f' {machine}. Mean over scenes and seeds; ± is the spread over seeds where there are'
        " several. *Honest*: one to one, predicted foreground, full resolution. *Paper's*: the"
        ' best IoU of every true instance, true foreground; it flatters. The classical methods'
        ' are told the number of parts, the product is not. `shipped` is the checkpoint that'
        ' comes with the package.',
        '',
    ]
    for name in TITLES:
        for key, title in SETS:
            for metric, label in METRICS:
                lines += _table(table, name, key, metric, f'{TITLES[name]}: {label}, {title}')
    minutes: dict[str, list[float]] = defaultdict(list)
    for one in results:
        if one['table'] == 'methods' and one['minutes'] is not None:
            minutes[one['method']].append(one['minutes'])
    if minutes:
        lines += [
            '## Training time',
            '',
            '| method | minutes a part | parts and seeds |',
            '|---|---|---|',
        ]
        lines += [
            f'| {method} | {np.mean(values):.1f} | {len(values)} |'
            for method, values in minutes.items()
        ] + ['']
    timed = [one for one in results if one['table'] == 'ablation' and 'scene_ms' in one]
    if timed:
        lines += ['## Time to segment a scene', '', '| method | part | ms |', '|---|---|---|']
        lines += [
            f'| {one["method"]} | {one["part"]} | {one["scene_ms"]:.0f} |' for one in timed
        ] + ['']
    if checks:
        lines += [
            '## What the measures are worth',
            '',
            "| answer | honest mIoU | paper's mIoU |",
            '|---|---|---|',
        ]
        lines += [
            f'| {name} | {values["honest_miou"]:.3f} | {values["paper_miou"]:.3f} |'
            for name, values in checks.items()
        ] + ['']
    return '\n'.join(lines)


def _table(
    table: dict[Any, tuple[float, float, int, int]], name: str, key: str, metric: str, title: str
) -> list[str]:
    own = {k: v for k, v in table.items() if k[0] == name and k[3] == key and k[4] == metric}
    if not own:
        return []
    parts = [part for part in INSTA10 if any(k[2] == part for k in own)]
    methods = list(dict.fromkeys(k[1] for k in own))
    scenes = [str(max((v[3] for k, v in own.items() if k[2] == part), default=0)) for part in parts]
    lines = [
        f'## {title}',
        '',
        f'| | {" | ".join(parts)} | mean |',
        '|---' * (len(parts) + 2) + '|',
        f'| *scenes* | {" | ".join(scenes)} | |',
    ]
    for method in methods:
        cells = [own.get((name, method, part, key, metric)) for part in parts]
        there = [cell[0] for cell in cells if cell]
        mean = f'{np.mean(there):.3f}' if len(there) == len(parts) else f'({np.mean(there):.3f})'
        lines.append(f'| {method} | ' + ' | '.join(_cell(cell) for cell in cells) + f' | {mean} |')
        if metric == 'paper_miou' and key == 'hard' and name == 'methods' and method in PAPER:
            lines.append(
                f'| *{method}, in the paper* | '
                + ' | '.join(f'*{PAPER[method][INSTA10.index(part)]:.3f}*' for part in parts)
                + f' | *{np.mean(PAPER[method]):.3f}* |'
            )
    return lines + ['']


def _cell(cell: tuple[float, float, int, int] | None) -> str:
    if cell is None:
        return '-'
    return f'{cell[0]:.3f}' + (f' ±{cell[1]:.3f}' if cell[2] > 1 else '')


def page(benchmark: Insta10, results: list[Result], text: str) -> str:
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
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _chart(results: list[Result], table: str, axis: str) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure((7, 4), dpi=110)
    plot = figure.subplots()
    lines: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for (name, method, part, key, metric), value in means(results).items():
        if name == table and key == 'random' and metric == 'honest_miou':
            form, _, rest = method.partition(' ')
            lines[f'{form}, {part}'].append(
                (float(''.join(c for c in rest if c.isdigit())), value[0])
            )
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
    figure.savefig(buffer, format='png', bbox_inches='tight')
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
        scene = tests.scenes[index]
        columns.append(
            compared(
                f'{title} {value:.2f}',
                scene.frame.depth_m,
                segment_scene(segmenter, scene).labels,
                scene.labelled().labels,
            )
        )
    return cv2.imencode('.png', cv2.cvtColor(np.hstack(columns), cv2.COLOR_RGB2BGR))[1].tobytes()


def write_report(
    benchmark: Insta10, results: list[Result], machine: str, command: str
) -> list[dict[str, Any]]:
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
    (benchmark.folder / 'tables.json').write_text(json.dumps(found, indent=1) + '\n')
    (benchmark.folder / 'tables.md').write_text(text)
    (benchmark.folder / 'report.html').write_text(page(benchmark, results, text))
    return found
