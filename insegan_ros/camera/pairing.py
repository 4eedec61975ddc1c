"""Depth and colour of the same moment, from two subscriptions or two topics of a recording:
messages with a header."""

from __future__ import annotations

from collections import deque
from typing import Any

from insegan_ros.camera.messages import stamp_ns

KEPT = 8
# Stamps that fall back by more come from a clock that was set back, such as a recording that begins
# again.
JUMP_NS = 1_000_000_000


class Pairing:
    """Pairs the newest depth image with the colour image whose stamp is nearest, if within the
    slop. Images of one RealSense have equal stamps; whichever comes first waits for the other. An
    unpaired depth image is replaced by the next."""

    def __init__(self) -> None:
        self.waiting: Any = None
        self.colours: deque[Any] = deque(maxlen=KEPT)

    def depth(self, image: Any, slop_s: float) -> tuple[Any, Any] | None:
        """A depth image has come: the pair, or None if its colour is not there yet."""
        stamp = stamp_ns(image.header)
        # The latest of equally near ones.
        near = [
            one
            for one in reversed(self.colours)
            if abs(stamp_ns(one.header) - stamp) <= slop_s * 1e9
        ]
        if near:
            self.waiting = None
            return image, min(near, key=lambda one: abs(stamp_ns(one.header) - stamp))
        self.waiting = image
        return None

    def colour(self, image: Any, slop_s: float) -> tuple[Any, Any] | None:
        """A colour image has come: the pair, or None if no depth image waits for it."""
        stamp = stamp_ns(image.header)
        if self.colours and stamp < stamp_ns(self.colours[-1].header) - JUMP_NS:
            self.colours.clear()
        self.colours.append(image)
        if self.waiting is None or abs(stamp_ns(self.waiting.header) - stamp) > slop_s * 1e9:
            return None
        depth, self.waiting = self.waiting, None
        return depth, image
