"""The foreground recipes on small pictures: they end in segmenters, go on after a kill, and never
open a mask."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from lightning.fabric import Fabric
from safetensors.torch import load_file

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.engine.loop import LoopConfig, run_stage, seed_step
from insegan_ros.errors import CheckpointError, ConfigError, DatasetError
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.methods.foreground.independence_recipe import (
    IndependenceGanConfig,
    IndependenceStage,
    TrainIndependenceConfig,
    teacher_answers,
    train_independence,
)
from insegan_ros.methods.foreground.labelled_pictures import LabelledPictures
from insegan_ros.methods.foreground.layered import LayeredConfig
from insegan_ros.methods.foreground.layered_recipe import (
    LayeredGanConfig,
    TrainLayeredGanConfig,
    train_layered_gan,
)
from insegan_ros.methods.foreground.network import ForegroundConfig, ForegroundNet, inner_square
from insegan_ros.methods.foreground.stage import (
    ForegroundStage,
    ForegroundTrainConfig,
    TrainForegroundConfig,
    train_supervised_foreground,
)
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.nn.adversarial import area_penalty
from insegan_ros.nn.augmentation import in_range, random_colours, random_views
from insegan_ros.nn.unet import fold_norms

UNET = ForegroundTrainConfig(ForegroundConfig(8, 3), steps=4, batch=4, validate_every=4)
LOOP = LoopConfig(device='cpu', save_every=2)


def draw(count: int, size: int, seed: int, objects: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Grey pictures (N, S, S, 3), each with a checked disk of the same mean grey on it; their
    masks."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    images = np.clip(
        128 + rng.normal(0, 6, (count, size, size, 3)) + rng.uniform(-25, 25, (count, 1, 1, 1)),
        0,
        255,
    )
    masks = np.zeros((count, size, size), bool)
    for image, mask in zip(images, masks):
        middle, radius = rng.uniform(0.3 * size, 0.7 * size, 2), rng.uniform(0.16, 0.24) * size
        mask |= (x - middle[0]) ** 2 + (y - middle[1]) ** 2 < radius**2
        if objects:
            image[mask] = (image.mean() + np.where((x // 3 + y // 3) % 2, 55, -55)[mask])[:, None]
    return images.astype(np.uint8), masks


@pytest.fixture(scope='module')
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


def layered(data: Path, out: Path) -> TrainLayeredGanConfig:
    """A recipe of seconds."""
    return TrainLayeredGanConfig(
        data=str(data),
        out=str(out),
        rounds=2,
        generator=LayeredConfig(size=32, z=8, codes=12, group=3, width=8),
        gan=LayeredGanConfig(steps=4, batch=4, discriminator_width=8, snapshots=4),
        unet=UNET,
        loop=LOOP,
    )


def independence(data: Path, empty: Path, out: Path) -> TrainIndependenceConfig:
    """A recipe of seconds."""
    return TrainIndependenceConfig(
        data=str(data),
        backgrounds=str(empty),
        out=str(out),
        size=32,
        provider=UNET.network,
        gan=IndependenceGanConfig(steps=4, batch=4, discriminator_width=8),
        student=UNET,
        loop=LOOP,
    )


@pytest.fixture
def any_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four steps teach nothing; its answers are taken all the same."""
    monkeypatch.setattr('insegan_ros.methods.foreground.independence_recipe.SURE', (-1, 2))


def frame(seed: int = 1) -> Frame:
    """A colour picture of 64x48 without depth."""
    image = cv2.resize(draw(1, 32, seed)[0][0], (64, 48))
    return Frame(
        np.full((48, 64), np.nan, np.float32), Intrinsics(60, 60, 31.5, 23.5, 64, 48), image
    )


def test_algorithm_1_ends_in_a_segmenter_with_both_networks(pictures, tmp_path):
    folder = train_layered_gan(layered(pictures[0], tmp_path / 'run'))
    checkpoint = Checkpoint.load(folder)
    assert (checkpoint.method, checkpoint.segmenter) == ('layered-gan', 'foreground')
    assert (
        set(checkpoint.weights) == {'unet', 'generator', 'reader'}
        and checkpoint.training['synthetic_seed'] == 0
    )
    assert list(checkpoint.training['steps']) == ['gan-1', 'unet-1', 'gan-2', 'unet-2']
    found = load_segmenter(str(folder)).segment(frame())
    assert found.labels.shape == (48, 64) and found.labels.max() == len(found)
    # Five rows of eight: real, composite, background, foreground, mask.
    assert all(
        cv2.imread(str(tmp_path / 'run' / f'round-{round_}.png')).shape
        == (2 * 5 * 33, 2 * 8 * 33, 3)
        for round_ in (1, 2)
    )


