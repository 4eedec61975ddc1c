"""What the tests of foreground recipes learn from, and trainings that have ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from drawn_pictures import SMALL_LAYERED, draw, independence, layered

from insegan_ros.methods.foreground.independence_recipe import train_independence
from insegan_ros.methods.foreground.layered import LayeredGenerator
from insegan_ros.methods.foreground.layered_recipe import train_layered_gan
from insegan_ros.nn.perturbation import PerturbationConfig


@pytest.fixture(scope='session')
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of 60 pictures with masks, a folder of 20 backgrounds."""
    root = tmp_path_factory.mktemp('pictures')
    for name, count, objects in (('things', 60, True), ('empty', 20, False)):
        images, masks = draw(count, 32, 7 + objects, objects)
        (root / name / 'masks').mkdir(parents=True)
        for number, (image, mask) in enumerate(zip(images, masks)):
            cv2.imwrite(str(root / name / f'{number:03d}.png'), image)
            if objects:
                cv2.imwrite(
                    str(root / name / 'masks' / f'{number:03d}.png'), mask.astype(np.uint8) * 255
                )
    return root / 'things', root / 'empty'


@pytest.fixture(scope='session')
def any_teacher() -> Iterator[None]:
    """Four steps teach nothing; a teacher's predictions are taken all the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('insegan_ros.methods.foreground.independence_recipe.SURE', (-1, 2))
        yield


@pytest.fixture(scope='session')
def layered_run(pictures: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a layered GAN's training of two rounds."""
    out = tmp_path_factory.mktemp('layered') / 'run'
    train_layered_gan(layered(pictures[0], out))
    return out


@pytest.fixture(scope='session')
def independence_run(
    pictures: tuple[Path, Path], any_teacher: None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a training by the independence prior, teacher and student."""
    out = tmp_path_factory.mktemp('independence') / 'run'
    train_independence(independence(*pictures, out))
    return out


@pytest.fixture
def generator() -> LayeredGenerator:
    """A small one, in evaluation mode."""
    torch.manual_seed(0)
    return LayeredGenerator(SMALL_LAYERED, PerturbationConfig()).eval()
