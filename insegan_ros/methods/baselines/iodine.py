"""IODINE (Greff et al., ICML 2019), a baseline of InSeGAN's Table 1, on height maps: slots refined
by the gradients of their own error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from insegan_ros.methods.baselines.slots import BroadcastDecoder, coordinates, mix


@dataclass(frozen=True)
class IodineConfig:
    """Shape of the network."""

    slots: int = 6
    """Slots: the parts and the floor."""
    latent: int = 16
    """Length of a slot's code; the paper's size is 64."""
    width: int = 24
    """Channels; the paper's size is 64."""
    rounds: int = 4
    """Rounds of refinement; the paper has 5."""
    spread: float = 0.15
    """Standard deviation of the picture around the slots' mixture."""


class Iodine(nn.Module):
    """q(z | x) is refined from the prior's mean by a network that sees the picture, the masks, the
    errors and the gradients."""

    SEEN = 11

    def __init__(self, config: IodineConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.decoder = BroadcastDecoder(config.latent, width)
        self.start = nn.Parameter(
            torch.cat([torch.zeros(config.latent), torch.full((config.latent,), -1.0)])
        )
        self.look = nn.Sequential(
            *(
                layer
                for index in range(3)
                for layer in (
                    nn.Conv2d(self.SEEN if index == 0 else width, width, 3, 2, 1),
                    nn.ELU(),
                )
            ),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(16 * width, 4 * width),
            nn.ELU(),
        )
        self.memory = nn.LSTMCell(4 * width + 4 * config.latent, 4 * width)
        self.change = nn.Linear(4 * width, 2 * config.latent)
        self.norm_gradient = nn.LayerNorm([1, 64, 64], elementwise_affine=False)
        self.norm_code = nn.LayerNorm(2 * config.latent, elementwise_affine=False)

    def _decode(self, code: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Posterior parameters (B, K, 2 latent) -> a sample's pictures and mask logits (B, K, 64,
        64) and the KL divergence (B,)."""
        mean, log_spread = code.chunk(2, -1)
        z = mean + log_spread.exp() * torch.randn_like(mean)
        pictures, logits = self.decoder(z.flatten(0, 1))
        divergence = (0.5 * (mean**2 + (2 * log_spread).exp() - 1) - log_spread).sum((1, 2))
        return (
            pictures.reshape(*code.shape[:2], 64, 64),
            logits.reshape(*code.shape[:2], 64, 64),
            divergence,
        )

    def _log_likelihood(self, image: Tensor, pictures: Tensor) -> Tensor:
        """Of every pixel under every slot, (B, K, 64, 64)."""
        return -0.5 * ((image - pictures) / self.config.spread) ** 2 - math.log(
            self.config.spread * math.sqrt(2 * math.pi)
        )

    def refine(self, image: Tensor, train: bool) -> tuple[list[Tensor], Tensor]:
        """Negative ELBO (B,) after every round, and the last masks (B, K, 64, 64)."""
        batch, count = len(image), self.config.slots
        code, state = self.start.expand(batch, count, -1), None
        errors: list[Tensor] = []
        masks = image
        for index in range(self.config.rounds + 1):
            with torch.enable_grad():
                # Outside of training nothing flows from one round to the next.
                code = code if train else code.detach().clone().requires_grad_()
                pictures, logits, divergence = self._decode(code)
                likelihood = self._log_likelihood(image, pictures)
                whole = torch.logsumexp(logits.log_softmax(1) + likelihood, 1, keepdim=True)
                error = divergence - whole.sum((1, 2, 3))
                gradients = (
                    torch.autograd.grad(error.sum(), (code, pictures, logits), retain_graph=True)
                    if index < self.config.rounds
                    else ()
                )
            errors.append(error)
            masks = mix(pictures, logits)[1]
            if index == self.config.rounds:
                break
            seen = self._seen(image, pictures, logits, likelihood, whole, gradients)
            found = torch.cat(
                [
                    self.look(seen),
                    code.detach().flatten(0, 1),
                    self.norm_code(gradients[0].detach()).flatten(0, 1),
                ],
                1,
            )
            state = self.memory(found, state)
            code = code + self.change(state[0]).reshape(code.shape)
        return errors, masks

    def _seen(
        self,
        image: Tensor,
        pictures: Tensor,
        logits: Tensor,
        likelihood: Tensor,
        whole: Tensor,
        gradients: tuple[Tensor, ...],
    ) -> Tensor:
        """What the refinement network looks at, (B K, 11, 64, 64): no gradient flows back through
        it."""
        count = pictures.shape[1]
        masks = logits.softmax(1)
        posterior = likelihood.softmax(1)
        others = torch.logsumexp(
            torch.where(
                torch.eye(count, device=image.device, dtype=torch.bool)[None, :, :, None, None],
                -1e4,
                (logits.log_softmax(1) + likelihood)[:, None],
            ),
            2,
        )
        norm = lambda value: self.norm_gradient(value.detach().flatten(0, 1)[:, None])
        flat = lambda value: value.detach().expand(-1, count, -1, -1).flatten(0, 1)[:, None]
        where = coordinates(64, 64, image.device).expand(len(image) * count, -1, -1, -1)
        return torch.cat(
            [
                flat(image),
                flat(pictures),
                flat(masks),
                flat(logits),
                flat(posterior),
                norm(gradients[1]),
                norm(gradients[2]),
                norm(whole.expand(-1, count, -1, -1)),
                norm(others),
                where,
            ],
            1,
        )

    def losses(self, image: Tensor) -> dict[str, Tensor]:
        """Negative ELBO a pixel, later rounds weighing more (Eq. 7)."""
        errors, _ = self.refine(image, True)
        weights = torch.arange(1, len(errors) + 1, device=image.device) / len(errors)
        return {
            'negative ELBO': (
                (torch.stack(errors, 1) * weights).sum(1).mean() / weights.sum() / image[0].numel()
            )
        }

    def divide(self, image: Tensor) -> Tensor:
        """image (1, 1, 64, 64) -> the slot that explains every pixel (64, 64)."""
        return self.refine(image, False)[1][0].argmax(0)
