"""Batch normalisation on the CPU beside its definition in float64."""

import pytest
import torch
from torch import nn

from supsup.networks.batch_norm import _fits, channels_last, normalised

SHAPES = [(2, 1, 1, 1), (3, 5, 1, 1), (4, 1, 6, 7), (5, 20, 9, 9), (20, 3, 64, 64)]


def numbers(shape, seed, *, mean=0.0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")
    return channels_last(x + mean)


def defined(x, add, relu):
    """In float64, by autograd."""
    centred = x - x.mean((0, 2, 3), keepdim=True)
    y = centred / (centred.square().mean((0, 2, 3), keepdim=True) + 1e-5).sqrt()
    y = y if add is None else y + add
    return torch.relu(y) if relu else y


def with_gradients(run, tensors, pull):
    leaves = [each.detach().requires_grad_() for each in tensors]
    y = run(*leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, pull)]


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients_are_those_of_the_definition(shape, adds, relu):
    """Also of 81,920 pixels far from zero, which float32 cannot add up one by one."""
    tensors = [numbers(shape, 0, mean=3.0), *([numbers(shape, 1)] if adds else [])]
    assert all(map(_fits, tensors))
    pull = numbers(shape, 2)
    norm = nn.BatchNorm2d(shape[1], affine=False, track_running_stats=False)
    found = with_gradients(
        lambda x, add=None: normalised(norm, x, add=add, relu=relu), tensors, pull
    )
    expected = with_gradients(
        lambda x, add=None: defined(x, add, relu),
        [each.double() for each in tensors],
        pull.double(),
    )
    for one, other in zip(found, expected, strict=True):
        off = (one.double() - other).norm() / (other.norm() + 0.1 * pull.norm())
        assert float(off) < 2e-6


def test_a_gradient_may_lie_in_any_order():
    x, pull = numbers((5, 4, 3, 3), 0), numbers((5, 4, 3, 3), 1)
    norm = nn.BatchNorm2d(4, affine=False, track_running_stats=False)
    turned = [with_gradients(lambda x: normalised(norm, x), [x], p) for p in (pull, pull.clone())]
    spread = with_gradients(lambda x: normalised(norm, x), [x], pull.contiguous())
    for found in (turned[1], spread):
        assert all(map(torch.equal, found, turned[0]))


@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_follow_as_pytorchs_do(momentum):
    ours, plain = (nn.BatchNorm2d(6, affine=False, momentum=momentum) for _ in range(2))
    for seed in range(3):
        x = numbers((8, 6, 5, 5), seed, mean=seed)
        assert torch.allclose(normalised(ours, x, relu=False), plain(x), atol=1e-5)
    for name, buffer in ours.state_dict().items():
        torch.testing.assert_close(buffer, plain.state_dict()[name], msg=name)
    ours.eval()
    plain.eval()
    assert torch.allclose(normalised(ours, x, relu=False), plain(x), atol=1e-5)


def test_what_is_not_finite_stays_so():
    norm = nn.BatchNorm2d(2, affine=False, track_running_stats=False)
    x = numbers((4, 2, 3, 3), 0)
    x[0, 0, 0, 0] = float("nan")
    y = normalised(norm, x)
    assert bool(y[:, 0].isnan().all())
    assert bool(y[:, 1].isfinite().all())
