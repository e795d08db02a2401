import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskstore.errors import InvalidInput
from maskstore.packed import PackedMasks
from supsup import Backbone
from supsup.inference import (
    METHODS,
    Binary,
    Entropy,
    Exhaustive,
    Hybrid,
    Logits,
    MaskBank,
    OneShot,
    Superfluous,
)
from supsup.inference.kernels import CpuKernels, TorchKernels
from supsup.inference.methods import parse_method
from supsup.inference.query import Query
from tests.supsup.helpers import ConvNet
from tests.supsup.inference.helpers import (
    BY_MASKS,
    brute_gradient,
    brute_logits,
    images,
    odd_net,
    random_masks,
)

pytestmark = pytest.mark.usefixtures("kernels")

cases = st.tuples(
    st.integers(1, 70),
    st.integers(1, 5),
    st.sampled_from([0.05, 0.5]),
    st.booleans(),
    st.integers(0, 1000),
)


def problem(case):
    count, batch, density, per_image, seed = case
    backbone = odd_net()
    masks, x = random_masks(backbone, count, density=density, seed=seed), images(batch, seed=seed)
    groups = [x[at : at + 1] for at in range(batch)] if per_image else [x]
    return backbone, masks, x, groups, per_image


def best(evidence: np.ndarray) -> float:
    return float(evidence.max())


@settings(max_examples=12, deadline=None)
@given(cases)
def test_exhaustive_is_the_lowest_objective(case):
    backbone, masks, x, groups, per_image = problem(case)
    bank = MaskBank(backbone, masks, classes=3)
    for objective in (Entropy(), Superfluous()):
        found = Exhaustive().evidence(
            Query(bank=bank, x=x, objective=objective, per_image=per_image)
        )
        for row, group in zip(found, groups, strict=True):
            values = objective(brute_logits(backbone, group, masks), 3).mean(1)
            np.testing.assert_allclose(row, -values.numpy(), rtol=1e-4, atol=1e-5)


@settings(max_examples=12, deadline=None)
@given(cases)
def test_logits_is_the_largest_class_logit(case):
    backbone, masks, x, groups, per_image = problem(case)
    bank = MaskBank(backbone, masks, classes=3)
    found = Logits().evidence(Query(bank=bank, x=x, objective=Entropy(), per_image=per_image))
    for row, group in zip(found, groups, strict=True):
        values = brute_logits(backbone, group, masks)[..., :3].max(-1).values.mean(1)
        np.testing.assert_allclose(row, values.numpy(), rtol=1e-4, atol=1e-5)


