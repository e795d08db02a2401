"""Archives over a trained module that nothing here can make: handed in, and handed in again."""

import copy
import json
from dataclasses import dataclass

import pytest
import torch

from maskstore import MaskArchive, merge
from maskstore.errors import DigestMismatch, InvalidInput
from maskstore.stats import archive_stats
from supsup import Backbone, SupSup
from tests.supsup.helpers import Blobs
from tests.supsup.networks.trained_net import TrainedNet, train_net

TASKS = [Blobs(name=f"blobs/{at}", classes=4) for at in range(2)]
TRAIN = {"steps": 40, "optimizer": "adam", "lr": 1e-3, "quiet": True}


@dataclass(frozen=True, kw_only=True)
class Case:
    """Where trained weights come from, and what a module without them is told when it is opened."""

    options: dict
    embed: bool = False
    file: str | None = None
    says: str | None = "with its trained weights"


CASES = {
    "the module's own": Case(options={}),
    "its first layer": Case(options={"parameters": ["first.*"], "seed": 3}),
    "inside the archive": Case(options={}, embed=True, says=None),
    "a part inside the archive": Case(
        options={"parameters": ["first.*"], "seed": 3}, embed=True, says=None
    ),
    "a file": Case(options={}, file="net.safetensors", says=None),
    "a part of a file": Case(options={"parameters": ["*.weight"]}, file="net.pt", says=None),
}


def untrained() -> TrainedNet:
    torch.manual_seed(7)
    return TrainedNet(4)


def created(path, case: Case, net: TrainedNet) -> SupSup:
    weights = {} if case.file is None else {"weights": path.parent / case.file}
    module = net if case.file is None else untrained()
    over = Backbone.pretrained(module, **weights, **case.options)
    return SupSup.create(path, over, embed_weights=case.embed)


@pytest.mark.parametrize("name", CASES)
def test_it_is_opened_with_the_module_again(tmp_path, name):
    case, net, path = CASES[name], train_net(tmp_path), tmp_path / "a.h5"
    with created(path, case, net) as model:
        model.train(TASKS[:1], **TRAIN)
        found = [row.accuracy for row in model.evaluate(TASKS[:1]).per_task]
        assert found[0] > 0.4
        kept = model.archive.backbone
        assert kept["net"] is None
        assert kept["weights"]["parameters"] == case.options.get("parameters", ["*"])
        json.dumps(kept)
        trained = model.backbone.trained_values()
    bytes_outside = sum(4 * each.numel() for each in trained.values())
    with MaskArchive.open(path) as archive:
        counted = archive_stats(archive).weights_bytes
    assert counted > 0
    if not case.embed and case.file is None:
        assert counted == bytes_outside

    again = copy.deepcopy(net) if case.file is None else untrained()
    with SupSup.open(path, again, mode="a") as model:
        assert [row.accuracy for row in model.evaluate(TASKS[:1]).per_task] == found
        model.train(TASKS[1:], **TRAIN)
        assert len(model.archive) == 2

    if case.says is None:  # the weights come with the archive, whatever the module's own are
        with SupSup.open(path, untrained()) as model:
            assert [row.accuracy for row in model.evaluate(TASKS[:1]).per_task] == found
    else:
        with pytest.raises(DigestMismatch, match=case.says):
            SupSup.open(path, untrained())


def test_a_file_that_is_gone_is_named(tmp_path):
    net, path = train_net(tmp_path), tmp_path / "a.h5"
    created(path, CASES["a file"], net).archive.close()
    (tmp_path / "net.safetensors").unlink()
    with pytest.raises(InvalidInput, match=r"found none of the name 'net\.safetensors'"):
        SupSup.open(path, net)


def test_archives_over_the_same_weights_merge_wherever_they_are(tmp_path):
    net = train_net(tmp_path)
    for at, name in enumerate(("the module's own", "a file")):
        with created(tmp_path / f"{at}.h5", CASES[name], net) as model:
            model.train(TASKS[at : at + 1], **TRAIN)
    with (
        MaskArchive.open(tmp_path / "0.h5") as first,
        MaskArchive.open(tmp_path / "1.h5") as second,
    ):
        merge([first, second], tmp_path / "both.h5")
    with SupSup.open(tmp_path / "both.h5", net) as model:
        assert len(model.evaluate(TASKS).per_task) == 2
