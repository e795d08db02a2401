"""Any module is run rightly, or refused in one line: the table behind docs/any-module.md."""

import subprocess
import sys
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from maskstore import MaskArchive
from maskstore.errors import InvalidInput
from supsup import accuracy, train
from supsup.archives import create_archive, train_into
from supsup.checkpoints import export_dense
from supsup.networks.modes import construction
from supsup.training.group import train_group
from tests.supsup.helpers import as_users_run_it
from tests.supsup.networks import modules
from tests.supsup.networks.any_module import (
    CONFIG,
    METHODS,
    MODES,
    OUTPUTS,
    RUNNING,
    Naive,
    backbone_named,
    inferred,
    page,
    tasks_of,
)
from tests.supsup.networks.modules import TABLE

RIGHT = [name for name, row in TABLE.items() if row.refused is None]
REFUSED = [name for name, row in TABLE.items() if row.refused is not None]


class Trained:
    """A module with two masks in an archive, and its naive double."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.path = name, folder / f"{name}.h5"
        self.backbone = backbone_named(name)
        self.tasks = tasks_of(name)
        self.digest = self.backbone.digest
        self.buffers = {n: b.clone() for n, b in self.backbone.module.named_buffers()}
        self.alone = list(train(self.backbone, self.tasks, CONFIG, parallel=1))
        with create_archive(self.path, self.backbone) as archive:
            self.stored = list(train_into(archive, self.backbone, self.tasks, CONFIG, parallel=2))

    @cached_property
    def naive(self) -> Naive:
        return Naive(self.name, self.backbone)

    @cached_property
    def masks(self) -> list:
        return [each.masks for each in self.alone]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archives")
    known: dict[str, Trained] = {}

    def get(name: str) -> Trained:
        if name not in known:
            known[name] = Trained(name, folder)
        return known[name]

    get.folder = folder
    return get


@pytest.fixture(scope="module")
def reopened(trained):
    """What a fresh process answers from the archives alone."""
    for name in RIGHT:
        trained(name)
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.supsup.networks.any_module", trained.folder],
        check=True,
        cwd=Path(__file__).parents[3],
    )
    with np.load(trained.folder / "answers.npz") as found:
        return dict(found)


def test_the_page_is_the_table():
    """``python -m tests.supsup.networks.any_module > docs/any-module.md`` writes it."""
    assert len(RIGHT) >= 35
    assert (Path(__file__).parents[3] / "docs" / "any-module.md").read_text() == page()


@pytest.mark.parametrize("name", RIGHT)
def test_trained_alone_as_by_a_naive_loop(name, trained):
    made = trained(name)
    flat = made.backbone.layout.join
    for task, masks in zip(made.tasks, made.masks, strict=True):
        expected = made.naive.train(task, made.backbone.layout)
        assert (flat(expected) == flat(masks)).mean() > 0.99, "but for scores next to 0"
    assert (flat(made.masks[0]) != flat(made.masks[1])).any()


@pytest.mark.parametrize("name", RIGHT)
def test_two_in_a_step_as_alone(name, trained):
    made = trained(name)
    together = train_group(
        made.backbone, made.tasks, CONFIG, rows=2, report=print, stopped=lambda: False
    )
    flat = made.backbone.layout.join
    for masks, each in zip(made.masks, together, strict=True):
        assert (flat(masks) == flat(each.masks)).mean() > 0.99
        if made.backbone.probed.apart is not None:
            np.testing.assert_array_equal(flat(masks), flat(each.masks))
    assert (made.backbone.probed.apart is not None) == TABLE[name].in_turn
    assert made.backbone.probed.draws == TABLE[name].draws


@pytest.mark.parametrize("name", RIGHT)
def test_stored_and_nothing_written_to(name, trained):
    made = trained(name)
    with MaskArchive.open(made.path) as archive:
        for task, masks in zip(made.tasks, made.masks, strict=True):
            found = archive.get(task.name)
            assert all(np.array_equal(found[key], masks[key]) for key in masks)
    del made.backbone.digest
    assert made.backbone.digest == made.digest
    for key, buffer in made.backbone.module.named_buffers():
        assert torch.equal(buffer, made.buffers[key])


@pytest.mark.parametrize("name", RIGHT)
def test_evaluated_as_by_a_naive_loop(name, trained):
    made = trained(name)
    for task, masks, stored in zip(made.tasks, made.masks, made.stored, strict=True):
        expected = made.naive.accuracy(task, masks)
        assert accuracy(made.backbone, masks, task) == pytest.approx(expected, abs=1e-6)
        assert stored.metadata["metrics"]["accuracy"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", RIGHT)
def test_reopened_in_a_fresh_process(name, trained, reopened):
    made = trained(name)
    for task, masks in zip(made.tasks, made.masks, strict=True):
        expected = made.naive.answers(task.test_x, masks)
        np.testing.assert_allclose(
            reopened[f"{name}/{task.name}/logits"], expected, rtol=1e-4, atol=1e-5
        )
        found = float(reopened[f"{name}/{task.name}/accuracy"])
        assert found == pytest.approx(made.naive.accuracy(task, masks), abs=1e-6)


@pytest.mark.parametrize("name", RIGHT)
def test_inferred_by_each_method_as_by_a_naive_loop(name, trained):
    made = trained(name)
    x = made.tasks[0].test_x[:5]
    with MaskArchive.open(made.path) as archive, as_users_run_it():
        bank_says = inferred_or_refused(name, archive, made.backbone, x)
    for key, found in bank_says.items():
        method, mode = key.rsplit("/", 1)
        expected = made.naive.evidence(method, mode, x, made.masks)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4, err_msg=key)


def inferred_or_refused(name, archive, backbone, x):
    """What looks at a whole batch has none in one row: single images' gradients are refused."""
    if name not in ("batch_norm", "batch_norm_bare", "batch_norm_no_statistics", "peeks"):
        return inferred(archive, backbone, x)
    from supsup.inference import MaskBank, infer_in

    bank, found = MaskBank(backbone, archive, classes=3), {}
    for method in METHODS:
        for mode in MODES:
            try:
                answer = infer_in(bank, x, method=method, objective="entropy", mode=mode)
            except InvalidInput as error:
                assert mode == "image"
                assert method in ("one-shot", "binary", "hybrid")
                assert "let all images decide together (mode batch)" in str(error)
                continue
            found[f"{method}/{mode}"] = answer.evidence
    return found


