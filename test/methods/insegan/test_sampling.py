import roma
import torch

from insegan_ros.methods.insegan.sampling import moved_columns, transform_volume


def test_columns_are_the_moved_volume_and_have_its_gradients():
    torch.manual_seed(0)
    volume = torch.randn(3, 6, 6, 6, dtype=torch.double, requires_grad=True)
    turn = torch.randn(4, 3, dtype=torch.double, requires_grad=True)
    # Parts of the cubes, and all of the last one, lie outside of the volume.
    shift = torch.tensor([[0.0, 0, 0], [0.4, -0.9, 0.1], [0.9, 0.9, -0.9], [5.0, 0, 0]])
    shift = shift.double().requires_grad_()
    moved = transform_volume(volume, roma.rotvec_to_rotmat(turn), shift, 5)
    expected = moved.permute(0, 3, 4, 2, 1).flatten(3)
    columns = moved_columns(volume, roma.rotvec_to_rotmat(turn), shift, 5)
    torch.testing.assert_close(columns, expected)
    assert bool((columns[3] == 0).all()) and bool((columns[2] == 0).any())
    weight = torch.randn_like(columns)
    asked = (volume, turn, shift)
    torch.testing.assert_close(
        torch.autograd.grad(columns, asked, weight), torch.autograd.grad(expected, asked, weight)
    )


def test_a_quarter_turn_permutes_the_columns():
    volume = torch.arange(64.0).reshape(1, 4, 4, 4)
    turn = roma.rotvec_to_rotmat(torch.tensor([[0.0, 0, torch.pi / 2]]))
    columns = moved_columns(volume, turn, torch.zeros(1, 3), 4)[0]
    # (x, y) -> (-y, x): what stood to the right stands below.
    expected = torch.rot90(volume[0], -1, (1, 2)).permute(1, 2, 0)
    torch.testing.assert_close(columns, expected, atol=1e-4, rtol=0)


def test_half_precision_changes_nothing_of_where_a_voxel_is():
    torch.manual_seed(0)
    volume, turn = torch.randn(4, 16, 16, 16), roma.random_rotmat(3)
    shift = torch.randn(3, 3) * 0.2
    expected = moved_columns(volume, turn, shift, 16)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(moved_columns(volume, turn, shift, 16), expected)
        halved = moved_columns(volume.bfloat16(), turn, shift, 16)
    assert halved.dtype == torch.float32
    torch.testing.assert_close(halved, expected, atol=0.03, rtol=0)
