"""The baselines that learn to reconstruct their input from a few slots, by the name of their
method. They share one interface: `losses(image)` in training, `divide(image)` afterwards."""

from __future__ import annotations

from typing import Any

from insegan_ros.methods.baselines.iodine import Iodine, IodineConfig
from insegan_ros.methods.baselines.point_template import PointTemplate, PointTemplateConfig
from insegan_ros.methods.baselines.slot_attention import SlotAttention, SlotAttentionConfig

# method -> (network, its configuration)
RECONSTRUCTIONS: dict[str, tuple[type[Any], type[Any]]] = {
    'slot-attention': (SlotAttention, SlotAttentionConfig),
    'iodine': (Iodine, IodineConfig),
    'point-template': (PointTemplate, PointTemplateConfig),
}
