"""InSeGAN's learnt template and a part's mesh: registered once, the poses that the encoder decodes
are the part's own."""

from __future__ import annotations

import numpy as np
import torch

from insegan_ros.engine.checkpoint import Scales
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.geometry.principal_axes import camera_from_picture
from insegan_ros.geometry.registration import MeshRegistration
from insegan_ros.heights import FOREGROUND_SHARE, IMAGE_SIZE, unsigned
from insegan_ros.methods.insegan.generator import Generator

# Views of the template; and how far off the virtual camera is, in sides of the picture, so that it
# sees as the generator renders, without perspective.
VIEWS, FAR = 8, 100.0


def template_from_object(
    generator: Generator,
    instances: int,
    scales: Scales,
    registration: MeshRegistration,
    seed: int = 0,
) -> np.ndarray | None:
    """The rotation (3, 3) between the mesh and the template of a generator that was trained on so
    many instances: of the answers by single views the one that explains all views best. None where
    no view of the template looks like the mesh."""
    # Of poses that the generator has been trained in: it knows no others.
    z = torch.randn(VIEWS, generator.config.latent, generator=torch.Generator().manual_seed(seed))
    rotations, _ = generator.pose_decoder(z.to(generator.device))
    turns = rotations.detach().cpu().double().numpy()
    views = [_look(generator, instances, scales, turn) for turn in turns]
    seen = camera_from_picture(turns)
    found = [registration.register(*view) for view in views]
    candidates = [turn.T @ one.pose[:3, :3] for turn, one in zip(seen, found) if one is not None]

    def explained(candidate: np.ndarray) -> float:
        answers = (
            registration.register(*view, (turn @ candidate)[None], search=False)
            for view, turn in zip(views, seen)
        )
        return sum(one.score for one in answers if one is not None)

    return max(candidates, key=explained, default=None)


@torch.no_grad()
def _look(
    generator: Generator, instances: int, scales: Scales, turn: np.ndarray
) -> tuple[Frame, np.ndarray]:
    """The template in the middle of an empty bin, turned, as a depth camera far above would see it:
    the frame, and where the template is."""
    rotation = torch.from_numpy(turn).float()[None, None].to(generator.device)
    middle = rotation.new_zeros(1, 1, 3)
    features = generator.features_of_pose(rotation, middle)
    height = generator.render_singles(features, middle, among=instances)
    share = unsigned(height[0, 0].cpu().numpy())
    distance = FAR * IMAGE_SIZE * scales.pixel_m
    centre = (IMAGE_SIZE - 1) / 2
    camera = Intrinsics(FAR * IMAGE_SIZE, FAR * IMAGE_SIZE, centre, centre, IMAGE_SIZE, IMAGE_SIZE)
    depth_m = (distance - share * scales.height_m).astype(np.float32)
    return Frame(depth_m, camera), share > FOREGROUND_SHARE
