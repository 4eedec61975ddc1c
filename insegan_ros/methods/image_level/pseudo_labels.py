"""What IRNet and CCGR make of every training picture, as files in the run's folder: attention maps,
relations (pseudo-labels of classes where they are confident), pseudo-masks, semantic
pseudo-labels."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from insegan_ros.data.folders import read_png
from insegan_ros.data.image_sets import ImageSet
from insegan_ros.data.mask_sets import IGNORED, Mask, MaskSet, sizes_of
from insegan_ros.errors import MALFORMED, DatasetError
from insegan_ros.methods.image_level.affinity_net import (
    AffinityNet,
    AffinityNetConfig,
    AffinityNetStage,
    label_by_walk,
)
from insegan_ros.methods.image_level.backbone import padded
from insegan_ros.methods.image_level.class_maps import class_maps, load_backbone, load_class_maps
from insegan_ros.methods.image_level.confident_areas import ConfidentAreasConfig, confident_areas
from insegan_ros.methods.image_level.dense_crf import DenseCrfConfig, edges_of
from insegan_ros.methods.image_level.irnet import IRNet, IRNetStage, IRNetTrainConfig, RelationStage
from insegan_ros.methods.image_level.label_synthesis import (
    SynthesisConfig,
    instance_map,
    label_by_attention,
    synthesise,
)
from insegan_ros.methods.image_level.relations import feature_affinities, transitions
from insegan_ros.methods.image_level.run import ImageRun, damaged, read_arrays

AnyRelationStage = TypeVar('AnyRelationStage', bound=RelationStage)


def make_class_maps(run: ImageRun) -> None:
    """The attention maps of every picture, of the classes that are in it: `cams/NAME.npz`, maps (k,
    h, w) uint8, 255 for 1, and kinds (k,), the class ids."""
    network = load_class_maps(run.out, run.device)

    def make(index: int) -> bytes:
        present = run.images.present[index]
        maps = class_maps(network, run.picture(index), torch.from_numpy(present).to(run.device))
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            maps=(maps.cpu().numpy() * 255).round().astype(np.uint8),
            kinds=np.flatnonzero(present),
        )
        return buffer.getvalue()

    run.for_every_picture('cams', 'npz', make)


def read_class_maps(run: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The attention maps (k, h, w) float32 in [0, 1] of a picture, and their class ids (k,). Raises
    DatasetError."""
    maps, kinds = read_arrays(run / 'cams' / f'{name}.npz', 'maps', 'kinds')
    return maps.astype(np.float32) / 255, kinds


def mine_relations(run: ImageRun, config: ConfidentAreasConfig, crf: DenseCrfConfig) -> None:
    """Attention maps, then the pseudo-labels of the classes where these are confident:
    `relations/NAME.png`."""
    make_class_maps(run)

    def make(index: int) -> bytes:
        maps, class_ids = read_class_maps(run.out, run.images.names[index])
        label = confident_areas(maps, class_ids, run.images.picture(index), config, crf)
        return cv2.imencode('.png', label)[1].tobytes()

    run.for_every_picture('relations', 'png', make)


def train_irnet_network(run: ImageRun, settings: IRNetTrainConfig) -> IRNet:
    """IRNet, taught by the run's relations, in evaluation mode. Raises DatasetError where there are
    none."""
    return _train_relations(run, settings, IRNetStage).network.module.eval()


def train_affinity_net(run: ImageRun, settings: AffinityNetConfig) -> AffinityNet:
    """The same for AffinityNet."""
    return _train_relations(run, settings, AffinityNetStage).network.module.eval()


