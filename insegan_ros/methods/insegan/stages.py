"""InSeGAN, from unlabelled height maps to a segmenter (Cherian et al., ICCV 2021; Eqs. 3 to 7), in
three stages:

1. gan: generator against discriminator, hinge loss (product) or Eq. 3 (paper), on height maps
alone;
2. encoder: the instance pose encoder learns to invert the frozen generator, L_E = L_E^a + L_E^i +
L_E^p (Eq. 6);
3. offsets: the generator is the label factory that teaches the dense segmenter (offsets/stage.py).

No stage opens a label.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from lightning.fabric import Fabric
from torch import Tensor
from torch.nn.functional import l1_loss, mse_loss

from insegan_ros.drawing.tiles import tile
from insegan_ros.engine.loop import Stage, one_cycle, own_share
from insegan_ros.engine.state import average_into
from insegan_ros.errors import ConfigError
from insegan_ros.heights import FOREGROUND_SHARE, signed, unsigned
from insegan_ros.methods.insegan.alignment import Method, align
from insegan_ros.methods.insegan.generator import Generator, GeneratorConfig, PoseEncoder, Scene
from insegan_ros.nn.adversarial import discriminator_loss, generator_loss
from insegan_ros.nn.discriminator import Discriminator
from insegan_ros.offsets.isolated import turned


@dataclass(frozen=True)
class GanConfig:
    """Stage 1."""

    steps: int = 3000
    """Optimisation steps."""
    batch: int = 32
    """Images of each kind a step; the paper's size is 128."""
    loss: Literal['hinge', 'cross_entropy'] = 'hinge'
    """hinge (with spectral norm), or cross_entropy as in Eq. 3 (with instance norm)."""
    rate: float = 4e-4
    """Adam's learning rate of both networks; the paper's is 2e-4."""
    betas: tuple[float, float] = (0.5, 0.99)
    """Adam's moments."""
    discriminator_width: int = 32
    """Channels of the discriminator's first layer; the paper's size is 64."""
    scope: Literal['both', 'image'] = 'both'
    """What the discriminator judges: both, or the whole image alone (the paper)."""
    candidates: int = 6
    """Layouts drawn for every image, of which the least crowded is taken; 1 is the paper's."""
    compactness: float = 1.0
    """Weight of the mean squared distance of an instance's mass from its centre, in half patches:
    one instance is one piece around one place, not several pieces that travel together. 0 is the
    paper's."""
    equal_area: float = 2.0
    """Weight of the penalty on instances whose area is under half or over 1.6 times an equal share
    of the real images' foreground: equal parts are neither absent nor double. 0 is the paper's."""
    alone: float = 1.0
    """Weight of a second discriminator, which compares single renders with the parts that lie alone
    in the data, where there are such (offsets/isolated.py). 0 is the paper's."""
    noise: float = 0.0
    """Standard deviation of the noise that real and generated images alike are given before the
    discriminator sees them, in shares of half the height scale; it fades to 0 over the steps. 0 is
    the paper's. Rendered depth has floors that are flat to the last digit, which no generator's
    ever are: a discriminator of the whole image wins by them within fifty steps and teaches
    nothing."""
    warm_up: int = 0
    """Steps over which the learning rate of both networks rises. 0 is the paper's. At the full rate
    the generator of averaged pictures answers the first sharp edges that the discriminator asks for
    with stripes of the lowest and the highest value."""
    average: float = 0.995
    """Decay of the exponential moving average of G's weights, which is what the later stages
    use."""
    rounds: int = 0
    """Alternate rounds: a dense network that G has taught finds parts in the real height maps, and
    what lies on top in them is what single renders are compared with (`alone`) while G goes on. 0
    is the paper's."""
    round_steps: int = 400
    """Optimisation steps of G in each of these rounds."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or not 0 <= self.average < 1:
            raise ConfigError(
                f'gan.steps is {self.steps}, gan.batch {self.batch}, gan.average {self.average}:'
                ' expected 1 or more, 1 or more, 0 to below 1, in that order (what isolated parts'
                ' alone teach is insegan train cutpaste)'
            )
        if self.noise < 0 or self.warm_up < 0:
            raise ConfigError(
                f'gan.noise is {self.noise}, gan.warm_up {self.warm_up}: expected 0 or more'
            )
        if self.rounds < 0 or self.round_steps < 1 or self.rounds and not self.alone:
            raise ConfigError(
                f'gan.rounds is {self.rounds}, gan.round_steps {self.round_steps}, gan.alone'
                f' {self.alone}: expected 0 or more, 1 or more, and alone above 0 for rounds'
            )


@dataclass(frozen=True)
class EncoderConfig:
    """Stage 2."""

    steps: int = 400
    """Optimisation steps; 0 leaves the pose encoder out."""
    joint: bool = False
    """Learn beside the generator, a step each, as Eq. 7 is written, for `gan.steps` steps instead
    of its own; otherwise after it."""
    batch: int = 32
    """Composites a step."""
    rate: float = 2e-4
    """Adam's highest learning rate; it rises for a twentieth of the steps and falls along a cosine.
    With 1e-3 the codes grew, the decoded places ended at the picture's rim, where they have no
    gradient, and nothing was learnt."""
    width: int = 64
    """Channels of the encoder's first layer, as in the paper. Most of a checkpoint's size is in it
    and in generator.latent: 32 of both make 4 MB of 17."""
    align_in: Literal['pose', 'latent'] = 'pose'
    """Where instances are matched and L_E^a compares them: z of 128 cannot be read back from six
    degrees of freedom, so pose compares Lambda(G_p(z)); latent is the paper's Eq. 4."""
    alignment: Method = 'exact'
    """How instances are matched: exact; ipot (the paper's optimal transport), greedy (its
    ablation)."""
    weight_align: float = 1.0
    """Weight of L_E^a (Eq. 4)."""
    weight_intermediate: float = 1.0
    """Lambda_1, weight of L_E^i."""
    weight_pose: float = 1.0
    """Lambda_2, weight of L_E^p (Eq. 5)."""
    pose_loss: Literal['l1', 'mse'] = 'l1'
    """Norm in L_E^p."""
    weight_real: float = 0.0
    """Weight of L_E^p on real height maps beside composites: the encoder teaches itself what
    generated pictures lack. 0 is the paper's."""

    def __post_init__(self) -> None:
        if self.steps < 0 or self.batch < 1 or self.width < 1:
            raise ConfigError(
                f'encoder.steps is {self.steps}, encoder.batch {self.batch}, encoder.width'
                f' {self.width}: expected 0 or more, and 1 or more of the others'
            )


