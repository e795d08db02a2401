import argparse

import numpy as np
import pytest
import torch
from torch import nn

from maskstore import InvalidInput, MaskArchive
from supsup.checkpoints import import_checkpoint


def test_a_piggyback_state_dict(tmp_path):
    real = torch.tensor([[0.0, 0.005], [0.0051, -1.0]])
    torch.save({"fc.mask_real": real, "fc.weight": torch.ones(2, 2)}, tmp_path / "pb.pt")
    import_checkpoint(tmp_path / "pb.pt", tmp_path / "a.h5", kind="piggyback")
    with MaskArchive.open(tmp_path / "a.h5") as archive:
        assert archive.get("task/0")["fc.weight"].tolist() == [[False, False], [True, False]]


@pytest.mark.parametrize("rule", ["binarizer", "ternarizer"])
def test_the_export_that_the_message_names(tmp_path, rule):
    """``{"state_dict": c["model"].state_dict(), "args": c.get("args")}``."""
    real = torch.tensor([[0.0, 0.005], [0.0051, -1.0]])
    args = argparse.Namespace(threshold_fn=rule, mask_init="1s")
    torch.save({"state_dict": {"fc.mask_real": real}, "args": args}, tmp_path / "pb.pt")
    if rule == "ternarizer":
        with pytest.raises(InvalidInput, match=r"ternary \(-1, 0, 1\).*--threshold_fn binarizer"):
            import_checkpoint(tmp_path / "pb.pt", tmp_path / "a.h5")
        assert not (tmp_path / "a.h5").exists()
        return
    assert import_checkpoint(tmp_path / "pb.pt", tmp_path / "a.h5").kind == "piggyback"
    with MaskArchive.open(tmp_path / "a.h5") as archive:
        assert archive.get("task/0")["fc.weight"].sum() == 1


def pack(path, *, ternary=False):
    """What ``pack.py`` saves, with the whole classifiers beside the masks."""
    generator = torch.Generator().manual_seed(0)
    masks = {}
    for dataset in ("cubs_cropped", "sketches"):
        masks[dataset] = {
            number: torch.randint(-1 if ternary else 0, 2, shape, generator=generator)
            .float()
            .type(torch.ByteTensor)
            for number, shape in ((1, (4, 3, 3, 3)), (3, (5, 4)))
        }
    classifiers = {dataset: nn.Linear(5, 2) for dataset in masks}
    torch.save({"dataset2masks": masks, "dataset2classifiers": classifiers}, path)
    return masks


def test_a_pack_of_binary_masks(tmp_path):
    masks = pack(tmp_path / "pack.pt")
    report = import_checkpoint(tmp_path / "pack.pt", tmp_path / "a.h5", name="pb")
    assert (report.tasks, report.kind, report.net) == (2, "piggyback", None)
    with MaskArchive.open(tmp_path / "a.h5") as archive:
        assert archive.names() == ["pb/cubs_cropped", "pb/sketches"]
        for dataset in masks:
            for number, mask in masks[dataset].items():
                stored = archive.get(f"pb/{dataset}")[f"modules.{number}.weight"]
                assert np.array_equal(stored, mask.numpy() == 1)


def test_a_pack_as_torch_wrote_it_before_1_6(tmp_path):
    masks = pack(tmp_path / "pack.pt")
    loaded = torch.load(tmp_path / "pack.pt", weights_only=False)
    old = {"_use_new_zipfile_serialization": False}
    torch.save(loaded, tmp_path / "pack.pt", **old)
    with pytest.raises(InvalidInput, match=r"holds a whole module.*c\['dataset2masks'\]"):
        import_checkpoint(tmp_path / "pack.pt", tmp_path / "a.h5")
    torch.save({"dataset2masks": loaded["dataset2masks"]}, tmp_path / "tensors.pt", **old)
    assert import_checkpoint(tmp_path / "tensors.pt", tmp_path / "a.h5").tasks == len(masks)


def test_a_pack_of_ternary_masks_is_refused(tmp_path):
    pack(tmp_path / "pack.pt", ternary=True)
    with pytest.raises(InvalidInput, match="values other than 0 and 1: its masks are ternary"):
        import_checkpoint(tmp_path / "pack.pt", tmp_path / "a.h5")


class WholeModel(nn.Module):
    """Stands for Piggyback's ``ModifiedVGG16``."""


def test_a_whole_model_names_the_export(tmp_path):
    torch.save({"model": WholeModel(), "epoch": 1}, tmp_path / "whole.pt")
    with pytest.raises(InvalidInput) as caught:
        import_checkpoint(tmp_path / "whole.pt", tmp_path / "a.h5", kind="piggyback")
    text = str(caught.value)
    assert f"it holds {__name__}.WholeModel" in text
    assert "{'state_dict': c['model'].state_dict(), 'args': c.get('args')}" in text
    assert "\n" not in text
