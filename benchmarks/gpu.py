"""What this package does on a GPU, by one command of at most nine minutes, without a network.

    python -m benchmarks.gpu [--data DIR] [--cifar cifar100.npz] [--wheels DIR]

runs the tests marked ``cuda``; trains 2,500 tasks of PermutedMNIST and stores their masks, a set of
tasks on ResNet-18, One-Shot among up to 100,000 masks, batches of many tasks; and measures what the
card copies and multiplies at most. Each part is a process of its own and has its share of the time:
where one fails, or its time is over, that is said, what it had measured is kept, and the rest runs.

Only what the package itself needs must be installed, and pytest, hypothesis and beartype for the
tests. Of what is missing, wheels may lie in a folder (``--wheels``), for any versions of Python.
Writes the figures (``gpu.json``) and the page made of them. ``--device cpu --small --out DIR``
rehearses it without a card.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.results import FOLDER, ROOT, save_results

MINUTES = 9.0
SHARES = {
    "ceilings": 0.05,
    "permuted": 0.36,
    "one-shot": 0.18,
    "mixed": 0.10,
    "convolutions": 0.16,
    "tests": 0.13,
}
"""Part → its share of the time, start of Python included; what is left is for packages and page."""

NEEDED = (
    "bitarray",
    "constriction",
    "jaxtyping",
    "matplotlib",
    "numba",
    "numpy",
    "PIL",
    "platformdirs",
    "safetensors",
    "torch",
    "zstandard",
)
"""Modules that the parts import; typer, rich, h5py, fsspec, jinja2 and SciPy are not among them."""


def unpack_wheels(folder: Path, into: Path) -> None:
    """Install what lies there and fits this Python, without a network and without what it needs."""
    names = sorted({each.name.split("-")[0] for each in folder.glob("*.whl")})
    where = ("--no-index", "--no-deps", "--find-links", str(folder), "--target", str(into))
    for name in names:  # one by one: one that does not fit must not keep out the others
        run = subprocess.run(
            [sys.executable, "-m", "pip", "install", "-q", *where, name],
            capture_output=True,
            text=True,
        )
        if run.returncode:
            print(f"{name}: {run.stderr.strip().splitlines()[-1]}", file=sys.stderr)


def run_part(
    command: Sequence[str], seconds: float, into: Path, environment: Mapping[str, str]
) -> dict[str, Any]:
    """What a part wrote, how long it took, and why it ended before its end, if it did."""
    start, failed = time.perf_counter(), None
    said = into.with_suffix(".txt")
    with said.open("w") as stderr:
        run = subprocess.Popen(
            [*command, "--into", str(into)],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            if run.wait(seconds):
                lines = [line for line in said.read_text("utf-8").splitlines() if line.strip()]
                failed = lines[-1][:600] if lines else f"ended with exit code {run.returncode}"
        except subprocess.TimeoutExpired:
            failed = f"stopped after its share of the time, {seconds:.0f} s"
        finally:
            with suppress(ProcessLookupError):  # with all that it started
                os.killpg(run.pid, signal.SIGKILL)
            run.wait()
    figures: dict[str, Any] = {}
    with suppress(OSError):
        figures = json.loads(into.read_text("utf-8"))
    return {
        "took_seconds": round(time.perf_counter() - start, 1),
        "failed": failed,
        **figures,
    }


def run_parts(
    device: str, minutes: float, parts: Sequence[str], options: Sequence[str], wheels: Path | None
) -> dict[str, Any]:
    """Every part in turn; raises SystemExit where what all of them need is not there."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        vendored = Path(folder, "wheels")
        if wheels is not None:
            unpack_wheels(wheels, vendored)
            sys.path.append(str(vendored))
        if missing := [name for name in NEEDED if find_spec(name) is None]:
            raise SystemExit(
                f"python {sys.version.split()[0]}: no {', '.join(missing)} here; install them, or "
                "put their wheels into a folder and name it with --wheels"
            )
        path = os.pathsep.join(
            [str(ROOT), str(ROOT / "cli"), os.environ.get("PYTHONPATH", ""), str(vendored)]
        )
        for name in parts:
            seconds = 60 * minutes * SHARES[name]
            command = [sys.executable, "-m", "benchmarks.gpu_parts", name, "--device", device]
            command += ["--seconds", str(seconds), *options]
            print(f"{name}: at most {seconds:.0f} s", file=sys.stderr, flush=True)
            into = Path(folder, f"{name}.json")
            found[name] = run_part(command, seconds, into, {"PYTHONPATH": path})
            print(json.dumps(found[name], indent=1), file=sys.stderr, flush=True)
    return found


def main() -> None:
    """Run the parts and write the figures and their page."""
    from benchmarks.gpu_page import page

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="sizes of a rehearsal")
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--parts", nargs="+", choices=SHARES, default=list(SHARES))
    parser.add_argument("--data", type=Path, help="folder of MNIST; else the sample that is here")
    parser.add_argument("--cifar", type=Path, help="cifar100.npz; else textures of its shape")
    parser.add_argument("--wheels", type=Path, help="folder with wheels of what is missing")
    parser.add_argument("--out", type=Path, help="folder; docs/results by default, of a card")
    given = parser.parse_args()
    if given.device == "cpu" and given.out is None:
        parser.error("--device cpu is a rehearsal: name its folder with --out")
    options = ["--small"] if given.small else []
    for name in ("data", "cifar"):
        if (path := getattr(given, name)) is not None:
            options += [f"--{name}", str(path.resolve())]
    start = time.perf_counter()
    parts = run_parts(given.device, given.minutes, given.parts, options, given.wheels)
    figures = {
        "device": given.device,
        "small": given.small,
        "seconds": round(time.perf_counter() - start, 1),
        "load_average": os.getloadavg(),
        "parts": parts,
    }
    out = given.out or FOLDER
    save_results("gpu", figures, quiet=True, folder=out)
    (out / "gpu.md").write_text(page(figures), "utf-8")
    print(f"{out / 'gpu.json'}, {out / 'gpu.md'}: {figures['seconds']} s")
    for name, part in parts.items():
        if part["failed"] is not None:
            print(f"{name}: {part['failed']}")


if __name__ == "__main__":
    main()
