"""Checkpoints read without running any code of theirs."""

import argparse
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from maskstore.errors import InvalidInput
from maskstore.foreign import foreign_file, require_size

_UNKNOWN = re.compile(r"(?:Unsupported global: GLOBAL|unsupported GLOBAL) (?P<name>\S+)")
_MODULE_BEFORE_1_6 = "Only persistent_load of storage is allowed"
"""What torch says of a module in a file of torch before 1.6, as all of Piggyback's are."""
_WHOLE_MODULE = (
    "export its tensors where its code is at hand: c = torch.load(FILE, weights_only=False); "
    "torch.save(c.state_dict(), 'tensors.pt'), of a checkpoint around it "
    "torch.save({'state_dict': c['model'].state_dict(), 'args': c.get('args')}, 'tensors.pt'), or "
    "of a pack torch.save({'dataset2masks': c['dataset2masks']}, 'tensors.pt')"
)


def load_checkpoint(path: Path) -> Any:
    """What ``torch.save`` wrote: containers, plain values and tensors on the CPU.

    Paths, numpy scalars and the layers of torch that stand beside the tensors come back as
    harmless stand-ins; every other class or function is refused by name.

    Raises:
        InvalidInput: not such a file, one that would run code, or one that unpacks to more than it
            has bytes.
    """
    with foreign_file(path, "checkpoint") as file:
        _require_stored_as_is(path, file)
        try:
            # What torch has to say of a stranger's file is said by the error, or not at all.
            with torch.serialization.safe_globals(_harmless()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:
            unknown = _UNKNOWN.search(str(error))
            held = unknown["name"] if unknown else "a whole module"
            if unknown is None and _MODULE_BEFORE_1_6 not in str(error):
                # What torch says then is advice to run the file's code.
                raise InvalidInput(
                    f"{path}: not a checkpoint that torch.save wrote, or a damaged one "
                    f"({type(error).__name__})"
                ) from error
            raise InvalidInput(
                f"{path}: not a checkpoint of tensors alone: it holds {held}, and "
                f"nothing of a checkpoint is executed here; {_WHOLE_MODULE}"
            ) from error


_STATES = ("state_dict", "model_state_dict", "model")
"""What a checkpoint calls its network's tensors: Lightning, PyTorch's tutorials, torchvision."""


def state_of(path: Path, loaded: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The tensors of a ``state_dict``, or of the one that is in a checkpoint.

    That is the entry of a usual name, else the only one that holds tensors.

    Raises:
        InvalidInput: a name is no text, or several entries of a checkpoint hold tensors.
    """
    state = loaded
    if usual := [key for key in _STATES if isinstance(loaded.get(key), Mapping)]:
        state = loaded[usual[0]]
    elif not any(isinstance(value, Tensor) for value in loaded.values()):
        nested = [key for key, value in loaded.items() if _holds_tensors(value)]
        if len(nested) > 1:
            raise InvalidInput(
                f"{path}: has tensors of several networks, {', '.join(map(repr, nested[:5]))}; "
                f"save one of them alone: torch.save(torch.load(FILE)[{nested[0]!r}], 'one.pt')"
            )
        state = loaded[nested[0]] if nested else loaded
    for name in state:
        if not isinstance(name, str):
            raise InvalidInput(f"{path}: expected names of tensors as text, found {name!r:.40}")
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def _holds_tensors(value: object) -> bool:
    return isinstance(value, Mapping) and any(isinstance(each, Tensor) for each in value.values())


def without_parallel(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same without the prefix that ``DataParallel`` puts before names."""
    if not all(name.startswith("module.") for name in tensors):
        return tensors
    return {name.removeprefix("module."): value for name, value in tensors.items()}


def numbers_of(name: str, tensor: Tensor) -> Tensor:
    """A tensor's values as dense float32, or float64 where it has that.

    Raises:
        InvalidInput: as :func:`require_values`, or its values are no real numbers.
    """
    require_values(name, tensor)
    if not tensor.is_floating_point():
        raise InvalidInput(f"tensor {name!r}: expected floating-point numbers, got {tensor.dtype}")
    values = tensor.detach()
    return values if values.dtype == torch.float64 else values.float()


def require_values(name: str, tensor: Tensor) -> None:
    """Raise InvalidInput unless a tensor is dense and its file holds a number for each entry.

    An expanded tensor of a few bytes may say that it has a billion entries.
    """
    kinds = {
        "nested": tensor.is_nested,
        "quantised": tensor.is_quantized,
        "without values (meta)": tensor.is_meta,
        str(tensor.layout): tensor.layout is not torch.strided,
    }
    for kind, found in kinds.items():
        if found:
            raise InvalidInput(f"tensor {name!r}: expected a dense tensor, found one {kind}")
    held = tensor.untyped_storage().nbytes() // tensor.element_size()
    if tensor.numel() > held:
        raise InvalidInput(
            f"tensor {name!r}: {tensor.numel()} numbers by its shape {tuple(tensor.shape)}, "
            f"{held} in the file; save a copy of it (tensor.clone())"
        )


def _require_stored_as_is(path: Path, file: BinaryIO) -> None:
    """``torch.save`` compresses nothing, so that a file never unpacks to more than its size."""
    size = path.stat().st_size
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as members:
            if any(name.endswith("/constants.pkl") for name in members.namelist()):
                raise InvalidInput(
                    f"{path}: a scripted module, whose code is not run here; save its tensors: "
                    "torch.save(torch.jit.load(FILE).state_dict(), 'tensors.pt')"
                )
            require_size(path, sum(m.file_size for m in members.infolist()), size)
    file.seek(0)


class _Inert:
    """Stands for an object of a class that is of no use here; takes its state and does nothing."""

    def __init__(self, *args: object) -> None:
        """Forget the arguments."""

    def __setstate__(self, state: object) -> None:
        """Forget the state."""


class _Path(str):
    """A ``pathlib`` path as text; never looked up on the disk."""

    def __new__(cls, *parts: object) -> "_Path":
        """Join the parts."""
        return super().__new__(cls, "/".join(str(part) for part in parts))


class _Dtype:
    """A numpy type by its name; objects are no type here."""

    def __init__(self, name: object = "", *_: object) -> None:
        """Keep the name."""
        self.name = str(name)
        self.order = "<"

    def __setstate__(self, state: object) -> None:
        """Take the byte order from numpy's ``(version, order, …)``."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "|", "="):
            self.order = str(state[1])


_SCALARS = re.compile(r"[fiu][1248]|b1")


def _scalar(dtype: object = None, data: object = None) -> object:
    """The Python number of a pickled numpy scalar; inert where it is none."""
    if isinstance(dtype, _Dtype) and isinstance(data, bytes) and _SCALARS.fullmatch(dtype.name):
        order = dtype.order if dtype.order in "<>" else "<"
        return np.frombuffer(data, f"{order}{dtype.name}", count=1)[0].item()
    return _Inert()


def _encoded(text: object = "", encoding: object = "") -> object:
    """``_codecs.encode`` as pickle uses it for bytes."""
    return str(text).encode("latin-1") if encoding == "latin1" else _Inert()


def _harmless() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What may stand beside tensors, by the name that the pickle gives it."""
    stand_ins: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        (argparse.Namespace, "argparse.Namespace"),
        (_encoded, "_codecs.encode"),
        (_Dtype, "numpy.dtype"),
        (_Inert, "numpy.ndarray"),
        (_Inert, "torch.nn.modules.linear.Linear"),
        (_Inert, "torch.nn.modules.container.Sequential"),
    ]
    for module in ("pathlib", "pathlib._local"):
        for kind in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path"):
            stand_ins.append((_Path, f"{module}.{kind}"))
    for core in ("numpy.core", "numpy._core"):
        stand_ins.append((_scalar, f"{core}.multiarray.scalar"))
        stand_ins.append((_Inert, f"{core}.multiarray._reconstruct"))
    return stand_ins
