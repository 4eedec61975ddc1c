"""An empty bin before a camera."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from insegan_ros.frame import Frame
from insegan_sim.scenes import bin_setup, photograph
from insegan_sim.sensor import load_sensor

SETUP = bin_setup('nut', realsense=(640, 480))


def empty(sensor: str = 'ideal', count: int = 3) -> list[Frame]:
    setup = replace(SETUP, sensor=load_sensor(sensor))
    return [
        photograph(setup, [], np.zeros((0, 4, 4)), np.random.default_rng(i)).frame
        for i in range(count)
    ]
