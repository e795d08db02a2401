"""Write tests/golden/v2.h5. Only ever run for a new golden file: what a release wrote stays."""

import hashlib
from pathlib import Path

import numpy as np

from maskstore import BFloat16, MaskArchive, MaskLayout

LAYOUT = MaskLayout({"conv.weight": (4, 1, 3, 3), "fc.weight": (5, 13)})


def masks_of(number: int) -> dict[str, np.ndarray]:
    """A mask without a random generator."""
    masks = {}
    for name, shape in LAYOUT.shapes.items():
        at = np.arange(np.prod(shape), dtype=np.int64)
        masks[name] = ((at * at + number) % 7 < 2 + number % 3).reshape(shape)
    return masks


def tensors_of(number: int) -> dict[str, np.ndarray]:
    """Tensors of every type, raw and in byte planes, as they come back."""
    # Byte planes are noise or constant, so that every release of zstd stores them alike.
    noise = np.frombuffer(hashlib.shake_256(str(number).encode()).digest(240), "<u2").astype(int)
    return {
        "bn.weight": (1 + (noise % 128 + 1) / 2**14).astype(np.float32).reshape(8, 15),
        "bn.bias": ((noise % 61) / 7).astype(np.float32)[:5],
        "half": ((noise % 97) / 96).astype(np.float16)[:7],
        "brain": (noise[:9] % 50).astype(np.float32),
        "i8": (noise % 256 - 128).astype(np.int8),
        "u8": (noise % 256).astype(np.uint8).reshape(2, 3, 20),
        "i16": (noise % 1000).astype(np.int16)[:3],
        "i32": np.full((300, 2), number, np.int32),
        "tracked": np.array(number * 10**12),
        "flags": noise[:21] % 3 == 0,
        "empty": np.zeros((0, 4), np.float32),
    }


def as_stored(tensors: dict[str, np.ndarray]) -> dict:
    """What is passed in."""
    return tensors | {"brain": BFloat16(tensors["brain"])}


def write(path: Path) -> None:
    """How ``v2.h5`` was made."""
    with MaskArchive.create(
        path,
        LAYOUT,
        backbone={"net": "golden", "seed": 7, "weights": {"sha256": "ab" * 32}},
        metadata_example={"note": "typical"},
    ) as archive:
        for number in range(4):  # version 1
            archive.add(f"golden/{number}", masks_of(number), {"note": "typical"}, codec="raw")
        archive.set_shared_tensors("weights", as_stored(tensors_of(50)))
        archive.set_shared_tensors("statistics", {"mean": np.float32(0.25)})
        archive.add_many(
            (
                (f"golden/{n}", masks_of(n), {"classes": ["ä", "b"]}, as_stored(tensors_of(n)))
                for n in range(4, 20)
            ),
            codec="raw",
        )
        archive.set_tensors("golden/1", {"x": np.arange(6, dtype=np.int16)})
        archive.set_tensors("golden/5", {"x": np.arange(6, dtype=np.int32)})
        archive.set_tensors("golden/6", {})
        archive.set_shared_tensors("statistics", {"mean": np.float32(0.5)})
        archive.rename("golden/2", "ünï/code")
        archive.remove("golden/7")
        archive.add("golden/2", masks_of(33), codec="raw")
        archive.rename("golden/8", "golden/7")


def main() -> None:
    """Write the file and its sha256."""
    path = Path(__file__).with_name("v2.h5")
    path.unlink(missing_ok=True)
    write(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".sha256").write_text(f"{digest}  v2.h5\n")


if __name__ == "__main__":
    main()
