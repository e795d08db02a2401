"""Reading every mask: the archive beside ``torch.load`` of the reference's float32 scores."""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.results import save_results
from maskstore import MaskArchive, MaskLayout

TASKS = 100
LAYOUT = MaskLayout({"fc1.weight": (300, 784), "fc2.weight": (100, 300), "fc3.weight": (100, 100)})


def main() -> None:
    """Density 0.5 (nothing to compress) and 0.05, zstd codec."""
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for density in (0.5, 0.05):
            generator = torch.Generator().manual_seed(0)
            scores = {
                f"{name.removesuffix('.weight')}.scores.{task}": torch.randn(
                    shape, generator=generator
                )
                for task in range(TASKS)
                for name, shape in LAYOUT.shapes.items()
            }
            cut = float(torch.distributions.Normal(0, 1).icdf(torch.tensor(1 - density)))
            checkpoint, path = Path(folder) / "final.pt", Path(folder) / f"{density}.h5"
            torch.save({"state_dict": scores}, checkpoint)
            with MaskArchive.create(path, LAYOUT) as archive:
                archive.add_many(
                    (
                        (
                            f"task/{task}",
                            {
                                name: (
                                    scores[f"{name.removesuffix('.weight')}.scores.{task}"] > cut
                                ).numpy()
                                for name in LAYOUT.shapes
                            },
                            {},
                        )
                        for task in range(TASKS)
                    ),
                    codec="zstd",
                )
            ours, theirs, unpacked = [], [], []
            for _ in range(21):
                start = time.perf_counter()
                loaded = torch.load(checkpoint, weights_only=True)["state_dict"]
                masks = {name: tensor > cut for name, tensor in loaded.items()}
                theirs.append(time.perf_counter() - start)
                start = time.perf_counter()
                with MaskArchive.open(path) as archive:
                    packed = archive.packed()
                ours.append(time.perf_counter() - start)
                start = time.perf_counter()
                with MaskArchive.open(path) as archive:
                    boolean = [archive.get(name) for name in archive.names()]
                unpacked.append(time.perf_counter() - start)
            assert len(packed) == TASKS
            assert np.array_equal(boolean[7]["fc2.weight"], masks["fc2.scores.7"].numpy())
            figures[f"density {density}"] = {
                "tasks": TASKS,
                "torch_load_and_threshold_seconds": round(float(np.median(theirs)), 4),
                "archive_packed_seconds": round(float(np.median(ours)), 4),
                "archive_boolean_seconds": round(float(np.median(unpacked)), 4),
                "throughput_ratio_packed": round(float(np.median(theirs) / np.median(ours)), 1),
                "throughput_ratio_boolean": round(
                    float(np.median(theirs) / np.median(unpacked)), 1
                ),
                "checkpoint_bytes": checkpoint.stat().st_size,
                "archive_bytes": path.stat().st_size,
                "size_ratio": round(checkpoint.stat().st_size / path.stat().st_size, 1),
            }
    save_results("sequential_read", figures)


if __name__ == "__main__":
    main()
