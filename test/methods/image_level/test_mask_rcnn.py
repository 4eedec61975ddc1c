"""Mask R-CNN takes over a classifier's backbone."""

from __future__ import annotations

import torch
from small_image_level import SMALL_BACKBONE, random_pictures

from insegan_ros.methods.image_level.class_maps import ClassMapNet
from insegan_ros.methods.image_level.mask_rcnn import MaskRcnnConfig, body_of, make_mask_rcnn


def test_mask_rcnn_takes_over_a_classifiers_backbone():
    classifier = ClassMapNet(SMALL_BACKBONE, 4, 3)
    network = make_mask_rcnn(MaskRcnnConfig(32, 32, 16, 1, 16, 8), SMALL_BACKBONE, 4, 3, 64).eval()
    body_of(network).load_state_dict(classifier.backbone.state_dict())
    found = network([random_pictures(1, 4)[0].float() / 255])[0]
    assert found['masks'].shape[1:] == (1, 64, 64) and set(found) == {
        'boxes',
        'labels',
        'scores',
        'masks',
    }
    assert torch.equal(
        body_of(network).layer4[0].conv1.weight, classifier.backbone.layer4[0].conv1.weight
    )
