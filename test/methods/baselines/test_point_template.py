"""The point template hides what lies below."""

from __future__ import annotations

import torch

from insegan_ros.methods.baselines.point_template import PointTemplate, PointTemplateConfig


def test_the_point_template_hides_what_lies_below():
    model = PointTemplate(PointTemplateConfig(instances=2, template=1))
    placed = torch.tensor(
        [[[[0.0, 0.0, 0.2]], [[0.01, 0.01, 0.6]]], [[[0.0, 0.0, 0.2]], [[0.7, 0.7, 0.6]]]]
    )
    assert model.visible(placed).tolist() == [[False, True], [True, True]]
    picture = torch.full((1, 1, 64, 64), -1.0)
    picture[0, 0, 8:24, 10:26], picture[0, 0, 36:52, 30:46] = 0.4, 0.4
    cloud = model.cloud(picture)
    assert cloud.shape == (1, 512, 3) and (cloud[..., 2] > 0).all()
