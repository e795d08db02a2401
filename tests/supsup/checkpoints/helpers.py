"""Checkpoints with the structure of those that other code writes, and that code's own rules."""

import argparse
import pathlib

import numpy as np
import torch

SHAPES = {"linear.0": (30, 20, 1, 1), "linear.2": (3, 30, 1, 1), "linear.4": (10, 3, 1, 1)}
"""LeNet of the paper's code, small: fully connected layers are 1×1 convolutions there."""
IN_OUR_LENET = {"linear.0": "fc1.weight", "linear.2": "fc2.weight", "linear.4": "fc3.weight"}


def reference_checkpoint(path, tasks=3, *, prefix="", state=None, arch="LeNet", **said):
    """What main.py of the paper's code saves: ``torch.save({… "state_dict": …, "args": args})``.

    Args:
        tasks: None writes scores without a number, as ``MaskConv`` has them.
        prefix: before every name: DataParallel's ``module.``.
        state: other tensors than those of LeNet.
        said: what ``args`` holds beside what it always does.
    """
    if state is None:
        generator = torch.Generator().manual_seed(0)
        state = {}
        for layer, shape in SHAPES.items():
            state[f"{layer}.weight"] = torch.randn(shape, generator=generator)
            for task in [""] if tasks is None else [f".{number}" for number in range(tasks)]:
                state[f"{layer}.scores{task}"] = torch.randn(shape, generator=generator)
    args = argparse.Namespace(
        lr=0.1,
        run_base_dir=pathlib.Path("runs/mnist~try=0"),
        device=torch.device("cpu"),
        eval_ckpts=[9],
        multigpu=None,
        **said,
    )
    torch.save(
        {
            "epoch": 1,
            "arch": arch,
            "state_dict": {prefix + name: tensor for name, tensor in state.items()},
            "best_acc1": [np.float64(0.5), np.float32(0.25), np.int64(3)],
            "curr_acc1": np.float64(0.5),
            "args": args,
        },
        path,
    )
    return state


def reference_threshold(scores):
    """``get_subnet_fast`` of the paper's code."""
    return (scores >= 0).numpy()


def reference_topk(scores, k):
    """``get_subnet`` of the paper's code, as it is written there, on |scores|."""
    out = scores.abs().clone()
    _, idx = out.flatten().sort()
    j = int((1 - k) * out.numel())
    flat = out.flatten()
    flat[idx[:j]] = 0
    flat[idx[j:]] = 1
    return flat.view(out.shape).bool().numpy()


def reference_er_sparsity(weight, sparsity):
    """The density that main.py of the paper's code gives a layer under ``--er-sparsity``."""
    return min(
        0.5,
        sparsity
        * (weight.size(0) + weight.size(1))
        / (weight.size(0) * weight.size(1) * weight.size(2) * weight.size(3)),
    )
