"""The examples in docstrings give what they say, and the names that most programs use have one."""

import doctest
import importlib

import numpy as np
import pytest

import hopfield
import maskstore
import supsup
import supsup.archives
import supsup.datasets
import supsup.tasks
from tests.sources import PACKAGES, folder_of


def modules_with_examples() -> list[str]:
    found = []
    for package in PACKAGES:
        folder = folder_of(package)
        for file in sorted(folder.rglob("*.py")):
            if ">>> " in file.read_text("utf-8"):
                parts = (package, *file.relative_to(folder).with_suffix("").parts)
                found.append(".".join(parts).removesuffix(".__init__"))
    return found


USED_MOST = [
    maskstore,
    maskstore.MaskLayout,
    maskstore.PackedMasks,
    maskstore.archive_stats,
    maskstore.compact,
    maskstore.merge,
    maskstore.repair,
    maskstore.verify,
    hopfield.capacity,
    hopfield.is_attractor,
    hopfield.masks_of,
    hopfield.new_memory,
    hopfield.overlap,
    hopfield.pattern_of,
    hopfield.save_memory,
    hopfield.settle,
    supsup,
    supsup.Backbone.from_module,
    supsup.BackboneRecipe,
    supsup.SupSup,
    supsup.TensorTask.__init__,
    supsup.TrainConfig,
    supsup.accuracy,
    supsup.archives.backbone_of,
    supsup.archives.create_archive,
    supsup.archives.train_into,
    supsup.build,
    supsup.datasets.load,
    supsup.tasks.TaskRecipe,
    supsup.tasks.make_task,
    supsup.tasks.task_family,
    supsup.train,
]


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # As in numpy's own examples, np is numpy.
    tried = doctest.testmod(importlib.import_module(name), extraglobs={"np": np})
    assert tried.attempted
    assert not tried.failed


@pytest.mark.parametrize(
    "name", USED_MOST, ids=lambda name: getattr(name, "__qualname__", name.__name__)
)
def test_a_name_that_is_used_much_has_an_example(name):
    assert ">>> " in name.__doc__
