"""The page of ``benchmarks/gpu.py``, made of its figures alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Part = Mapping[str, Any]

_NONE = """\
**No figures of a card are committed yet**: none was at hand, so nobody has measured how fast any
of this is on one, or whether it runs there at all. What is known without one:

- the tests marked `cuda` (`tests/supsup/test_devices.py`) assert the same on the processor;
- the Triton kernels are compared with PyTorch in Triton's interpreter and compiled for GPUs
  (`tests/supsup/inference/test_triton_ops.py`), where Triton is installed;
- this command runs from end to end on the processor, at small sizes (`tests/test_benchmarks.py`).
"""

_REHEARSAL = """\
**A rehearsal on the processor**: it shows that every part runs, and says nothing of a card.
"""

_COMMAND = """\
# On a GPU

    python -m benchmarks.gpu [--data DIR] [--cifar cifar100.npz] [--wheels DIR]

takes at most nine minutes on one card, needs no network, and writes `gpu.json` and this page. Each
part has its share of the time and is a process of its own: the tests marked `cuda`; 2,500 tasks of
PermutedMNIST, trained and stored; a set of tasks on ResNet-18; One-Shot among 250 to 100,000 masks
beside the paper's way; batches of many tasks; and what the card copies and multiplies at most.
"""


def page(figures: Mapping[str, Any]) -> str:
    """The page of a run; of none, what is known and what is not."""
    if not figures:
        return f"{_COMMAND}\n{_NONE}"
    parts = figures["parts"]
    ceilings = parts.get("ceilings", {})
    text = [_COMMAND]
    if figures["device"] == "cpu":
        text.append(_REHEARSAL)
    where = ceilings.get("card", figures["device"])
    versions = f"torch {ceilings['torch']}" if "torch" in ceilings else "torch unknown"
    cuda = f", CUDA {ceilings['cuda']}" if "cuda" in ceilings else ""
    text.append(f"On {where}, {versions}{cuda}; {figures['seconds']} s in all.\n")
    for name, section in _SECTIONS.items():
        if name in parts:
            lines = [f"## {name[0].upper()}{name[1:].replace('-', ' ')}\n", *_failed(parts[name])]
            try:
                lines += section(parts[name], ceilings)
            except KeyError as missing:
                lines.append(f"{missing.args[0]} was not measured before the part ended.\n")
            text.append("\n".join(lines))
    return "\n".join(text)


def _failed(part: Part) -> Iterator[str]:
    if part["failed"] is not None:
        yield f"**Not finished:** {part['failed'].replace('|', ' ')}\n"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _ceilings(part: Part, _: Part) -> Iterator[str]:
    rows = [["copying, read and written", f"{part['copy_bytes_per_second'] / 1e9:,.0f} GB/s"]]
    rows += [
        [f"matrix products, {kind}", f"{part[f'{kind}_flops_per_second'] / 1e12:,.2f} TFLOP/s"]
        for kind in ("float32", "tf32", "bfloat16")
        if f"{kind}_flops_per_second" in part
    ]
    yield _table(["the most that it does", ""], rows)


def _permuted(part: Part, ceilings: Part) -> Iterator[str]:
    alone = part["without_storing_seconds_a_task"]
    done, seconds = part["stored"], part["seconds"]
    # Forward, and both products of the backward pass but the images' own.
    flops = 6 * part["weights"] * part["batch"] * part["steps"] / alone
    yield (
        f"{done:,} of {part['tasks']:,} tasks of {part['data']}, {part['net']} with "
        f"{part['outputs']} outputs, {part['steps']:,} steps of {part['batch']} images, RMSprop, "
        f"{part['tasks_in_a_step']} tasks a step; evaluated, coded and stored in {seconds:,.1f} s"
        f" ({part['file_bytes'] / done:,.0f} bytes a task, accuracy {part['accuracy']:.4f}).\n"
    )
    share = flops / ceilings["float32_flops_per_second"]
    yield _table(
        ["", "seconds a task"],
        [
            ["training and evaluation alone", f"{alone:.4f}"],
            ["with storing", f"{seconds / done:.4f}"],
        ],
    )
    yield (
        f"Alone it computes at most {flops / 1e12:,.2f} TFLOP/s, {share:.2f} of the float32 "
        f"product above. {_peak(part)}\n"
    )


def _one_shot(part: Part, ceilings: Part) -> Iterator[str]:
    dense = {row["masks"]: row for row in part.get("stacked", ())}
    rows = []
    for row in part["packed"]:
        other = dense.get(row["masks"])
        rate = row["packed_bytes"] / row["product_seconds"]
        rows.append(
            [
                f"{row['masks']:,}",
                f"{1e3 * row['step_seconds']:,.2f}",
                f"{1e3 * row['one_read_seconds']:,.2f}",
                f"{rate / ceilings['copy_bytes_per_second']:.2f}",
                "" if other is None else f"{1e3 * other['step_seconds']:,.1f}",
                "" if other is None else f"{other['step_seconds'] / row['step_seconds']:,.0f}",
                f"{row['peak_bytes'] / 1e9:.2f}"
                + ("" if other is None else f" / {other['peak_bytes'] / 1e9:.2f}"),
            ]
        )
    yield _table(
        [
            "masks",
            "a step on bits, ms",
            "one read of the bits, ms",
            "bytes a second of the product, of copying",
            "the paper's way, ms",
            "times",
            "peak GB, bits / floats",
        ],
        rows,
    )


def _mixed(part: Part, _: Part) -> Iterator[str]:
    yield f"Batches of {part['rows']} rows; milliseconds, medians.\n"
    names = list(part["counts"][0]["milliseconds"])
    rows = [
        [
            f"{row['tasks']:,}",
            *(f"{row['milliseconds'][name]:,.3f}" for name in names),
            f"{row['share_of_one_task']['mixed, packed bits']['median']:.2f}",
        ]
        for row in part["counts"]
    ]
    yield _table(["tasks", *names, "mixed, share of one task's throughput"], rows)


def _convolutions(part: Part, ceilings: Part) -> Iterator[str]:
    plain, flops = part["plain_seconds_a_step"], part["flops_a_step"]
    yield (
        f"{part['tasks']} tasks of {part['data']}, {part['net']} ({part['weights']:,} weights), "
        f"top-k, {part['batch']} images, {flops / 1e9:,.2f} GFLOP a step.\n"
    )
    rows = [["plain loop, one task", f"{1e3 * plain:,.2f}", "1.00"]]
    rows += [
        [f"this package, {count} in a step", f"{1e3 * took:,.2f}", f"{plain / took:.2f}"]
        for count, took in part["seconds_a_task_and_step"].items()
    ]
    yield _table(["", "ms a task and step", "times the plain loop's pace"], rows)
    yield (
        f"{part['stored']} tasks stored, {part['steps']:,} steps each, {part['tasks_in_a_step']} "
        f"in a step: {part['seconds']:,.1f} s, accuracy {part['accuracy']:.4f}. {_peak(part)}\n"
    )


def _tests(part: Part, _: Part) -> Iterator[str]:
    yield (
        f"{part['passed']} tests marked `cuda` passed, {part['skipped']} were skipped, "
        f"{part['failure'] + part['error']} failed.\n"
    )
    for each in part["not_passed"]:
        yield f"- `{each['test']}`: {' '.join(each['says'].split())}"


def _peak(part: Part) -> str:
    return f"Peak memory: {part['peak_bytes'] / 1e9:.2f} GB."


_SECTIONS = {
    "ceilings": _ceilings,
    "permuted": _permuted,
    "one-shot": _one_shot,
    "mixed": _mixed,
    "convolutions": _convolutions,
    "tests": _tests,
}
