"""The foreground U-Net of a checkpoint as a segmenter; layered GANs, the independence prior and
supervised training all end in it."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.methods.foreground.network import ForegroundConfig, ForegroundNet, inner_square
from insegan_ros.nn.augmentation import in_range
from insegan_ros.nn.device import choose_device
from insegan_ros.nn.unet import fold_norms
from insegan_ros.segmenters.foreground import PictureSegmenter


class ForegroundSegmenter(PictureSegmenter):
    """Resizes the picture to the training's size, and the answer back."""

    def __init__(self, checkpoint: Checkpoint, device: str = 'auto') -> None:
        checkpoint.require('unet')
        self.part, self.scales = checkpoint.part, checkpoint.scales
        self.device = choose_device(device)
        config = checkpoint.config
        shape = checkpoint.settings(ForegroundConfig, 'unet', 'network')
        network = checkpoint.restore('unet', lambda: ForegroundNet(shape))
        self.network = fold_norms(network).to(self.device).to(memory_format=torch.channels_last)
        self.view, self.context = config['view'], checkpoint.number('context', 1, 10)
        self.size = int(config.get('size') or config['generator']['size'])
        if not 8 <= self.size <= 4096:
            raise checkpoint.unusable('size', f'{self.size} px, expected 8 to 4096')
        # Where it was learnt from crops in which only the object's box can be foreground.
        self.box: torch.Tensor | None = None
        if self.view == 'box' and config.get('gan', {}).get('within_box', False):
            self.box = inner_square(self.size, self.context).to(self.device)

    @torch.inference_mode()
    def foreground(self, picture: np.ndarray) -> np.ndarray:
        """picture (S, S, 3) uint8 RGB -> probability of foreground (S, S) float32."""
        small = cv2.resize(picture, (self.size, self.size), interpolation=cv2.INTER_AREA)
        # The picture's own memory layout, in which convolutions are faster too.
        image = torch.from_numpy(small).permute(2, 0, 1)[None]
        image = in_range(image.to(self.device, memory_format=torch.channels_last))
        found = torch.sigmoid(self.network(image))
        if self.box is not None:
            found = found * self.box
        share = found[0, 0].cpu().numpy()
        return cv2.resize(share, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
