"""Sizes: how large a figure is run, and how that differs from the paper."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from maskstore.errors import InvalidInput
from maskstore.seeded.streams import parse_seed
from supsup.datasets.catalog import IdxSource, find_source
from supsup.datasets.idx_files import at_hand
from supsup.tasks import family_names, is_own


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What a figure is measured on.

    Attributes:
        dataset: family of tasks, such as ``permuted-mnist``.
        tasks: how many.
        net: the network.
        outputs: widths of its last layer; most figures have one.
        steps: optimisation steps a task.
        images: test images a task at most; None for all.
        seeds: of weights, initial scores, tasks and batches; a figure is the mean over them.

    Raises:
        InvalidInput: a field cannot be used; the message names it.
    """

    dataset: str
    tasks: int
    net: str
    outputs: tuple[int, ...]
    steps: int
    images: int | None = None
    seeds: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        if is_own(self.dataset):
            rule = self.dataset.partition("-")[0]
            known = [name for name in family_names() if name.startswith(f"{rule}-")]
            raise InvalidInput(
                f"dataset {self.dataset}: a figure is made of a data set that has a name "
                f"({', '.join(known)}); on your own images `train --dataset {self.dataset} --data "
                "PATH`, then `eval` and `stats`"
            )
        for name in ("tasks", "steps", "images"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidInput(f"{name}: expected at least 1, got {value}")
        if not self.outputs or min(self.outputs) < 1:
            raise InvalidInput(f"outputs: expected numbers from 1, got {list(self.outputs)}")
        for name in ("outputs", "seeds"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise InvalidInput(
                    f"{name}: expected different ones, got {list(getattr(self, name))}"
                )
        object.__setattr__(self, "seeds", tuple(parse_seed(seed) for seed in self.seeds))

    @property
    def one_output(self) -> int:
        """The width of the last layer where a figure has but one.

        Raises:
            InvalidInput: there are several.
        """
        if len(self.outputs) > 1:
            raise InvalidInput(f"outputs: this figure takes one, got {list(self.outputs)}")
        return self.outputs[0]

    def differences(self, paper: "Sizes") -> list[str]:
        """A line for each field that is not the paper's."""
        return [
            f"{field.name}: {_text(ours)} here, {_text(theirs)} in the paper"
            for field in fields(self)
            if (ours := getattr(self, field.name)) != (theirs := getattr(paper, field.name))
        ]

    def to_json(self) -> dict[str, Any]:
        """The sizes as JSON."""
        return asdict(self)


def family_at_hand(rule: str, data_dir: Path | None) -> str:
    """``<rule>-mnist`` where a folder of data is named or MNIST lies where it is looked for,
    otherwise ``<rule>-mnist-sample``, the digits of the package: nothing is downloaded that nobody
    asked for."""
    source = find_source("mnist")
    assert isinstance(source, IdxSource)
    full = data_dir is not None or at_hand(source, data_dir)
    return f"{rule}-mnist" if full else f"{rule}-mnist-sample"


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "all" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