@dataclass(frozen=True)
class InseganConfig:
    """What the two networks are."""

    instances: int = 5
    """Parts in a training image."""
    candidates: int = 1
    """Layouts drawn for every composite from which the pose encoder or the dense network learns, of
    which the least crowded is taken; 1 is the paper's. Parts in a bin keep each other away, and
    where they do an encoder learns in fewer steps."""
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    """Shape of the generator."""
    gan: GanConfig = field(default_factory=GanConfig)
    """Stage 1."""
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """Stage 2."""

    def __post_init__(self) -> None:
        if not 1 <= self.instances <= 50:
            raise ConfigError(
                f'insegan.instances is {self.instances}: expected 1 to 50; where the number is not'
                ' known, insegan train cutpaste needs none'
            )
        if self.candidates < 1:
            raise ConfigError(f'insegan.candidates is {self.candidates}: expected 1 or more')
        if self.generator.shape == '2d' and self.encoder.steps and self.encoder.align_in == 'pose':
            raise ConfigError(
                'generator.shape 2d has no pose to align in: expected encoder.align_in latent'
            )
        if self.gan.rounds and self.encoder.joint:
            raise ConfigError(
                f'gan.rounds is {self.gan.rounds}: expected 0 where encoder.joint lets the encoder'
                ' learn beside the generator, whose rounds would come after it'
            )
        if self.gan.rounds and (self.generator.composition, self.generator.placement) != (
            'z_order',
            'patch',
        ):
            raise ConfigError(
                f'gan.rounds is {self.gan.rounds}: expected generator.composition z_order and'
                ' placement patch, whose single renders can be compared with parts'
            )


