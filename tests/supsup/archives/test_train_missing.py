import pytest

from maskstore import MaskArchive
from maskstore.errors import ArchiveWriteError, InvalidInput, LayoutMismatch
from supsup import BackboneRecipe, TrainConfig
from supsup.archives import train_missing
from supsup.tasks import task_family

NET = BackboneRecipe(net="bn-2048", outputs=2, options={"width": 16})
CONFIG = TrainConfig(steps=3)


def test_only_what_is_missing_is_trained(tmp_path):
    path, told = tmp_path / "new" / "folder" / "a.h5", []
    recipes = task_family("split-mnist-sample")
    assert train_missing(path, recipes[:2], NET, CONFIG, on_task=told.append) == 2
    with MaskArchive.open(path) as archive:
        before = [task.sha256 for task in archive]
    assert train_missing(path, recipes[:3], NET, CONFIG, on_task=told.append) == 1
    assert train_missing(path, recipes[:1], NET, CONFIG) == 0
    assert [task.name for task in told] == ["split-mnist/0", "split-mnist/1", "split-mnist/2"]
    with MaskArchive.open(path) as archive:
        assert [task.sha256 for task in archive][:2] == before


def test_what_was_made_in_another_way_is_refused(tmp_path):
    path, recipes = tmp_path / "a.h5", task_family("split-mnist-sample")[:1]
    train_missing(path, recipes, NET, CONFIG)
    with pytest.raises(InvalidInput, match="asked for 4"):
        train_missing(path, recipes, NET, TrainConfig(steps=4))
    with pytest.raises(LayoutMismatch, match="seed"):
        train_missing(
            path, recipes, BackboneRecipe(net="bn-2048", outputs=2, seed=1), TrainConfig(steps=3)
        )
    spare, fresh = TrainConfig(steps=3, outliers=0.1), tmp_path / "b.h5"
    with pytest.raises(InvalidInput, match="outliers: task 'split-mnist/0' has 2 classes"):
        train_missing(fresh, recipes, NET, spare)  # before there is an archive
    assert not fresh.exists()
    with pytest.raises(ArchiveWriteError, match="cannot make the folder"):
        train_missing(path / "below.h5", recipes, NET, CONFIG)
