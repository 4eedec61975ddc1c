"""A foreground U-Net from a checkpoint: the layered GANs' and the independence prior's end."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.methods.foreground.network import ForegroundConfig, ForegroundNet, inner_square
from insegan_ros.nn.augmentation import in_range
from insegan_ros.nn.device import choose_device
from insegan_ros.nn.unet import fold_norms
from insegan_ros.tasks.foreground_segmenter import PictureSegmenter
from insegan_ros.workspace import Workspace


class ForegroundSegmenter(PictureSegmenter):
    """The picture is brought to the size of the training's, and the answer back."""

    def __init__(
        self, checkpoint: Checkpoint, workspace: Workspace | None = None, device: str = 'auto'
    ) -> None:
        checkpoint.require('unet')
        self.part, self.scales, self.workspace = checkpoint.part, checkpoint.scales, workspace
        self.device = choose_device(device)
        self.network = fold_norms(
            checkpoint.restore(
                'unet', ForegroundNet(ForegroundConfig(**checkpoint.config['unet']['network']))
            )
        ).to(self.device, memory_format=torch.channels_last)
        self.view, self.context = checkpoint.config['view'], checkpoint.config['context']
        # Learnt from crops in which nothing but the object's box can be foreground.
        self.boxed = self.view == 'box' and checkpoint.config.get('gan', {}).get(
            'within_box', False
        )
        self.size = int(checkpoint.config.get('size') or checkpoint.config['generator']['size'])

    @torch.inference_mode()
    def foreground(self, picture: np.ndarray) -> np.ndarray:
        """See PictureSegmenter."""
        small = cv2.resize(picture, (self.size, self.size), interpolation=cv2.INTER_AREA)
        # A picture's own order of bytes, in which convolutions are quicker too.
        image = in_range(
            torch.from_numpy(small)
            .permute(2, 0, 1)[None]
            .to(self.device, memory_format=torch.channels_last)
        )
        share = torch.sigmoid(self.network(image))
        share = (
            (
                share * inner_square(self.size, self.context).to(self.device)
                if self.boxed
                else share
            )[0, 0]
            .cpu()
            .numpy()
        )
        return cv2.resize(share, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
