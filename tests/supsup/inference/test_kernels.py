from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskstore.layout import MaskLayout
from supsup.inference.kernels import (
    CpuKernels,
    Kernels,
    TorchKernels,
    kernels_of,
    run_sparse,
    sparsify,
)
from supsup.inference.kernels.threads import split

either = st.sampled_from([CpuKernels(), TorchKernels()])
shapes = st.tuples(st.integers(1, 40), st.integers(1, 300), st.integers(0, 2**32 - 1))


@pytest.fixture(params=[1, 3], autouse=True, scope="module")
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def random_bits(rows: int, size: int, seed: int) -> tuple[torch.Tensor, np.ndarray]:
    bits = np.random.default_rng(seed).integers(0, 256, (rows, size), dtype=np.uint8)
    return torch.from_numpy(bits), np.unpackbits(bits, axis=1, bitorder="little")


def random_frames(vectors: int, size: int, seed: int) -> tuple[torch.Tensor, np.ndarray]:
    flat = np.random.default_rng(seed).standard_normal((vectors, 8 * size)).astype(np.float32)
    return torch.from_numpy(flat), flat.astype(np.float64)


def counted(kernels: Kernels, bits: torch.Tensor) -> torch.Tensor:
    counts = torch.zeros(8 * bits.shape[1], dtype=torch.int32)
    kernels.count_bits(bits, counts)
    return counts


@settings(max_examples=40, deadline=None)
@given(either, shapes, st.integers(1, 8))
def test_products_are_those_of_the_unpacked_matrix(kernels, shape, vectors):
    rows, size, seed = shape
    bits, unpacked = random_bits(rows, size, seed)
    flat, numbers = random_frames(vectors, size, seed)
    found = kernels.multiply(bits, flat).numpy()
    np.testing.assert_allclose(found, numbers @ unpacked.T, atol=1e-5 * 8 * size)


@pytest.mark.parametrize("kernels", [CpuKernels(), TorchKernels()])
def test_products_over_several_blocks(kernels, monkeypatch):
    monkeypatch.setattr("supsup.inference.kernels.torch_ops.UNPACKED_BYTES", 5 * 32 * 20_001)
    bits, unpacked = random_bits(17, 20_001, 0)
    flat, numbers = random_frames(4, 20_001, 0)
    for count in (1, 4):
        expected = numbers[:count] @ unpacked.T
        error = np.abs(kernels.multiply(bits, flat[:count]).numpy() - expected).max()
        assert error < 1e-5 * np.abs(expected).max()
    assert np.array_equal(counted(kernels, bits), unpacked.sum(0))


@pytest.mark.parametrize("kernels", [CpuKernels(), TorchKernels()])
def test_each_bit_selects_its_own_number(kernels):
    bits = np.eye(1, 8 * 5, dtype=np.uint8)
    flat = torch.arange(1, 41, dtype=torch.float32)
    for at in range(40):
        packed = np.packbits(np.roll(bits, at, axis=1), axis=1, bitorder="little")
        one = torch.from_numpy(packed)
        assert kernels.multiply(one, flat[None])[0, 0] == at + 1
        assert kernels.apply_masks(one, flat)[0].nonzero().flatten().tolist() == [at]


@settings(max_examples=40, deadline=None)
@given(either, shapes)
def test_counts(kernels, shape):
    bits, unpacked = random_bits(*shape)
    counts = counted(kernels, bits)
    assert np.array_equal(counts, unpacked.sum(0))
    kernels.count_bits(bits[1:], counts, -1)
    assert np.array_equal(counts, unpacked[0])


@settings(max_examples=40, deadline=None)
@given(either, shapes)
def test_applied_masks(kernels, shape):
    bits, unpacked = random_bits(*shape)
    weights = random_frames(1, shape[1], 0)[0][0]
    found = kernels.apply_masks(bits, weights).numpy()
    assert np.array_equal(found, unpacked * weights.numpy())


def test_the_device_says_which():
    assert isinstance(kernels_of(torch.device("cpu")), CpuKernels)
    assert isinstance(kernels_of(torch.device("meta")), TorchKernels)
    cuda = kernels_of(torch.device("cuda"))
    assert type(cuda).__name__ == (
        "TorchKernels" if find_spec("triton") is None else "TritonKernels"
    )


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 20), min_size=2, max_size=4),
    st.integers(1, 9),
    st.integers(1, 5),
    st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_sparse_masks_compute_what_dense_ones_do(widths, count, batch, density, seed):
    rng = np.random.default_rng(seed)
    pairs = enumerate(zip(widths[1:], widths[:-1], strict=True))
    layout = MaskLayout({f"fc{at}": shape for at, shape in pairs})
    masks = [{n: rng.random(s) < density for n, s in layout.shapes.items()} for _ in range(count)]
    flat = rng.standard_normal(8 * layout.packed_bytes).astype(np.float32)
    sparse = sparsify(np.stack([layout.pack(m) for m in masks]), flat, layout)
    assert len(sparse) == count
    assert len(sparse.weights) == sum(int(m.sum()) for mask in masks for m in mask.values())
    x = rng.standard_normal((batch, widths[0])).astype(np.float32)
    found = run_sparse(sparse, x, 0, count)
    for mask, logits in zip(masks, found, strict=True):
        hidden = x.astype(np.float64)
        for name, shape, where, bits in layout.layers():
            weights = flat[8 * where.start : 8 * where.start + bits].reshape(shape)
            hidden = hidden @ (weights * mask[name]).T
            if name != list(layout.shapes)[-1]:
                hidden = np.maximum(hidden, 0)
        np.testing.assert_allclose(logits.T, hidden, rtol=1e-4, atol=1e-4)
    if count > 2:
        assert np.array_equal(run_sparse(sparse, x, 1, 3), found[1:3])


def test_parts_cover_the_range_and_errors_come_through():
    for count, multiple in ((1, 8), (8, 8), (17, 8), (100, 1)):
        seen = []
        split(lambda a, b, seen=seen: seen.append((a, b)), count, multiple=multiple)
        assert sorted(i for a, b in seen for i in range(a, b)) == list(range(count))
        assert all(a % multiple == 0 for a, _ in seen)

    def fail(start, stop):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        split(fail, 10)