@pytest.mark.parametrize("name", RIGHT)
def test_exported_and_loaded_again(name, trained, tmp_path):
    made, path = trained(name), tmp_path / "dense.safetensors"
    with MaskArchive.open(made.path) as archive:
        if name in RUNNING:
            with pytest.raises(InvalidInput, match="answers by running statistics"):
                export_dense(archive, made.tasks[0].name, made.backbone, path)
            return
        export_dense(archive, made.tasks[0].name, made.backbone, path)
    with construction(7):
        module = getattr(modules, name)(OUTPUTS)
    module = getattr(module, "_orig_mod", getattr(module, "module", module))
    module.load_state_dict(load_file(path), strict=True)
    with torch.no_grad():
        output = module.eval()(made.tasks[0].test_x)
    output = output["logits"] if isinstance(output, dict) else output
    expected = made.naive.answers(made.tasks[0].test_x, made.masks[0])
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line_before_anything_is_stored(name, tmp_path):
    row = TABLE[name]
    with as_users_run_it():
        if row.at == "construction":
            with pytest.raises(InvalidInput, match=row.refused) as caught:
                backbone_named(name)
        else:
            backbone = backbone_named(name)
            with (
                create_archive(tmp_path / "a.h5", backbone) as archive,
                pytest.raises(InvalidInput, match=row.refused) as caught,
            ):
                train_into(archive, backbone, tasks_of(name), CONFIG)
            with MaskArchive.open(tmp_path / "a.h5") as archive:
                assert not len(archive)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
