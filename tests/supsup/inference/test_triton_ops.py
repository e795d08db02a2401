"""The Triton kernels: run in Triton's interpreter, compiled for GPUs; neither needs a GPU.

Triton comes with the CUDA builds of PyTorch; `pip install triton` adds it to others.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="triton is not installed")

INTERPRETED = """
import numpy as np, torch
from supsup.inference import MaskBank, infer_in
from supsup.inference.kernels import CpuKernels
from supsup.inference.kernels.triton_ops import TritonKernels
from tests.supsup.inference.helpers import images, odd_net, random_masks

for rows, size in ((1, 1), (17, 300), (40, 4_099), (300, 33)):
    rng = np.random.default_rng(rows)
    bits = torch.from_numpy(rng.integers(0, 256, (rows, size), dtype=np.uint8))
    unpacked = np.unpackbits(bits.numpy(), axis=1, bitorder="little")
    flat = torch.from_numpy(rng.standard_normal((1, 8 * size)).astype(np.float32))
    found = TritonKernels().multiply(bits, flat).numpy()
    expected = flat.double().numpy() @ unpacked.T
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max(), (rows, size)
    counts = torch.zeros(8 * size, dtype=torch.int32)
    TritonKernels().count_bits(bits, counts)
    assert np.array_equal(counts, unpacked.sum(0)), (rows, size)
    TritonKernels().count_bits(bits[1:], counts, -1)
    assert np.array_equal(counts, unpacked[0]), (rows, size)

backbone = odd_net()
masks, x = random_masks(backbone, 20), images(2)
for method in ("one-shot", "binary", "exhaustive", "hybrid"):
    for mode in ("image", "batch"):
        fused, numba = (
            infer_in(MaskBank(backbone, masks, kernels=k), x, method=method, mode=mode)
            for k in (TritonKernels(), CpuKernels())
        )
        assert np.allclose(fused.evidence, numba.evidence, rtol=1e-4, atol=1e-6), (method, mode)
        assert np.array_equal(fused.predictions, numba.predictions)

from maskstore import MaskLayout
from supsup.inference.kernels import AlignedLayers
from supsup.inference.kernels.mixed import CpuMixedRows
from supsup.inference.kernels.mixed_device import DeviceMixedRows
from supsup.inference.kernels.triton_mixed import TritonMaskedLinear

for shapes, batch in ((((7, 13), (5, 7), (3, 5)), 6), (((70, 200), (9, 70)), 9), (((1, 1),), 1)):
    rng = np.random.default_rng(batch)
    layout = MaskLayout({str(at): shape for at, shape in enumerate(shapes)})
    layers = AlignedLayers.of(
        [rng.standard_normal(shape).astype(np.float32) for shape in shapes],
        [None, *(rng.standard_normal(units).astype(np.float32) for units, _ in shapes[1:])],
    )
    packed = [layout.pack_flat(rng.integers(0, 2, layout.bits, np.uint8)) for _ in range(batch)]
    x = torch.from_numpy(rng.standard_normal((batch, shapes[0][1])).astype(np.float32))
    logits = []
    for rows in (
        CpuMixedRows(layers),
        DeviceMixedRows(layers, torch.device("cpu"), TritonMaskedLinear()),
    ):
        masks = [rows.align(each, layout) for each in packed]
        logits.append(rows.run([*masks[:-1], masks[0]], x).numpy())
    assert np.allclose(*logits, rtol=1e-5, atol=1e-5), shapes
"""

COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from supsup.inference.kernels.triton_mixed import masked_linear
from supsup.inference.kernels.triton_ops import count_selected, sum_selected

shared = {"bits": "*u8", "rows": "i32", "size": "i32"}
floats = dict.fromkeys(("x", "weight", "bias", "out"), "*fp32")
numbers = dict.fromkeys(("units", "inputs", "first", "width"), "i32")
for kernel, types, constants in (
    (sum_selected, {"planes": "*fp32", "sums": "*fp32"}, {"ROWS": 16, "BYTES": 256, "LONG": 4096}),
    (count_selected, {"counts": "*i32", "step": "i32"}, {"MANY_ROWS": 256, "BYTES": 256}),
    (
        masked_linear,
        {"which": "*i64"} | floats | numbers,
        {"RECTIFIED": True, "ROWS": 4, "UNITS": 8, "NUMBERS": 64},
    ),
):
    signature = shared | types | dict.fromkeys(constants, "constexpr")
    signature = {name: signature[name] for name in kernel.arg_names}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    assert triton.compile(source, target=GPUTarget("cuda", 80, 32)).asm["ptx"]
"""


@pytest.mark.parametrize(("script", "interpret"), [(INTERPRETED, "1"), (COMPILED, "0")])
def test_fused(script, interpret):
    environment = os.environ | {"TRITON_INTERPRET": interpret}
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[3],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
