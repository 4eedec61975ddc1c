"""InSeGAN's networks (Cherian et al., ICCV 2021, section 3): generator and instance pose encoder.

Images are (B, 1, 64, 64) in [-1, 1]: -1 is the bin's floor, +1 the height scale; those of a common
volume (`placement: volume`) may reach a little beyond. Latents are (B, n, latent).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import roma
import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample, leaky_relu, linear

from insegan_ros.errors import ConfigError
from insegan_ros.heights import IMAGE_SIZE
from insegan_ros.methods.insegan.sampling import moved_columns, transform_volume
from insegan_ros.nn.composition import least_crowded

REACH = 0.95


@dataclass(frozen=True)
class GeneratorConfig:
    """Shape of the generator. The defaults are the product's; `composition: average, placement:
    volume` is the paper's form."""

    latent: int = 128
    """Length of one instance's code z."""
    width: int = 32
    """Channels of the template volume after its own layers; the paper's size is 64."""
    composition: Literal['z_order', 'average'] = 'z_order'
    """z_order renders every instance alone and takes the highest; average pools feature maps and
    renders once (Eq. 2)."""
    placement: Literal['patch', 'volume'] = 'patch'
    """volume moves the template through a volume as large as the scene (the paper); patch turns it
    in a small one of its own, renders that, and shifts the picture to its place: the same motion, a
    tenth of the work, and a part that cannot change its shape with its place."""
    patch: int = 40
    """Side of the patch in px; it must hold the whole part."""
    shape: Literal['3d', '2d', 'occupancy'] = '3d'
    """3d turns a learnt volume of features by the pose; occupancy a volume that says where the part
    is, seen from above by ray marching, so that it cannot bend with its pose; 2d is the paper's
    ablation: convolutions and upsampling from z, no template, no pose."""

    def __post_init__(self) -> None:
        if self.width % 8 or self.width <= 0:
            raise ConfigError(f'width is {self.width}: expected a multiple of 8')
        if self.patch % 4 or not 8 <= self.patch <= IMAGE_SIZE:
            raise ConfigError(f'patch is {self.patch}: expected a multiple of 4 up to {IMAGE_SIZE}')
        if self.composition == 'average' and self.placement == 'patch':
            raise ConfigError(
                'composition average pools the feature maps of a common volume: expected placement'
                ' volume'
            )
        if self.shape == '2d' and self.placement == 'patch':
            raise ConfigError(
                'shape 2d has no pose that could place a patch: expected placement volume'
            )
        if self.shape == 'occupancy' and self.placement != 'patch':
            raise ConfigError(
                'shape occupancy is rendered on a patch of its own: expected placement patch'
            )

    @property
    def renders_alone(self) -> bool:
        """Whether an instance rendered alone stands as high as among others. Of a 2-D generator of
        averaged pictures it stands as many times too high as there are instances."""
        return (self.shape, self.composition) != ('2d', 'average')

    @property
    def side_px(self) -> int:
        """Side in px of what one instance is rendered on."""
        return self.patch if self.placement == 'patch' else IMAGE_SIZE


def leaky_clamp(heights: Tensor) -> Tensor:
    """Heights in [-1, 1] as they are, and a twentieth of what goes beyond: a tanh that has reached
    its ends has no gradient, and averaged pictures stay the dots of the lowest and the highest
    value by which they first imitate what lies between."""
    inside = heights.clamp(-1, 1)
    return inside + 0.05 * (heights - inside)


class PoseDecoder(nn.Module):
    """G_p and Lambda: z -> SO(3) x R^3. Three linear layers 128-64-32-6 without bias, axis-angle
    and translation."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        layers = [nn.Linear(a, b, bias=False) for a, b in ((latent, 64), (64, 32), (32, 6))]
        for layer in layers:
            # Wide first poses: with N(0, .02) all parts begin in one place and the GAN stays in one
            # layout.
            nn.init.xavier_normal_(layer.weight)
        self.layers = nn.ModuleList(layers)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z (..., latent) -> rotation (..., 3, 3), translation (..., 3) in half images."""
        for layer in self.layers[:-1]:
            z = leaky_relu(layer(z), 0.2)
        pose = self.layers[-1](z)
        # Linear near the centre, never beyond the picture: an instance out of sight would count for
        # nothing.
        return roma.rotvec_to_rotmat(pose[..., :3]), REACH * torch.tanh(pose[..., 3:] / REACH)


def place(patch: Tensor, shift: Tensor, size: int) -> Tensor:
    """Put square patches (M, 1, P, P) onto empty canvases (M, 1, size, size), their centres at
    shift (M, 2) = (x, y) in half canvases. Bilinear, differentiable in the shift."""
    zoom = size / patch.shape[-1]
    theta = torch.zeros(len(patch), 2, 3, device=patch.device, dtype=patch.dtype)
    theta[:, 0, 0] = theta[:, 1, 1] = zoom
    theta = torch.cat([theta[:, :, :2], -zoom * shift[..., None]], -1)
    grid = affine_grid(theta, [len(patch), 1, size, size], align_corners=False)
    return grid_sample(patch, grid, align_corners=False, padding_mode='zeros')


def soft_disk(side: int) -> Tensor:
    """(side, side): 1 within the circle that a square patch holds, falling to 0 at its rim. A part
    that turns stays within a ball, so nothing of it can reach the patch's border."""
    axis = (torch.arange(side) + 0.5) / side * 2 - 1
    radius = torch.hypot(axis[:, None], axis[None])
    return ((1 - radius) / 0.15).clamp(0, 1)


def soft_ball(side: int) -> Tensor:
    """(side, side, side): 1 in the middle of the ball that a volume holds, 0 at its rim and beyond.
    What turns stays within."""
    axis = (torch.arange(side) + 0.5) / side * 2 - 1
    return (1 - torch.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)).clamp(0, 1)


def look_from_above(occupancy: Tensor, heights: Tensor) -> Tensor:
    """Ray marching straight down: occupancy (M, D, H, W) in [0, 1], layers from the lowest to the
    highest, heights (D,) of the layers.

    Returns (M, 1, H, W), the expected height of the first thing that a ray meets, sum_k w_k h_k
    with w_k = o_k prod_{j above k} (1 - o_j); rays that meet nothing count 0.
    """
    from_top = occupancy.flip(1)
    clear = torch.cumprod(torch.cat([torch.ones_like(from_top[:, :1]), 1 - from_top[:, :-1]], 1), 1)
    return (from_top * clear * heights.flip(0)[:, None, None]).sum(1, keepdim=True)


class Scene(NamedTuple):
    """What the generator made: image (B, 1, S, S); singles (B, n, S, S), every instance rendered
    alone, or None; features (B, C, s, s), the average-pooled feature map; rotation (B, n, 3, 3),
    translation (B, n, 3); patches (B n, 1, P, P), every instance before it is shifted to its place,
    or None where there are none."""

    image: Tensor
    singles: Tensor | None
    features: Tensor
    rotation: Tensor
    translation: Tensor
    patches: Tensor | None = None

    def require_singles(self) -> Tensor:
        """The instances rendered alone (B, n, S, S). Raises ConfigError where the composition is an
        average."""
        if self.singles is None:
            raise ConfigError(
                'averaged pictures hold no single renders: expected composition z_order'
            )
        return self.singles


class Generator(nn.Module):
    """T -> STN -> G_s -> composition -> G_r (Eqs. 1 and 2). Nothing but the pose depends on z."""

    ball: Tensor
    disk: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.pose_decoder = PoseDecoder(config.latent)
        self.feature_side = config.side_px if config.shape == 'occupancy' else config.side_px // 4
        if config.shape != '2d':
            self.template = nn.Parameter(torch.randn(1, 4 * width, 4, 4, 4))
            # The template's own layers run once a step, before any pose.
            self.template_layers = nn.Sequential(
                nn.ConvTranspose3d(4 * width, 2 * width, 4, 2, 1),
                nn.LeakyReLU(0.2),
                nn.ConvTranspose3d(2 * width, width, 4, 2, 1),
                nn.LeakyReLU(0.2),
            )
        if config.shape == 'occupancy':
            self.solid = nn.Sequential(
                nn.ConvTranspose3d(width, width // 2, 4, 2, 1),
                nn.LeakyReLU(0.2),
                nn.Conv3d(width // 2, 1, 3, 1, 1),
            )
            # Height, in shares of the scale, of the volume's middle and of its half side.
            self.relief = nn.Parameter(torch.tensor([0.3, 0.5]))
            self.register_buffer('ball', soft_ball(32), persistent=False)
        elif config.shape == '3d':
            self.project = nn.Sequential(
                nn.Conv2d(width * self.feature_side, 2 * width, 1), nn.LeakyReLU(0.2)
            )
        else:
            self.template_layers = nn.Sequential(
                nn.Linear(config.latent, 4 * width * 16),
                nn.LeakyReLU(0.2),
                nn.Unflatten(-1, (4 * width, 4, 4)),
            )
            self.project = nn.Sequential(
                nn.ConvTranspose2d(4 * width, 4 * width, 4, 2, 1),
                nn.LeakyReLU(0.2),
                nn.ConvTranspose2d(4 * width, 2 * width, 4, 2, 1),
                nn.LeakyReLU(0.2),
            )
        if config.shape == 'occupancy':
            self.solid.apply(_init_he)
            self.template_layers.apply(_init_he)
            # The first thing is a ball, dense in the middle: an empty volume has no gradient.
            nn.init.constant_(self.solid[-1].get_parameter('bias'), -1.0)
            return
        self.render = nn.Sequential(
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(width, width // 2, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width // 2, 1, 3, 1, 1),
        )
        self.register_buffer('disk', soft_disk(config.side_px), persistent=False)
        for layers in (self.template_layers, self.project, self.render):
            layers.apply(_init_he)
        # The first pictures are floor with something on it.
        nn.init.constant_(self.render[-1].get_parameter('bias'), -1.0)

    @property
    def device(self) -> torch.device:
        """The device that its weights are on."""
        return next(self.parameters()).device

    @property
    def feature_channels(self) -> int:
        """Channels of one instance's feature map; the layers of its volume where that says what is
        occupied."""
        return self.config.side_px if self.config.shape == 'occupancy' else 2 * self.config.width

    def template_volume(self) -> Tensor:
        """The implicit shape, (width, 16, 16, 16); or the explicit one, (1, 32, 32, 32) in [0,
        1]."""
        implicit = self.template_layers(self.template)
        if self.config.shape != 'occupancy':
            return implicit[0]
        return torch.sigmoid(self.solid(implicit) + 4 * self.ball)[0] * (self.ball > 0)

    def features(self, z: Tensor, rotation: Tensor, translation: Tensor) -> Tensor:
        """Feature maps (B, n, C, s, s) of latents (B, n, latent) whose poses are given; the 2-D
        ablation looks at z instead."""
        if self.config.shape != '2d':
            return self.features_of_pose(rotation, translation)
        features = self.project(self.template_layers(z.flatten(0, 1)))
        return features.reshape(*z.shape[:2], *features.shape[1:])

    def features_of_pose(self, rotation: Tensor, translation: Tensor) -> Tensor:
        """F(z) of Eq. 1 from the rigid motions that z was decoded to, (B, n, 3, 3) and (B, n, 3):
        feature maps (B, n, C, s, s). With patches, x and y of the translation act later, in
        `render_singles`."""
        shape = rotation.shape[:-2]
        if self.config.placement == 'patch':
            translation = translation * translation.new_tensor([0, 0, 1])
        motions = rotation.reshape(-1, 3, 3), translation.reshape(-1, 3)
        volume, side = self.template_volume(), self.feature_side
        if self.config.shape == 'occupancy':
            features = transform_volume(volume, *motions, side)[:, 0]
        elif volume.device.type == 'cpu':
            features = self._project_columns(moved_columns(volume, *motions, side))
        else:
            features = self.project(transform_volume(volume, *motions, side).flatten(1, 2))
        return features.reshape(*shape, *features.shape[1:])

    def _project_columns(self, columns: Tensor) -> Tensor:
        """`project` of what was moved, given as columns (M, s, s, s C), see `moved_columns`."""
        weight, bias = (self.project.get_parameter(f'0.{name}') for name in ('weight', 'bias'))
        # The weight's channels outside, layers inside; a column has them the other way round.
        turned = weight.reshape(len(weight), -1, self.feature_side).transpose(1, 2).flatten(1)
        return leaky_relu(linear(columns, turned, bias), 0.2).movedim(-1, 1)

    def render_patches(self, features: Tensor) -> Tensor:
        """Every instance before it is shifted to its place: feature maps (B, n, C, s, s) -> (B n,
        1, P, P) in [-1, 1]."""
        if self.config.shape == 'occupancy':
            count = features.shape[2]
            layers = (torch.arange(count, device=features.device) + 0.5) / count * 2 - 1
            heights = torch.relu(self.relief[0] + self.relief[1] * layers)
            return 2 * look_from_above(features.flatten(0, 1), heights) - 1
        return (torch.tanh(self.render(features.flatten(0, 1))) + 1) * self.disk - 1

    def render_singles(
        self, features: Tensor, translation: Tensor, patches: Tensor | None = None, among: int = 0
    ) -> Tensor:
        """Every instance alone: feature maps (B, n, C, s, s), translation (B, n, 3) -> (B, n, 64,
        64). among: number of instances of the scenes that it was trained on, n by default."""
        if self.config.composition == 'average' and self.config.shape != '2d':
            # As in a scene that all others have left: by itself, an instance is as many times as
            # high as there are instances to average over.
            bias = self.project.get_parameter('0.bias')
            nothing = leaky_relu(bias, 0.2)[:, None, None]
            features = nothing + (features - nothing) / (among or features.shape[1])
        if self.config.placement == 'patch':
            patches = self.render_patches(features) if patches is None else patches
            height = place(patches + 1, translation.flatten(0, 1)[:, :2], IMAGE_SIZE) - 1
        else:
            height = leaky_clamp(self.render(features.flatten(0, 1)))
        return height.reshape(*features.shape[:2], IMAGE_SIZE, IMAGE_SIZE)

    def render_alone(self, z: Tensor, among: int = 0) -> Tensor:
        """Latents (B, n, latent) -> every instance alone (B, n, 64, 64) in [-1, 1], whatever the
        composition. among: as in `render_singles`."""
        rotation, translation = self.pose_decoder(z)
        features = self.features(z, rotation, translation)
        return self.render_singles(features, translation, among=among)

    @torch.no_grad()
    def sample_latents(self, batch: int, count: int, candidates: int = 1) -> Tensor:
        """Z ~ N(0, I), (batch, count, latent). With several candidates an image takes the one whose
        parts keep the largest distance in the plane: parts in a bin exclude each other, independent
        draws do not."""
        device = self.device
        z = torch.randn(batch, candidates, count, self.config.latent, device=device)
        if candidates == 1 or count == 1 or self.config.shape == '2d':
            return z[:, 0]
        best = least_crowded(self.pose_decoder(z)[1][..., :2])
        return z[torch.arange(batch, device=device), best]

    def forward(self, z: Tensor) -> Scene:
        """G(Z): latents (B, n, latent) -> Scene. Invariant to the order of the instances."""
        rotation, translation = self.pose_decoder(z)
        features = self.features(z, rotation, translation)
        pooled = features.mean(1)
        if self.config.composition == 'average':
            return Scene(leaky_clamp(self.render(pooled)), None, pooled, rotation, translation)
        patches = self.render_patches(features) if self.config.placement == 'patch' else None
        singles = self.render_singles(features, translation, patches)
        return Scene(singles.amax(1, keepdim=True), singles, pooled, rotation, translation, patches)


class PoseEncoder(nn.Module):
    """E = G_s^-1 o G_r^-1: a depth image -> the latents of its n instances and the de-rendered
    feature map (L_E^i)."""

    def __init__(
        self, instances: int, latent: int, feature_channels: int, feature_side: int, width: int = 64
    ) -> None:
        super().__init__()
        self.instances, self.latent = instances, latent
        self.derender = nn.Sequential(_down(1, width), nn.Conv2d(width, feature_channels, 4, 2, 1))
        # The generator's pooled map may be smaller than the scene (patches): compare at its size.
        self.to_pooled = nn.AdaptiveAvgPool2d(feature_side)
        self.decode = nn.Sequential(
            nn.LeakyReLU(0.2),
            _down(feature_channels, 4 * width),
            _down(4 * width, 8 * width),
            nn.Flatten(),
            nn.Linear(8 * width * 16, instances * latent),
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """image (B, 1, 64, 64) -> latents (B, n, latent), features (B, C, s, s) as the
        generator's."""
        features = self.derender(image)
        z = self.decode(features).reshape(-1, self.instances, self.latent)
        return z, self.to_pooled(features)


def _down(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(a, b, 4, 2, 1), nn.InstanceNorm2d(b), nn.LeakyReLU(0.2))


def _init_he(module: nn.Module) -> None:
    # Without normalisation layers the paper's N(0, .02) would fade the first images to nothing.
    if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        nn.init.kaiming_normal_(module.weight, 0.2)
        nn.init.zeros_(module.get_parameter('bias'))