def spread(scene: Scene, side_px: int) -> Tensor:
    """Mean over instances of the mean squared distance of what was rendered from where it was
    placed, in half sides of the square that one instance is rendered on: scalar. About .1 for a
    compact part, towards 1 for pieces at the rim."""
    size = scene.image.shape[-1]
    axis = ((torch.arange(size, device=scene.image.device) + 0.5) / size * 2 - 1) * size / side_px
    centre = scene.translation[..., :2].detach() * size / side_px
    mass = unsigned(scene.require_singles())
    squared_x, squared_y = ((axis - centre[..., i : i + 1]) ** 2 for i in (0, 1))
    moment = (mass * (squared_y[..., :, None] + squared_x[..., None, :])).sum((-1, -2))
    return (moment / (mass.sum((-1, -2)) + 1)).mean()


def soft_area(heights: Tensor) -> Tensor:
    """Differentiable number of pixels above the floor of (..., H, W) in [-1, 1]."""
    return torch.sigmoid(60 * (heights - signed(FOREGROUND_SHARE))).sum((-1, -2))


def unequal_area(singles: Tensor, share_px: float) -> Tensor:
    """Mean squared excess of the singles' areas (B, n, H, W) over 1.6 equal shares, or shortfall
    below half of one; scalar."""
    ratio = soft_area(singles) / share_px
    return ((0.5 - ratio).relu() ** 2 + (ratio - 1.6).relu() ** 2).mean()


