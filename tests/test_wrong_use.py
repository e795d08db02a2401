"""Wrong uses of the Python API: each raises one line that says what is wrong, and nothing is lost.

They run in a process of their own, without the types that the tests check: a user's wrong type must
not get past the packages either.
"""

import json
import subprocess
import sys

import pytest

SETUP = """
import numpy as np
import torch
import hopfield, maskstore, supsup
from maskstore import MaskArchive, MaskLayout, archive_stats, compact, merge, repair, verify
from maskstore.interchange import layout_of, load_task, save_masks
from maskstore.queries import diff_tasks, overlap_of, select
from supsup import Backbone, BackboneRecipe, SupSup, TensorTask, TrainConfig, build
from supsup.archives import backbone_of, create_archive, evaluate_archive, train_into
from supsup.checkpoints import import_checkpoint
from supsup.datasets import load, read_own
from supsup.recovery import MaskMemory, encode_archive
from supsup.tasks import task_family

layout = MaskLayout({"a": (3, 4), "b": (5,)})
rng = np.random.default_rng(0)
mask = {name: rng.random(shape) < 0.5 for name, shape in layout.shapes.items()}
with MaskArchive.create("hand.h5", layout) as made:
    made.add("x", mask)
    made.add("y", mask)
read, hand = MaskArchive.open("hand.h5"), MaskArchive.open("hand.h5", "a")
closed = MaskArchive.open("hand.h5")
closed.close()
with SupSup.create("net.h5", "lenet-300-100", outputs=2) as made:
    made.train("split-mnist-sample", count=2, steps=2, quiet=True)
model, writer = SupSup.open("net.h5"), SupSup.open("net.h5", mode="a")
net = model.backbone
images = rng.normal(size=(2, 784)).astype(np.float32)
x, y = torch.zeros(4, 784), torch.tensor([0, 1, 0, 1])
memory = hopfield.new_memory("hebb", 8)
"""

