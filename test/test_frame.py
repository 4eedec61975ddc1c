import numpy as np
import pytest

from insegan_ros.errors import InputError
from insegan_ros.frame import Frame, Instances, Intrinsics


def test_frame_refuses_depth_of_another_size_than_its_camera(camera):
    with pytest.raises(InputError, match=r'64x48 but its camera_info says 160x120'):
        Frame(np.zeros((48, 64), np.float32), camera)


def test_frame_refuses_millimetres_as_integers(camera):
    with pytest.raises(InputError, match='expected float32 metres'):
        Frame(np.zeros((120, 160), np.uint16), camera)


def test_uncalibrated_camera_is_refused_in_words():
    with pytest.raises(InputError, match='uncalibrated'):
        Intrinsics(0.0, 0.0, 0.0, 0.0, 640, 480)


def test_rays_project_back_to_their_pixels(camera):
    rays = camera.rays()
    projected = rays @ camera.matrix.T
    assert np.allclose(projected[17, 91, :2], (91, 17), atol=1e-4)
    assert (rays[..., 2] == 1).all()


def test_instances_need_a_score_each():
    labels = np.zeros((4, 4), np.uint16)
    labels[0, 0] = 2
    with pytest.raises(InputError, match='labels go up to 2 but there are 1 scores'):
        Instances(labels, np.ones(1, np.float32))
    masks = Instances(labels, np.ones(2, np.float32)).masks()
    assert masks.shape == (2, 4, 4) and masks[1, 0, 0] and masks.sum() == 1
