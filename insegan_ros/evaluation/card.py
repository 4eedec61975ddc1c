"""From a finished training to a checkpoint that can be shipped: measured, drawn, described."""
from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from insegan_ros.errors import ConfigError
from insegan_ros.evaluation.benchmark import SEED, evaluate_simulated, machine
from insegan_ros.evaluation.report import worst_to_best, write_picture
from insegan_ros.networks.insegan import Generator, GeneratorConfig
from insegan_ros.segmenters.checkpoint import WEIGHTS, Checkpoint
from insegan_ros.segmenters.registry import load_segmenter
from insegan_ros.training.pictures import tile
from insegan_sim.scenes import bin_setup, scene_stream


def make_card(model: Path, out: Path, limit: int = 100) -> dict[str, Any]:
    """Measure a checkpoint on unseen bins and write weights, card.json, README.md, singles.png and scenes.png into `out`.

    Raises ConfigError where `out` holds something already.
    """
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f'{out} is not empty: expected a new folder for the card')
    checkpoint = Checkpoint.load(model)
    segmenter = load_segmenter(str(model))
    result = evaluate_simulated(segmenter, checkpoint.part, limit)
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model / WEIGHTS, out / WEIGHTS)
    worst_to_best(segmenter, scene_stream(bin_setup(checkpoint.part, seed=SEED)), result, out / 'scenes.png')
    if 'generator' in checkpoint.weights:
        draw_singles(checkpoint, out / 'singles.png')
    training = checkpoint.training
    labels = 'true labels were read' if checkpoint.method == 'supervised' else 'no label was read'
    card = {'method': checkpoint.method, 'part': checkpoint.part, 'segmenter': checkpoint.segmenter,
            'data': f'{training["data"]} of five simulated parts, fingerprint {training["fingerprint"]}; {labels}',
            **{key: training[key] for key in ('taught_by', 'seed', 'steps', 'hardware', 'minutes') if key in training},
            'metrics': result.summary(), 'measured_on': machine(),
            'command': f'insegan card --model checkpoints/{checkpoint.method}-{checkpoint.part} --out NEW_FOLDER'}
    (out / 'card.json').write_text(json.dumps(card, indent=2) + '\n')
    (out / 'README.md').write_text(card_text(card))
    return card


def draw_singles(checkpoint: Checkpoint, path: Path, count: int = 32, seed: int = 0) -> None:
    """Single renders of the generator: they tell sooner than any score whether it has learnt the part."""
    generator = checkpoint.restore('generator', Generator(GeneratorConfig(**checkpoint.config['insegan']['generator'])))
    if generator.config.composition != 'z_order':
        return
    z = torch.randn(count // 4, 4, generator.config.latent, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        picture = tile(generator(z).singles.flatten(0, 1), 8)[0].numpy()
    grey = (cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST) * 255).astype(np.uint8)
    write_picture(path, cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB))


def card_text(card: dict[str, Any]) -> str:
    """The card for people."""
    metrics = card['metrics']

    def cell(name: str) -> str:
        return f'{metrics[name]:.3f}' if name in metrics else '-'
    lines = [f'# {card["method"]}-{card["part"]}', '',
             f'Segments simulated {card["part"]}s in a bin from depth. Runs as `{card["segmenter"]}`, learnt from {card["data"]}.', '',
             *([f'The dense network was taught by {card["taught_by"]}.', ''] if 'taught_by' in card else []),
             f'Seed {card["seed"]}; steps {", ".join(f"{name} {count}" for name, count in card["steps"].items())}; '
             f'{card["minutes"]} minutes on {card["hardware"]}.', '',
             f'| | {metrics["scenes"]} random scenes | K-means | {metrics["scenes_hard"]} scenes where K-means fails | K-means |', '|---|---|---|---|---|']
    for name, title in (('honest_miou', 'honest mIoU (one to one)'), ('paper_miou', "paper's mIoU (flatters)"), ('count_error', 'count error')):
        lines.append(f'| {title} | {cell(name)} | {cell("kmeans_" + name)} | {cell(name + "_hard")} | {cell("kmeans_" + name + "_hard")} |')
    lines += ['', f'Recompute: `{card["command"]}`. K-means is told the number of parts, the network is not.', '',
              *(['What the generator renders, one instance each:', '', '![singles](singles.png)', ''] if card['steps'].get('gan') else []),
              'Worst, median and best of the random scenes: depth, masks, truth:', '', '![scenes](scenes.png)', '']
    return '\n'.join(lines)