class GanStage(Stage):
    """Stage 1. `images` (N, 1, 64, 64) in [-1, 1] on the device: unlabelled height maps; `crops`
    (M, 1, P, P): parts in them that lie alone, or None. Rounds after the first go on from the
    networks of the stage `before`."""

    generator: torch.nn.Module
    discriminator: torch.nn.Module

    def __init__(
        self,
        fabric: Fabric,
        config: InseganConfig,
        images: Tensor,
        crops: Tensor | None = None,
        round_: int = 0,
        before: GanStage | None = None,
    ) -> None:
        gan = config.gan
        self.name, self.steps = (f'gan-{round_}', gan.round_steps) if round_ else ('gan', gan.steps)
        self.config, self.images, self.images_per_step = config, images, gan.batch
        norm: Literal['spectral', 'instance'] = 'spectral' if gan.loss == 'hinge' else 'instance'
        generator = Generator(config.generator)
        discriminator = Discriminator(gan.discriminator_width, norm, gan.scope)
        if before is not None:
            generator.load_state_dict(before.generator.state_dict())
            discriminator.load_state_dict(before.discriminator.state_dict())
        self.average = copy.deepcopy(generator).to(fabric.device).requires_grad_(False)
        self.generator, self.optimiser_g = fabric.setup(
            generator, torch.optim.Adam(generator.parameters(), gan.rate, gan.betas)
        )
        self.discriminator, self.optimiser_d = fabric.setup(
            discriminator, torch.optim.Adam(discriminator.parameters(), gan.rate, gan.betas)
        )
        self.crops = crops if gan.alone and config.generator.placement == 'patch' else None
        self.alone: torch.nn.Module | None = None
        if self.crops is not None:
            # Their own sides, so that nothing but the shape can tell them apart from renders.
            side_px = config.generator.side_px
            alone = Discriminator(gan.discriminator_width, norm, gan.scope, side_px)
            if before is not None and before.alone is not None:
                alone.load_state_dict(before.alone.state_dict())
            self.alone, self.optimiser_alone = fabric.setup(
                alone, torch.optim.Adam(alone.parameters(), gan.rate, gan.betas)
            )
        # An equal share of the foreground: what one part covers, told by unlabelled images and
        # their number of parts.
        self.share_px = float(soft_area(images).mean()) / config.instances
        # The bare module: latents are sampled outside of the wrapped forward pass.
        self.sampler, self.fabric = generator, fabric

    def parts(self) -> dict[str, Any]:
        """Generator, discriminator, the generator's exponential moving average, and both
        optimisers."""
        parts = {
            'generator': self.generator,
            'discriminator': self.discriminator,
            'average': self.average,
            'optimiser_g': self.optimiser_g,
            'optimiser_d': self.optimiser_d,
        }
        if self.alone is None:
            return parts
        return {**parts, 'alone': self.alone, 'optimiser_alone': self.optimiser_alone}

    def step(self, index: int) -> dict[str, Tensor]:
        """One step of D on real and generated images, one of G through the new D, with the same
        composites."""
        gan, device = self.config.gan, self.images.device
        # A later round goes on with what the first one has balanced.
        warm_up, noise = (gan.warm_up, gan.noise) if self.name == 'gan' else (0, 0.0)
        for group in (*self.optimiser_g.param_groups, *self.optimiser_d.param_groups):
            group['lr'] = gan.rate * min(1, (index + 1) / max(warm_up, 1))
        world = self.fabric.world_size
        chosen = own_share(
            self.fabric, torch.randint(len(self.images), (world * gan.batch,), device=device)
        )
        # Quarter turns alone: a mirror image of a chiral part is another part.
        real = torch.rot90(self.images[chosen], int(torch.randint(4, ())), (2, 3))
        z = self.sampler.sample_latents(world * gan.batch, self.config.instances, gan.candidates)
        scene: Scene = self.generator(own_share(self.fabric, z))
        deviation = noise * (1 - index / self.steps)
        loss_d = self._loss_d(
            self.discriminator(self._noisy(real, deviation)),
            self.discriminator(self._noisy(scene.image.detach(), deviation)),
        )
        self.optimiser_d.zero_grad()
        self.fabric.backward(loss_d)
        self.optimiser_d.step()
        loss_g = self._loss_g(self.discriminator(self._noisy(scene.image, deviation)))
        total, losses = loss_g, {'L_D': loss_d.detach(), 'L_G': loss_g.detach()}
        if self.alone is not None and self.crops is not None and scene.patches is not None:
            losses['L_D alone'], fooled = self._step_alone(self.alone, self.crops, scene.patches)
            total = total + gan.alone * fooled
        if scene.singles is not None:
            total = (
                total
                + gan.compactness * spread(scene, self.config.generator.side_px)
                + gan.equal_area * unequal_area(scene.singles, self.share_px)
            )
        self.optimiser_g.zero_grad()
        # Gradients of the discriminators' weights are not used: a third of their backward pass.
        # Several processes must be asked for all, or DDP waits for them.
        wanted = list(self.generator.parameters()) if world == 1 else None
        self.fabric.backward(total, inputs=wanted)
        self.optimiser_g.step()
        average_into(self.average, self.generator, min(gan.average, index / (index + 10)))
        return losses

    def _noisy(self, images: Tensor, deviation: float) -> Tensor:
        """This process's images (B, 1, S, S) with its share of the noise."""
        if not deviation:
            return images
        drawn = (self.fabric.world_size * len(images), *images.shape[1:])
        return images + deviation * own_share(self.fabric, torch.randn(drawn, device=images.device))

    def _step_alone(
        self, alone: torch.nn.Module, crops: Tensor, patches: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One step of the discriminator of single parts on crops and renders (M, 1, P, P); its
        loss, and the generator's through the new one."""
        # Two parts of every image: a small picture costs little, and this one teaches most.
        some = patches.reshape(self.config.gan.batch, -1, *patches.shape[1:])[:, :2].flatten(0, 1)
        drawn = self.fabric.world_size * len(some)
        chosen = own_share(self.fabric, torch.randint(len(crops), (drawn,), device=patches.device))
        angle = own_share(self.fabric, 2 * torch.pi * torch.rand(drawn, device=patches.device))
        real = turned(crops[chosen], patches.shape[-1], angle=angle)
        loss = self._loss_d(alone(real), alone(some.detach()))
        self.optimiser_alone.zero_grad()
        self.fabric.backward(loss)
        self.optimiser_alone.step()
        return loss.detach(), self._loss_g(alone(some))

    def _loss_d(self, real: list[Tensor], fake: list[Tensor]) -> Tensor:
        return discriminator_loss(real, fake, self.config.gan.loss)

    def _loss_g(self, fake: list[Tensor]) -> Tensor:
        return generator_loss(fake, self.config.gan.loss)

    @torch.no_grad()
    def pictures(self) -> dict[str, Tensor]:
        """Real images, composites, and singles as one picture (1, h, w): the singles tell sooner
        than any loss."""
        z = self.average.sample_latents(8, self.config.instances, self.config.gan.candidates)
        singles = self.average.render_alone(z).flatten(0, 1)[:16]
        rows = [self.images[:8, 0], self.average(z).image[:, 0], singles]
        return {'real, composites, singles': tile(torch.cat(rows), 8)}


class EncoderStage(Stage):
    """Stage 2: the frozen generator's composites are read back to their latents; `images` (N, 1,
    64, 64) for `weight_real`."""

    name = 'encoder'

    def __init__(
        self,
        fabric: Fabric,
        config: InseganConfig,
        generator: Generator,
        images: Tensor | None = None,
    ) -> None:
        self.config = config
        self.fabric = fabric
        self.images_per_step, self.steps = config.encoder.batch, config.encoder.steps
        self.images = images
        self.generator = generator.eval().requires_grad_(False)
        encoder = PoseEncoder(
            config.instances,
            config.generator.latent,
            generator.feature_channels,
            generator.feature_side,
            config.encoder.width,
        )
        self.encoder, self.optimiser = fabric.setup(
            encoder, torch.optim.Adam(encoder.parameters(), config.encoder.rate)
        )
        self.schedule = one_cycle(self.optimiser, config.encoder.rate, config.encoder.steps)

    def parts(self) -> dict[str, Any]:
        """The encoder, its optimiser and the schedule of its rate."""
        return {'encoder': self.encoder, 'optimiser': self.optimiser, 'schedule': self.schedule}

    def step(self, index: int) -> dict[str, Tensor]:
        """One step of E by Eq. 6. G's weights take no gradient."""
        options = self.config.encoder
        device = next(self.generator.parameters()).device
        z = own_share(
            self.fabric,
            self.generator.sample_latents(
                self.fabric.world_size * options.batch,
                self.config.instances,
                self.config.candidates,
            ),
        )
        with torch.no_grad():
            scene = self.generator(z)
        z_hat, features = self.encoder(scene.image)
        again = self.generator(z_hat)
        losses = {'L_E^a': self._alignment_loss(z, z_hat, scene, again)}
        losses['L_E^i'] = mse_loss(features, scene.features)
        compare = l1_loss if options.pose_loss == 'l1' else mse_loss
        losses['L_E^p'] = compare(again.image, scene.image)
        total = (
            options.weight_align * losses['L_E^a']
            + options.weight_intermediate * losses['L_E^i']
            + options.weight_pose * losses['L_E^p']
        )
        if options.weight_real and self.images is not None:
            drawn = torch.randint(
                len(self.images), (self.fabric.world_size * options.batch,), device=device
            )
            real = torch.rot90(
                self.images[own_share(self.fabric, drawn)], int(torch.randint(4, ())), (2, 3)
            )
            losses['L_E^p real'] = compare(self.generator(self.encoder(real)[0]).image, real)
            total = total + options.weight_real * losses['L_E^p real']
        self.optimiser.zero_grad()
        self.fabric.backward(total)
        self.optimiser.step()
        self.schedule.step()
        return {name: loss.detach() for name, loss in losses.items()}

    def _alignment_loss(self, z: Tensor, z_hat: Tensor, scene: Scene, again: Scene) -> Tensor:
        if self.config.encoder.align_in == 'latent':
            target, found = z, z_hat
        else:
            target = torch.cat([scene.rotation.flatten(2), 3 * scene.translation], -1)
            found = torch.cat([again.rotation.flatten(2), 3 * again.translation], -1)
        order = align(torch.cdist(target, found) ** 2, self.config.encoder.alignment)
        return mse_loss(target, found.gather(1, order[..., None].expand_as(found)))

    @torch.no_grad()
    def pictures(self) -> dict[str, Tensor]:
        """Composites above, what the encoder makes of them below, as one picture (1, h, w)."""
        scene = self.generator(
            self.generator.sample_latents(8, self.config.instances, self.config.candidates)
        )
        again = self.generator(self.encoder(scene.image)[0])
        return {'composites, read back': tile(torch.cat([scene.image[:, 0], again.image[:, 0]]), 8)}
