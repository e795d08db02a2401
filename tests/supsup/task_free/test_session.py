import numpy as np
import pytest

from maskstore import MaskArchive
from maskstore.errors import TaskExists
from supsup.archives import create_archive
from supsup.evaluation import GNS, NNS, evaluate_inferred
from supsup.inference import MaskBank
from supsup.task_free import learn_into
from tests.supsup.task_free.helpers import corners, new_learner, run_through, small_net, stream_of


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    path = tmp_path_factory.mktemp("nns") / "a.h5"
    tasks, backbone = corners(3), small_net()
    stream = stream_of(tasks, visits=2)
    with create_archive(path, backbone) as archive:
        for stored in learn_into(archive, new_learner(), stream):
            with MaskArchive.open(path) as other:  # durable when yielded
                assert other.task(stored.name).sha256 == stored.sha256
    return path, tasks, backbone, stream


def test_the_archive_has_what_the_learner_gave_last(learned):
    path, _, _, stream = learned
    with MaskArchive.open(path) as archive:
        expected = {mask.name: mask for mask in run_through(new_learner(), stream)}
        assert set(archive.names()) == set(expected) == {"nns/0", "nns/1", "nns/2"}
        for stored in archive:
            masks, found = expected[stored.name].masks, archive.get(stored.name)
            assert all(np.array_equal(masks[name], found[name]) for name in masks)
            assert stored.metadata["sources"] == expected[stored.name].metadata["sources"]


def test_masks_of_others_are_left_alone(learned, tmp_path):
    _, tasks, backbone, _ = learned
    with create_archive(tmp_path / "b.h5", backbone) as archive:
        archive.add("nns/0", {n: np.ones(s, bool) for n, s in backbone.layout.shapes.items()})
        with pytest.raises(TaskExists):
            list(learn_into(archive, new_learner(), stream_of(tasks[:1])))
        assert archive.task("nns/0").ones == backbone.layout.bits


def test_evaluation(learned):
    path, tasks, backbone, _ = learned
    with MaskArchive.open(path) as archive:
        owners = [archive.task(n).metadata["sources"][0]["name"] for n in archive.names()]
        bank = MaskBank(backbone, archive.packed(), classes=3)
    settings = {"mode": "batch", "objective": "superfluous"}
    found = evaluate_inferred(NNS, bank, tasks, owners, **settings)
    assert (found.scenario, found.task_accuracy) == ("NNs", 1.0)
    assert found.accuracy > 0.9
    # A task that no mask is named after is evaluated all the same.
    lost = evaluate_inferred(NNS, bank, tasks, [owners[0], None, owners[2]], **settings)
    assert lost.accuracy == found.accuracy
    assert [row.task_accuracy for row in lost.per_task].count(0.0) == 1
    bank.source._names[:] = owners
    assert evaluate_inferred(GNS, bank, tasks, **settings).accuracy == found.accuracy
