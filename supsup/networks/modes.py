"""PyTorch's process-wide modes, set to what a computation here needs and set back afterwards.

A caller may have switched gradients off, be in inference mode or under autocast, or have other
defaults for the type and the device of new tensors: none of that may change a number of ours.
"""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

_AUTOCAST = ("cpu", "cuda")


@contextmanager
def plain_modes() -> Iterator[None]:
    """Gradients can be taken and numbers keep their type, whatever the caller's modes are.

    Also a decorator. What is made inside are ordinary tensors, never those of inference mode, which
    autograd cannot save.
    """
    with ExitStack() as modes:
        modes.enter_context(torch.inference_mode(False))
        modes.enter_context(torch.enable_grad())
        for device in _AUTOCAST:
            if torch.is_autocast_enabled(device):
                modes.enter_context(torch.autocast(device, enabled=False))
        yield


@contextmanager
def construction(seed: int) -> Iterator[None]:
    """For making a module: float32 on the CPU, the generators of PyTorch, NumPy and Python seeded.

    Generators and defaults are the caller's again afterwards. The default type is one for all
    threads: modules should not be made while others run.
    """
    dtype = torch.get_default_dtype()
    with plain_modes(), torch.device("cpu"), seeded_generators(torch.device("cpu"), seed):
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)


@contextmanager
def seeded_generators(device: torch.device, seed: int) -> Iterator[None]:
    """The global generators of PyTorch (CPU, and a CUDA ``device``), NumPy and Python, seeded.

    They are the caller's again afterwards. Generators are one for all threads.
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)
