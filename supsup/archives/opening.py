"""Which network an archive is for, and the archive: opened where there is one, made where not."""

from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

from maskstore.archive import MaskArchive
from maskstore.errors import InvalidInput
from supsup.archives.network import check_recipe, create_archive, require_net
from supsup.archives.weights import embed_weights
from supsup.choices import DEFAULT_NET, DEFAULT_OUTPUTS
from supsup.networks.backbone import Backbone
from supsup.networks.construct import build
from supsup.networks.recipe import BackboneRecipe
from supsup.networks.weights_file import ALL, WeightsFile
from supsup.training.config import TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions:
    """A network as far as somebody says what it is; the rest is the archive's, or the default.

    Attributes:
        net, outputs, seed, init, fan_density, statistics, per_task, maskable: as in
            :class:`BackboneRecipe`; None leaves it open. A ``net`` of the form ``module:function``
            is trusted: whoever names it may run it.
        weights: a file of trained weights; None leaves it open, too.
        weights_for: patterns of the parameters that it gives; by default those of the archive, in
            a new one all.
    """

    net: str | None = None
    outputs: int | None = None
    seed: int | None = None
    init: str | None = None
    fan_density: float | None = None
    weights: str | PathLike[str] | None = None
    weights_for: tuple[str, ...] = ()
    statistics: str | None = None
    per_task: tuple[str, ...] | None = None
    maskable: tuple[str, ...] | None = None

    def recipe(self, path: str | PathLike[str] | None = None) -> BackboneRecipe:
        """The whole recipe.

        Args:
            path: of an archive that need not be there yet.

        Raises:
            InvalidInput: a value cannot be used, or the archive has no network.
        """
        names = (
            "net",
            "outputs",
            "seed",
            "init",
            "fan_density",
            "statistics",
            "per_task",
            "maskable",
        )
        asked = {key: value for key in names if (value := getattr(self, key)) is not None}
        if path is None or not Path(path).exists():
            made = {"net": DEFAULT_NET, "outputs": DEFAULT_OUTPUTS} | asked
            return self.with_weights(BackboneRecipe(**made))
        with MaskArchive.open(Path(path)) as archive:
            if archive.backbone is None:
                raise InvalidInput(
                    f"{archive.path}: made by hand, without a network; nothing to train"
                )
            require_net(archive)
            return self.with_weights(BackboneRecipe.from_json(archive.backbone | asked))

    def with_weights(self, recipe: BackboneRecipe) -> BackboneRecipe:
        """A recipe over the trained weights that are named; as it is where none are.

        Raises:
            InvalidInput: there is no such file, or parameters of it without a file.
        """
        if self.weights is None:
            if self.weights_for:
                raise InvalidInput(
                    f"weights for {', '.join(self.weights_for)}: from which file? "
                    "Name it with --weights FILE"
                )
            return recipe
        kept = recipe.weights_file
        patterns = self.weights_for or (ALL if kept is None else kept.parameters)
        return replace(recipe, weights=WeightsFile.of(self.weights, parameters=patterns))

    def build(self) -> Backbone:
        """The network itself; raises as :func:`supsup.build`."""
        recipe = self.recipe()
        return build(recipe, allow_code=recipe.net == self.net)


def open_or_create(
    path: str | PathLike[str],
    backbone: Backbone,
    config: TrainConfig | None = None,
    *,
    embed: bool = False,
    timeout: float = 10.0,
    lock: bool = True,
) -> MaskArchive:
    """The archive at ``path``, open for writing: the one that is there, or a new one.

    Args:
        backbone: an archive that is there must be for this very network.
        config: see :func:`create_archive`.
        embed: whether trained weights are put into the archive, where they are not yet.
        timeout, lock: as :meth:`MaskArchive.open`.

    Raises:
        InvalidInput: nothing says where the backbone's numbers come from.
        LayoutMismatch, DigestMismatch: the archive is for another network.
        ArchiveError: it cannot be opened or made, as :class:`MaskArchive` says.
    """
    if not Path(path).exists():
        return create_archive(path, backbone, config, embed=embed)
    archive = MaskArchive.open(Path(path), "a", timeout=timeout, lock=lock)
    try:
        if backbone.recipe is not None:
            check_recipe(archive, backbone.recipe)
        backbone.check_archive(archive)
        if embed:
            embed_weights(archive, backbone)
    except BaseException:
        archive.close()
        raise
    return archive
