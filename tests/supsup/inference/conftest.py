"""The whole of inference on the processor's kernels and, on the CPU too, on those of devices."""

import pytest

from supsup.inference.kernels import CpuKernels, TorchKernels


@pytest.fixture(params=[CpuKernels, TorchKernels], scope="module")
def kernels(request):
    """What a new bank takes unless it is told otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("supsup.inference.bank.kernels_of", lambda device: request.param())
        yield request.param
