"""Pictures with masks as a label factory."""

from __future__ import annotations

import numpy as np
import torch
from drawn_pictures import draw

from insegan_ros.methods.foreground.labelled_pictures import LabelledPictures


def test_masks_stay_on_what_they_are_of():
    """The object is checked, what is behind it is not."""
    torch.manual_seed(0)
    images, masks = draw(32, 32, 6)
    factory = LabelledPictures(
        torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), torch.from_numpy(masks)
    )
    batch = factory.sample(32)
    contrast = [
        (float(image[:, label > 0].std()), float(image[:, label == 0].std()))
        for image, label in zip(batch.images, batch.labels)
    ]
    assert np.mean([inside > 2 * outside for inside, outside in contrast]) > 0.9
    assert torch.equal(batch.amodal[:, 0], batch.labels == 1)