def test_the_second_round_goes_on_from_the_first(pictures, tmp_path):
    train_layered_gan(layered(pictures[0], tmp_path / 'run'))
    first, second = (
        load_file(tmp_path / 'run' / f'gan-{round_}.state.safetensors') for round_ in (1, 2)
    )
    # Four steps of 2e-4 do not carry weights far; new ones would be far off.
    name = next(
        name
        for name in first
        if name.endswith('colour_in.weight')
        and 'average' not in name
        and 'best' not in name
        and 'optimiser' not in name
    )
    assert float((first[name] - second[name]).abs().max()) < 0.01 and not torch.equal(
        first[name], second[name]
    )


def test_a_run_takes_over_what_a_shorter_one_has_finished(pictures, tmp_path):
    whole = layered(pictures[0], tmp_path / 'whole')
    train_layered_gan(replace(whole, rounds=1, out=str(tmp_path / 'short')))
    longer = Checkpoint.load(
        train_layered_gan(
            replace(whole, out=str(tmp_path / 'longer'), begin=str(tmp_path / 'short'))
        )
    )
    alone = Checkpoint.load(train_layered_gan(whole))
    assert longer.training['steps'] == alone.training['steps']
    with pytest.raises(ConfigError, match='holds no stage of this training'):
        train_layered_gan(replace(whole, out=str(tmp_path / 'wrong'), begin=str(pictures[0])))
    assert all(
        torch.equal(value, longer.weights['unet'][name])
        for name, value in alone.weights['unet'].items()
    )


@pytest.mark.parametrize('method', ['layered', 'independence'])
def test_masks_are_never_opened_and_a_kill_changes_nothing(
    method, pictures, tmp_path, monkeypatch, any_teacher
):
    """The same weights with the masks there, with them gone, and after a stop in the middle."""

    def train(data: Path, out: Path) -> Checkpoint:
        return Checkpoint.load(
            train_layered_gan(layered(data, out))
            if method == 'layered'
            else train_independence(independence(data, pictures[1], out))
        )

    whole = train(pictures[0], tmp_path / 'whole')
    bare = tmp_path / 'things'
    bare.mkdir()
    for path in pictures[0].glob('*.png'):
        (bare / path.name).write_bytes(path.read_bytes())
    without = train(bare, tmp_path / 'without')
    steps = 0

    def stopping(*arguments, **options):
        nonlocal steps
        steps += 1
        if steps == 2:
            raise KeyboardInterrupt
        return run_stage(*arguments, **options)

    monkeypatch.setattr(f'insegan_ros.methods.foreground.{method}_recipe.run_stage', stopping)
    with pytest.raises(KeyboardInterrupt):
        train(pictures[0], tmp_path / 'resumed')
    monkeypatch.setattr(f'insegan_ros.methods.foreground.{method}_recipe.run_stage', run_stage)
    resumed = train(pictures[0], tmp_path / 'resumed')
    for other in (without, resumed):
        for network, weights in whole.weights.items():
            assert all(
                torch.equal(value, other.weights[network][name]) for name, value in weights.items()
            )


def test_distillation_is_a_switch(pictures, tmp_path, any_teacher):
    distilled = Checkpoint.load(train_independence(independence(*pictures, tmp_path / 'a')))
    raw = Checkpoint.load(
        train_independence(replace(independence(*pictures, tmp_path / 'b'), distillation=False))
    )
    assert set(distilled.weights) == {'unet', 'teacher'} and set(raw.weights) == {'unet'}
    assert all(
        torch.equal(value, raw.weights['unet'][name])
        for name, value in distilled.weights['teacher'].items()
    )
    assert load_segmenter(str(tmp_path / 'b' / 'checkpoint')).segment(frame()).labels.shape == (
        48,
        64,
    )


def test_the_area_penalty_is_of_every_instance():
    """Toy: the batch's mean. Two masks at a ± δ must cost δ²."""
    masks = torch.zeros(2, 1, 10, 10)
    masks[0, 0, :4], masks[1, 0, :2] = 1, 1
    assert float(area_penalty(masks, 0.3)) == pytest.approx(0.01)


