"""What takes a path takes it as text, too: the whole way of an archive, with nothing but text."""

import numpy as np
import pytest
import torch

from supsup import SupSup
from supsup.archives import infer_file
from supsup.checkpoints import export_dense, import_checkpoint
from supsup.recovery import MaskMemory, compare_family, encode_archive, recover_from
from supsup.report import write_report


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def model(folder):
    with SupSup.create(f"{folder}/a.h5", "bn-2048", outputs=10) as made:
        made.train("split-mnist-sample", count=2, steps=20, quiet=True)
        yield made


def test_an_archive_and_all_that_is_made_of_it(folder, model):
    name = model.archive.names()[0]
    images, _ = next(model.data(name).test_batches(4))
    np.save(f"{folder}/x.npy", images.numpy())
    assert len(infer_file(model.archive, model.backbone, f"{folder}/x.npy").names) == 4
    assert write_report(model.archive, f"{folder}/report.html") > 1000
    memory = encode_archive(model.archive)
    memory.save(f"{folder}/m.h5")
    assert MaskMemory.open(f"{folder}/m.h5").tasks == memory.tasks
    recovered = recover_from(f"{folder}/m.h5", data=f"{folder}/x.npy")
    assert recovered.document


def test_a_dense_export_and_an_import(folder):
    with SupSup.create(f"{folder}/dense.h5", "lenet-300-100", outputs=2) as model:
        (task,) = model.train("split-mnist-sample", count=1, steps=2, quiet=True)
        assert export_dense(model.archive, task.name, model.backbone, f"{folder}/d.safetensors") > 0
    state = {"layer.weight": torch.ones(2, 4), "layer.scores.0": torch.ones(2, 4)}
    torch.save({"state_dict": state}, f"{folder}/final.pt")
    import_checkpoint(f"{folder}/final.pt", f"{folder}/i.h5", kind="threshold")


def test_a_comparison(folder):
    assert compare_family("split-mnist-sample", f"{folder}/both", tasks=1, steps=2)
