import math

import numpy as np
import pytest
import torch

from maskstore import InvalidInput, MaskArchive
from maskstore.seeded.streams import permutation
from supsup import BackboneRecipe, TrainConfig, build
from supsup.archives import bank_of, create_archive, known_in, train_into
from supsup.datasets import load
from supsup.evaluation.score import accuracy_and_energy
from supsup.inference import infer_in
from supsup.inference.ood import EnergyThreshold, free_energy
from supsup.tasks import make_task, task_family


def test_free_energy_is_that_of_the_class_outputs():
    logits = torch.tensor([[1.0, 2.0, 30.0], [0.0, 0.0, -5.0]], dtype=torch.float64)
    expected = [-math.log(math.e + math.e**2), -math.log(2)]
    assert free_energy(logits, 2).tolist() == pytest.approx(expected)


def test_mean_and_bar():
    energies = torch.linspace(-20.0, 0.0, 101)
    assert EnergyThreshold.of(energies) == EnergyThreshold(mean=-10.0, bar=-1.0)
    assert EnergyThreshold.of(energies[:1]) == EnergyThreshold(mean=-20.0, bar=-20.0)
    # So lopsided that 95% are below the mean.
    assert EnergyThreshold.of(torch.tensor([0.0] * 99 + [1000.0])) == EnergyThreshold(
        mean=10.0, bar=10.0
    )


def test_images_of_the_task_are_known_and_others_are_not():
    draw = torch.Generator().manual_seed(0)
    own = -10.0 + 2.0 * torch.randn(4000, generator=draw)
    usual = EnergyThreshold.of(own)
    assert np.mean([usual.knows(each) for each in own.split(1)]) == pytest.approx(0.95, abs=0.003)
    assert all(usual.knows(each) for each in own.split(100))
    others = own + 4.0  # two deviations: a third of one image, all of a few
    assert 0.3 < np.mean([usual.knows(each) for each in others.split(1)]) < 0.5
    assert not any(usual.knows(each) for each in others.split(20))
    # A little less sure than on the images that were measured is no sign of another task.
    assert all(usual.knows(each) for each in (own + 0.6).split(400))


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        [1, 2],
        {"mean": 1.0},
        {"mean": "x", "bar": 1.0},
        {"mean": True, "bar": 1.0},
        {"mean": math.nan, "bar": 1.0},
        {"mean": 0.0, "bar": -1.0},
        {"mean": 10**400, "bar": 1},
    ],
)
def test_what_is_not_there_or_forged_is_not_known(value):
    assert EnergyThreshold.from_json(value) is None


def test_json_and_errors():
    usual = EnergyThreshold(mean=-7.5, bar=2.0)
    assert EnergyThreshold.from_json(usual.to_json()) == usual
    assert EnergyThreshold.from_json({"mean": -7, "bar": 2}) is not None
    with pytest.raises(InvalidInput, match="energy: expected a finite mean"):
        EnergyThreshold(mean=math.inf, bar=1.0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """An archive of two of three permutations; its network and the tasks."""
    digits = load("mnist-sample")
    tasks = [make_task(recipe, digits) for recipe in task_family("permuted-mnist-sample", 3)]
    network = build(BackboneRecipe(net="lenet-300-100", outputs=50, seed=0))
    path = tmp_path_factory.mktemp("known") / "a.h5"
    with create_archive(path, network) as archive:
        train_into(archive, network, tasks[:2], TrainConfig(steps=200), codec="raw")
    return path, network, tasks


def test_training_leaves_the_energy_of_training_images_that_it_did_not_see(trained):
    path, network, tasks = trained
    with MaskArchive.open(path) as archive:
        for task in tasks[:2]:
            stored, masks = archive.task(task.name), archive.get(task.name)
            right, test = accuracy_and_energy(network, masks, task)
            assert right == stored.metadata["metrics"]["accuracy"]
            size = task.train_size
            last = permutation(0, f"order/{task.name}/0", size)[-min(size // 10, 500) :]
            weights = network.masked(network.tensors(masks))
            x, _ = task.train_batch(torch.from_numpy(last))
            energies = -network.run(x, weights)[:, :10].logsumexp(1).detach()
            assert EnergyThreshold.from_json(stored.metadata["energy"]) == EnergyThreshold.of(
                energies
            )
            # They say of the test images, which nothing was chosen on, what they should.
            usual = EnergyThreshold.of(energies)
            assert np.mean([usual.knows(each) for each in test.split(1)]) == pytest.approx(
                0.95, abs=0.05
            )


def test_infer_says_which_images_are_of_no_task_here(trained):
    path, network, tasks = trained
    with MaskArchive.open(path, "a") as archive:
        bank = bank_of(archive, network)
        shares = []
        for task in tasks:
            images, _ = task.train_batch(torch.arange(64))
            alone = infer_in(bank, images)
            shares.append(np.mean(known_in(archive, alone)))
            together = infer_in(bank, images, mode="batch")
            assert known_in(archive, together, "batch") == [task in tasks[:2]] * 64
            weights = network.masked(network.tensors(archive.get(together.names[0])))
            with torch.no_grad():
                expected = -network.run(images, weights)[:, :10].logsumexp(1)
            assert together.energy == pytest.approx(expected.numpy(), rel=1e-4)
        assert min(shares[:2]) > 0.8 > 0.3 > shares[2]
        archive.update(tasks[0].name, {"task": archive.task(tasks[0].name).metadata["task"]})
        images, _ = tasks[0].train_batch(torch.arange(4))
        assert known_in(archive, infer_in(bank, images, mode="batch"), "first") == [None] * 4
