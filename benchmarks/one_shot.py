"""One-Shot over K packed LeNet-300-100-500 masks, beside autograd through stacked float masks.

Times are the best of several: the machine's other work only ever adds. Each K runs in a process of
its own, so that its peak of resident memory is that of this K. Bits are random: neither way's time
depends on them.

With ``--device cuda`` masks and network are on the GPU. Memory is then that of the card, the read
of the bits is a sum over them there, and the card's copy bandwidth is measured beside. The figures
are printed and not saved: the page is of one machine.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.results import picture, save_results
from maskstore.packed import PackedMasks
from supsup import Backbone, BackboneRecipe, build
from supsup.inference import Entropy, MaskBank, infer_in
from supsup.inference.query import Query
from supsup.inference.superposition import gradients

OUTPUTS, BATCH = 500, 128
PACKED = (250, 1_000, 2_500, 10_000, 25_000, 100_000)
STACKED = (250, 1_000, 2_500)


SECONDS = 4.0
"""A measurement's, by default."""


def best_of(work: Callable[[], object], seconds: float = SECONDS, least: int = 3) -> float:
    """Least seconds of the calls that fit into ``seconds``, after one to warm up."""
    done = torch.cuda.synchronize if torch.cuda.is_initialized() else lambda: None
    work()
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < least or time.perf_counter() - begin < seconds:
        done()
        start = time.perf_counter()
        work()
        done()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_bytes() -> int:
    """Most memory of this process so far: resident, or allocated on the GPU."""
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def copy_bandwidth(device: str, size: int = 2**28, seconds: float = SECONDS) -> float:
    """Bytes a second that a copy within the device's memory reads and writes."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / best_of(lambda: target.copy_(source), seconds)


def random_masks(backbone: Backbone, count: int) -> PackedMasks:
    """Masks of density one half; padding bits are zero."""
    layout, rng = backbone.layout, np.random.default_rng(0)
    bits = np.empty((count, layout.packed_bytes), np.uint8)
    for start in range(0, count, 256):
        part = bits[start : start + 256]
        part[:] = np.frombuffer(rng.bytes(part.size), np.uint8).reshape(part.shape)
    for _, _, where, used in layout.layers():
        if used % 8:
            bits[:, where.stop - 1] &= (1 << used % 8) - 1
    return PackedMasks(layout=layout, names=tuple(map(str, range(count))), bits=bits)


def read_seconds(bits: torch.Tensor, seconds: float = SECONDS) -> float:
    """One read of the bits on all threads: a sum of 64-bit words, which only waits for memory."""
    if bits.device.type != "cpu":
        numbers = bits.flatten()[: bits.numel() // 8 * 8].view(torch.int64)
        return best_of(lambda: numbers.sum(), seconds)
    from numba import njit

    from supsup.inference.kernels.threads import split

    @njit(nogil=True)
    def total(words: Any, start: Any, stop: Any) -> Any:
        found = np.uint64(0)
        for at in range(start, stop):
            found += words[at]
        return found

    words = bits.numpy().reshape(-1)[: bits.numel() // 8 * 8].view(np.uint64)
    return best_of(lambda: split(lambda a, b: total(words, a, b), len(words)), seconds)


def packed(count: int, device: str, seconds: float = SECONDS) -> dict[str, Any]:
    """One-Shot on bits: whole call, gradient product alone, one read of the bits."""
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=OUTPUTS)).to(device)
    base = peak_bytes()
    masks = random_masks(backbone, count)
    x = torch.randn(BATCH, 784).to(device)
    bank = MaskBank(backbone, masks)
    bits = bank.source.read(slice(0, count))
    alike = Query(bank=bank, x=x, objective=Entropy(), per_image=False)
    counting = best_of(lambda: bank.count(None), seconds)
    step = best_of(lambda: gradients(alike), seconds)
    call = best_of(lambda: infer_in(bank, x, method="one-shot", mode="batch"), seconds)
    flat = torch.randn(1, 8 * bits.shape[1]).to(device)
    product = best_of(lambda: bank.kernels.multiply(bits, flat), seconds)
    memory = peak_bytes()
    figures = {
        "masks": count,
        "packed_bytes": masks.bits.nbytes,
        "step_seconds": step,
        "call_seconds": call,
        "counts_once_seconds": counting,
        "product_seconds": product,
        "one_read_seconds": read_seconds(bits, seconds),
        "peak_bytes": memory,
        "peak_bytes_without_masks": base,
    }
    if count <= 2_500:
        each = replace(alike, per_image=True)
        images = best_of(lambda: gradients(each), seconds / 4, least=2)
        figures["every_image_alone_seconds"] = images
    return figures


def stacked(count: int, device: str, seconds: float = SECONDS) -> dict[str, Any]:
    """The paper's code's way: float masks stacked, autograd through Σ α_i M^i and the network."""
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=OUTPUTS)).to(device)
    masks = random_masks(backbone, count)
    shapes = backbone.layout.shapes
    layers = {name: torch.empty(count, *shape, device=device) for name, shape in shapes.items()}
    for at in range(count):
        for name, mask in masks.unpack(at).items():
            layers[name][at] = torch.from_numpy(mask)
    x = torch.randn(BATCH, 784).to(device)
    found: list[torch.Tensor] = []

    def step(choose: bool) -> None:
        alpha = torch.full((count, 1, 1), 1 / count, device=device, requires_grad=True)
        h = x
        for name, weight in backbone.weights.items():
            if choose:  # the paper's code: the masks whose coefficient is not 0, copied
                chosen = (alpha > 0).view(count)
                mean = (alpha[chosen] * layers[name][:count][chosen]).sum(0)
            else:
                mean = (alpha * layers[name]).sum(0)
            h = F.linear(h, weight * mean)
            h = h if name == "fc3.weight" else torch.relu(h)
        (slope,) = torch.autograd.grad(Entropy()(h, OUTPUTS).mean(), alpha)
        found[:] = [slope.flatten()]

    lean = best_of(lambda: step(False), seconds / 4, least=2)
    lean_peak = peak_bytes()
    copying = best_of(lambda: step(True), seconds / 4, least=2)
    ours = gradients(
        Query(bank=MaskBank(backbone, masks), x=x, objective=Entropy(), per_image=False)
    )[0]
    theirs = found[0].cpu().numpy()
    error = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    return {
        "masks": count,
        "step_seconds": copying,
        "peak_bytes": peak_bytes(),
        "without_the_copy_seconds": lean,
        "without_the_copy_peak_bytes": lean_peak,
        "largest_difference_of_gradients_relative": error,
    }


def plot(figures: dict[str, Any]) -> None:
    """Seconds a step against the number of masks, log-log."""
    # Here, not above: the measured processes should hold what inference needs and no more.
    from supsup.plots import DARK, OURS, WARM

    with picture("one_shot") as figure:
        axes = figure.subplots()
        for kind, key, label, style, colour in (
            ("packed", "step_seconds", "One-Shot on packed bits, batch of 128", "o-", OURS),
            ("packed", "one_read_seconds", "one read of the packed bits", ":", DARK),
            ("stacked", "step_seconds", "autograd through stacked float masks", "s-", WARM),
        ):
            rows = figures[kind]
            masks, seconds = [row["masks"] for row in rows], [row[key] for row in rows]
            axes.plot(masks, seconds, style, color=colour, label=label)
        axes.set(xscale="log", yscale="log", xlabel="masks K", ylabel="seconds")
        axes.legend()


def main() -> None:
    """Every size in a process of its own; ``--only packed:2500`` is such a process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda: printed and not saved")
    parser.add_argument("--most", type=int, default=100_000, help="most masks, 39.4 KB each")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch finds no GPU here")
    torch.manual_seed(0)
    if arguments.only:
        kind, count = arguments.only.split(":")
        way = {"packed": packed, "stacked": stacked}[kind]
        print(json.dumps(way(int(count), arguments.device)))
        return
    figures: dict[str, Any] = {"threads": torch.get_num_threads(), "batch": BATCH}
    for kind, counts in (("packed", PACKED), ("stacked", STACKED)):
        figures[kind] = []
        for count in counts:
            if count > arguments.most:
                continue
            run = [sys.executable, "-m", "benchmarks.one_shot", "--only", f"{kind}:{count}"]
            run += ["--device", arguments.device]
            done = subprocess.run(run, check=True, capture_output=True, text=True)
            figures[kind].append(json.loads(done.stdout.splitlines()[-1]))
            print(figures[kind][-1], flush=True)
    ours = {row["masks"]: row for row in figures["packed"]}
    figures["times_faster"] = {
        str(row["masks"]): row["step_seconds"] / ours[row["masks"]]["step_seconds"]
        for row in figures["stacked"]
    }
    figures["load_average_at_the_end"] = os.getloadavg()
    if arguments.device != "cpu":
        figures["device"] = torch.cuda.get_device_name(arguments.device)
        figures["copy_bytes_per_second"] = copy_bandwidth(arguments.device)
        print(json.dumps(figures, indent=2))
        return
    save_results("one_shot", figures)
    plot(figures)


if __name__ == "__main__":
    main()
