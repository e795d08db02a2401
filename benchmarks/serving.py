"""A service over many tasks: masks of one archive beside a dense checkpoint for each task.

    python -m benchmarks.serving [--requests 100] [--rounds 48]

One process of uvicorn answers one image a request; another process asks, a request at a time, over
one connection. Both services keep at most as many bytes of models in memory, the archive's beside
its packed masks. Masks are random bits: what is timed does not depend on which they are. All
arrangements take turns within a round, and each was asked for every task once before.
"""

import argparse
import http.client
import io
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import save_results

COUNTS = (5, 100, 1000, 2500)
NET, OUTPUTS = "lenet-300-100", 10
KEPT_BYTES = 2**26
"""Of weights as numbers, on both sides: 63 of these networks."""


def make_archive(path: Path, count: int) -> None:
    """An archive of so many random masks."""
    from supsup import SupSup

    rng = np.random.default_rng(0)
    with SupSup.create(path, NET, outputs=OUTPUTS) as model:
        shapes = model.archive.layout.shapes
        model.archive.add_many(
            (
                (
                    f"task/{at}",
                    {name: rng.random(shape) < 0.5 for name, shape in shapes.items()},
                    {"classes": OUTPUTS},
                )
                for at in range(count)
            ),
            codec="fast",
        )


def make_checkpoints(archive: Path, folder: Path) -> None:
    """A dense state_dict of each task."""
    import torch

    from supsup import SupSup

    folder.mkdir()
    with SupSup.open(archive) as model:
        for name in model.tasks:
            weights = model.backbone.of_task(model.archive.get(name), {})
            torch.save(weights, folder / f"{name.partition('/')[2]}.pt")


def dense_app(folder: Path) -> Any:
    """What one would write without this package: checkpoints, the last ones kept."""
    import torch
    from fastapi import FastAPI, Request

    from maskstore.codecs.cache import LruCache
    from supsup import BackboneRecipe, build

    app, module = FastAPI(), build(BackboneRecipe(net=NET, outputs=OUTPUTS)).module
    kept: LruCache[str, dict[str, torch.Tensor]] = LruCache(
        KEPT_BYTES, lambda weights: sum(each.nbytes for each in weights.values())
    )

    @app.post("/predict/task/{task}")
    async def predict(task: str, request: Request) -> dict[str, Any]:
        images = torch.from_numpy(np.load(io.BytesIO(await request.body()), allow_pickle=False))
        weights = kept.get(task, lambda: torch.load(folder / f"{task}.pt", weights_only=True))
        with torch.no_grad():
            logits = torch.func.functional_call(module, weights, (images,))
        return {"classes": logits.argmax(1).tolist()}

    return app


def serve(kind: str, place: Path, port: int) -> None:
    """Answer until the process is ended."""
    import torch
    import uvicorn

    from examples.serve import make_app

    torch.set_num_threads(1)
    app = make_app(str(place)) if kind == "masks" else dense_app(place)
    settings: dict[str, Any] = {"log_level": "critical", "access_log": False}
    uvicorn.run(app, host="127.0.0.1", port=port, timeout_keep_alive=3600, **settings)


class Service:
    """A service in a process of its own, and a connection to it."""

    def __init__(self, kind: str, place: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        arguments = ["--serve", kind, str(place), str(port)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.serving", *arguments], env=environment
        )
        for _ in range(600):
            self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                self._connection.connect()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"{kind}: no answer")

    def ask(self, task: int, body: bytes) -> float:
        """Seconds of one request."""
        start = time.perf_counter()
        self._connection.request("POST", f"/predict/task/{task}", body)
        answer = self._connection.getresponse()
        content = answer.read()
        seconds = time.perf_counter() - start
        if answer.status != 200:
            raise RuntimeError(f"task {task}: {answer.status} {content[:200]!r}")
        return seconds

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.terminate()
        self._process.wait()


def traffic(kind: str, count: int, requests: int, seed: int) -> np.ndarray:
    """Tasks that are asked for: all alike, or by Zipf's law, the first most (exponent 1.1)."""
    shares = np.ones(count) if kind == "even" else 1 / np.arange(1, count + 1) ** 1.1
    return np.random.default_rng(seed).choice(count, requests, p=shares / shares.sum())


def summary(rounds: list[list[float]]) -> dict[str, float]:
    """Requests a second and the 95th percentile, medians over the rounds."""
    return {
        "requests_a_second": round(float(np.median([len(r) / sum(r) for r in rounds])), 1),
        "p95_ms": round(float(np.median([np.percentile(r, 95) for r in rounds])) * 1000, 3),
    }


def measure(folder: Path, counts: tuple[int, ...], requests: int, rounds: int) -> dict[str, Any]:
    """Every arrangement in turn, ``rounds`` times."""
    body = io.BytesIO()
    np.save(body, np.random.default_rng(0).normal(size=(1, 784)).astype(np.float32))
    image = body.getvalue()
    seconds: dict[tuple[str, int, str], list[list[float]]] = {}
    services: dict[tuple[str, int], Service] = {}
    try:
        for count in counts:
            make_archive(folder / f"{count}.h5", count)
            make_checkpoints(folder / f"{count}.h5", folder / f"dense-{count}")
            services["masks", count] = Service("masks", folder / f"{count}.h5")
            services["dense", count] = Service("dense", folder / f"dense-{count}")
        for (_, count), service in services.items():
            for task in range(count):
                service.ask(task, image)
        for turn in range(rounds):
            for (kind, count), service in services.items():
                for how in ("even", "skewed"):
                    asked = traffic(how, count, requests, turn)
                    found = [service.ask(int(task), image) for task in asked]
                    seconds.setdefault((kind, count, how), []).append(found)
    finally:
        for service in services.values():
            service.close()
    rows = [
        {"models": kind, "tasks": count, "traffic": how, **summary(found)}
        for (kind, count, how), found in seconds.items()
    ]
    flat = {}
    for kind in ("masks", "dense"):
        for how in ("even", "skewed"):
            rate = [
                [len(each) / sum(each) for each in seconds[kind, count, how]]
                for count in (counts[0], counts[-1])
            ]
            flat[f"{kind}, {how}"] = round(float(np.median(np.divide(rate[1], rate[0]))), 3)
    return {
        "rows": rows,
        f"throughput at {counts[-1]} tasks over that at {counts[0]}": flat,
        "bytes": {
            "archive": (folder / f"{counts[-1]}.h5").stat().st_size,
            "checkpoints": sum(
                file.stat().st_size for file in (folder / f"dense-{counts[-1]}").iterdir()
            ),
        },
    }


def main() -> None:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=48)
    parser.add_argument("--serve", nargs=3)
    options = parser.parse_args()
    if options.serve:
        kind, place, port = options.serve
        serve(kind, Path(place), int(port))
        return
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), COUNTS, options.requests, options.rounds)
    save_results("serving", {"requests": options.requests, "rounds": options.rounds, **figures})


if __name__ == "__main__":
    main()
