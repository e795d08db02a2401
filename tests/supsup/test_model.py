"""The front door: SupSup from a new file to predictions by name, and back in another process."""

import copy
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from maskstore import (
    ArchiveClosed,
    DigestMismatch,
    InvalidInput,
    LayoutMismatch,
    MaskArchive,
    TaskExists,
    TaskNotFound,
)
from supsup import Backbone, SupSup, TensorTask, TrainConfig, build
from supsup.archives import train_into
from tests.supsup.helpers import Blobs, ConvNet, as_users_run_it, small_bn, small_lenet

NAMES = {"pets": ("cat", "dog"), "birds": ("finch", "gull", "owl")}


def task(name: str) -> TensorTask:
    blobs = Blobs(name=name, classes=len(NAMES[name]))
    x, y = blobs.x, blobs.y
    return TensorTask(name, train=(x[:300], y[:300]), test=(x[300:], y[300:]), classes=NAMES[name])


TASKS = [task(name) for name in NAMES]


def images(name: str, count: int = 30) -> torch.Tensor:
    return Blobs(name=name, classes=len(NAMES[name])).x[300 : 300 + count]


def module(width: int = 30, outputs: int = 5) -> nn.Module:
    """A user's own, without a function that could be imported."""
    return nn.Sequential(nn.Linear(20, width), nn.Tanh(), nn.Linear(width, outputs))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "own.h5"
    with SupSup.create(path, small_lenet(outputs=5)) as model:
        stored = model.train(TASKS, steps=60, batch=50, quiet=True)
        assert [each.name for each in stored] == list(NAMES)
    return path


def test_what_is_trained_is_found_predicted_and_named(trained):
    with SupSup.open(trained) as model:
        assert list(model.tasks) == list(NAMES)
        assert model.tasks["birds"].index == 1
        assert "pets" in model.tasks
        assert "fish" not in model.tasks
        assert repr(model.tasks) == "<2 tasks: 'pets', 'birds'>"
        found = model.evaluate(TASKS)
        assert {row.name: row.accuracy > 0.8 for row in found.per_task} == dict.fromkeys(NAMES, 1)
        assert model.evaluate(TASKS[1], scenario="GNu", mode="batch").task_accuracy == 1
        inferred = model.infer(images("birds"), mode="batch")
        assert inferred.names == ("birds",) * 30
        expected = model.predict(images("birds"), "birds")
        assert inferred.labels == expected.labels
        assert set(expected.labels) <= set(NAMES["birds"])
        assert expected.labels == tuple(NAMES["birds"][at] for at in expected.predictions)


def test_a_mixed_batch_is_predicted_image_by_image(trained):
    order = np.random.default_rng(0).permutation(60)
    x = torch.cat([images("pets"), images("birds")])[order]
    names = np.repeat(["pets", "birds"], 30)[order].tolist()
    with SupSup.open(trained) as model:
        mixed = model.predict(x, names)
        assert mixed.tasks == tuple(names)
        for name in NAMES:
            alone = model.predict(images(name), name)
            where = np.flatnonzero(np.array(names) == name)
            back = np.argsort(order[where] % 30)
            np.testing.assert_array_equal(mixed.predictions[where][back], alone.predictions)
            logits = model.module(name)(images(name))[:, : len(NAMES[name])]
            np.testing.assert_array_equal(alone.predictions, logits.argmax(1).numpy())
            best = logits.softmax(1).amax(1).detach().numpy()
            np.testing.assert_allclose(alone.probabilities, best, rtol=1e-5)


def test_spare_outputs_are_no_answers(tmp_path):
    with SupSup.create(tmp_path / "a.h5", module(outputs=5)) as model:
        model.train(TASKS, steps=1, batch=50, lr=1e-9, quiet=True)
        loud = model.module("pets")(images("pets", 130)).argmax(1)
        assert (loud > 1).any()  # of a network that has learnt nothing
        assert set(model.predict(images("pets", 130), "pets").predictions) <= {0, 1}


