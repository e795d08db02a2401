"""What a terminal and a notebook show of each object: a short line, no array, no one's markup."""

from base64 import b64decode
from dataclasses import replace
from html import escape
from io import BytesIO
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

from hopfield import FORMS, new_memory
from hopfield.recovery import Candidate, Recovery, Step
from maskstore.errors import InvalidInput
from maskstore.queries import Overlap
from supsup import BackboneRecipe, SupSup, TensorTask, build
from supsup.archives import create_archive
from supsup.archives.inference import bank_of
from supsup.archives.prediction import Predictions
from supsup.choices import HopfieldFormName
from supsup.datasets import ImageSet, load
from supsup.datasets.thumbnails import row_of
from supsup.evaluation.metrics import ContinualMetrics
from supsup.evaluation.score import Evaluation, Skipped, TaskAccuracy
from supsup.inference import MaskBank
from supsup.inference.find_task import Inference
from supsup.networks.backbone import Backbone
from supsup.recovery import encode_archive
from supsup.tasks import make_task, task_family

NAMES = [f"t/{index}" for index in range(7)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Each object by the name that the table has for it."""
    backbone = build(BackboneRecipe(net="bn-2048", outputs=2, options={"width": 8}))
    path = tmp_path_factory.mktemp("shown") / "a.h5"
    rng = np.random.default_rng(0)
    with create_archive(path, backbone) as archive:
        for name in NAMES:
            masks = {key: rng.random(shape) < 0.5 for key, shape in archive.layout.shapes.items()}
            archive.add(name, masks, {"classes": 2, "lr": 0.1})
        pair = (torch.zeros(4, 8, 8), torch.zeros(4, dtype=torch.int64))
        linear = Backbone.from_module(torch.nn.Linear(4, 3), seed=0)
        yield {
            "archive": archive,
            "tasks": archive.tasks,
            "task": archive.task("t/0"),
            "packed": archive.packed(),
            "one mask": archive.packed(["t/3"]),
            "backbone": backbone,
            "module": linear,
            "bank": bank_of(archive, backbone),
            "streamed bank": MaskBank(backbone, archive),
            "memory": encode_archive(archive).memory,
            "mask memory": encode_archive(archive),
            "data": load("mnist-sample"),
            "task of a family": make_task(
                task_family("rotated-mnist-sample", 2)[1], load("mnist-sample")
            ),
            "task of tensors": TensorTask("mine", train=pair, test=pair, classes=2),
            "model": SupSup.open(path),
        }


def bits(made) -> str:
    return f"{made['backbone'].layout.bits:,}"


SHOWN = {
    "archive": "<MaskArchive '{path}': 7 tasks, masks of {bits} bits in {layers}, {size} bytes>",
    "tasks": "<7 tasks: 't/0', 't/1', 't/2', 't/3', 't/4' and 2 more>",
    "task": "<StoredTask 't/0': {ones} of {bits} bits; {codec} {bytes} B; metadata classes, lr>",
    "packed": "<PackedMasks 7 masks of {bits} bits in {packed} bytes: 't/0', 't/1', 't/2', 't/3', "
    "'t/4' and 2 more>",
    "one mask": "<PackedMasks 1 mask of {bits} bits in {row}: 't/3'>",
    "backbone": "<Backbone bn-2048 (seed 0, 2 outputs): masks cover {bits} of {weights} weights in "
    "{layers}, on cpu>",
    "module": "<Backbone Linear: masks cover 12 of 15 weights in 1 layer, on cpu>",
    "bank": "<MaskBank of bn-2048 (seed 0, 2 outputs): 7 masks in memory: 't/0', 't/1', 't/2', "
    "'t/3', 't/4' and 2 more>",
    "streamed bank": "<MaskBank of bn-2048 (seed 0, 2 outputs): 7 masks streamed: 't/0', 't/1', "
    "'t/2', 't/3', 't/4' and 2 more>",
    "memory": "<{memory} (projection, {form}): 7 patterns over {bits} units>",
    "mask memory": "<MaskMemory of bn-2048 (seed 0, 2 outputs): <{memory} (projection, {form}): 7 "
    "patterns over {bits} units> of 't/0', 't/1', 't/2', 't/3', 't/4' and 2 more>",
    "task of a family": "<Task 'rotated-mnist/1': 10 classes, {train} training and {test} test "
    "inputs>",
    "task of tensors": "<TensorTask 'mine': 2 classes, 4 training and 4 test inputs>",
    "model": "SupSup('{path}': 7 tasks in {size} bytes, over bn-2048 (seed 0, 2 outputs))",
    "data": "<Dataset 'mnist-sample': 10 classes, {train} training and {test} test images of 28 × "
    "28 pixels>",
}


@pytest.mark.parametrize("what", SHOWN)
def test_repr_says_what_it_is_its_size_and_its_members(made, what):
    archive, task, data = made["archive"], made["task"], made["data"]
    layers = len(archive.layout.shapes)
    assert repr(made[what]) == SHOWN[what].format(
        path=archive.path,
        bits=bits(made),
        layers=f"{layers} layer{'s' * (layers != 1)}",
        size=f"{archive.file_bytes:,}",
        ones=f"{task.ones:,}",
        codec=task.codec,
        bytes=f"{task.bytes:,}",
        packed=f"{7 * archive.layout.packed_bytes:,}",
        row=f"{archive.layout.packed_bytes:,} byte{'s' * (archive.layout.packed_bytes != 1)}",
        weights=f"{made['backbone'].parameter_count:,}",
        memory=type(made["memory"]).__name__,
        form=made["memory"].form,
        train=f"{len(data.train_labels):,}",
        test=f"{len(data.test_labels):,}",
    )


@pytest.mark.parametrize("what", list(SHOWN))
def test_a_notebook_shows_it_and_obeys_no_name(made, what):
    html = made[what]._repr_html_()
    name = type(made[what]).__name__
    begins = {"model": "<p>SupSup(", "tasks": "<table>"}
    assert html.startswith(begins.get(what, f"<p>&lt;{name} "))
    text, _, picture = html.partition("<img")
    assert len(text) < 1500
    assert bool(picture) == (what in PICTURED)
    assert len(picture) < 10_000
    if picture:
        png = b64decode(picture.partition("base64,")[2].partition('"')[0])
        assert Image.open(BytesIO(png)).size == PICTURED[what]


MANY = 10_000
ANSWERS = {
    "<Predictions 10,000 images of 1 task: 'a'>": Predictions(
        tasks=("a",) * MANY,
        predictions=np.zeros(MANY, np.int64),
        labels=("0",) * MANY,
        probabilities=np.ones(MANY, np.float32),
    ),
    "<Inference 10,000 images of 2 tasks, found by exhaustive: 'b', 'a'>": Inference(
        tasks=np.arange(1, MANY + 1) % 2,
        names=("b", "a") * (MANY // 2),
        predictions=np.zeros(MANY, np.int64),
        energy=np.zeros(MANY, np.float32),
        confidence=np.ones(MANY),
        margin=np.ones(MANY),
        evidence=np.zeros((MANY, 2)),
        method="exhaustive",
        objective="entropy",
        reason="",
    ),
    "<Evaluation GNu, 10,000 tasks: accuracy 0.5000, task accuracy 0.7500; 1 skipped>": Evaluation(
        scenario="GNu",
        method="exhaustive",
        objective="entropy",
        batch=128,
        per_task=(TaskAccuracy(name="a", accuracy=0.5, task_accuracy=0.75),) * MANY,
        skipped=(Skipped(name="<b>", reason="no data"),),
    ),
    "<Evaluation GG, 1 task: accuracy 0.5000>": Evaluation(
        scenario="GG",
        method=None,
        objective=None,
        batch=128,
        per_task=(TaskAccuracy(name="a", accuracy=0.5, task_accuracy=1.0),),
    ),
    "<ContinualMetrics 2 tasks: average accuracy 0.7500, forgetting 0.2000>": ContinualMetrics(
        names=("a", "b"),
        matrix=np.array([[0.9, 0.6], [0.7, 0.8]]),
        untrained=np.array([0.5, 0.5]),
    ),
    "<ContinualMetrics 1 task: average accuracy 0.9000>": ContinualMetrics(
        names=("a",), matrix=np.array([[0.9]]), untrained=np.array([0.5])
    ),
    "<Overlap 2,500 masks in fc1.weight: '0', '1', '2', '3', '4' and 2,495 more>": Overlap(
        names=tuple(map(str, range(2500))),
        layer="fc1.weight",
        both=np.zeros((2500, 2500), np.int64),
    ),
    "<Recovery 1 candidate over 4,096 units, best entropy 0.5; 1 step, 0 restarts>": Recovery(
        candidates=(
            Candidate(pattern=np.ones(4096, np.int8), entropy=0.5, energy=-1.0, accept=None),
        ),
        restarts=0,
        batches=3,
        trajectory=(Step(restart=0, energy=0.0, entropy=0.7, pattern=np.ones(4096, np.int8)),) * 2,
    ),
}
"""What calls give back, as large as it gets: the last line of a cell of a notebook shows it."""


@pytest.mark.parametrize("line", ANSWERS, ids=lambda line: line.split()[0][1:])
def test_answers_are_a_line_however_many_there_are(line):
    assert repr(ANSWERS[line]) == line
    assert ANSWERS[line]._repr_html_() == f"<p>{escape(line)}</p>"


PICTURED = {"data": (280, 28), "task of a family": (280, 28), "task of tensors": (32, 8)}
"""What is shown with some of its images: width and height of them in a row."""


@pytest.mark.parametrize(
    ("shape", "size"),
    [((3, 4, 5), (15, 4)), ((12, 1, 4, 5), (50, 4)), ((2, 3, 4, 5), (10, 4)), ((2, 20), None),
     ((0, 4, 5), None), ((2, 4, 4, 5), None)],
)  # fmt: skip
def test_a_row_of_images(shape, size):
    html = row_of(torch.rand(shape))
    assert bool(html) == (size is not None)
    if size:
        png = b64decode(html.partition("base64,")[2].partition('"')[0])
        assert Image.open(BytesIO(png)).size == size


def test_a_task_shows_what_its_network_is_given():
    """The picture of a permuted task is permuted, and that of a data set is as it is kept."""
    data = load("mnist-sample")
    plain, permuted = (
        make_task(recipe, data) for recipe in task_family("permuted-mnist-sample", 2)
    )
    html = permuted._repr_html_()
    assert html != plain._repr_html_()
    assert row_of(permuted.test_batch(torch.arange(10))[0].reshape(10, 28, 28)) in html


def test_a_picture_that_cannot_be_read_costs_the_picture_only(monkeypatch):
    task = make_task(task_family("permuted-mnist-sample", 1)[0], load("mnist-sample"))

    def fails(*_):
        raise InvalidInput("gone")

    monkeypatch.setattr(type(task), "test_batch", fails)
    assert task._repr_html_() == f"<p>&lt;{repr(task)[1:-1]}&gt;</p>".replace("'", "&#x27;")


def test_markup_in_names_is_shown(made):
    packed = replace(made["one mask"], names=("<script>alert(1)</script>",))
    assert "<script>" not in packed._repr_html_()
    assert "&lt;script&gt;" in packed._repr_html_()
    task = made["task"]._replace(name="<b>", metadata={"<i>": 1})
    assert "<b>" not in task._repr_html_()
    assert "<i>" not in task._repr_html_()


MEMORIES = [(form, rule) for form in get_args(HopfieldFormName) for rule in FORMS[form]]


@pytest.mark.parametrize(("form", "rule"), MEMORIES)
def test_every_memory(form, rule):
    memory = new_memory(rule, 8, form=form, blocks=(4, 4) if form == "blocks" else ())
    assert repr(memory).endswith(f"({rule}, {form}): 0 patterns over 8 units>")
    memory.encode(np.ones(8, np.int8))
    assert ": 1 pattern over" in repr(memory)


def test_a_data_set_of_a_user_need_not_count_its_images():
    class Own(ImageSet):
        name, classes, size = "own", 3, (2, 2)
        device = to = select = None

    assert repr(Own()) == "<Own 'own': 3 classes, images of 2 × 2 pixels>"
