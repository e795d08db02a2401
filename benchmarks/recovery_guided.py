"""Do statistics of the tasks' images help to recover a mask from a Hopfield memory?

    SUPSUP_DATA=DIR python -m benchmarks.recovery_guided [--seeds 20 21 …]

A memory keeps no mask by itself, so that a task's name gives no pattern to start from. What
prototypes know besides is each image's class: recovery then goes down the cross-entropy of these
classes where it went down the entropy, and is judged by the entropy as before. Archives of
SplitMNIST are those of :mod:`benchmarks.hopfield_recovery`; images are unlabelled test images, half
of them or one batch of 64. Eq. 6 to the letter, which often fails, passes twice over half of them.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from benchmarks.hopfield_recovery import archive_of
from benchmarks.prototypes import model_of, summary
from benchmarks.results import save_results, saved_results
from hopfield import Entropy, layer_blocks, new_memory, pattern_of, recover, recover_literally
from maskstore import MaskArchive
from supsup.archives import tasks_of
from supsup.inference.prototypes import FeatureRecipe, Features
from supsup.networks.backbone import Backbone
from supsup.networks.modes import plain_modes
from supsup.recovery import encode_archive
from supsup.recovery.mask_entropy import BATCH, MaskEntropy
from supsup.tasks import Task
from supsup.tasks.subset import hold_out

SEEDS = (20, 21)


class Guided:
    """The entropy of a batch, and the slope of the cross-entropy of classes that are given."""

    def __init__(
        self, entropy: MaskEntropy, x: Float[Tensor, "image ..."], labels: Int64[Tensor, " image"]
    ) -> None:
        self._entropy = entropy
        whole = max(len(x) // BATCH, 1) * BATCH
        self._batches = list(zip(x[:whole].split(BATCH), labels[:whole].split(BATCH), strict=True))

    def __call__(
        self, mask: Float[np.ndarray, " unit"], step: int
    ) -> tuple[float, Float64[np.ndarray, " unit"]]:
        """(entropy, slope of the cross-entropy) on batch ``step``."""
        value, _ = self._entropy(mask, step)
        return value, self._slope(mask, step)

    @plain_modes()
    def _slope(self, mask: Float[np.ndarray, " unit"], step: int) -> Float64[np.ndarray, " unit"]:
        backbone: Backbone = self._entropy.backbone
        flat = torch.from_numpy(mask.astype(np.float32)).requires_grad_()
        x, labels = self._batches[step % len(self._batches)]
        logits = backbone.run(x, backbone.masked(backbone.layout.split(flat)))
        (slope,) = torch.autograd.grad(F.cross_entropy(logits, labels), flat)
        return slope.numpy().astype(np.float64)


def main() -> None:
    """Measure and write docs/results/recovery_guided.json, seed by seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    runs = saved_results("recovery_guided").get("runs", [])
    for seed in options.seeds:
        runs = [run for run in runs if run["seed"] != seed]
        with MaskArchive.open(archive_of("split-mnist", seed, None)) as archive:
            runs += measure(archive, list(tasks_of(archive)), seed)
        save_results("recovery_guided", {"means": means(runs), "runs": runs}, quiet=True)
        print(means(runs), flush=True)


def measure(archive: MaskArchive, tasks: Sequence[Task], seed: int) -> list[dict[str, Any]]:
    """A row for each task, rule, number of images, and recovery without and with statistics."""
    known, layout = encode_archive(archive), archive.layout
    truths = [pattern_of(archive.get(task.name), layout) for task in tasks]
    features = Features(FeatureRecipe(seed=seed), known.backbone)
    model = model_of(tasks, features)
    blocks = new_memory("storkey", layout.bits, form="blocks", blocks=layer_blocks(layout))
    for truth in truths:
        blocks.encode(truth)
    rows = []
    for at, (task, truth) in enumerate(zip(tasks, truths, strict=True)):
        half = hold_out(task, seed=seed)[0]
        steps = 2 * -(-len(half) // BATCH)
        for x in (half, half[:BATCH]):
            values = features(x)
            found = int(model.task_scores(values).sum(0).argmax())
            own = model.class_scores(values)[:, model.starts[found] : model.starts[found + 1]]
            entropy = MaskEntropy(known.backbone, x, classes=1)
            guided = Guided(entropy, x, torch.from_numpy(own.argmax(1)))
            ways: dict[str, Entropy] = {"entropy": entropy, "statistics": guided}
            for name, way in ways.items():
                annealed = recover(known.memory, way, start=known.start, accept=known._accept)
                paper = recover_literally(blocks, way, start=known.start, steps=steps)
                rows.append(
                    {
                        "seed": seed,
                        "task": task.name,
                        "images": "half" if x is half else str(BATCH),
                        "by": name,
                        "task_found": found == at,
                        "hamming": int(np.count_nonzero(annealed.pattern != truth)),
                        "batches": annealed.batches,
                        "restarts": annealed.restarts,
                        "eq6_hamming": int(np.count_nonzero(paper.pattern != truth)),
                    }
                )
    return rows


def means(runs: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Images and way → how many runs, exact recoveries, batches, bits that are wrong."""
    found = {}
    for key in sorted({(run["images"], run["by"]) for run in runs}):
        rows = [run for run in runs if (run["images"], run["by"]) == key]
        found[", ".join(key)] = {
            "runs": len(rows),
            "exact": sum(row["hamming"] == 0 for row in rows),
            "after_the_first_descent": sum(
                row["hamming"] == 0 and not row["restarts"] for row in rows
            ),
            "batches": summary([row["batches"] for row in rows]),
            "eq6_exact": sum(row["eq6_hamming"] == 0 for row in rows),
            "eq6_hamming": summary([row["eq6_hamming"] for row in rows]),
        }
    return found


if __name__ == "__main__":
    main()