def test_the_background_is_another_picture():
    images, empty = (
        torch.full((40, 3, 32, 32), 200, dtype=torch.uint8),
        torch.full((10, 3, 32, 32), 40, dtype=torch.uint8),
    )
    fabric = Fabric(accelerator='cpu', devices=1)
    for background, below in (('independent', 40), ('dependent', 200)):
        stage = IndependenceStage(
            fabric,
            IndependenceGanConfig(batch=4, background=background),
            ForegroundConfig(8, 3),
            images,
            empty,
        )
        torch.nn.init.constant_(stage.provider.module.head.bias, -30.0)
        torch.nn.init.zeros_(stage.provider.module.head.weight)
        assert torch.allclose(
            stage.composites()[2],
            in_range(torch.tensor(float(below))).expand(4, 3, 32, 32),
            atol=1e-5,
        )


def test_nothing_outside_of_the_box_is_foreground():
    images, empty = (
        torch.full((40, 3, 32, 32), 200, dtype=torch.uint8),
        torch.full((10, 3, 32, 32), 40, dtype=torch.uint8),
    )
    box = inner_square(32, 1.6)
    assert (
        float(box.mean()) == pytest.approx(1 / 1.6**2, abs=0.02)
        and box[0, 0, 0, 16] == 0
        and box[0, 0, 16, 16] == 1
    )
    stage = IndependenceStage(
        Fabric(accelerator='cpu', devices=1),
        IndependenceGanConfig(batch=8),
        ForegroundConfig(8, 3),
        images,
        empty,
        box,
    )
    torch.nn.init.constant_(stage.provider.module.head.bias, 30.0)
    torch.nn.init.zeros_(stage.provider.module.head.weight)
    _, masks, composites = stage.composites()
    assert (masks[:, :, 0] == 0).all() and (masks[:, :, 16, 16] > 0.99).all()
    assert torch.allclose(
        composites[:, :, 0, 0], in_range(torch.tensor(40.0)), atol=1e-4
    ) and torch.allclose(composites[:, :, 16, 16], in_range(torch.tensor(200.0)), atol=1e-4)


def test_the_teacher_is_averaged_over_views():
    """A network that answers by place gets an answer that no mirror image changes."""

    class ByPlace(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.linspace(-4, 4, images.shape[3]).expand(len(images), 1, *images.shape[2:])

    answers = teacher_answers(ByPlace(), torch.zeros(3, 3, 32, 32, dtype=torch.uint8))
    assert (
        answers.shape == (3, 32, 32)
        and torch.allclose(answers, answers.flip(2), atol=1e-6)
        and float(answers.std()) < 0.02
    )


@pytest.mark.slow
def test_the_mask_is_learnt_not_thresholded(pictures):
    """Toy: a colour threshold. Object and background have equal mean colours here, and no mask is
    given."""
    images, masks = draw(400, 32, 3)
    backgrounds, _ = draw(200, 32, 4, objects=False)
    torch.manual_seed(0)
    stage = IndependenceStage(
        Fabric(accelerator='cpu', devices=1),
        IndependenceGanConfig(
            batch=16, discriminator_width=16, area=2.0, smallest=0.05, rate_g=4e-4, rate_d=2e-4
        ),
        ForegroundConfig(8, 3),
        *(
            torch.from_numpy(np.ascontiguousarray(some.transpose(0, 3, 1, 2)))
            for some in (images, backgrounds)
        ),
    )
    for index in range(350):
        seed_step(0, 'gan', index)
        stage.step(index)
    found = (
        teacher_answers(
            stage.provider.module.eval(),
            torch.from_numpy(images[:100].transpose(0, 3, 1, 2).copy()),
        ).numpy()
        > 0.5
    )
    iou = np.mean([(a & b).sum() / (a | b).sum() for a, b in zip(found, masks)])
    thresholded = []
    for image, mask in zip(images[:100], masks):
        bright = cv2.threshold(image[..., 0], 0, 255, cv2.THRESH_OTSU)[1] > 0
        thresholded.append(
            max((side & mask).sum() / (side | mask).sum() for side in (bright, ~bright))
        )
    # The better side of a threshold, told by the truth.
    assert iou > 0.6 and iou > np.mean(thresholded) + 0.1


def test_taught_by_truth_it_finds_the_object(pictures, tmp_path):
    unet = ForegroundTrainConfig(
        ForegroundConfig(8, 3), steps=120, batch=16, validate_every=60, rate=3e-3
    )
    folder = train_supervised_foreground(
        TrainForegroundConfig(
            data=str(pictures[0]),
            out=str(tmp_path / 'run'),
            size=32,
            unet=unet,
            loop=LoopConfig(device='cpu'),
        )
    )
    segmenter, ious = load_segmenter(str(folder)), []
    for image, mask in zip(*draw(20, 32, 99)):
        ious.append(
            ((segmenter.foreground(image) > 0.5) & mask).sum()
            / ((segmenter.foreground(image) > 0.5) | mask).sum()
        )
    assert np.mean(ious) > 0.8


def test_the_best_weights_on_synthetic_pictures_are_kept():
    images, masks = draw(64, 32, 5)
    factory = LabelledPictures(
        torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), torch.from_numpy(masks)
    )
    stage = ForegroundStage(
        Fabric(accelerator='cpu', devices=1), replace(UNET, validate_every=1), factory, 'unet'
    )
    stage.step(0)
    kept, quality = (
        {name: value.clone() for name, value in stage.best.state_dict().items()},
        float(stage.quality.value),
    )
    stage.quality.value.fill_(2.0)
    stage.step(1)
    assert (
        all(torch.equal(value, kept[name]) for name, value in stage.best.state_dict().items())
        and 0 <= quality <= 1
    )


