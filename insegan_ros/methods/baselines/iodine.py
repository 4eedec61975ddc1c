"""IODINE (Greff et al., ICML 2019), a baseline of InSeGAN's Table 1, on height maps: slots are
refined iteratively by the gradients of their own error."""

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
    """Number of slots: one for each part and one for the floor."""
    latent: int = 16
    """Length of a slot's code; the paper's is 64."""
    width: int = 24
    """Channels; the paper has 64."""
    rounds: int = 4
    """Refinement steps; the paper has 5."""
    spread: float = 0.15
    """Standard deviation of a pixel's height, given the slot that explains it, on the scale of [-1,
    1]."""


class Iodine(nn.Module):
    """The posterior q(z | x) starts from a learnt initial value and is refined by a network that
    sees the picture, the reconstructions, masks and errors, and their gradients."""

    # Channels of what the refinement network sees.
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
        """Posterior parameters (B, K, 2 latent) -> pictures and mask logits (B, K, 64, 64) of a
        sample, and the KL divergence (B,) from the prior."""
        mean, log_spread = code.chunk(2, -1)
        z = mean + log_spread.exp() * torch.randn_like(mean)
        decoded = self.decoder(z.flatten(0, 1))
        pictures, logits = (one.reshape(*code.shape[:2], 64, 64) for one in decoded)
        divergence = (0.5 * (mean**2 + (2 * log_spread).exp() - 1) - log_spread).sum((1, 2))
        return pictures, logits, divergence

    def _log_likelihood(self, image: Tensor, pictures: Tensor) -> Tensor:
        """The log-likelihood of every pixel under every slot, (B, K, 64, 64)."""
        spread = self.config.spread
        constant = math.log(spread * math.sqrt(2 * math.pi))
        return -0.5 * ((image - pictures) / spread) ** 2 - constant

    def refine(self, image: Tensor, train: bool) -> tuple[list[Tensor], Tensor]:
        """Negative ELBO (B,) after every refinement step, and the final masks (B, K, 64, 64) of
        images (B, 1, 64, 64). train: whether gradients flow from one step to the next."""
        batch, count = len(image), self.config.slots
        code, state = self.start.expand(batch, count, -1), None
        errors: list[Tensor] = []
        masks = image
        for index in range(self.config.rounds + 1):
            with torch.enable_grad():
                code = code if train else code.detach().clone().requires_grad_()
                pictures, logits, divergence = self._decode(code)
                likelihood = self._log_likelihood(image, pictures)
                whole = torch.logsumexp(logits.log_softmax(1) + likelihood, 1, keepdim=True)
                error = divergence - whole.sum((1, 2, 3))
                gradients: tuple[Tensor, ...] = ()
                if index < self.config.rounds:
                    gradients = torch.autograd.grad(
                        error.sum(), (code, pictures, logits), retain_graph=True
                    )
            errors.append(error)
            masks = mix(pictures, logits)[1]
            if index == self.config.rounds:
                break
            seen = self._seen(image, pictures, logits, likelihood, whole, gradients)
            gradient = self.norm_code(gradients[0].detach())
            features = [self.look(seen), code.detach().flatten(0, 1), gradient.flatten(0, 1)]
            state = self.memory(torch.cat(features, 1), state)
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
        """The input of the refinement network, (B K, 11, 64, 64), detached: no gradient flows back
        through it. whole (B, 1, 64, 64): the pixels' log-likelihood under all slots; gradients: of
        the error by code, pictures and logits."""
        count = pictures.shape[1]
        masks = logits.softmax(1)
        posterior = likelihood.softmax(1)
        # The pixels' log-likelihood without the slot itself.
        own = torch.eye(count, device=image.device, dtype=torch.bool)[None, :, :, None, None]
        weighted = (logits.log_softmax(1) + likelihood)[:, None]
        others = torch.logsumexp(torch.where(own, -1e4, weighted), 2)

        def flat(value: Tensor) -> Tensor:
            """Values (B, 1 or K, 64, 64) as (B K, 1, 64, 64)."""
            return value.detach().expand(-1, count, -1, -1).flatten(0, 1)[:, None]

        def norm(value: Tensor) -> Tensor:
            """The same, normalised."""
            return self.norm_gradient(flat(value))

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
                norm(whole),
                norm(others),
                where,
            ],
            1,
        )

    def losses(self, image: Tensor) -> dict[str, Tensor]:
        """The negative ELBO a pixel of images (B, 1, 64, 64), a scalar: its mean over the
        refinement steps, of which later ones have a larger weight (Eq. 7)."""
        errors, _ = self.refine(image, True)
        weights = torch.arange(1, len(errors) + 1, device=image.device) / len(errors)
        error = (torch.stack(errors, 1) * weights).sum(1).mean() / weights.sum()
        return {'negative ELBO': error / image[0].numel()}

    def divide(self, image: Tensor) -> Tensor:
        """image (1, 1, 64, 64) -> the slot with the largest mask at every pixel, (64, 64)
        int64."""
        return self.refine(image, False)[1][0].argmax(0)
