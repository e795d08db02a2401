from dataclasses import replace

import pytest

from maskstore import MaskArchive
from maskstore.errors import ArchiveExists, InvalidInput
from supsup import BackboneRecipe, TrainConfig
from supsup.task_free import StreamConfig, learn_family

NET = BackboneRecipe(net="lenet-300-100", outputs=10)
CONFIG = TrainConfig(steps=12)
STREAM = StreamConfig(least=10, most=12, every=5, confirm=1)
FAMILY = ("permuted-mnist-sample", 2)


class Stopped(Exception):
    """In the place of a kill."""


def bits(path):
    with MaskArchive.open(path) as archive:
        return [(task.name, task.sha256, task.metadata) for task in archive]


def test_stopped_and_gone_on_with_is_uninterrupted(tmp_path):
    whole, stopped, told = tmp_path / "whole.h5", tmp_path / "stopped.h5", []
    report = learn_family(
        whole, *FAMILY, NET, CONFIG, STREAM, on_mask=lambda s, c: told.append(s.name)
    )
    assert list(dict.fromkeys(told)) == [task.name for task in report.masks]  # one learns on
    assert report.counts.allocated == len(report.rows()) == 2

    def stop(stored, counts):
        raise Stopped

    with pytest.raises(Stopped):
        learn_family(stopped, *FAMILY, NET, CONFIG, STREAM, on_mask=stop)
    with pytest.raises(ArchiveExists):
        learn_family(stopped, *FAMILY, NET, CONFIG, STREAM)
    other = StreamConfig(least=10, most=12, every=6, confirm=1)
    with pytest.raises(InvalidInput, match="resume with the same settings"):
        learn_family(stopped, *FAMILY, NET, CONFIG, other, resume=True)
    again = learn_family(stopped, *FAMILY, NET, CONFIG, STREAM, resume=True)
    assert again.to_json() == report.to_json()
    assert bits(stopped) == bits(whole)


def test_the_papers_rule_decides_at_once_and_is_gone_on_with(tmp_path):
    path, told = tmp_path / "a.h5", []
    stream = StreamConfig(least=10, most=12, every=5, allocation="uniform")

    def stop(stored, counts):
        told.append(stored.name)
        raise Stopped

    with pytest.raises(Stopped):
        learn_family(path, *FAMILY, NET, CONFIG, stream, on_mask=stop)
    with pytest.raises(InvalidInput, match="'confirm': 1, 'least': 5"):
        learn_family(path, *FAMILY, NET, CONFIG, replace(stream, confirm=3), resume=True)
    report = learn_family(path, *FAMILY, NET, CONFIG, stream, resume=True)
    whole = learn_family(tmp_path / "whole.h5", *FAMILY, NET, CONFIG, stream)
    assert report.to_json() == whole.to_json()


def test_resume_without_an_archive_begins_one(tmp_path):
    path = tmp_path / "a.h5"
    learn_family(path, FAMILY[0], 1, NET, CONFIG, STREAM, resume=True)
    assert [name for name, _, _ in bits(path)] == ["nns/0"]


@pytest.mark.parametrize(
    ("network", "stream", "codec", "message"),
    [
        (NET, StreamConfig(allocation="magic"), "auto", "allocation: expected one of level"),
        (NET, StreamConfig(least=3, most=2), "auto", "least <= most"),
        (NET, STREAM, "lzma", "codec 'lzma' is unknown"),
        (BackboneRecipe(net="lenet-300-100", outputs=9), STREAM, "auto", "has 10 classes"),
        (BackboneRecipe(net="os:getcwd", outputs=10), STREAM, "auto", "if you trust it"),
    ],
)
def test_what_cannot_be_makes_no_file(tmp_path, network, stream, codec, message):
    with pytest.raises(InvalidInput, match=message):
        learn_family(tmp_path / "a.h5", *FAMILY, network, CONFIG, stream, codec=codec)
    assert not list(tmp_path.iterdir())
