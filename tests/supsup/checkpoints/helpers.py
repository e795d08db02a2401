"""Checkpoints with the structure of those that other code writes, and that code's own rules."""

import argparse
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

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


def residual_logits(x, state, scores, norm):
    """GEMResNet18 of the paper's code in evaluation, written out in float64."""

    def conv(x, layer, stride=1):
        weight = state[f"{layer}.weight"]
        mask = reference_topk(state[f"{layer}{scores}"], reference_er_sparsity(weight, 8.0))
        masked = (weight * torch.from_numpy(mask)).double()
        return F.conv2d(x, masked, stride=stride, padding=weight.shape[-1] // 2)

    def normalised(x, layer):
        mean, var = (state[f"{layer}{norm}.running_{kind}"].double() for kind in ("mean", "var"))
        x = (x - mean.view(-1, 1, 1)) / torch.sqrt(var.view(-1, 1, 1) + 1e-5)
        if f"{layer}.bias" in state:  # StandardBN
            scale, shift = (state[f"{layer}.{kind}"].double() for kind in ("weight", "bias"))
            x = x * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)
        return x

    x = normalised(conv(x, "conv1"), "bn1").relu()
    for layer in (1, 2, 3, 4):
        for at in (0, 1):
            block, stride = f"layer{layer}.{at}", 2 if layer > 1 and not at else 1
            y = normalised(conv(x, f"{block}.conv1", stride), f"{block}.bn1").relu()
            y = normalised(conv(y, f"{block}.conv2"), f"{block}.bn2")
            if f"{block}.shortcut.0.weight" in state:
                shortcut = conv(x, f"{block}.shortcut.0", stride)
                x = normalised(shortcut, f"{block}.shortcut.1")
            x = (y + x).relu()
    return conv(F.avg_pool2d(x, 4), "linear").flatten(1)


def residual_state(*, width=4, tasks=2):
    """GEMResNet18 of the paper's code with ``MultitaskMaskConv`` and ``StandardBN``, random."""
    generator = torch.Generator().manual_seed(0)
    state = {}

    def conv(name, outputs, inputs, size):
        state[f"{name}.weight"] = torch.randn(outputs, inputs, size, size, generator=generator)
        for task in range(tasks):
            scores = torch.randn(outputs, inputs, size, size, generator=generator)
            state[f"{name}.scores.{task}"] = scores

    def norm(name, channels):
        for part, least in (("weight", 0.5), ("bias", -0.5), ("running_mean", -1.0)):
            state[f"{name}.{part}"] = least + torch.rand(channels, generator=generator)
        state[f"{name}.running_var"] = 10 + 10 * torch.rand(channels, generator=generator)
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    conv("conv1", width, 3, 3)
    norm("bn1", width)
    inputs = width
    for stage in range(4):
        outputs = width << stage
        for at in range(2):
            block = f"layer{stage + 1}.{at}"
            conv(f"{block}.conv1", outputs, inputs, 3)
            norm(f"{block}.bn1", outputs)
            conv(f"{block}.conv2", outputs, outputs, 3)
            norm(f"{block}.bn2", outputs)
            if inputs != outputs:
                conv(f"{block}.shortcut.0", outputs, inputs, 1)
                norm(f"{block}.shortcut.1", outputs)
            inputs = outputs
    conv("linear", 5, inputs, 1)
    return state
