"""Weights that no seed gives back: the file they come from, how it is known and found again."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Shaped
from safetensors.torch import load
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.foreign import foreign_file
from maskstore.numbers import parse_whole
from supsup.networks.unpickle import load_checkpoint, require_values, state_of

VARIABLE = "SUPSUP_WEIGHTS"
"""Environment variable: a weights file, or a folder of them."""

ALL = ("*",)
_CHUNK = 1 << 20
_LARGEST = 1 << 50


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsFile:
    """A file of trained weights as a recipe knows it. ``WeightsFile.of(path)`` makes one.

    The SHA-256 only finds the file again: which weights they are is decided by the digest of their
    values, so the same ones in another file are the same.

    Attributes:
        file: its name, without folders.
        bytes: its size.
        sha256: of its bytes, hex.
        parameters: patterns (``*``, ``?``, ``[…]``) of the parameters that it gives; a parameter
            that none of them matches is drawn from the seed.
        path: where it was last seen on this machine; no part of the recipe's JSON.

    Raises:
        InvalidInput: a field cannot be used; the message names it.
    """

    file: str
    bytes: int
    sha256: str
    parameters: Sequence[str] = ALL
    path: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.file, str) or not self.file or Path(self.file).name != self.file:
            raise InvalidInput(
                f"weights: file: expected a file's name without folders, got {self.file!r:.80}"
            )
        parse_whole("weights: bytes", self.bytes, least=0, most=_LARGEST)
        digits = self.sha256 if isinstance(self.sha256, str) else ""
        if len(digits) != 64 or set(digits) - set("0123456789abcdef"):
            raise InvalidInput(
                f"weights: sha256: expected 64 hexadecimal digits, got {self.sha256!r:.80}"
            )
        patterns = self.parameters
        if (
            not isinstance(patterns, list | tuple)
            or not patterns
            or not all(isinstance(each, str) and each for each in patterns)
        ):
            raise InvalidInput(
                f"weights: parameters: expected patterns of names, at least one, got {patterns!r}"
            )
        object.__setattr__(self, "parameters", tuple(patterns))

    @classmethod
    def of(cls, path: str | PathLike[str], *, parameters: Sequence[str] = ALL) -> "WeightsFile":
        """A file as it is now, known by its SHA-256.

        Raises:
            InvalidInput: there is no such file, or it cannot be read.
        """
        found = Path(path)
        return cls(
            file=found.name,
            bytes=found.stat().st_size if found.is_file() else 0,
            sha256=sha256_of_file(found),
            parameters=parameters,
            path=found.absolute(),
        )

    def to_json(self) -> dict[str, Any]:
        """What a recipe keeps."""
        return {
            "file": self.file,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "parameters": list(self.parameters),
        }

    @classmethod
    def from_json(cls, value: object) -> "WeightsFile":
        """The inverse of :meth:`to_json`; raises InvalidInput on anything else."""
        keys = {"file", "bytes", "sha256", "parameters"}
        if not isinstance(value, Mapping) or value.keys() != keys:
            raise InvalidInput(
                f"weights: expected an object with {', '.join(sorted(keys))}, got {value!r:.80}"
            )
        return cls(**value)

    def gives(self, name: str) -> bool:
        """Whether a parameter of that name comes from the file."""
        return matches(name, self.parameters)

    def found(self, beside: Iterable[Path] = ()) -> "WeightsFile":
        """The same with the ``path`` at which the file is, its SHA-256 compared.

        It is looked for at ``path``, in the folders ``beside``, in those or at the file that
        ``SUPSUP_WEIGHTS`` names, and in the current folder.

        Raises:
            InvalidInput: it is nowhere there, or only another file of that name.
        """
        wrong = ""
        for candidate in self._candidates(beside):
            if not candidate.is_file():
                continue
            sha256 = sha256_of_file(candidate)
            if sha256 == self.sha256:
                return replace(self, path=candidate.absolute())
            wrong = wrong or f"{candidate} has SHA-256 {sha256}, "
        found = wrong or f"found none of the name {self.file!r}, "
        raise InvalidInput(
            f"weights file: {found}wanted SHA-256 {self.sha256} ({self.file}, {self.bytes} bytes); "
            f"put it beside the archive, or name it or its folder in {VARIABLE}"
        )

    def _candidates(self, beside: Iterable[Path]) -> Iterable[Path]:
        if self.path is not None:
            yield self.path
        for folder in beside:
            yield folder / self.file
        if named := os.environ.get(VARIABLE):
            yield Path(named) / self.file if Path(named).is_dir() else Path(named)
        yield Path(self.file)


def apart(wanted: Mapping[str, Any] | None, have: WeightsFile | None) -> str:
    """What to say of a recipe's file and another one, where their values are not the same."""
    kept = (wanted or {}).get("weights")
    if not isinstance(kept, Mapping) or have is None or kept.get("sha256") == have.sha256:
        return ""
    return (
        f" (weights file {have.file} has SHA-256 {have.sha256}, "
        f"wanted {kept.get('sha256')} of {kept.get('file')})"
    )


