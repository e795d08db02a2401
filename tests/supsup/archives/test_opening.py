from dataclasses import replace

import numpy as np
import pytest

from maskstore import MaskArchive
from maskstore.errors import ArchiveLocked, DigestMismatch, InvalidInput, LayoutMismatch
from supsup import Backbone, BackboneRecipe, build
from supsup.archives import (
    LocalEngine,
    NetworkOptions,
    create_archive,
    open_or_create,
    train_missing,
)
from supsup.choices import DEFAULT_NET, DEFAULT_OUTPUTS
from supsup.cluster import RayEngine, parse_engine
from supsup.tasks import task_family
from tests.supsup.archives.test_train_missing import CONFIG, NET


def ones(backbone):
    return {name: np.ones(shape, bool) for name, shape in backbone.layout.shapes.items()}


def test_an_archive_is_made_once_and_then_opened(tmp_path):
    path, backbone = tmp_path / "a.h5", build(NET)
    with open_or_create(path, backbone, CONFIG) as archive:
        archive.add("first", ones(backbone))
        with pytest.raises(ArchiveLocked):
            open_or_create(path, backbone, timeout=0.01)
    with open_or_create(str(path), backbone) as archive:
        archive.add("second", ones(backbone))
    with MaskArchive.open(path) as archive:
        assert archive.names() == ["first", "second"]


@pytest.mark.parametrize(
    ("change", "digest", "error"),
    [
        ({"options": {"width": 17}}, None, LayoutMismatch),
        ({"outputs": 3}, None, LayoutMismatch),
        ({"seed": 1}, None, LayoutMismatch),
        ({}, "0" * 64, DigestMismatch),
    ],
)
def test_an_archive_for_another_network_is_refused_and_let_go(tmp_path, change, digest, error):
    path, backbone = tmp_path / "a.h5", build(NET)
    MaskArchive.create(
        path,
        backbone.layout,
        backbone=backbone.recipe.to_json(),
        weights_digest=digest or backbone.digest,
    ).close()
    before = path.read_bytes()
    with pytest.raises(error):
        open_or_create(path, build(replace(NET, **change)))
    assert path.read_bytes() == before
    MaskArchive.open(path, "a", timeout=0.0).close()  # nobody holds it


def test_a_module_makes_an_archive_only_where_its_seed_is_known(tmp_path):
    module = Backbone.from_module(build(NET).module, seed=0)
    unknown = Backbone(module.module, None, None)
    with pytest.raises(InvalidInput, match="from_module"):
        open_or_create(tmp_path / "a.h5", unknown)
    assert not list(tmp_path.iterdir())
    open_or_create(tmp_path / "a.h5", module).close()
    with open_or_create(tmp_path / "a.h5", module) as archive:  # the one that is there
        assert archive.backbone["net"] is None
    with pytest.raises(DigestMismatch):
        open_or_create(tmp_path / "a.h5", Backbone.from_module(module.module, seed=1))
    with pytest.raises(InvalidInput, match="handed in"):
        NetworkOptions().recipe(tmp_path / "a.h5")


def test_what_nobody_says_of_a_network_is_the_archives_or_the_default(tmp_path):
    path = tmp_path / "a.h5"
    assert NetworkOptions().recipe(path) == BackboneRecipe(net=DEFAULT_NET, outputs=DEFAULT_OUTPUTS)
    assert NetworkOptions(outputs=7, seed=3).recipe().seed == 3
    backbone = build(NET)
    create_archive(path, backbone).close()
    assert NetworkOptions().recipe(path) == backbone.recipe
    assert NetworkOptions(outputs=7).recipe(path).outputs == 7  # refused when it is opened for it
    by_hand = tmp_path / "b.h5"
    MaskArchive.create(by_hand, {"w": (3,)}).close()
    with pytest.raises(InvalidInput, match="made by hand"):
        NetworkOptions().recipe(by_hand)
    with pytest.raises(InvalidInput, match="init: expected one of signed-constant"):
        NetworkOptions(init="zeros").recipe()


def test_a_net_that_is_named_is_trusted():
    named = NetworkOptions(net="tests.supsup.helpers:no_such_net", outputs=2)
    with pytest.raises(InvalidInput, match="has no function 'no_such_net'"):  # it was imported
        named.build()


def test_data_are_asked_for_only_where_something_is_missing(tmp_path):
    asked = []

    def dataset_of(name):
        asked.append(name)
        raise InvalidInput("not at hand")

    path, recipes = tmp_path / "a.h5", task_family("split-mnist-sample")[:1]
    engine = LocalEngine(dataset_of=dataset_of)
    with pytest.raises(InvalidInput, match="not at hand"):
        train_missing(path, recipes, NET, CONFIG, engine=engine)
    assert (asked, path.exists()) == (["mnist-sample"], False)
    train_missing(path, recipes, NET, CONFIG)
    assert train_missing(path, recipes, NET, CONFIG, engine=engine) == 0
    assert asked == ["mnist-sample"]


def test_engines_by_name(tmp_path):
    assert parse_engine("ray", device="cuda", data_dir=tmp_path) == RayEngine(
        address="auto", device="cuda", data_dir=tmp_path
    )
    local = parse_engine("local", data_dir=tmp_path, quiet=True)
    assert isinstance(local, LocalEngine)
    assert str(local.place) == str(parse_engine("ray", device="cuda").place) == "cpu"
    with pytest.raises(InvalidInput, match="engine: expected one of local, ray, got 'slurm'"):
        parse_engine("slurm")
    with pytest.raises(InvalidInput, match="cannot be used here"):
        parse_engine("local", device="cuda:99")
