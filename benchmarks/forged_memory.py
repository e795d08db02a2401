"""What small files that claim much still cost in memory, by command.

    python -m benchmarks.forged_memory

Each command runs in a process of its own, whose peak is told beside that of the same command on an
honest small file of its kind. Figures: ``forged_memory.json``.
"""

import argparse
import io
import json
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.results import save_results
from maskstore import MaskArchive, MaskLayout
from supsup import SupSup

_PEAK = (
    "import json, resource, subprocess, sys\n"
    "run = subprocess.run([sys.executable, '-m', 'supsup_store', *sys.argv[1:]],"
    " capture_output=True)\n"
    "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024\n"
    "print(json.dumps([run.returncode, round(peak)]))"
)
SIDE = 5_792
"""Of a layer with the most weights that an archive takes from a payload of a few bytes."""


def archive(path: Path, side: int) -> Path:
    """Two masks of zeros, coded as 145 bytes each."""
    with MaskArchive.create(path, MaskLayout({"w": (side, side)})) as made:
        for name in "ab":
            made.add(name, {"w": np.zeros((side, side), bool)}, codec="zstd")
    return path


def npz(path: Path, rows: int) -> Path:
    """Images of zeros, deflated."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file,
        file.open("images.npy", "w", force_zip64=True) as member,
    ):
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, 784)}
        np.lib.format.write_array_header_1_0(member, header)
        for _ in range(rows // 1000):
            member.write(bytes(4 * 784 * 1000))
        member.write(bytes(4 * 784 * (rows % 1000)))
    return path


def pixels(folder: Path, side: int) -> Path:
    """A folder with a black picture, its rows deflated."""
    folder.mkdir()
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + 3 * side)) for _ in range(side)) + packer.flush()
    header = struct.pack(">II5B", side, side, 8, 2, 0, 0, 0)
    content = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    content.seek(0, io.SEEK_END)
    for name, part in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")):
        content.write(struct.pack(">I", len(part)) + name + part)
        content.write(struct.pack(">I", zlib.crc32(name + part)))
    (folder / "black.png").write_bytes(content.getvalue())
    return folder


def checkpoint(path: Path, side: int) -> Path:
    """Scores that are one number, repeated."""
    torch.save({"fc1.scores": torch.zeros(1, device="cpu").expand(side, side)}, path)
    return path


def size_of(path: Path) -> int:
    """Bytes of a file, or of those in a folder."""
    return sum(each.stat().st_size for each in ([path] if path.is_file() else path.iterdir()))


def peak(*arguments: object) -> tuple[int, int]:
    """Exit code and MB at most of a command."""
    run = subprocess.run(
        [sys.executable, "-c", _PEAK, *map(str, arguments)], capture_output=True, check=True
    )
    code, megabytes = json.loads(run.stdout)
    return code, megabytes


def measure(folder: Path) -> list[dict[str, Any]]:
    """Every command on what claims much, and on what does not."""
    model = folder / "model.h5"
    SupSup.create(model, "lenet-300-100", outputs=2).train(
        "split-mnist-sample", count=1, steps=2, quiet=True
    )
    files = {
        "weights": (archive(folder / "weights.h5", SIDE), archive(folder / "few.h5", 8)),
        "9.4 GB of images": (npz(folder / "most.npz", 3_000_000), npz(folder / "few.npz", 8)),
        "images up to the limit": (npz(folder / "many.npz", 340_000), folder / "few.npz"),
        "169 million pixels": (pixels(folder / "largest", 13_000), pixels(folder / "small", 28)),
        "pixels up to the limit": (pixels(folder / "large", 8_190), folder / "small"),
        "numbers, repeated": (
            checkpoint(folder / "large.pt", 60_000),
            checkpoint(folder / "small.pt", 8),
        ),
    }
    commands: dict[str, list[tuple[object, ...]]] = {
        "weights": [
            *((name, "FILE") for name in ("list", "stats", "verify", "overlap")),
            ("get", "FILE", "a", "--force", "--out", folder / "got.npz"),
            *(("compact", "FILE", "--codec", codec) for codec in ("zstd", "auto", "history")),
        ],
        "numbers, repeated": [("import", folder / "new.h5", "FILE", "--mask", "threshold")],
    }
    infer = ("infer", model, "--data", "FILE")
    rows = []
    for kind in files:
        for command in commands.get(kind, [infer]):
            found = []
            for file in files[kind]:
                given = file
                if command[0] == "compact":
                    given = Path(shutil.copy(file, folder / "copy.h5"))
                found.append(peak(*(given if each == "FILE" else each for each in command)))
                (folder / "new.h5").unlink(missing_ok=True)
            shown = [str(each) for each in command if not isinstance(each, Path)]
            rows.append(
                {
                    "claims": kind,
                    "file_bytes": size_of(files[kind][0]),
                    "command": " ".join(shown),
                    "refused": found[0][0] != 0,
                    "peak_mb": found[0][1],
                    "peak_mb_of_an_honest_one": found[1][1],
                }
            )
    return rows


def main() -> None:
    """Write docs/results/forged_memory.json."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        save_results("forged_memory", {"weights": SIDE**2, "rows": measure(Path(folder))})


if __name__ == "__main__":
    main()