def test_views_and_colours_keep_masks_in_place_and_range():
    torch.manual_seed(0)
    images, masks = draw(32, 32, 6)
    batch = LabelledPictures(
        torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), torch.from_numpy(masks)
    ).sample(32)
    contrast = [
        (float(image[:, label > 0].std()), float(image[:, label == 0].std()))
        for image, label in zip(batch.images, batch.labels)
    ]
    assert np.mean([inside > 2 * outside for inside, outside in contrast]) > 0.9
    pictures = in_range(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    changed = random_colours(pictures)
    assert (
        changed.min() >= -1
        and changed.max() <= 1
        and not torch.allclose(changed, pictures, atol=0.05)
    )
    assert random_views(pictures).shape == pictures.shape


def test_too_little_to_learn_from_is_refused(pictures, tmp_path):
    few = tmp_path / 'few'
    few.mkdir()
    for path in sorted(pictures[0].glob('*.png'))[:3]:
        (few / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DatasetError, match='holds 3 pictures: expected 50 or more'):
        train_layered_gan(layered(few, tmp_path / 'a'))
    with pytest.raises(DatasetError, match='holds 3 backgrounds: expected 10 or more'):
        train_independence(independence(pictures[0], few, tmp_path / 'b'))
    assert not (tmp_path / 'a').exists() and not (tmp_path / 'b').exists()
    with pytest.raises(DatasetError, match='finds a foreground in 0 of 60 pictures'):
        train_independence(independence(*pictures, tmp_path / 'c'))
    with pytest.raises(ConfigError, match='trained on one device'):
        TrainLayeredGanConfig(loop=LoopConfig(devices=2))


def test_a_run_of_the_other_method_is_not_gone_on_with(pictures, tmp_path):
    train_layered_gan(layered(pictures[0], tmp_path / 'run'))
    with pytest.raises(ConfigError, match='another configuration'):
        train_independence(independence(*pictures, tmp_path / 'run'))
    with pytest.raises(CheckpointError, match='cannot be run as displacement: expected foreground'):
        load_segmenter(str(tmp_path / 'run' / 'checkpoint'), 'displacement')


def test_a_depth_checkpoint_is_no_foreground_segmenter():
    with pytest.raises(
        CheckpointError, match='insegan-nut cannot be run as foreground: expected displacement'
    ):
        load_segmenter('insegan-nut', 'foreground')


def test_inference_pads_nothing_and_takes_any_size():
    network = ForegroundNet(ForegroundConfig(8, 4)).eval()
    with torch.no_grad():
        assert (
            network(torch.zeros(1, 3, 128, 128)).shape == (1, 1, 128, 128) and network.stride == 8
        )


def test_folded_norms_answer_alike():
    torch.manual_seed(0)
    network = ForegroundNet(ForegroundConfig(8, 3))
    pictures = torch.rand(4, 3, 32, 32) * 2 - 1
    for _ in range(3):
        network(pictures)
    before = network.eval()(pictures).detach()
    assert torch.allclose(fold_norms(network)(pictures), before, atol=1e-5) and not any(
        isinstance(module, torch.nn.BatchNorm2d) for module in network.modules()
    )
