"""What methods.md asks of the networks that learn from image-level labels: attention, peaks,
IRNet's branches, bags."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from insegan_ros.errors import ConfigError
from insegan_ros.methods.image_level.affinity_net import AffinityNet
from insegan_ros.methods.image_level.backbone import Backbone, BackboneConfig, imagenet_state
from insegan_ros.methods.image_level.class_maps import ClassMapNet, class_maps, find_peaks
from insegan_ros.methods.image_level.irnet import IRNet, IRNetConfig
from insegan_ros.methods.image_level.mask_rcnn import MaskRcnnConfig, body_of, make_mask_rcnn
from insegan_ros.methods.image_level.multiple_instance import (
    MultipleInstanceNet,
    bag_loss,
    bag_scores,
)
from insegan_ros.methods.image_level.semantic import SemanticNet, class_shares

SMALL = BackboneConfig()


def pictures(count: int = 2, channels: int = 3, size: int = 64) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8)


@pytest.mark.parametrize('name', ['small', 'resnet18', 'resnet50'])
def test_backbones_have_five_levels_and_the_last_stride_is_one(name: str):
    backbone = Backbone(BackboneConfig(name), 3).eval()
    levels = backbone(torch.zeros(1, 3, 64, 96))
    assert [tuple(level.shape[1:]) for level in levels] == [
        (width, 64 // stride, 96 // stride)
        for width, stride in zip(backbone.widths, (4, 4, 8, 16, 16))
    ]
    assert Backbone(BackboneConfig(name), 4, last_stride=2).eval()(torch.zeros(1, 4, 64, 64))[
        -1
    ].shape[2:] == (2, 2)


def test_imagenet_weights_that_cannot_be_had_are_said_and_done_without(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert imagenet_state(SMALL, 3) is None and not capsys.readouterr().out
    state = {
        'conv1.weight': torch.ones(64, 3, 7, 7),
        'layer1.0.bn1.num_batches_tracked': torch.zeros(()),
        'fc.weight': torch.zeros(2),
    }
    config = BackboneConfig('resnet18', 'IMAGENET1K_V1')
    monkeypatch.setattr(
        'torchvision.models._api.WeightsEnum.get_state_dict', lambda *_, **__: dict(state)
    )
    taken = imagenet_state(config, 4)
    assert list(taken) == ['stem.0.weight'] and taken['stem.0.weight'].shape == (64, 4, 7, 7)

    def offline(*_: object, **__: object) -> None:
        raise OSError('no network')

    monkeypatch.setattr('torchvision.models._api.WeightsEnum.get_state_dict', offline)
    assert imagenet_state(config, 3) is None and 'training from scratch' in capsys.readouterr().out
    with pytest.raises(ConfigError, match='backbone.weights is "NONE"'):
        BackboneConfig('resnet18', 'NONE')


def test_attention_is_of_the_classes_that_are_there_and_its_largest_is_one():
    network = ClassMapNet(SMALL, 3, 4).eval()
    with torch.no_grad():
        network.classifier.weight.abs_()
    maps = class_maps(network, pictures(1)[0], torch.tensor([True, False, True, False]))
    assert (
        maps.shape == (2, 16, 16)
        and torch.allclose(maps.amax((1, 2)), torch.ones(2))
        and float(maps.min()) >= 0
    )
    odd = class_maps(
        network, pictures(1)[0, :, :50, :61], torch.tensor([True, False, False, False])
    )
    assert odd.shape == (1, 13, 16)
    # Mirrored, the picture has the mirrored map: views are averaged.
    mirrored = class_maps(
        network, pictures(1)[0].flip(-1), torch.tensor([True, False, True, False])
    )
    assert torch.allclose(mirrored.flip(-1), maps, atol=1e-4)


def test_average_pooling_is_the_papers_and_top_looks_at_the_strongest():
    network = ClassMapNet(SMALL, 3, 2, 'average').eval()
    with torch.no_grad():
        places = network.classifier(
            network.backbone(
                (pictures().float() / 255 - torch.tensor([0.485, 0.456, 0.406])[:, None, None])
                / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
            )[-1]
        )
        assert (
            torch.allclose(network(pictures()), places.mean((2, 3)), atol=1e-5)
            and not network.bias.requires_grad
        )
        network.pooling = 'top'
        assert torch.allclose(
            network(pictures()), places.flatten(2).topk(1, 2).values.mean(2), atol=1e-5
        )


def test_peaks_lie_between_pixels():
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing='ij')

    def bump(row: float, column: float, high: float) -> torch.Tensor:
        return high * torch.exp(-((y + 0.5 - row) ** 2 + (x + 0.5 - column) ** 2) / 18)

    maps = torch.stack([bump(6.3, 8.7, 1.0) + bump(14.2, 22.4, 0.6), torch.zeros(20, 30)])
    first, none = find_peaks(maps)
    assert first[:, :2].numpy() == pytest.approx(
        np.array([[8.7, 6.3], [22.4, 14.2]]), abs=0.1
    ) and first[:, 2].tolist() == pytest.approx([1.0, 0.6], abs=0.03)
    assert len(none) == 0 and len(find_peaks(maps, least=0.8)[0]) == 1
    flat = torch.zeros(1, 9, 9)
    flat[0, 3:6, 3:6] = 1
    assert len(find_peaks(flat)[0]) == 1, 'a flat top is one peak'


@pytest.mark.parametrize(
    'make', [lambda: IRNet(IRNetConfig(64), SMALL, 3), lambda: AffinityNet(SMALL, 3, 64)]
)
def test_the_classifier_stays_as_it_is(make):
    network = make()
    assert (
        network.training
        and network.train().training
        and not any(module.training for module in network.backbone.modules())
    )
    before = {name: value.clone() for name, value in network.backbone.state_dict().items()}
    out = network(pictures())
    sum(one.mean() for one in (out if isinstance(out, tuple) else [out])).backward()
    assert all(parameter.grad is None for parameter in network.backbone.parameters())
    assert all(
        parameter.grad is not None and parameter.grad.abs().sum() > 0
        for name, parameter in network.named_parameters()
        if not name.startswith('backbone')
    )
    assert all(
        torch.equal(value, before[name]) for name, value in network.backbone.state_dict().items()
    )


def test_irnet_sees_all_levels_and_its_mean_is_taken_off():
    network = IRNet(IRNetConfig(64), SMALL, 3).eval()
    with torch.no_grad():
        boundary, displacement = network(pictures())
    assert (
        boundary.shape == (2, 16, 16)
        and displacement.shape == (2, 2, 16, 16)
        and 0 <= float(boundary.min())
        and float(boundary.max()) <= 1
    )
    network.mean.copy_(displacement.mean((0, 2, 3)))
    assert network(pictures())[1].mean((0, 2, 3)).abs().max() < 1e-4
    assert len(network.boundary) == len(network.displacement) == 5
    single = network.predict(pictures(1)[0])
    assert torch.allclose(
        network.predict(pictures(1)[0].flip(-1))[0].flip(-1), single[0], atol=1e-5
    )


def test_a_bag_is_scored_over_classes_and_over_proposals():
    torch.manual_seed(1)
    classes, detections = torch.randn(6, 4), torch.randn(6, 4)
    scores = bag_scores(classes, detections)
    assert scores.shape == (4, 6) and torch.allclose(
        (scores / detections.softmax(0).T).sum(0), torch.ones(6), atol=1e-5
    )
    assert torch.allclose((scores / classes.softmax(1).T).sum(1), torch.ones(4), atol=1e-5)
    assert float(scores.sum()) <= 1 + 1e-6 and (scores.sum(1) <= 1).all()
    sure = torch.zeros(4, 6)
    sure[2, 3] = 1
    assert float(bag_loss(sure, 2)) < 1e-4 < float(bag_loss(sure, 1))


def test_the_proposal_that_shows_the_object_wins():
    """One bright square a picture, two classes by colour: after a few steps the bag's best box is
    the one on the square."""
    torch.manual_seed(0)
    network = MultipleInstanceNet(SMALL, 3, 2, 32).train()
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    boxes = torch.tensor([[0.0, 0, 32, 32], [32, 0, 64, 32], [0, 32, 32, 64], [32, 32, 64, 64]])

    def draw(count: int) -> tuple[torch.Tensor, list[int], list[int]]:
        batch, places, kinds = (
            torch.full((count, 3, 64, 64), 90, dtype=torch.uint8),
            torch.randint(4, (count,)).tolist(),
            torch.randint(2, (count,)).tolist(),
        )
        for picture, place, kind in zip(batch, places, kinds):
            left, top = (boxes[place, :2] + 4).long().tolist()
            picture[2 * kind, top : top + 24, left : left + 24] = 250
        return batch, places, kinds

    for _ in range(60):
        batch, _, kinds = draw(8)
        loss = torch.stack(
            [bag_loss(one, kind) for one, kind in zip(network(batch, [[boxes]] * 8), kinds)]
        ).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    batch, places, kinds = draw(24)
    with torch.no_grad():
        chosen = [
            int(one[kind].argmax()) for one, kind in zip(network(batch, [[boxes]] * 24), kinds)
        ]
    assert np.mean(np.array(chosen) == np.array(places)) > 0.7


@pytest.mark.parametrize('head', ['aspp', 'pyramid'])
def test_semantic_heads_answer_at_a_quarter_and_their_shares_sum_to_one(head):
    network = SemanticNet(head, SMALL, 3, 5).eval()
    assert network(pictures()).shape == (2, 6, 16, 16)
    shares = class_shares(network, pictures(1)[0])
    assert shares.shape == (6, 64, 64) and torch.allclose(
        shares.sum(0), torch.ones(64, 64), atol=1e-4
    )


def test_mask_rcnn_takes_over_a_classifiers_backbone():
    classifier, network = (
        ClassMapNet(SMALL, 4, 3),
        make_mask_rcnn(MaskRcnnConfig(32, 32, 16, 1, 16, 8), SMALL, 4, 3, 64).eval(),
    )
    body_of(network).load_state_dict(classifier.backbone.state_dict())
    found = network([pictures(1, 4)[0].float() / 255])[0]
    assert found['masks'].shape[1:] == (1, 64, 64) and set(found) == {
        'boxes',
        'labels',
        'scores',
        'masks',
    }
    assert torch.equal(
        body_of(network).layer4[0].conv1.weight, classifier.backbone.layer4[0].conv1.weight
    )