def parse_weights(value: object) -> WeightsFile | None:
    """A recipe's ``weights``: none, a path, JSON or a :class:`WeightsFile`."""
    if value is None or isinstance(value, WeightsFile):
        return value
    if isinstance(value, str | PathLike):
        return WeightsFile.of(value)
    return WeightsFile.from_json(value)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns matches a name."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def sha256_of_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes; raises InvalidInput where it cannot be read."""
    digest = hashlib.sha256()
    with foreign_file(path, "weights file") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def read_weights(path: Path) -> dict[str, Shaped[Tensor, "..."]]:
    """The tensors of a ``.safetensors`` file, or of what ``torch.save`` wrote, on the CPU.

    What it is, its first bytes say, whatever it is called. No code of the file is run. Of a
    checkpoint the part is taken that holds the network's tensors
    (:func:`supsup.networks.unpickle.state_of`).

    Raises:
        InvalidInput: not such a file, or one that holds no tensors, or those of several networks.
    """
    if _is_safetensors(path):
        with foreign_file(path, ".safetensors file") as file:
            tensors = dict(load(file.read()))
    else:
        loaded = load_checkpoint(path)
        if not isinstance(loaded, Mapping):
            raise InvalidInput(f"{path}: expected a state_dict, found {type(loaded).__name__}")
        tensors = state_of(path, loaded)
        if loaded and not tensors:
            raise InvalidInput(
                f"{path}: expected the tensors of a network, found none among "
                + ", ".join(f"{key!r:.40}" for key in [*loaded][:5])
                + "; save its state_dict()"
            )
    if not tensors:
        raise InvalidInput(f"{path}: expected the tensors of a network, found none")
    for name, tensor in tensors.items():
        try:
            require_values(name, tensor)
        except InvalidInput as error:
            raise InvalidInput(f"{path}: {error}") from None
    return tensors


def _is_safetensors(path: Path) -> bool:
    """Whether a file begins with a JSON header and its length; by its name where it is neither that
    nor a zip or pickle, as ``torch.save`` writes them."""
    with foreign_file(path, "weights file") as file:
        first = file.read(9)
    if first[8:] == b"{":  # asked first: a length may begin with a pickle's first byte
        return True
    return path.suffix == ".safetensors" and not first.startswith((b"PK", b"\x80"))


def float32_of(what: str, name: str, tensor: Tensor) -> Tensor:
    """A parameter's values as float32.

    Raises:
        InvalidInput: they are no real numbers, not finite, or too large for the type.
    """
    if not tensor.is_floating_point():
        raise InvalidInput(
            f"{what}: tensor {name!r}: expected floating-point numbers, got {tensor.dtype}"
        )
    values = tensor.detach().to(torch.float32)
    if bad := int(values.numel() - values.isfinite().sum()):
        raise InvalidInput(
            f"{what}: tensor {name!r}: {bad} of {values.numel()} values are NaN or infinite; "
            "that training had diverged"
        )
    return values
