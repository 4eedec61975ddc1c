"""The product's default: one dense network taught by a label factory, one rule from its
displacements to instances."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.frame import Frame, Instances
from insegan_ros.geometry.label_images import clean, to_instances
from insegan_ros.heights import height_shares, pixel_size_m, resize_height, signed
from insegan_ros.nn.device import choose_device
from insegan_ros.offsets.network import DisplacementConfig, DisplacementNet
from insegan_ros.offsets.votes import assign, find_centres
from insegan_ros.workspace import Workspace, resolve_workspace

# Votes within this share of the part's radius of gyration are one centre; votes that make an
# instance, as a share of one whole part's area. Both chosen on validation bins of seed 77.
CENTRE_RADIUS, MIN_VOTES = 0.9, 0.04
# Parts on one another differ less in height than parts side by side in place.
HEIGHT_STRETCH = 1.5
# The depth says what stands above the floor, to the pixel; the network, at its own coarser pixels,
# only what is no part at all.
SURELY_NO_PART = 0.05
# Longest side in px that the network is given: six bins wide.
MOST_WORKING_PX = 384
# Floor that the network sees around the parts, in its own pixels.
RIM_PX = 6


def crop_to_parts(
    window: tuple[int, int, int, int], height: np.ndarray, min_height_m: float, rim: int
) -> tuple[tuple[int, int, int, int], np.ndarray]:
    """The window and its height map cut to what stands above the floor and `rim` px around it;
    empty where nothing does."""
    above = height > min_height_m
    rows, columns = np.flatnonzero(above.any(1)), np.flatnonzero(above.any(0))
    if not len(rows):
        return window, height[:0, :0]
    top, bottom = max(rows[0] - rim, 0), min(rows[-1] + 1 + rim, height.shape[0])
    left, right = max(columns[0] - rim, 0), min(columns[-1] + 1 + rim, height.shape[1])
    return (window[0] + left, window[1] + top, window[0] + right, window[1] + bottom), height[
        top:bottom, left:right
    ]


def network_config(checkpoint: Checkpoint) -> DisplacementConfig:
    """The shape of a checkpoint's dense network; the first ones had no height votes and did not say
    so."""
    return DisplacementConfig(
        **{'height_votes': False, **checkpoint.config['displacement']['network']}
    )


class DisplacementSegmenter:
    """Segments frames of any size and any camera: the image is brought to the metres a pixel of the
    training.

    Needs no number of instances. `centre_radius` and `min_votes`: see CENTRE_RADIUS; `min_height`:
    what stands higher is foreground, as a share of the training's height scale.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        workspace: Workspace | None = None,
        device: str = 'auto',
        centre_radius: float = CENTRE_RADIUS,
        min_votes: float = MIN_VOTES,
        min_height: float = 0.05,
    ) -> None:
        checkpoint.require('displacement')
        self.part, self.scales, self.workspace = checkpoint.part, checkpoint.scales, workspace
        self.centre_radius, self.min_votes, self.min_height_m = (
            centre_radius,
            min_votes,
            min_height * checkpoint.scales.height_m,
        )
        self.device = choose_device(device)
        config = network_config(checkpoint)
        self.relief_px = self.scales.height_m / self.scales.pixel_m if config.height_votes else 0.0
        self.network = checkpoint.restore('displacement', DisplacementNet(config)).to(self.device)

    def segment(self, frame: Frame) -> Instances:
        """See Segmenter."""
        workspace = resolve_workspace(self.workspace, frame)
        window = workspace.window(frame.intrinsics)
        height = workspace.height_map(frame, window=window)
        scale = pixel_size_m(workspace, frame.intrinsics) / self.scales.pixel_m
        window, height = crop_to_parts(
            window, height, self.min_height_m, int(np.ceil(RIM_PX / scale))
        )
        if not height.size:
            return Instances.none(frame.depth_m.shape)
        # A room in place of a bin must not become a picture of many megapixels.
        field = self.infer(resize_height(height, min(scale, MOST_WORKING_PX / max(height.shape))))
        labels, scores = self._instances(field, height)
        return to_instances(frame, window, labels, scores)

    @torch.inference_mode()
    def infer(self, height_m: np.ndarray) -> np.ndarray:
        """The network's output (H, W, 5) for a height map in metres at the training's metres a
        pixel: foreground probability, x and y of the vote (px), its rise above the surface (px),
        expected error (px); no rise without height votes."""
        rows, columns = height_m.shape
        stride = self.network.stride
        image = signed(height_shares(height_m, self.scales.height_m))
        image = np.pad(image, ((0, -rows % stride), (0, -columns % stride)), constant_values=-1)
        out = (
            self.network(torch.from_numpy(image.astype(np.float32))[None, None].to(self.device))[0]
            .cpu()
            .numpy()
        )
        out = out[:, :rows, :columns]
        y, x = np.mgrid[:rows, :columns]
        return np.stack(
            [
                1 / (1 + np.exp(-out[0])),
                x + out[1],
                y + out[2],
                *out[3:-1],
                np.exp(np.clip(out[-1], -3, 5)),
            ],
            -1,
        ).astype(np.float32)

    def divide(self, height_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Labels (H, W) and the instances' centres (K, 2) as (x, y) px, of a height map at the
        training's metres a pixel, nothing filtered: label i has centre i - 1."""
        field, foreground = self.infer(height_m), height_m > self.min_height_m
        found = self._centres(field, height_m)
        labels = np.zeros(height_m.shape, np.uint16)
        pixels = foreground & (field[..., 0] > 0.5)
        if len(found):
            labels[pixels] = assign(self._votes(field, height_m)[pixels], found) + 1
        return labels, found[:, :2]

    def _votes(self, field: np.ndarray, height_m: np.ndarray) -> np.ndarray:
        """Where every pixel of a field (H, W, ...) and its height map (H, W) votes, (H, W, 2 or 3)
        in working px, heights stretched."""
        votes = field[..., 1:-1].copy()
        if self.relief_px:
            own = height_shares(height_m, self.scales.height_m) * self.relief_px
            votes[..., 2] = HEIGHT_STRETCH * (own + votes[..., 2])
        return votes

    def _centres(self, field: np.ndarray, height_m: np.ndarray) -> np.ndarray:
        """Centres (K, 2 or 3) in the field's px that its votes agree on; the height map may be of a
        higher resolution."""
        shape = field.shape[:2]
        share = cv2.resize(
            (height_m > self.min_height_m).astype(np.float32),
            shape[::-1],
            interpolation=cv2.INTER_AREA,
        )
        voting = (field[..., 0] > 0.5) & (share > 0.3)
        coarse = (
            height_m
            if height_m.shape == shape
            else cv2.resize(height_m, shape[::-1], interpolation=cv2.INTER_AREA)
        )
        targets = self._votes(field, coarse)[voting]
        confidence = 1 / (1 + (field[voting][:, -1] / (0.5 * self.scales.part_radius_px)) ** 2)
        return find_centres(
            targets,
            confidence.astype(np.float32),
            shape,
            self.centre_radius * self.scales.part_radius_px,
            self.min_votes * self.scales.part_area_px,
        )

    def _instances(self, field: np.ndarray, height_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Labels at the height map's own resolution and a score an instance."""
        shape, found = field.shape[:2], self._centres(field, height_m)
        if not len(found):
            return np.zeros(height_m.shape, np.uint16), np.zeros(0, np.float32)
        # Votes are positions in working pixels and rises change little, so the field can be
        # interpolated; the depth's own edges stay.
        fine = cv2.resize(field, height_m.shape[::-1], interpolation=cv2.INTER_LINEAR)
        pixels = (height_m > self.min_height_m) & (fine[..., 0] > SURELY_NO_PART)
        labels = np.zeros(height_m.shape, np.uint16)
        labels[pixels] = assign(self._votes(fine, height_m)[pixels], found) + 1
        zoom = height_m.size / (shape[0] * shape[1])
        labels = clean(labels, 0.03 * self.scales.part_area_px * zoom)
        return labels, self._scores(labels, fine)

    def _scores(self, labels: np.ndarray, fine: np.ndarray) -> np.ndarray:
        """How sure the votes of an instance are: 1 for an expected error of none, falling with the
        part's radius."""
        count = int(labels.max(initial=0))
        area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        error = np.bincount(labels.ravel(), weights=fine[..., -1].ravel(), minlength=count + 1)[
            1:
        ] / np.maximum(area, 1)
        return (1 / (1 + error / self.scales.part_radius_px)).astype(np.float32)
