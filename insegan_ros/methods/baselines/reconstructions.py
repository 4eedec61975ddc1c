"""The baselines that learn by explaining their input: one interface, `losses(image)` in training
and `divide(image)` afterwards."""

from __future__ import annotations

from insegan_ros.methods.baselines.iodine import Iodine, IodineConfig
from insegan_ros.methods.baselines.point_template import PointTemplate, PointTemplateConfig
from insegan_ros.methods.baselines.slot_attention import SlotAttention, SlotAttentionConfig

# method -> (network, its configuration)
RECONSTRUCTIONS = {
    'slot-attention': (SlotAttention, SlotAttentionConfig),
    'iodine': (Iodine, IodineConfig),
    'point-template': (PointTemplate, PointTemplateConfig),
}
