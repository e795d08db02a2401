"""What holds for every baseline."""

import re

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import supsup.baselines
from maskstore.errors import InvalidInput
from supsup import Backbone, LoaderTask, TrainingDiverged, build
from supsup.baselines import BASELINES, BaselineConfig
from tests.supsup.baselines.helpers import ENOUGH, FEW, blobs, small_net, taught
from tests.supsup.helpers import ConvNet, small_bn

each = pytest.mark.parametrize("name", BASELINES)
HEADED = [name for name in BASELINES if name not in ("batche", "psp", "psp-rotation")]
ONE_BY_ONE = ["ewc", "icarl"]


def test_the_registry_names_every_method():
    assert all(name == baseline.name for name, baseline in BASELINES.items())
    exported = [getattr(supsup.baselines, name) for name in supsup.baselines.__all__]
    assert all(baseline in exported for baseline in BASELINES.values())


@each
def test_learns_and_tells_the_loss(name):
    task = blobs(1)[0]
    baseline = BASELINES[name](small_net(), ENOUGH)
    loss = baseline.learn(task)
    images, labels = next(iter(task.test_batches(200)))
    logits = baseline.logits(task.name, images)
    assert logits.shape == (130, 4)
    assert not logits.requires_grad
    assert (logits.argmax(1) == labels).float().mean() > 0.6  # chance is 0.25
    assert 0 < loss < 1.5
    assert baseline.tasks == ("blobs/0",)


@each
def test_tasks_may_differ_in_their_number_of_classes(name):
    tasks = [blobs(1, classes=3)[0], blobs(2, classes=2)[1]]
    baseline = taught(name, tasks)
    images = tasks[0].x[:7]
    assert baseline.logits("blobs/0", images).shape == (7, 3)
    assert baseline.logits("blobs/1", images).shape == (7, 2)


@each
def test_is_a_function_of_the_seeds(name):
    tasks = blobs(2)
    images = tasks[0].x[:50]
    first = taught(name, tasks)
    torch.manual_seed(1)  # PyTorch's own generator has no part in it
    again = taught(name, tasks)
    other = taught(name, tasks, BaselineConfig(steps=5, batch=16, lr=1e-2, seed=1))
    for task in tasks:
        assert torch.equal(first.logits(task.name, images), again.logits(task.name, images))
        assert not torch.equal(first.logits(task.name, images), other.logits(task.name, images))


@each
def test_names_must_be_new_to_learn_and_known_to_answer(name):
    task = blobs(1)[0]
    baseline = BASELINES[name](small_net(), FEW)
    unknown = re.escape("task 'blobs/0': " + name + " has not learnt it; expected one of: none")
    with pytest.raises(InvalidInput, match=unknown):
        baseline.logits("blobs/0", task.x[:2])
    baseline.learn(task)
    with pytest.raises(InvalidInput, match=f"task 'blobs/0': {name} has learnt it already"):
        baseline.learn(task)


@each
def test_a_task_that_diverges_leaves_no_trace(name):
    task = blobs(1)[0]
    baseline = taught(name, [task])
    before, size = baseline.logits("blobs/0", task.x), baseline.bytes()
    bad = blobs(1)[0]  # arrays with NaN are refused when a task is made of them
    bad.name, bad.x = "bad", bad.x * torch.nan
    with pytest.raises(TrainingDiverged, match=r"task 'bad': after \d steps the loss is nan"):
        baseline.learn(bad)
    assert torch.equal(baseline.logits("blobs/0", task.x), before)
    assert baseline.bytes() == size
    assert baseline.tasks == ("blobs/0",)


@each
def test_the_backbone_is_never_written_to(name):
    net = small_net()
    digest = net.digest
    baseline = BASELINES[name](net, FEW)
    for task in blobs(2):
        baseline.learn(task)
    del net.digest  # forget the one that was computed
    assert net.digest == digest


@pytest.mark.parametrize("name", [n for n in BASELINES if n != "psp-rotation"])
def test_runs_a_convolution_with_normalisation_and_biases(name):
    module = ConvNet(outputs=4)
    if name in ONE_BY_ONE:
        module.norm = torch.nn.Identity()
    net = Backbone.from_module(module, seed=0, init="kaiming-normal", statistics="batch")
    tasks = blobs(2, pixels=16)
    baseline = BASELINES[name](net, BaselineConfig(steps=60, batch=32, lr=1e-2))
    for task in tasks:
        baseline.learn(task)
    right = baseline.logits("blobs/1", tasks[1].x).argmax(1) == tasks[1].y
    assert right.float().mean() > 0.4  # chance is 0.25