def _train_relations(
    run: ImageRun,
    settings: IRNetTrainConfig | AffinityNetConfig,
    stage_class: type[AnyRelationStage],
) -> AnyRelationStage:
    backbone, frozen_norm = load_backbone(run.out)
    run.seed('weights', 1)
    labels = read_labels(run.out, run.images, run.config.size // 4, 'relations')
    stage = stage_class(run, settings, labels, backbone, frozen_norm)
    if not len(stage.usable):
        raise DatasetError(
            'no attention map is confident anywhere: expected some foreground; lower'
            ' relations.foreground, or train the classifier longer'
        )
    return run.stage(stage)


def make_masks(
    run: ImageRun, config: SynthesisConfig, crf: DenseCrfConfig, network: IRNet
) -> MaskSet:
    """The pseudo-masks of every picture: `labels/NAME.json`, and all of them as `labels.json`."""

    def make(index: int) -> bytes | None:
        maps, class_ids, boundary, displacement = predict(run, network, index)
        picture = run.images.picture(index)
        instances = instance_map(displacement, config) if config.displacements else None
        masks, _ = synthesise(
            maps,
            class_ids,
            boundary,
            instances,
            picture.shape[:2],
            config,
            edges=edges_of(picture, crf),
        )
        return pack_masks(masks) if masks else None

    return collect_masks(run, 'labels', make)


def pack_masks(masks: tuple[Mask, ...]) -> bytes:
    """Masks as JSON."""
    return json.dumps([asdict(one) for one in masks]).encode()


def unpack_masks(path: Path) -> tuple[Mask, ...]:
    """The masks in a file of what `pack_masks` made; none where it is empty. Raises
    DatasetError."""
    try:
        return tuple(Mask(**one) for one in json.loads(path.read_bytes() or '[]'))
    except (OSError, *MALFORMED) as error:
        raise damaged(path, error) from error


def collect_masks(run: ImageRun, folder: str, make: Callable[[int], bytes | None]) -> MaskSet:
    """The masks of every picture, which `make` gives in JSON, each in the folder and all of them in
    a file of its name; what is there is kept."""
    whole = run.out / f'{folder}.json'
    if not whole.exists():
        run.for_every_picture(folder, 'json', make)
        paths = [run.out / folder / f'{name}.json' for name in run.images.names]
        masks = tuple(unpack_masks(path) for path in paths)
        MaskSet(run.images.classes, sizes_of(run.images), masks).save(whole)
    return MaskSet.load(whole)


def make_semantic_labels(
    run: ImageRun, config: SynthesisConfig, crf: DenseCrfConfig, network: IRNet
) -> None:
    """The semantic pseudo-labels of every picture, which do not tell instances apart:
    `semantic/NAME.png`, 0 background, class + 1."""

    def make(index: int) -> bytes:
        picture = run.images.picture(index)
        maps, class_ids, boundary, _ = predict(run, network, index)
        edges, size = edges_of(picture, crf), picture.shape[:2]
        _, label = synthesise(maps, class_ids, boundary, None, size, config, edges=edges)
        return cv2.imencode('.png', label)[1].tobytes()

    run.for_every_picture('semantic', 'png', make)


def make_affinity_labels(
    run: ImageRun, config: AffinityNetConfig, crf: DenseCrfConfig, network: AffinityNet
) -> None:
    """The same by a walk over AffinityNet's affinities."""

    def make(index: int) -> bytes:
        picture = run.images.picture(index)
        maps, class_ids, matrix = predict_affinities(run, network, index, config)
        edges, size = edges_of(picture, crf), picture.shape[:2]
        label = label_by_walk(maps, class_ids, matrix, size, config, edges)
        return cv2.imencode('.png', label)[1].tobytes()

    run.for_every_picture('semantic', 'png', make)


def make_attention_labels(run: ImageRun, background: float, crf: DenseCrfConfig) -> None:
    """The same where attention is above this share of its highest."""

    def make(index: int) -> bytes:
        picture = run.images.picture(index)
        maps, class_ids = read_class_maps(run.out, run.images.names[index])
        edges, size = edges_of(picture, crf), picture.shape[:2]
        label = label_by_attention(maps, class_ids, size, background, edges)
        return cv2.imencode('.png', label)[1].tobytes()

    run.for_every_picture('semantic', 'png', make)


@torch.no_grad()
def predict(
    run: ImageRun, network: IRNet, index: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Tensor]:
    """Of a picture, at a quarter of its size: attention maps (k, h, w) in [0, 1], their class ids
    (k,), boundary (h, w) in [0, 1], displacement (2, h, w) px."""
    maps, class_ids = read_class_maps(run.out, run.images.names[index])
    boundary, displacement = network.predict(padded(run.picture(index)))
    height, width = maps.shape[1:]
    return (
        maps,
        class_ids,
        boundary[:height, :width].cpu().numpy(),
        displacement[:, :height, :width].cpu(),
    )


@torch.no_grad()
def predict_affinities(
    run: ImageRun, network: AffinityNet, index: int, config: AffinityNetConfig
) -> tuple[np.ndarray, np.ndarray, sparse.csr_matrix]:
    """Of a picture, at a quarter of its size: attention maps (k, h, w) in [0, 1], their class ids
    (k,), and the transition matrix (hw, hw) of a walk."""
    maps, class_ids = read_class_maps(run.out, run.images.names[index])
    height, width = maps.shape[1:]
    features = network(padded(run.picture(index))[None])[0, :, :height, :width]
    pairs = feature_affinities(features, config.radius)
    return maps, class_ids, transitions(pairs, (height, width), config.beta)


def read_labels(run: Path, images: ImageSet, size: int, folder: str = 'semantic') -> np.ndarray:
    """Semantic labels (N, size, size) uint8 of all pictures; IGNORED where a picture is smaller."""
    out = np.full((len(images), size, size), IGNORED, np.uint8)
    for row, name in zip(out, images.names):
        path = run / folder / f'{name}.png'
        try:
            label = read_png(path)
        except DatasetError as error:
            raise damaged(path, error) from error
        row[: label.shape[0], : label.shape[1]] = label
    return out
