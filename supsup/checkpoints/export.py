"""Dense models out of an archive: what a user's own code loads, without a mask."""

import copy
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from maskstore.archive import MaskArchive
from maskstore.errors import InvalidInput
from maskstore.storage.atomic import write_file
from supsup.networks.backbone import Backbone
from supsup.networks.parse_module import lost_statistics, unwrap
from supsup.networks.per_task import fit_heads
from supsup.networks.registry import make_module
from supsup.networks.statistics import tracking


def export_dense(
    archive: MaskArchive, task: str, backbone: Backbone, path: str | PathLike[str]
) -> int:
    """Write a task as a dense model: W ⊙ M, the task's running statistics, its own parameters and
    every other one, as safetensors.

    The file loads strictly into the module as its factory builds it, which in eval mode then gives
    the logits that the masked network gives. A head of the task's own, as wide as it has classes,
    loads into a module of so many outputs.

    Returns:
        Bytes written.

    Raises:
        TaskNotFound, CorruptArchive: as :meth:`MaskArchive.get`.
        InvalidInput: the path does not end in ``.safetensors``, or no file of tensors could make
            the module answer as the masked network does.
        DigestMismatch: the archive's masks are of other weights.
        ArchiveWriteError: the system refuses.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InvalidInput(f"{path}: expected a file that ends in .safetensors")
    backbone.check_archive(archive)
    own = backbone.on_device(archive.tensors(task))
    masks = backbone.tensors(archive.get(task))
    return write_file(path, save(dense_state(backbone, masks, own)))


def dense_state(
    backbone: Backbone, masks: Mapping[str, Tensor], own: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """A ``state_dict`` on the CPU with which the factory's module is the masked network.

    Args:
        own: tensors of the task, in the place of the module's buffers of those names.

    Raises:
        InvalidInput: there is none; the message says why and what to do.
    """
    module = backbone.module
    named = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    # A parameter may have several names (tied weights): each of them gets its masked values.
    held = {**backbone.masked(masks), **(own or {})}
    narrow = {n: values for n, values in held.items() if values.shape != named[n].shape}
    by_id = {id(named[name]): values for name, values in held.items()}
    masked = {name: by_id[id(tensor)] for name, tensor in named.items() if id(tensor) in by_id}
    state = module.state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise _refusal(backbone, f"its state holds {name!r}, which is no tensor")
    for name in masked:
        if name not in state:
            raise _refusal(backbone, f"its state_dict leaves {name!r} out")
    dense = {
        # A copy of each: safetensors stores no two names of one storage.
        name: masked.get(name, value).detach().cpu().contiguous().clone()
        for name, value in state.items()
    }
    _require_loads(backbone, dense, narrow)
    return dense


def _require_loads(
    backbone: Backbone, dense: Mapping[str, Tensor], narrow: Mapping[str, Tensor]
) -> None:
    """Load it as a user will, and look whether all of it arrived.

    Args:
        narrow: the task's own head, where it is narrower than the network's.
    """
    module = _as_the_factory_builds_it(backbone)
    fit_heads(module, narrow)
    for name, _ in tracking(module) if backbone.statistics == "batch" else ():
        raise _refusal(
            backbone,
            f"its normalisation {name!r} answers by running statistics, of which none were kept, "
            "as training normalised by those of the batch; train with --statistics running",
        )
    try:
        module.load_state_dict(dense, strict=True)
    except Exception as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise _refusal(backbone, f"it does not load what it saves ({reason[:160]})") from error
    loaded = module.state_dict()
    for name, values in dense.items():
        if name not in loaded or not loaded[name].equal(values):
            raise _refusal(backbone, f"its {name!r} is another after loading")


def _as_the_factory_builds_it(backbone: Backbone) -> nn.Module:
    if backbone.recipe is not None:
        # Whoever made the backbone trusted its net with being imported.
        # Of a wrapper (DataParallel, torch.compile) the module inside, as PyTorch's users save it.
        return unwrap(make_module(backbone.recipe, allow_code=True), []).cpu()
    module = copy.deepcopy(backbone.module).cpu()
    for name, part in module.named_modules():
        lost = isinstance(part, _NormBase) and lost_statistics(backbone.notes, name, part)
        if lost or isinstance(part, nn.modules.batchnorm._BatchNorm):
            # Whether the user's own kept statistics is not known any more: say that it may.
            part.track_running_stats = True
    return module


def _refusal(backbone: Backbone, why: str) -> InvalidInput:
    net = type(backbone.module).__name__ if backbone.recipe is None else backbone.recipe.net
    return InvalidInput(f"network {net}: cannot be exported as a dense model: {why}")
