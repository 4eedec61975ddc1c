"""Attention and its peaks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_image_level import SMALL_BACKBONE, random_pictures

from insegan_ros.methods.image_level.class_maps import ClassMapNet, class_maps, find_peaks


def test_attention_is_of_the_classes_that_are_there_and_its_largest_is_one():
    network = ClassMapNet(SMALL_BACKBONE, 3, 4).eval()
    with torch.no_grad():
        network.classifier.weight.abs_()
    maps = class_maps(network, random_pictures(1)[0], torch.tensor([True, False, True, False]))
    assert (
        maps.shape == (2, 16, 16)
        and torch.allclose(maps.amax((1, 2)), torch.ones(2))
        and float(maps.min()) >= 0
    )
    odd = class_maps(
        network, random_pictures(1)[0, :, :50, :61], torch.tensor([True, False, False, False])
    )
    assert odd.shape == (1, 13, 16)
    # Mirrored, the picture has the mirrored map: views are averaged.
    mirrored = class_maps(
        network, random_pictures(1)[0].flip(-1), torch.tensor([True, False, True, False])
    )
    assert torch.allclose(mirrored.flip(-1), maps, atol=1e-4)


class Brightness:
    """A network that tells how bright the pixel is that each cell looks at."""

    def maps(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures[:, :1, ::16, ::16]


def test_attention_lies_where_the_classifier_looks():
    """In a picture that grows brighter downwards the map is as bright as the picture itself."""
    picture = torch.arange(128.0)[:, None].expand(3, 128, 128).to(torch.uint8)
    maps = class_maps(Brightness(), picture, torch.tensor([True]), (1.0, 2.0))[0]
    # Below the last row of cells there is nothing brighter.
    expected = 4 * torch.arange(28) + 1.5
    assert torch.allclose(maps[:28, 5] / maps[27, 5], expected / expected[27], atol=0.02)


@pytest.mark.parametrize('width', [125, 126, 127])
def test_mirror_images_are_laid_on_each_other_where_no_map_fits(width):
    picture = torch.arange(float(width)).expand(3, 64, width).to(torch.uint8)
    maps = class_maps(Brightness(), picture, torch.tensor([True]), (1.0,))[0]
    # Beyond the cells of either view there is nothing darker or brighter.
    expected = 4 * torch.arange(4, 28) + 1.5
    assert torch.allclose(maps[5, 4:28] / maps[5, 27], expected / expected[-1], atol=1e-3)


def test_average_pooling_is_the_papers_and_top_looks_at_the_strongest():
    network = ClassMapNet(SMALL_BACKBONE, 3, 2, 'average').eval()
    with torch.no_grad():
        places = network.classifier(
            network.backbone(
                (
                    random_pictures().float() / 255
                    - torch.tensor([0.485, 0.456, 0.406])[:, None, None]
                )
                / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
            )[-1]
        )
        assert (
            torch.allclose(network(random_pictures()), places.mean((2, 3)), atol=1e-5)
            and not network.bias.requires_grad
        )
        network.pooling = 'top'
        assert torch.allclose(
            network(random_pictures()), places.flatten(2).topk(1, 2).values.mean(2), atol=1e-5
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
    assert len(none) == 0 and len(find_peaks(maps, min_share=0.8)[0]) == 1
    flat = torch.zeros(1, 9, 9)
    flat[0, 3:6, 3:6] = 1
    assert len(find_peaks(flat)[0]) == 1, 'a flat top is one peak'
