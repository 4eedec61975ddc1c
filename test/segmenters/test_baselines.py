"""The baselines of InSeGAN's Table 1: they divide what they should, keep the floor free, and
learn."""

import numpy as np
import pytest
import torch
from conftest import box_scene

from insegan_ros.geometry.label_images import nearest_resize, spread
from insegan_ros.methods.baselines.point_template import PointTemplate, PointTemplateConfig
from insegan_ros.methods.baselines.reconstructions import RECONSTRUCTIONS
from insegan_ros.methods.baselines.slots import mix
from insegan_ros.methods.registry import UNTRAINED, load_segmenter
from insegan_ros.metrics.masks import honest_miou
from insegan_ros.workspace import Workspace

FLOOR = Workspace((0.0, 0.0, -1.0, 0.5))


@pytest.mark.parametrize('method', sorted(UNTRAINED))
def test_every_classical_method_tells_distant_boxes_apart(camera, method):
    frame = box_scene(camera, [(20, 20, 44, 44), (100, 70, 130, 96)])
    truth = np.zeros((120, 160), int)
    truth[20:44, 20:44], truth[70:96, 100:130] = 1, 2
    found = load_segmenter(method, workspace=FLOOR, instances=2).segment(frame)
    assert len(found) == 2 and honest_miou(truth, found.labels) > 0.8
    again = load_segmenter(method, workspace=FLOOR, instances=2).segment(frame)
    assert (found.labels == again.labels).all()


@pytest.mark.parametrize('method', sorted(UNTRAINED))
def test_an_empty_bin_has_no_instance(camera, method):
    assert len(load_segmenter(method, workspace=FLOOR).segment(box_scene(camera, []))) == 0


def test_spreading_gives_every_foreground_pixel_the_nearest_label():
    labels = np.zeros((4, 4), np.uint16)
    labels[0, 0], labels[3, 3] = 1, 2
    foreground = np.ones((8, 8), bool)
    foreground[0, :] = False
    out = spread(labels, foreground)
    assert (out[0] == 0).all() and out[1, 0] == 1 and out[7, 7] == 2 and (out[foreground] > 0).all()
    assert nearest_resize(labels, (8, 8))[7, 7] == 2


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


def test_slots_masks_share_every_pixel():
    image, masks = mix(torch.rand(2, 3, 8, 8), torch.randn(2, 3, 8, 8))
    assert image.shape == (2, 1, 8, 8) and torch.allclose(masks.sum(1), torch.ones(2, 8, 8))


def test_the_point_template_hides_what_lies_below():
    model = PointTemplate(PointTemplateConfig(instances=2, template=1))
    placed = torch.tensor(
        [[[[0.0, 0.0, 0.2]], [[0.01, 0.01, 0.6]]], [[[0.0, 0.0, 0.2]], [[0.7, 0.7, 0.6]]]]
    )
    assert model.visible(placed).tolist() == [[False, True], [True, True]]
    cloud = model.cloud(pictures()[:1])
    assert cloud.shape == (1, 512, 3) and (cloud[..., 2] > 0).all()


@pytest.mark.parametrize('name', ['slot-attention', 'point-template'])
def test_a_learned_baseline_trains_and_runs_by_its_checkpoint(nut_data, tmp_path, name):
    from dataclasses import replace

    from insegan_ros.data.shards import ShardDataset
    from insegan_ros.engine.loop import LoopConfig
    from insegan_ros.methods.recipes import RECIPES

    config, train = RECIPES[name]
    out = train(
        replace(
            config(),
            data=str(nut_data),
            out=str(tmp_path / 'run'),
            steps=2,
            batch=2,
            loop=LoopConfig(device='cpu'),
        )
    )
    scene = next(iter(ShardDataset(nut_data)))
    segmenter = load_segmenter(str(out), workspace=scene.workspace)
    found = segmenter.segment(scene.frame)
    assert found.labels.shape == scene.frame.depth_m.shape and 1 <= len(found) <= 6
    assert (found.labels == segmenter.segment(scene.frame).labels).all()
