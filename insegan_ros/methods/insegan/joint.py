"""InSeGAN's Eq. 7 as it is written: generator, discriminator and encoder learn together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lightning.fabric import Fabric
from torch import Tensor

from insegan_ros.engine.loop import Stage
from insegan_ros.methods.insegan.stages import EncoderStage, GanStage, InseganConfig


class JointStage(Stage):
    """The first two stages as one: in each step D and G learn as in GanStage, then E learns to
    invert what G has become, whose weights it leaves as they are. That is G's moving average, and G
    itself where `gan.average` is 0."""

    name = 'joint'

    def __init__(
        self, fabric: Fabric, config: InseganConfig, images: Tensor, crops: Tensor | None = None
    ) -> None:
        encoder = replace(config.encoder, steps=config.gan.steps)
        self.gan = GanStage(fabric, config, images, crops)
        self.inverse = EncoderStage(
            fabric, replace(config, encoder=encoder), self.gan.average, images
        )
        self.steps = config.gan.steps
        self.images_per_step = self.gan.images_per_step + self.inverse.images_per_step

    def parts(self) -> dict[str, Any]:
        """Those of both stages."""
        of_e = {f'{name}_e': part for name, part in self.inverse.parts().items()}
        return {**self.gan.parts(), **of_e}

    def step(self, index: int) -> dict[str, Tensor]:
        """One step of D, of G, and of E."""
        return {**self.gan.step(index), **self.inverse.step(index)}

    def pictures(self) -> dict[str, Tensor]:
        """Those of both stages."""
        return {**self.gan.pictures(), **self.inverse.pictures()}
