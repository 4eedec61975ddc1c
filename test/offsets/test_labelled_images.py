"""Images with given labels: whatever way they are turned, centres and labels go with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from insegan_ros.offsets.labelled_images import LabelledImages


@pytest.mark.parametrize('freely', [False, True])
def test_labels_and_centres_turn_with_the_image(freely: bool):
    torch.manual_seed(0)
    labels = np.zeros((1, 65, 65), np.int64)
    labels[0, 36:45, 16:25] = 3
    images = torch.where(torch.from_numpy(labels)[:, None] > 0, 0.5, -1.0)
    centres = np.zeros((1, 3, 2), np.float32)
    centres[0, 2] = 20, 40
    factory = LabelledImages(images, labels, centres, freely)
    seen = set()
    for _ in range(6):
        batch = factory.sample(4)
        assert batch.images.shape == (4, 1, 65, 65) and batch.labels.dtype == torch.int64
        for image, label, centre in zip(batch.images, batch.labels, batch.centres):
            place = np.argwhere(label.numpy() == 3)[:, ::-1]
            assert np.allclose(place.mean(0), centre[2], atol=0.5)
            assert (image[0][label == 3] == 0.5).all() and (image[0][label == 0] == -1).all()
            seen.add(tuple(centre[2].round().int().tolist()))
    assert len(seen) > 8 if freely else len(seen) <= 4
