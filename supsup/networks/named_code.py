"""Networks whose code is elsewhere: ``module:function``, and ``torchvision:NAME``."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maskstore.errors import InvalidInput
from maskstore.foreign import one_line
from maskstore.registry import did_you_mean

TORCHVISION = "torchvision:"
"""Before the name of a model of torchvision's. What is installed is run, with no weights of its own
and no code that an archive names, so nobody has to say that it is trusted."""


_LOGITS_ALONE = {"aux_logits": False, "init_weights": False}
_DEFAULTS: dict[str, dict[str, Any]] = {"googlenet": _LOGITS_ALONE, "inception_v3": _LOGITS_ALONE}
"""Options of models of torchvision's that give more than logits in training, and draw weights that
are replaced."""


def maker_of(net: str) -> Callable[..., Any]:
    """What makes a network: it is called with ``outputs`` and options.

    A module is looked for where Python looks, and in the current folder.

    Raises:
        InvalidInput: there is no such module, function or model; or the current folder and another
            place have a module of that name.
    """
    if net.startswith(TORCHVISION):
        return _model_of_torchvision(net)
    module_name, _, attribute = net.partition(":")
    with _current_folder_last():
        _require_one(net, module_name.partition(".")[0])
        try:
            module = importlib.import_module(module_name)
        except (ImportError, ValueError) as error:
            raise InvalidInput(
                f"net {net!r}: cannot import module {module_name!r} ({error}); "
                "run in the folder of its file, or put that on PYTHONPATH"
            ) from error
    make = getattr(module, attribute, None)
    if not callable(make):
        raise InvalidInput(f"net {net!r}: module {module_name!r} has no function {attribute!r}")

    def make_here(**arguments: Any) -> Any:
        with _current_folder_last():  # a function may import, too
            return make(**arguments)

    return make_here


@contextmanager
def _current_folder_last() -> Iterator[None]:
    """The current folder among those that modules come from.

    Last and for a while: a scratch file there must not take the place of an installed package.
    """
    here = os.getcwd()
    if here in sys.path or "" in sys.path:
        yield
        return
    sys.path.append(here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _require_one(net: str, name: str) -> None:
    """Raise InvalidInput where the module found is not the one in the current folder."""
    here = Path.cwd()
    own = next(
        (each for each in (here / f"{name}.py", here / name / "__init__.py") if each.is_file()),
        None,
    )
    if own is None:
        return
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return
    if found is not None and found.origin and Path(found.origin).resolve() != own.resolve():
        raise InvalidInput(
            f"net {net!r}: module {name!r} is both {own} and {found.origin}, which Python finds "
            "first; rename yours"
        )


def _model_of_torchvision(net: str) -> Callable[..., Any]:
    name = net.removeprefix(TORCHVISION)
    try:
        models = importlib.import_module("torchvision.models")
    except Exception as error:  # one of another torch fails in its own ways
        raise InvalidInput(
            f"net {net!r}: torchvision cannot be imported ({one_line(error)}); install the one for "
            "this torch: pip install 'supsup-store[torchvision]'"
        ) from error
    known = models.list_models(module=models)
    if name not in known:
        raise InvalidInput(
            f"net {net!r}: torchvision has no classifier {name!r}{did_you_mean(name, known)}"
        )

    def make(*, outputs: int, **options: Any) -> Any:
        options = _DEFAULTS.get(name, {}) | options
        return models.get_model(name, weights=None, num_classes=outputs, **options)

    return make