WRONG = {
    'MaskArchive.open("none.h5")': "none.h5: no archive there",
    'MaskArchive.open("hand.h5", "w")': "mode 'w' is unknown; use 'r' to read or 'a' to write",
    "MaskArchive.open(None)": "expected str, bytes or os.PathLike object, not NoneType",
    'MaskArchive.create("hand.h5", layout)': "hand.h5: there is a file already",
    'MaskArchive.create("new.h5", None)': "mask layout: expected at least one layer",
    "MaskLayout({})": "mask layout: expected at least one layer, name -> shape, got {}",
    'MaskLayout({"a": (-1,)})': "layer 'a' needs positive whole sizes",
    'MaskLayout({"a": 3})': "layer 'a' needs a shape of 1 to 32 sizes",
    'MaskLayout([("a", (2,))])': "expected at least one layer, name -> shape, got [('a', (2,))]",
    'MaskLayout({1: (2,)})': "a layer name must be printable text, got 1",
    'read["z"]': "no task 'z' among its 2 tasks",
    "read[0]": "no task 0 among its 2 tasks",
    'read.tensors("z")': "no task 'z' among its 2 tasks",
    'read.tasks["z"]': "no task 'z' among its 2 tasks",
    'read.add("z", mask)': "opened for reading; open it with mode 'a' to write",
    'read.remove("x")': "opened for reading",
    'closed.get("x")': "the archive is closed",
    "list(closed)": "the archive is closed",
    'hand.add("x", mask)': "task 'x' is there already",
    'hand.add("", mask)': "got an empty name",
    "hand.add(3, mask)": "task name: expected text, got int",
    'hand.add("z", mask, {"x": float("nan")})': "metadata of task 'z': must be JSON",
    'hand.add("z", mask, {"x": object()})': "metadata of task 'z': must be JSON",
    'hand.add("z", mask, "text")': "metadata of task 'z': expected a mapping, got 'text'",
    'hand.add("z", mask, codec="zst")': "codec 'zst' is unknown; choose one of",
    'hand.add("z", {"a": mask["a"]})': "layer 'b' is missing",
    'hand.add("z", {**mask, "a": mask["a"].T})': "layer 'a': expected shape (3, 4), got (4, 3)",
    'hand.add("z", {**mask, "a": np.ones((3, 4))})': "layer 'a': expected dtype bool, got float64",
    'hand.add("z", np.ones(17, bool))': "expected layer name -> boolean array, got ndarray",
    'hand.add("z", mask, tensors={"t": "text"})': "tensor 't': expected a numpy array, got str",
    'hand.add("z", mask, tensors=[np.ones(2)])': "tensors: expected name -> array, got list",
    'hand.add_many([("z", mask)])': "expected (name, masks, metadata) and, where it has any",
    'hand.rename("x", "y")': "task 'y' is there already",
    'hand.set_tensors("z", {"t": np.ones(2)})': "no task 'z'",
    'read.packed("x")': "packed: expected task names, got the text 'x'",
    'select(read, "z*")': "no task of 2 is called 'z*' or matches it",
    'select("hand.h5", "x")': "expected an open archive, got 'hand.h5'; open one with",
    'diff_tasks(read, "x", "z")': "no task 'z'",
    "overlap_of(read, [])": "no masks to compare",
    'overlap_of(read, ["x"], layer="c")': "layer: expected one of a, b, got 'c'",
    'verify("hand.h5")': "expected an open archive, got 'hand.h5'; open one with",
    'archive_stats("hand.h5")': "expected an open archive, got 'hand.h5'; open one with",
    "compact(read)": "opened for reading",
    'compact("hand.h5")': "expected an open archive, got 'hand.h5'; open one with",
    'compact(hand, codec="zip")': "codec 'zip' is unknown",
    'merge([read, read], "new.h5")': "task 'x' is in both",
    'merge(["hand.h5"], "new.h5")': "expected an open archive, got 'hand.h5'; open one with",
    'merge([], "new.h5")': "merge: expected at least one archive",
    'repair("hand.h5", "new.h5")': "expected an open archive, got 'hand.h5'; open one with",
    'repair(read, "hand.h5")': "there is a file already",
    'save_masks("new.txt", mask)': "new.txt: expected a file that ends in .npz or .safetensors",
    'load_task("none.npz", layout)': "none.npz: cannot read: No such file",
    'layout_of("none.npz")': "none.npz: cannot read: No such file",
    'SupSup.create("hand.h5")': "hand.h5: there is a file already",
    'SupSup.create("new.h5", "lenet")': "net 'lenet': expected one of lenet-300-100",
    'SupSup.create("new.h5", torch.nn.Linear)': "a Backbone or an nn.Module, got type",
    'SupSup.create("new.h5", torch.nn.ReLU())': "no parameter that a mask could cover",
    'SupSup.create("new.h5", outputs="ten")': "outputs: expected 1 to 1048576, got 'ten'",
    'SupSup.create("new.h5", seed=-1)': "seed: expected a whole number, at least 0, got -1",
    'SupSup.create("new.h5", widht=3)': "unexpected keyword argument 'widht'",
    'SupSup.create("new.h5", device="gpu")': "device 'gpu' cannot be used here: expected cpu",
    'SupSup.create("new.h5", per_task="head.*")': "no parameter matches 'head.*'",
    'SupSup.open("none.h5")': "none.h5: no archive there",
    'SupSup.open("hand.h5")': "made by hand, without the recipe of a network",
    'SupSup.open("net.h5", "bn-2048")': "made for net 'lenet-300-100', asked for 'bn-2048'",
    'SupSup.open("net.h5", torch.nn.Linear(784, 2))': "the module Linear has no such parameter",
    "SupSup(read, net)": "hand.h5: its masks cover {'a': (3, 4), 'b': (5,)}, those of backbone",
    'SupSup("net.h5", net)': "expected an open archive, got 'net.h5'; open one with",
    'model.train("split-mnist-sample")': "opened for reading",
    'writer.train("split-mnits")': "did you mean 'split-mnist'?",
    'writer.train("split-mnist-sample", steps=0)': "steps: expected a whole number from 1, got 0",
    'writer.train("split-mnist-sample", step=3)': "training: no setting 'step'; there are steps",
    'writer.train("split-mnist-sample", TrainConfig(steps=3), lr=1.0)': "got a config and lr=…",
    'writer.train("split-mnist-sample", count=9)': "expected 1 to 5 tasks, got 9",
    'writer.train("split-mnist-sample", count=2)': "there is a task 'split-mnist/0' already",
    "writer.train(None)": "tasks: expected a task or several, got None",
    "writer.train([5])": "task: expected a TensorTask, DatasetTask, LoaderTask",
    'writer.train(TensorTask("t", train=(x, y + 5), test=(x, y)))': "7 classes but the backbone 2",
    'writer.train(TensorTask("t", train=(x[:, :5], y), test=(x, y)))': "have 784 numbers",
    'writer.train("split-mnist-sample", log="tensorbord:x")': "did you mean 'tensorboard'?",
    'writer.train("split-mnist-sample", log=[5])': "log: expected text such as csv:run.csv, got 5",
    'writer.train("split-folder", data="none")': "none: expected a folder or a .zip",
    'model.evaluate(scenario="GNx")': "scenario: expected one of GG, GNs, GNu, NNs, got 'GNx'",
    'model.evaluate(scenario="GNu", method="one-shoot")': "did you mean 'one-shot'?",
    "model.evaluate(batch=0)": "evaluation batch: expected a whole number from 1, got 0",
    'model.evaluate("split-mnist/0")': "tasks: expected a task or several, got 'split-mnist/0'",
    'evaluate_archive("net.h5", net)': "expected an open archive, got 'net.h5'; open one with",
    "model.infer(images[:, :5])": "its images have 784 numbers",
    "model.infer(images * np.nan)": "expected finite numbers in float32, found nan",
    "model.infer(images * 1e6)": "normalise as in training",
    'model.infer("none.npy")': "none.npy: cannot read",
    "model.infer(None)": "data: expected numbers, got NoneType",
    'model.infer(images, mode="images")': "did you mean 'image'?",
    'model.predict(images, "none")': "no task 'none'",
    'model.predict(images, ["split-mnist/0"])': "got 2 images and 1 name",
    "model.predict(images, 0)": "tasks: expected the name of a task or several, got 0",
    'model.module("none")': "no task 'none'",
    'model.data("none")': "no task 'none'",
    'model.report("net.h5")': "net.h5: expected a page to write, such as report.html",
    'BackboneRecipe(net="lenet-300-100", outputs=-1)': "outputs: expected 1 to 1048576, got -1",
    'build(BackboneRecipe(net="lenet", outputs=2))': "net 'lenet': expected one of",
    'build("lenet-300-100")': "recipe: expected a BackboneRecipe, got 'lenet-300-100'",
    "Backbone.from_module(5, seed=0)": "module: expected an nn.Module, got int",
    "TrainConfig()": "steps and epochs: expected exactly one",
    'TrainConfig(steps=1, lr="fast")': "lr: expected a positive number, got 'fast'",
    "TrainConfig(steps=True)": "steps: expected a whole number from 1, got True",
    "TrainConfig(steps=1, density=0.1)": "density: goes with rule topk or gradual",
    'TensorTask("t", train=(x, y[:2]), test=(x, y))': "one label per input, got 4 inputs and 2",
    'TensorTask("t", train=(x, y + 0.5), test=(x, y))': "expected whole numbers, got float32",
    'TensorTask("t", train=(x[:0], y[:0]), test=(x, y))': "at least one, got 0 inputs",
    'TensorTask("t", train=("x", y), test=(x, y))': "train inputs: expected numbers, got <U1",
    "TensorTask(5, train=(x, y), test=(x, y))": "task: expected a name, got 5",
    'load("mnits-sample")': "did you mean 'mnist-sample'?",
    'load("mnist", "none")': "data folder none: no such folder",
    'read_own("none")': "none: expected a folder or a .zip",
    'task_family("split-mnist", 99)': "expected 1 to 5 tasks, got 99",
    "task_family(None)": "task family: expected a name such as split-mnist, got None",
    "backbone_of(read)": "made by hand, without the recipe of a network",
    'backbone_of("net.h5")': "expected an open archive, got 'net.h5'; open one with",
    'create_archive("hand.h5", net)': "hand.h5: there is a file already",
    "train_into(hand, net, [], TrainConfig(steps=1))": "hand.h5: its masks cover",
    "encode_archive(read)": "made by hand, without the recipe of a network",
    "encode_archive(model.archive)": "265,400 units need matrices of",
    'MaskMemory.open("none.h5")': "none.h5: no memory file there",
    'import_checkpoint("none.pt", "new.h5")': "none.pt: cannot read",
    'hopfield.new_memory("hebbs", 8)': "did you mean 'hebb'?",
    'hopfield.new_memory("hebb", 0)': "expected at least 2 units, got 0",
    'hopfield.load_memory("hand.h5")': "hand.h5: not a Hopfield memory",
    "memory.encode(np.ones(5, np.int8))": "8 units: got a pattern of shape (5,)",
    "memory.encode(np.zeros(8, np.int8))": "a pattern has values -1 and 1 only",
    "hopfield.settle(memory, np.ones(3, np.int8))": "8 units: got a pattern of shape (3,)",
    'hopfield.capacity("hebb", -1)': "size: expected a whole number from 2, got -1",
}  # fmt: skip
"""An expression → what its error says."""

PROGRAM = f"""
import json, sys
from pathlib import Path
{SETUP}
def contents():
    return {{str(path): path.read_bytes() for path in sorted(Path().iterdir())}}

before, found = contents(), {{}}
for code in json.load(sys.stdin):
    try:
        said = ["nothing", repr(eval(code))]
    except (maskstore.SupsupError, TypeError) as error:
        said = [type(error).__name__, str(error)]
    except BaseException as error:
        said = ["not ours", repr(error)]
    found[code] = [*said, contents() == before]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Expression → class of the error, its text, whether every file is as it was."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(list(WRONG)),
        cwd=tmp_path_factory.mktemp("wrong"),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("code", WRONG)
def test_one_line_and_nothing_lost(found, code):
    kind, text, unchanged = found[code]
    assert WRONG[code] in text
    assert kind not in ("nothing", "not ours")
    assert "\n" not in text
    assert unchanged


def test_only_a_path_that_is_none_is_told_by_python(found):
    assert [code for code, (kind, *_) in found.items() if kind == "TypeError"] == [
        "MaskArchive.open(None)"
    ]


def test_there_are_sixty():
    assert len(WRONG) >= 60