@pytest.mark.parametrize("network", ["lenet", "batch norm", "user's", "convolution"])
def test_the_module_of_a_task_answers_as_its_mask_does(network, tmp_path):
    made = {
        "lenet": lambda: build(small_lenet(outputs=5)),
        "batch norm": lambda: build(small_bn(outputs=5)),
        "user's": lambda: Backbone.from_module(module(), seed=3),
        "convolution": lambda: Backbone.from_module(ConvNet(outputs=5), seed=3, statistics="batch"),
    }[network]()
    x = torch.randn(12, 16 if network == "convolution" else 20)
    rng = np.random.default_rng(0)
    masks = {name: rng.random(shape) < 0.5 for name, shape in made.layout.shapes.items()}
    with SupSup.create(tmp_path / "a.h5", made) as model:
        model.archive.add("x", masks, {"classes": 5})
        dense = model.module("x")
        assert isinstance(dense, nn.Module)
        assert not dense.training
        expected = made.logits(x, made.tensors(masks))
        torch.testing.assert_close(dense(x), expected)
        before = made.digest
        dense(x).sum().backward()  # it can be trained on, and nothing of it reaches the archive
        with torch.no_grad():
            for parameter in dense.parameters():
                parameter.zero_()
        torch.testing.assert_close(made.logits(x, made.tensors(masks)), expected)
        assert Backbone.digest.func(made) == before


def test_a_module_without_a_name_is_handed_over_again(tmp_path):
    path = tmp_path / "own.h5"
    with SupSup.create(path, module(), seed=4) as model:
        (stored,) = model.train(TASKS[0], steps=40, batch=50, quiet=True)
        expected = model.predict(images("pets"), "pets").probabilities
    with MaskArchive.open(path) as archive:
        assert archive.backbone["net"] is None
        assert archive.backbone["seed"] == 4
        assert stored.codec in ("seeded", "gaps", "raw", "ans", "zstd")
    with SupSup.open(path, module()) as model:  # other weights: they do not matter
        np.testing.assert_array_equal(model.predict(images("pets"), "pets").probabilities, expected)
        assert model.evaluate(TASKS[0]).accuracy == stored.metadata["metrics"]["accuracy"]
    with SupSup.open(path, Backbone.from_module(module(), seed=4), mode="a") as model:
        assert [each.name for each in model.train(TASKS[1], steps=2, batch=50, quiet=True)]


