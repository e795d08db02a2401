import pytest
import torch
from torch.nn.functional import cross_entropy

from maskstore.errors import InvalidInput
from supsup.baselines import BaselineConfig, Replay, evaluate_baseline
from supsup.evaluation import GNU
from supsup.tasks.order import batches
from tests.supsup.baselines.helpers import ENOUGH, FEW, blobs, small_net, taught

CONFIG = BaselineConfig(steps=6, batch=16, lr=1e-2, optimizer="sgd")


@pytest.mark.parametrize("joint", [False, True])
def test_a_step_is_one_on_new_and_as_many_stored_images(joint):
    first, second = blobs(2, classes=3)
    baseline = Replay(small_net(), CONFIG, memory=30, joint=joint)
    baseline.learn(first)
    x_old = torch.cat(baseline.exemplars[first.name])
    y_old = torch.arange(3).repeat_interleave(10)
    weights = [w.clone() for w in (*baseline.trunk.values(), *baseline.head.values())]
    rows = baseline._net.new_head(second.name, 3, 0)["fc3.weight"]
    weights[2] = torch.cat([weights[2], rows])
    for leaf in weights:
        leaf.requires_grad_()
    optimizer = torch.optim.SGD(weights, CONFIG.lr, momentum=0.9)
    new = batches(0, second.name, second.train_size, 16, second.device)
    old = batches(0, f"{second.name}/replay", 30, 16, second.device)
    for _ in range(CONFIG.steps):
        ours, theirs = next(new), next(old)
        x = torch.cat([second.x[ours], x_old[theirs]])
        for layer in weights[:2]:
            x = torch.relu(x @ layer.T)
        logits = x @ weights[2].T
        if joint:
            loss = cross_entropy(logits, torch.cat([second.y[ours] + 3, y_old[theirs]]))
        else:
            one = cross_entropy(logits[:16, 3:], second.y[ours])
            loss = (one + cross_entropy(logits[16:, :3], y_old[theirs])) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    baseline.learn(second)
    found = [*baseline.trunk.values(), *baseline.head.values()]
    for one, other in zip(found, weights, strict=True):
        torch.testing.assert_close(one, other.detach())


def test_the_memory_is_shared_evenly_and_holds_training_images_of_the_class():
    tasks = blobs(3)
    baseline = taught("replay", tasks[:1], memory=40)
    before = baseline.exemplars[tasks[0].name]
    assert [len(few) for few in before] == [10] * 4
    for task in tasks[1:]:
        baseline.learn(task)
    for task in tasks:
        for label, few in enumerate(baseline.exemplars[task.name]):
            of_class = task.x[: task.train_size][task.y[: task.train_size] == label]
            assert len(few) == 3
            assert all(bool((image == of_class).all(1).any()) for image in few)
    for few, many in zip(baseline.exemplars[tasks[0].name], before, strict=True):
        assert torch.equal(few, many[:3])


def test_stored_images_hold_back_forgetting():
    tasks = blobs(4)
    accuracy = {
        name: evaluate_baseline(taught(name, tasks, ENOUGH), tasks[:1]).accuracy
        for name in ("replay", "lower-bound")
    }
    assert accuracy["replay"] > 0.85
    assert accuracy["lower-bound"] < 0.7


def test_joint_training_makes_one_classifier_of_all_classes():
    tasks = blobs(3, classes=2)
    found = {
        joint: evaluate_baseline(
            taught("replay", tasks, ENOUGH, joint=joint), tasks, scenario=GNU, method="logits"
        ).accuracy
        for joint in (True, False)
    }
    assert found[True] > 0.6  # of six classes
    assert found[True] > found[False] + 0.1


def test_a_memory_too_small_is_refused_before_training(monkeypatch):
    monkeypatch.setattr("supsup.baselines.replay.fit", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(InvalidInput, match="memory: 3 exemplars are fewer than the 4 classes"):
        Replay(small_net(), FEW, memory=3).learn(blobs(1)[0])