def brute_binary(backbone, x, masks, objective, base, keep_median=True):
    """Algorithm 2 by hand: rounds of autograd over the survivors."""
    left = list(range(len(masks)))
    rounds = 0
    while len(left) > 1:
        slope = brute_gradient(backbone, x, masks, objective, 3, left)
        keep = -(-len(left) // base) if keep_median else max(1, len(left) // base)
        order = sorted(range(len(left)), key=lambda at: (slope[at], at))
        left = sorted(left[at] for at in order[:keep])
        rounds += 1
    return left[0], rounds


@settings(max_examples=12, deadline=None)
@given(cases, st.integers(2, 5))
def test_binary_is_rounds_of_one_shot(case, base):
    backbone, masks, x, groups, per_image = problem(case)
    bank = MaskBank(backbone, masks, classes=3)
    found = Binary(base=base).evidence(
        Query(bank=bank, x=x, objective=Entropy(), per_image=per_image)
    )
    for row, group in zip(found, groups, strict=True):
        expected, rounds = brute_binary(backbone, group, masks, Entropy(), base)
        assert base**rounds >= len(masks)
        # Gradients that agree to rounding may swap two masks; then their evidence is equal.
        assert row[expected] == pytest.approx(best(row), rel=1e-4, abs=1e-9)
        assert 1 <= np.isfinite(row).sum() <= base


@pytest.mark.parametrize(("count", "last"), [(3, 1), (5, 2), (7, 1), (11, 2)])
def test_binary_without_the_median_is_the_papers_text(count, last):
    backbone, masks, x = odd_net(), random_masks(odd_net(), count), images(4)
    query = Query(bank=MaskBank(backbone, masks), x=x, objective=Entropy(), per_image=False)
    kept, dropped = Binary().evidence(query)[0], Binary(keep_median=False).evidence(query)[0]
    for evidence, keep_median in ((kept, True), (dropped, False)):
        expected, _ = brute_binary(backbone, x, masks, Entropy(), 2, keep_median)
        assert evidence.argmax() == expected
    assert [int(np.isfinite(each).sum()) for each in (kept, dropped)] == [2, last]
    # What is kept is what torch's median keeps, as in the paper's code.
    slopes = torch.from_numpy(brute_gradient(backbone, x, masks, Entropy(), 3))
    assert int((slopes <= slopes.median()).sum()) == -(-count // 2)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 65])
@pytest.mark.parametrize("base", [2, 3, 10])
def test_binary_ends_where_all_masks_tie(count, base, kernels):
    backbone = odd_net()
    one = random_masks(backbone, 1)
    same = PackedMasks(
        layout=one.layout,
        names=tuple(map(str, range(count))),
        bits=np.repeat(one.bits, count, axis=0),
    )
    found = Binary(base=base).evidence(
        Query(bank=MaskBank(backbone, same), x=images(2), objective=Entropy(), per_image=True)
    )
    assert (np.isfinite(found).sum(1) <= base).all()
    if kernels is CpuKernels:  # others' sums of equal masks may differ by rounding
        assert found.argmax(1).tolist() == [0, 0]


@settings(max_examples=12, deadline=None)
@given(cases, st.integers(1, 80))
def test_hybrid_is_exhaustive_on_the_masks_that_stand_out(case, size):
    backbone, masks, x, _, per_image = problem(case)
    bank = MaskBank(backbone, masks, classes=3)
    slopes = OneShot().evidence(Query(bank=bank, x=x, objective=Superfluous(), per_image=per_image))
    exact = Exhaustive().evidence(
        Query(bank=bank, x=x, objective=Superfluous(), per_image=per_image)
    )
    found = Hybrid(shortlist=size).evidence(
        Query(bank=bank, x=x, objective=Superfluous(), per_image=per_image)
    )
    for row, slope, value in zip(found, slopes, exact, strict=True):
        listed = np.flatnonzero(np.isfinite(row))
        assert len(listed) == min(size, len(masks))
        others = np.setdiff1d(np.arange(len(masks)), listed)
        if len(others):
            best = np.sort(slope)[::-1]
            ends = [*best[: size - size // 2], *best[len(best) - size // 2 :]]
            assert sorted(slope[listed]) == sorted(ends)
        np.testing.assert_allclose(row[listed], value[listed], rtol=1e-4, atol=1e-5)


def test_the_right_mask_is_found_by_every_method():
    # Masks that differ in density: the wrong ones leave nearly nothing and say nothing.
    backbone = odd_net()
    layout = backbone.layout
    masks = random_masks(backbone, 9, density=0.02)
    bits = masks.bits.copy()
    bits[6] = layout.pack({name: np.ones(shape, bool) for name, shape in layout.shapes.items()})
    bank = MaskBank(backbone, PackedMasks(layout=layout, names=masks.names, bits=bits))
    for name in BY_MASKS:
        found = parse_method(name).evidence(
            Query(bank=bank, x=images(40) * 5, objective=Entropy(), per_image=False)
        )
        assert found.argmax() == 6, name


def test_any_module():
    backbone = Backbone.from_module(ConvNet(outputs=5), seed=3, statistics="batch")
    masks, x = random_masks(backbone, 12), images(6, 1, 4, 4)
    bank = MaskBank(backbone, masks)
    found = Exhaustive().evidence(Query(bank=bank, x=x, objective=Entropy(), per_image=True))
    values = Entropy()(brute_logits(backbone, x, masks), 5)
    np.testing.assert_allclose(found, -values.T.numpy(), rtol=1e-4, atol=1e-5)
    for name in BY_MASKS:
        assert parse_method(name).evidence(
            Query(bank=bank, x=x, objective=Entropy(), per_image=False)
        ).shape == (1, 12)


def test_sparse_and_dense_sweeps_agree():
    backbone = odd_net()
    masks = random_masks(backbone, 20, density=0.05)
    bank = MaskBank(backbone, masks, kernels=CpuKernels())
    dense = MaskBank(backbone, masks, kernels=TorchKernels())
    assert bank.sparse is not None
    assert dense.sparse is None
    for x in (images(1), images(7)):
        one, two = (
            Exhaustive().evidence(Query(bank=b, x=x, objective=Entropy(), per_image=True))
            for b in (bank, dense)
        )
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def test_hybrid_may_list_by_another_objective():
    backbone = odd_net()
    masks, x = random_masks(backbone, 40), images(5)
    bank = MaskBank(backbone, masks, classes=3)
    for per_image in (True, False):
        found, by_default, by_h = (
            Hybrid(shortlist=6, lists_by=by).evidence(
                Query(bank=bank, x=x, objective=Entropy(), per_image=per_image)
            )
            for by in (Superfluous(), None, Entropy())
        )
        listed = Hybrid(shortlist=6).evidence(
            Query(bank=bank, x=x, objective=Superfluous(), per_image=per_image)
        )
        exact = Exhaustive().evidence(
            Query(bank=bank, x=x, objective=Entropy(), per_image=per_image)
        )
        assert np.array_equal(np.isfinite(found), np.isfinite(listed))
        assert not np.array_equal(np.isfinite(found), np.isfinite(by_h))
        assert np.array_equal(by_default, by_h)
        there = np.isfinite(found)
        np.testing.assert_allclose(found[there], exact[there], rtol=1e-4, atol=1e-5)


def test_settings_that_are_none():
    with pytest.raises(InvalidInput, match="base from 2, got 1"):
        Binary(base=1)
    with pytest.raises(InvalidInput, match="shortlist from 1, got 0"):
        Hybrid(shortlist=0)
    with pytest.raises(InvalidInput, match="expected one of auto, one-shot, .* got 'best'"):
        parse_method("best")
    assert all(kind.name == name for name, kind in METHODS.items())


def test_gradients_leave_the_network_alone():
    backbone = odd_net()
    before = backbone.digest
    bank = MaskBank(backbone, random_masks(backbone, 5))
    for name in BY_MASKS:
        parse_method(name).evidence(
            Query(bank=bank, x=images(3), objective=Entropy(), per_image=True)
        )
    assert Backbone(backbone.module, None, None).digest == before
    assert all(not w.requires_grad for w in backbone.module.parameters())
    assert torch.is_grad_enabled()
