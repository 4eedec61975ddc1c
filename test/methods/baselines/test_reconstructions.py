"""The learned baselines of the InSeGAN paper learn, and run by their checkpoints."""

from __future__ import annotations

import pytest
import torch

from insegan_ros.data.shards import ShardDataset
from insegan_ros.engine.loop import LoopConfig
from insegan_ros.methods.baselines.reconstructions import RECONSTRUCTIONS
from insegan_ros.methods.registry import METHODS, load_segmenter


def pictures() -> torch.Tensor:
    image = torch.full((4, 1, 64, 64), -1.0)
    for index in range(4):
        image[index, 0, 8 + 3 * index : 24 + 3 * index, 10:26] = 0.4
        image[index, 0, 36:52, 30 + 2 * index : 46 + 2 * index] = 0.4
    return image


@pytest.mark.parametrize('method', sorted(RECONSTRUCTIONS))
def test_the_learned_baselines_learn_to_explain_their_input(method):
    torch.manual_seed(0)
    network, config = RECONSTRUCTIONS[method]
    small = {
        'slot-attention': {'slots': 3, 'width': 8},
        'iodine': {'slots': 3, 'width': 8, 'latent': 4, 'rounds': 2},
        'point-template': {'instances': 2, 'template': 32, 'cloud': 64, 'width': 16},
    }[method]
    model = network(config(**small))
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        loss = sum(model.losses(pictures()).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    with torch.no_grad():
        owner = model.divide(pictures()[:1])
    assert owner.shape == (64, 64) and owner.max() < 3


@pytest.mark.parametrize('name', ['slot-attention', 'point-template'])
def test_a_learned_baseline_trains_and_runs_by_its_checkpoint(nut_data, tmp_path, name):
    method = METHODS[name]
    out = method.run(
        method.config_class(
            data=str(nut_data),
            out=str(tmp_path / 'run'),
            steps=2,
            batch=2,
            loop=LoopConfig(device='cpu'),
        )
    )
    scene = next(iter(ShardDataset(nut_data)))
    segmenter = load_segmenter(str(out))
    found = segmenter.segment(scene.frame, scene.workspace)
    assert found.labels.shape == scene.frame.depth_m.shape and 1 <= len(found) <= 6
    assert (found.labels == segmenter.segment(scene.frame, scene.workspace).labels).all()
