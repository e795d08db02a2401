"""Trained weights inside an archive, and the network of an archive wherever its weights are."""

from os import PathLike
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from maskstore.archive import MaskArchive
from maskstore.errors import InvalidInput
from maskstore.stats import WEIGHTS_SET
from supsup.networks.backbone import Backbone
from supsup.networks.construct import build
from supsup.networks.recipe import BackboneRecipe


def embed_weights(archive: MaskArchive, backbone: Backbone) -> None:
    """Put a backbone's trained weights into its archive, exactly, once for all tasks.

    Whoever opens it then needs no weights file. Nothing is done where they are there already.

    Raises:
        InvalidInput: all weights are from a seed, or a buffer is of a type that is not stored.
        DigestMismatch: the archive's masks are of other weights.
        ArchiveWriteError: the system refused; the archive is as before.
    """
    stored = weights_to_embed(backbone)
    backbone.check_archive(archive)
    if WEIGHTS_SET not in archive.shared_entries:
        archive.set_shared_tensors(WEIGHTS_SET, stored)


def weights_to_embed(backbone: Backbone) -> dict[str, Shaped[np.ndarray, "..."]]:
    """What :func:`embed_weights` stores.

    Raises:
        InvalidInput: all weights are from a seed, or a buffer is of a type that is not stored.
    """
    if not backbone.trained:
        raise InvalidInput(
            f"backbone {backbone.name}: all its weights are from the seed, so there are none to "
            "embed; leave --embed-weights out, or name a file with --weights"
        )
    return {name: _stored(name, value) for name, value in backbone.trained_values().items()}


def embedded_weights(archive: MaskArchive) -> dict[str, Shaped[Tensor, "..."]] | None:
    """The trained weights that are in an archive; None where there are none.

    Raises:
        CorruptArchive: what is stored is not what was put in.
    """
    found = archive.shared_tensors(WEIGHTS_SET)
    return {name: torch.from_numpy(value) for name, value in found.items()} or None


def build_for(
    path: str | PathLike[str], recipe: BackboneRecipe, *, allow_code: bool = False
) -> Backbone:
    """The backbone of a recipe for an archive that need not be there yet.

    Trained weights are those of the recipe's own file where that was named here, else those inside
    the archive, else those of the file that is found, beside the archive, too.

    Raises:
        InvalidInput: as :func:`supsup.build`.
        ArchiveError: there is an archive, and it cannot be read.
    """
    values = None
    file = recipe.weights_file
    if file is not None and file.path is None and Path(path).exists():
        with MaskArchive.open(Path(path)) as archive:
            values = embedded_weights(archive)
    return build(recipe, allow_code=allow_code, values=values, beside=[Path(path).parent])


def _stored(name: str, value: Tensor) -> np.ndarray:
    try:
        return value.cpu().numpy()
    except TypeError:  # bfloat16 and the like
        raise InvalidInput(
            f"weights: {name!r} of type {value.dtype} cannot be embedded; leave "
            "--embed-weights out, or keep it as float32 in the module"
        ) from None