@pytest.mark.parametrize("name", ONE_BY_ONE)
@pytest.mark.parametrize(
    "net",
    [
        build(small_bn(pixels=16)),
        Backbone.from_module(ConvNet(outputs=4), seed=0, statistics="batch"),
    ],
    ids=["bn-2048", "a user's"],
)
def test_a_net_with_batch_statistics_is_refused_before_training(name, net, monkeypatch):
    """The user's net would take one image, and answer by its statistics."""
    monkeypatch.setattr(f"supsup.baselines.{name}.fit", lambda *_, **__: pytest.fail("trained"))
    baseline = BASELINES[name](net, FEW)
    with pytest.raises(InvalidInput, match=f"{name} asks for the features of each image by itself"):
        baseline.learn(blobs(1, pixels=16)[0])
    assert baseline.tasks == ()


class HeadFirst(torch.nn.Module):
    """Registers its layers in another order than it uses them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = torch.nn.Linear(width, 4)
        self.body = torch.nn.Linear(20, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.body(x)))


@pytest.mark.parametrize("width", [30, 4])
@pytest.mark.parametrize("name", HEADED)
def test_a_head_that_is_not_registered_last_is_told(name, width):
    net = Backbone.from_module(HeadFirst(width), seed=0)
    baseline = BASELINES[name](net, FEW)
    with pytest.raises(InvalidInput, match="its last nn.Linear, 'body', expected that to give the"):
        baseline.learn(blobs(1)[0])


@each
def test_a_task_needs_images(name):
    task, empty = blobs(2)
    baseline = taught(name, [task])
    empty.train_size = 0
    with pytest.raises(InvalidInput, match="task 'blobs/1': no training images"):
        baseline.learn(empty)


@each
def test_a_data_loader_is_a_task(name):
    """Its batches have one size, and it chooses the images."""
    source = blobs(1)[0]
    data = DataLoader(TensorDataset(source.x, source.y), batch_size=16)
    task = LoaderTask("loaded", train=data, test=data, classes=4)
    baseline = BASELINES[name](small_net(), FEW)
    if name in ("icarl", "replay"):
        with pytest.raises(InvalidInput, match="a data loader chooses itself; make it a Tensor"):
            baseline.learn(task)
        return
    baseline.learn(task)
    assert baseline.logits("loaded", source.x).shape == (430, 4)


@each
def test_says_when_there_are_too_few_outputs_or_none_to_replace(name):
    baseline = BASELINES[name](small_net(outputs=2), FEW)
    task = blobs(1)[0]
    if name not in HEADED:
        with pytest.raises(InvalidInput, match="4 classes but the backbone 2 outputs"):
            baseline.learn(task)
        return
    baseline.learn(task)  # has heads of its own
    conv = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3))
    with pytest.raises(InvalidInput, match="last nn.Linear, but it has none"):
        BASELINES[name](Backbone.from_module(conv, seed=0), FEW)


OWNER = 2 / 32
"""Of each weight whose of three tasks it is, or nobody's: two bits of a number's 32."""
TRUNK, HEAD, VECTORS = 20 * 30 + 30 * 10, 10 * 4, (20 + 30) + (30 + 10) + (10 + 4)
IMAGE = 20


@pytest.mark.parametrize(
    ("name", "numbers", "options"),
    [
        ("upper-bound", 3 * (TRUNK + HEAD), {}),
        ("lower-bound", TRUNK + 3 * HEAD, {}),
        ("separate-heads", TRUNK + 3 * HEAD, {}),
        ("separate-heads-random", 3 * HEAD, {}),
        ("batche", TRUNK + HEAD + 3 * VECTORS, {}),
        ("psp", TRUNK + HEAD, {}),
        ("psp-rotation", TRUNK + HEAD, {}),
        ("ewc", 3 * TRUNK + 3 * HEAD, {}),
        ("icarl", TRUNK + 3 * HEAD + 3 * 4 * 2 * IMAGE, {"memory": 25}),
        ("replay", TRUNK + 3 * HEAD + 3 * 4 * 2 * IMAGE, {"memory": 25}),
        ("packnet", TRUNK + 3 * HEAD + TRUNK * OWNER, {}),
    ],
)
def test_bytes_are_those_of_every_tensor_kept(name, numbers, options):
    assert BASELINES[name](small_net(), FEW, **options).bytes() == 0
    assert taught(name, blobs(3), **options).bytes() == 4 * numbers