WRONG = {
    "nothing": (lambda: None, InvalidInput, r"handed in.*SupSup.open\(path, network=module\)"),
    "another width": (lambda: module(31), LayoutMismatch, r"'0.weight' of shape \(30, 20\).*31"),
    "another module": (lambda: ConvNet(outputs=5), LayoutMismatch, "no such parameter"),
    "another activation's buffers": (
        lambda: nn.Sequential(*module()[:2], module()[2], nn.BatchNorm1d(5)),
        DigestMismatch,
        "digest",
    ),
    "a backbone of another seed": (
        lambda: Backbone.from_module(module(), seed=5),
        DigestMismatch,
        "digest",
    ),
    "a name": (lambda: "lenet-300-100", InvalidInput, "handed in"),
    "a recipe": (lambda: small_lenet(), LayoutMismatch, "made for net None"),
    "a number": (lambda: 3, InvalidInput, "expected a name"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_not_the_module_is_refused(what, tmp_path):
    make, error, match = WRONG[what]
    SupSup.create(tmp_path / "a.h5", module(), seed=4).close()
    with as_users_run_it(), pytest.raises(error, match=match):
        SupSup.open(tmp_path / "a.h5", make())
    with MaskArchive.open(tmp_path / "a.h5", "a"):
        pass  # nothing holds the file


def test_a_named_net_comes_back_by_itself_and_its_name_is_checked(tmp_path):
    path = tmp_path / "a.h5"
    with SupSup.create(path, "lenet-300-100", outputs=5, seed=2, inputs=20) as model:
        assert model.backbone.recipe.options == {"inputs": 20}
        assert repr(model) == (
            f"SupSup('{path}': 0 tasks in {path.stat().st_size:,} bytes, over lenet-300-100 "
            "(seed 2, 5 outputs))"
        )
    assert "closed" in repr(model)
    for network in (None, "lenet-300-100", model.backbone.recipe, model.backbone):
        with SupSup.open(path, network) as again:
            assert again.backbone.digest == model.backbone.digest
    with pytest.raises(LayoutMismatch, match="made for net 'lenet-300-100'"):
        SupSup.open(path, "fc-1024-1024")


def test_code_is_run_where_it_is_named_only(tmp_path):
    net = "tests.supsup.helpers:ConvNet"
    SupSup.create(tmp_path / "a.h5", net, outputs=5).close()
    with SupSup.open(tmp_path / "a.h5", net) as model:
        assert model.backbone.recipe.net == net
    with pytest.raises(InvalidInput, match="code from outside"):
        SupSup.open(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("network", "options", "match"),
    [
        (small_lenet(), {"outputs": 5}, "outputs: for a net that is named; this BackboneRecipe"),
        (small_lenet(), {"seed": 5}, "seed"),
        (module(), {"outputs": 5}, "outputs.*Sequential"),
        (module(), {"inputs": 5}, "inputs"),
        ("lenet", {}, "lenet-300-100"),
        (None, {}, "expected a name"),
    ],
)
def test_what_no_archive_is_made_for(network, options, match, tmp_path):
    with as_users_run_it(), pytest.raises(InvalidInput, match=match):
        SupSup.create(tmp_path / "a.h5", network, **options)
    assert not (tmp_path / "a.h5").exists()


def test_resume_goes_on_and_says_what_was_stored(tmp_path):
    how = {"steps": 5, "batch": 50, "quiet": True}
    with SupSup.create(tmp_path / "a.h5", small_lenet(outputs=5)) as model:
        assert [each.name for each in model.train(TASKS[0], **how)] == ["pets"]
        with pytest.raises(TaskExists):
            model.train(TASKS, **how)
        assert [each.name for each in model.train(TASKS, resume=True, **how)] == ["birds"]
        assert model.train(TASKS, resume=True, **how) == []
        with pytest.raises(InvalidInput, match="steps"):
            model.train(TASKS, resume=True, **how | {"steps": 6})


def test_training_is_that_of_the_layers_below(tmp_path):
    recipe = small_lenet(outputs=5, seed=7)
    config = TrainConfig(steps=5, batch=50, seed=7)
    with SupSup.create(tmp_path / "a.h5", recipe) as model:
        (by_settings,) = model.train(TASKS[0], steps=5, batch=50, quiet=True)
    with SupSup.create(tmp_path / "b.h5", recipe) as model:
        (by_config,) = model.train(TASKS[0], config, quiet=True)
    with SupSup.create(tmp_path / "c.h5", recipe) as model:
        (below,) = train_into(model.archive, model.backbone, TASKS[:1], config)
    assert by_settings == by_config == below


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"stpes": 5}, "no setting 'stpes'"),
        ({"config": TrainConfig(steps=5), "steps": 5}, "put it into the config"),
        ({"steps": 0}, "steps"),
        ({"codec": "zip"}, "codec"),
    ],
)
def test_settings_that_are_none(arguments, match, tmp_path):
    with (
        SupSup.create(tmp_path / "a.h5", small_lenet(outputs=5)) as model,
        pytest.raises(InvalidInput, match=match),
    ):
        model.train(TASKS, quiet=True, **arguments)


def test_an_archive_that_is_read_is_not_trained(trained):
    class Untouched(Blobs):
        def train_batch(self, indices):
            raise AssertionError("trained")

    with SupSup.open(trained) as model, pytest.raises(ArchiveClosed):
        model.train(Untouched(name="new"), steps=1, quiet=True)


