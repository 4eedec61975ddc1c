"""InSeGAN's generator by itself, without an encoder: the instances that explain a picture are
searched for among thousands that it can render.

What the paper composes as an average explains a picture as well by wrong instances as by right
ones. Here the instances are compared with the picture as rendered alone, the highest at every
pixel, as parts hide one another in a bin.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import CheckpointError
from insegan_ros.heights import FOREGROUND_SHARE, IMAGE_SIZE, unsigned
from insegan_ros.methods.insegan.generator import Generator
from insegan_ros.methods.insegan.segmenter import GeneratorSegmenter, nearest_owners
from insegan_ros.segmenters.square import Division

# So many codes are drawn; each is rendered once, and stands for itself after quarter turns, which
# leave the bin as it is, and LIFTS, shares of the height scale: a part may lie on others.
CODES, TURNS, LIFTS = 4000, 4, (0.0, 0.15, 0.3, 0.45)
# All of an instance that stands as high as this share is lifted, its edge less.
EDGE = 0.1
# Of all candidates one in so many is tried on a picture, those of which least stands above what is
# seen; of these so many at full resolution; and each instance is chosen anew so many times.
ONE_IN, FINE, ROUNDS = 3, 200, 6
# An instance must explain this share of what one does by itself, or its place stays empty.
LEAST = 0.05
# Side in px of the square over which an instance's error is averaged where it must be told who owns
# a pixel, and the error of one that is not rendered there.
AROUND_PX, ABSENT = 7, 0.5


class Bank:
    """Candidates: instances of the generator, rendered alone on (S, S), and one that is empty.

    The empty one is the last of the codes. A candidate's number is its code, plus (codes + 1) for
    every quarter turn, plus TURNS * (codes + 1) for every lift.
    """

    def __init__(self, generator: Generator, instances: int, codes: int, seed: int = 0) -> None:
        draw = torch.Generator().manual_seed(seed)
        z = torch.randn(codes, 1, generator.config.latent, generator=draw).to(generator.device)
        heights = [
            unsigned(generator.render_alone(some, among=instances)[:, 0]) for some in z.split(64)
        ]
        nothing = torch.zeros(1, IMAGE_SIZE, IMAGE_SIZE, device=generator.device)
        # Half precision tells a thousandth of the height scale apart.
        self.heights = torch.cat([*heights, nothing]).clamp(0, 1).half()
        self.empty = codes
        self.rotations: Tensor | None = None
        if generator.config.shape != '2d':
            turns = generator.pose_decoder(z)[0][:, 0]
            self.rotations = torch.cat([turns, torch.eye(3, device=z.device)[None]])
        count = len(self.heights) * TURNS * len(LIFTS)
        self.small = torch.cat(
            [_halved(self.pictures(some)).half() for some in torch.arange(count).split(1024)]
        )
        self.mass = self.small.sum((1, 2), dtype=torch.float32)
        # What an instance by itself adds to a picture's mean height.
        self.usual = float(self.heights[:codes].float().mean())

    def pictures(self, numbers: Tensor) -> Tensor:
        """Heights (K, S, S), in shares of the scale, of candidates (K,)."""
        code, turn, lift = self._parts(numbers)
        out = self.heights[code].float()
        for quarters in range(1, TURNS):
            out[turn == quarters] = torch.rot90(out[turn == quarters], quarters, (1, 2))
        raised = torch.tensor(LIFTS, device=out.device)[lift][:, None, None]
        return out + raised * (out / EDGE).clamp(max=1)

    def rotations_of(self, numbers: Tensor) -> Tensor | None:
        """How the template of candidates (K,) is turned, (K, 3, 3) by the picture's axes; None
        where there is no template."""
        if self.rotations is None:
            return None
        code, turn, _ = self._parts(numbers)
        # A picture that is turned from its second axis towards its first.
        quarter = self.rotations.new_tensor([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
        powers = torch.stack([torch.linalg.matrix_power(quarter, k) for k in range(TURNS)])
        return powers[turn] @ self.rotations[code]

    def _parts(self, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        numbers = numbers.to(self.heights.device)
        rest = numbers // len(self.heights)
        return numbers % len(self.heights), rest % TURNS, rest // TURNS


def _halved(pictures: Tensor) -> Tensor:
    """(K, S, S) at half the resolution."""
    return avg_pool2d(pictures[:, None], 2)[:, 0]


class _Search:
    """The search in one picture (S, S), in shares of the height scale."""

    def __init__(self, bank: Bank, seen: Tensor) -> None:
        self.bank, self.seen, self.seen_small = bank, seen, _halved(seen[None])[0]
        # Whatever hides it, an instance never stands higher than what is seen.
        above = torch.cat(
            [
                (some.float() - self.seen_small).relu_().sum((1, 2))
                for some in bank.small.split(8192)
            ]
        )
        above /= bank.mass.clamp(min=1e-6)
        self.numbers = above.topk(max(len(above) // ONE_IN, 1), largest=False).indices
        self.small = bank.small[self.numbers].float()

    def best(self, others: list[int]) -> tuple[int, float]:
        """The candidate that explains most beside the others, and the error that is left, a mean
        over the picture."""
        beside = self.bank.pictures(torch.tensor(others or [self.bank.empty])).amax(0)
        beside_small = _halved(beside[None])[0]
        rough = torch.maximum(self.small, beside_small).sub_(self.seen_small).abs_().mean((1, 2))
        near = rough.topk(min(FINE, len(rough)), largest=False).indices
        pictures = self.bank.pictures(self.numbers[near])
        errors = (torch.maximum(pictures, beside) - self.seen).abs().mean((1, 2))
        error, index = errors.min(0)
        without = (beside - self.seen).abs().mean()
        if without - error < LEAST * self.bank.usual:
            return self.bank.empty, float(without)
        return int(self.numbers[near[index]]), float(error)


def explain(bank: Bank, seen: Tensor, count: int) -> Tensor:
    """The candidates (count,) whose highest at every pixel is nearest to a picture (S, S) in shares
    of the height scale: one is found after the other, then each anew beside all others until
    nothing is gained. What is not needed is empty."""
    search = _Search(bank, seen)
    chosen: list[int] = []
    for _ in range(count):
        chosen.append(search.best(chosen)[0])
    last = float('inf')
    for _ in range(ROUNDS):
        for index in range(count):
            chosen[index], error = search.best(chosen[:index] + chosen[index + 1 :])
        if error >= last:
            break
        last = error
    return torch.tensor(chosen, device=seen.device)


def owners_by_error(heights: Tensor, seen: Tensor) -> Tensor:
    """Which of the instances (n, S, S) owns each pixel, (S, S) int64: the one whose height is
    nearest to what is seen, (S, S), in a small square around; where none is rendered, the one that
    does so nearest by; -1 everywhere where none is rendered at all."""
    error = (heights - seen).abs()
    absent = heights <= FOREGROUND_SHARE / 2
    error = torch.where(absent, error.clamp(min=ABSENT), error)
    around = avg_pool2d(error[:, None], AROUND_PX, 1, AROUND_PX // 2, count_include_pad=False)[:, 0]
    least, owner = around.min(0)
    return nearest_owners(torch.where(least < ABSENT, owner + 1, 0))


class SearchedInSeGANSegmenter(GeneratorSegmenter):
    """InSeGAN without its encoder: a picture's instances are searched for among those that the
    generator renders. Some seconds an image on one CPU core; fewer parts than in training are
    found as such."""

    def __init__(
        self, checkpoint: Checkpoint, device: str = 'auto', min_height: float = 0.08
    ) -> None:
        super().__init__(checkpoint, device, min_height)
        if not self.generator.config.renders_alone:
            raise CheckpointError(
                'a 2-D generator of averaged pictures renders a single instance as many times too'
                ' high as there are instances: expected one of shape 3d, or segmenter insegan'
            )
        with torch.no_grad():
            self.bank = Bank(self.generator, self.slots, CODES)

    @torch.no_grad()
    def divide(self, image: Tensor) -> Division:
        """An image (1, 1, 64, 64) by the instances that explain it, with their hidden parts, and
        how the template is turned."""
        seen = unsigned(image[0, 0])
        chosen = explain(self.bank, seen, self.slots)
        heights = self.bank.pictures(chosen)
        return Division(
            owners_by_error(heights, seen),
            heights > FOREGROUND_SHARE,
            self.bank.rotations_of(chosen),
        )
