"""BackboneRecipe: everything that regenerates a frozen network, as a small JSON value."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from os import PathLike
from typing import Any, get_args

from maskstore.errors import InvalidInput
from maskstore.numbers import parse_share, parse_whole
from maskstore.registry import check_one_of
from maskstore.seeded.streams import parse_seed
from supsup.choices import InitName, StatisticsName
from supsup.networks.per_task import parse_patterns
from supsup.networks.weights_file import WeightsFile, parse_weights

INITS: tuple[str, ...] = get_args(InitName)
STATISTICS: tuple[str, ...] = get_args(StatisticsName)

OMITTED: dict[str, Any] = {"statistics": "batch", "per_task": []}
"""Fields that are left out of the JSON where they have this value: archives that are older than the
field have none, and their recipe stays the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneRecipe:
    """A network before its weights: ``supsup.build(recipe)`` makes it.

    Attributes:
        net: a net that ships here (:data:`supsup.networks.NETS`) or ``"module:function"``, a
            function that is called with ``outputs`` and the options and returns an ``nn.Module``;
            or ``"torchvision:NAME"``, one of torchvision's classifiers.
        outputs: width of the last layer. More outputs than classes are the paper's superfluous
            neurons.
        seed: seed of the weights.
        init: distribution of the weights, see :mod:`supsup.networks.weights`.
        fan_density: only for the ``scaled-…`` inits: the share of weights that masks keep, so that
            activations have the size that they would have in a dense network.
        maskable: names or patterns of the parameters that masks cover; None takes the net's own
            choice. Over a partly trained network they may be the seeded ones alone.
        options: keyword arguments of the net, JSON values.
        weights: the file of the parameters that are trained (a path, or a
            :class:`supsup.networks.weights_file.WeightsFile`); None draws all from the seed.
        statistics: of normalisation: ``batch``, in evaluation, too; ``running``, a mean and a
            variance that every task has of its own, kept with its mask; ``frozen``, those of the
            module. None leaves it to :func:`supsup.build`, whose backbone's recipe says what it
            is: ``frozen`` where the weights file gives statistics, else ``running`` where the
            network keeps any, but for ``bn-2048``, which is the paper's; else ``batch``.
        per_task: patterns (``*``, ``?``, ``[…]``) of the parameters that every task has of its own,
            such as ``("head.*", "*.bias")``: trained with its mask, kept beside it, covered by none
            (:mod:`supsup.networks.per_task`).

    Raises:
        InvalidInput: a field cannot be used; the message names it.

    >>> BackboneRecipe(net="lenet-300-100", outputs=10).to_json()["init"]
    'signed-constant'
    """

    net: str
    outputs: int
    seed: int = 0
    init: str = "signed-constant"
    fan_density: float = 0.5
    maskable: Sequence[str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: WeightsFile | Mapping[str, Any] | str | PathLike[str] | None = None
    statistics: str | None = None
    per_task: str | Sequence[str] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.net, str) or not self.net:
            raise InvalidInput(f"net: expected a name or module:function, got {self.net!r}")
        outputs = parse_whole("outputs", self.outputs, most=2**20, expected=f"1 to {2**20}")
        object.__setattr__(self, "outputs", outputs)
        object.__setattr__(self, "seed", parse_seed(self.seed))
        object.__setattr__(self, "fan_density", check_init(self.init, self.fan_density))
        if self.statistics is not None:
            check_one_of("statistics", self.statistics, STATISTICS)
        object.__setattr__(self, "per_task", parse_patterns(self.per_task))
        if self.maskable is not None:
            object.__setattr__(self, "maskable", parse_maskable(self.maskable))
        if not isinstance(self.options, Mapping):
            raise InvalidInput(f"net options: expected a mapping, got {self.options!r}")
        try:
            # A copy through JSON: what the archive will give back, and nobody else holds it.
            options = json.loads(json.dumps(dict(self.options), allow_nan=False, default=_plain))
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"net options: must be JSON ({error})") from error
        object.__setattr__(self, "options", options)
        object.__setattr__(self, "weights", parse_weights(self.weights))

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_json(), sort_keys=True))

    @property
    def weights_file(self) -> WeightsFile | None:
        """``weights`` as it is kept, whatever it was given as."""
        assert self.weights is None or isinstance(self.weights, WeightsFile)
        return self.weights

    def to_json(self) -> dict[str, Any]:
        """The recipe as JSON; that of a backbone (``backbone.recipe``) says all."""
        value = {f.name: getattr(self, f.name) for f in fields(self)}
        weights = self.weights_file
        del value["weights"]
        value["per_task"] = list(self.per_task)
        for key, default in OMITTED.items():
            if value[key] == default:
                del value[key]
        value |= {
            "maskable": None if self.maskable is None else list(self.maskable),
            "options": dict(self.options),
        }
        # Left out where there is none: a recipe that older releases read, byte for byte.
        return value if weights is None else value | {"weights": weights.to_json()}

    @classmethod
    def from_json(cls, value: object) -> "BackboneRecipe":
        """The inverse of :meth:`to_json`; fields of :data:`OMITTED` that are not there are as
        there.

        Raises:
            InvalidInput: not a recipe, or one with a field this release does not know.
        """
        if not isinstance(value, dict) or not {"net", "outputs"} <= value.keys():
            raise InvalidInput(
                f"backbone recipe: expected an object with net, outputs, …, got {value!r:.80}"
            )
        unknown = value.keys() - {f.name for f in fields(cls)}
        if unknown:
            raise InvalidInput(
                f"backbone recipe: field {min(unknown)!r} is unknown to this release"
            )
        return cls(**OMITTED | value)


def check_init(init: str, fan_density: float) -> float:
    """``fan_density`` as a float; raises InvalidInput unless the pair names a distribution."""
    check_one_of("init", init, INITS)
    return parse_share("fan_density", fan_density)


def _plain(value: object) -> int | float:
    """What numpy's numbers are in JSON."""
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise TypeError(f"{value!r} is not")


def parse_maskable(names: object) -> tuple[str, ...]:
    """Parameter names as a tuple; raises InvalidInput on none, a repetition or no text."""
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise InvalidInput(f"maskable: expected a list of parameter names, got {names!r}")
    if not names or len(set(names)) != len(names):
        raise InvalidInput(f"maskable: expected distinct names, at least one, got {list(names)!r}")
    return tuple(names)