def test_questions_that_have_no_answer(trained):
    with SupSup.open(trained) as model:
        x = images("pets", 3)
        for names, error, match in (
            ("fish", TaskNotFound, "fish"),
            (["pets", "birds"], InvalidInput, "3 images and 2 names"),
            (["pets", "pets", "fish"], TaskNotFound, "fish"),
        ):
            with pytest.raises(error, match=match):
                model.predict(x, names)
        for bad, match in (
            (x[:0], "at least one"),
            (x[:, :7], "does not take"),
            (x * 1e4, "normalise"),
            (x * np.nan, "finite"),
        ):
            with pytest.raises(InvalidInput, match=match):
                model.predict(bad, "pets")


def test_a_mask_that_does_not_say_its_classes(tmp_path):
    with SupSup.create(tmp_path / "a.h5", small_lenet(outputs=5)) as model:
        mask = {n: np.ones(s, bool) for n, s in model.archive.layout.shapes.items()}
        model.archive.add("mute", mask)
        model.archive.add("wide", mask, {"classes": 6})
        for name, match in (("mute", "number of its classes"), ("wide", "6 classes.*5 outputs")):
            with pytest.raises(InvalidInput, match=match):
                model.predict(images("pets", 3), name)


def test_inference_sees_what_was_trained_meanwhile(tmp_path):
    with SupSup.create(tmp_path / "a.h5", small_lenet(outputs=5)) as model:
        model.train(TASKS[0], steps=60, batch=50, quiet=True)
        assert set(model.infer(images("birds"), mode="batch").names) == {"pets"}
        model.train(TASKS[1], steps=60, batch=50, quiet=True)
        assert set(model.infer(images("birds"), mode="batch").names) == {"birds"}


def test_a_family_by_name_and_its_data_again(tmp_path):
    with SupSup.create(tmp_path / "a.h5", "lenet-300-100", outputs=10) as model:
        how = {"steps": 2, "quiet": True}
        assert len(model.train("permuted-mnist-sample", count=2, **how)) == 2
        assert len(model.train("permuted-mnist-sample", count=3, resume=True, **how)) == 1
        x, _ = next(model.data("permuted-mnist/2").test_batches(8))
        assert model.predict(x, "permuted-mnist/2").predictions.shape == (8,)
        with pytest.raises(InvalidInput, match="no last task"):
            model.train("permuted-mnist-sample", **how)
        with pytest.raises(InvalidInput, match="count"):
            model.train(TASKS, count=1, **how)
        with pytest.raises(TaskNotFound):
            model.data("permuted-mnist/3")


def test_another_process_gives_the_same_numbers(trained):
    with SupSup.open(trained) as model:
        here = model.evaluate(TASKS).to_json()
    code = (
        "import json\n"
        "from supsup import SupSup\n"
        "from tests.supsup.test_model import TASKS\n"
        f"with SupSup.open({str(trained)!r}) as model:\n"
        "    print(json.dumps(model.evaluate(TASKS).to_json()))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(out.stdout) == here


def test_tasks_that_came_to_nothing_are_named(tmp_path, capfd):
    settings = {"count": 2, "rule": "topk", "density": 1e-5, "steps": 5}
    for quiet in (False, True):
        with SupSup.create(tmp_path / f"{quiet}.h5", "lenet-300-100", outputs=2) as model:
            model.train("split-mnist-sample", quiet=quiet, **settings)
        said = capfd.readouterr().err
        assert ("2 of 2 tasks are at chance" in said) is not quiet


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_reads_for_itself_and_answers_the_same(tmp_path, copied):
    with SupSup.create(tmp_path / "a.h5", "lenet-300-100", outputs=2) as model:
        model.train("split-mnist-sample", count=2, steps=5, quiet=True)
        x, _ = next(model.data("split-mnist/1").test_batches(4))
        other = copied(model)
        assert other.infer(x).names == model.infer(x).names
        expected = model.predict(x, "split-mnist/1").probabilities
        assert (other.predict(x, "split-mnist/1").probabilities == expected).all()
        with pytest.raises(ArchiveClosed, match="opened for reading"):
            other.train("split-mnist-sample", count=3, steps=5, quiet=True)
        other.close()
        model.train("split-mnist-sample", count=3, steps=5, quiet=True, resume=True)
        assert len(model.tasks) == 3
