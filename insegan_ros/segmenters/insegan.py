"""InSeGAN's own inference (section 3.5): encode, render every instance alone, depth-wise maximum, threshold, filter."""
from __future__ import annotations

import numpy as np
import torch

from insegan_ros.errors import InputError
from insegan_ros.frame import Frame, Instances
from insegan_ros.networks.insegan import IMAGE_SIZE, Generator, GeneratorConfig, PoseEncoder
from insegan_ros.segmenters.base import choose_device, clean, resolve_workspace, to_instances
from insegan_ros.segmenters.checkpoint import Checkpoint
from insegan_ros.workspace import TRAINING_MARGIN, Workspace, pixel_size_m, resize_height


class InSeGANSegmenter:
    """The paper's segmenter: the number of parts is the training's, the bin must fill the view as in training.

    The foreground comes from the input's height; the rendered instances only divide it.
    """

    def __init__(self, checkpoint: Checkpoint, workspace: Workspace | None = None, device: str = 'auto', min_height: float = 0.08) -> None:
        self.scales, self.workspace = checkpoint.scales, workspace
        self.min_height_m = min_height * checkpoint.scales.height_m
        self.device = choose_device(device)
        config = checkpoint.config['insegan']
        generator = Generator(GeneratorConfig(**config['generator']))
        encoder = PoseEncoder(config['instances'], generator.config.latent, generator.feature_channels, generator.feature_side)
        self.generator = checkpoint.restore('generator', generator).to(self.device)
        self.encoder = checkpoint.restore('encoder', encoder).to(self.device)

    def segment(self, frame: Frame) -> Instances:
        """See Segmenter. Raises InputError where the bin is larger than what the network was trained on."""
        workspace = resolve_workspace(self.workspace, frame)
        window = workspace.window(frame.intrinsics, TRAINING_MARGIN)
        height = workspace.height_map(frame, window=window)
        small = resize_height(height, pixel_size_m(workspace, frame.intrinsics) / self.scales.pixel_m)
        if max(small.shape) > IMAGE_SIZE + 2:
            side = IMAGE_SIZE * self.scales.pixel_m
            raise InputError(f'the bin\'s window is {small.shape[1] * self.scales.pixel_m:.2f} x {small.shape[0] * self.scales.pixel_m:.2f} m: '
                             f'the pose encoder was trained on {side:.2f} x {side:.2f} m; set the workspace\'s bounds or use the dense segmenter')
        rows, columns = (min(side, IMAGE_SIZE) for side in small.shape)
        image = np.full((IMAGE_SIZE, IMAGE_SIZE), -1, np.float32)
        image[:rows, :columns] = np.clip(small[:rows, :columns] / self.scales.height_m, 0, 1) * 2 - 1
        winner = self._decode(image)
        foreground = height > self.min_height_m
        labels = np.where(foreground, nearest_resize(winner[:rows, :columns] + 1, height.shape), 0)
        zoom = height.size / (rows * columns)
        labels = clean(labels, 0.05 * self.scales.part_area_px * zoom)
        return to_instances(frame, window, labels, np.full(int(labels.max(initial=0)), 0.5, np.float32))

    @torch.inference_mode()
    def _decode(self, image: np.ndarray) -> np.ndarray:
        """For every pixel the instance that is rendered highest, (64, 64)."""
        z, _ = self.encoder(torch.from_numpy(image)[None, None].to(self.device))
        rotation, translation = self.generator.pose_decoder(z)
        singles = self.generator.render_singles(self.generator.features_of_pose(rotation, translation), translation)
        return singles[0].argmax(0).cpu().numpy()


def nearest_resize(labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Labels (h, w) at another resolution, nearest pixel."""
    rows = np.minimum((np.arange(shape[0]) + 0.5) * labels.shape[0] / shape[0], labels.shape[0] - 1).astype(int)
    columns = np.minimum((np.arange(shape[1]) + 0.5) * labels.shape[1] / shape[1], labels.shape[1] - 1).astype(int)
    return labels[rows[:, None], columns[None]]
