import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from maskstore import ArchiveExists, InvalidInput, MaskArchive
from supsup import BackboneRecipe, build
from supsup.archives import create_archive
from supsup.checkpoints import export_dense, import_checkpoint


def reference_checkpoint(path, tasks=3):
    """What the paper's code saves: main.py, ``torch.save({… "state_dict": …, "args": args})``."""
    torch.manual_seed(0)
    state = {}
    for layer, shape in (("linear.0", (30, 20, 1, 1)), ("linear.2", (4, 30, 1, 1))):
        state[f"{layer}.weight"] = torch.randn(shape)
        for task in range(tasks):
            state[f"{layer}.scores.{task}"] = torch.randn(shape)
    torch.save(
        {"epoch": 1, "arch": "LeNet", "state_dict": state, "args": argparse.Namespace(lr=0.1)},
        path,
    )
    return state


@pytest.mark.parametrize("density", [0.5, 0.1, 0.9])
@pytest.mark.parametrize("kind", ["threshold", "topk"])
def test_a_checkpoint_of_the_papers_code(tmp_path, kind, density):
    state = reference_checkpoint(tmp_path / "final.pt")
    report = import_checkpoint(tmp_path / "final.pt", tmp_path / "a.h5", kind=kind, density=density)
    assert (report.tasks, report.bits_per_mask) == (3, 720)
    assert report.checkpoint_bytes == (tmp_path / "final.pt").stat().st_size
    with MaskArchive.open(tmp_path / "a.h5") as archive:
        assert report.archive_bytes == archive.file_bytes
        assert archive.names() == ["task/0", "task/1", "task/2"]
        for task in range(3):
            for layer, mask in archive.get(f"task/{task}").items():
                scores = state[layer.replace("weight", f"scores.{task}")]
                if kind == "threshold":
                    expected = (scores >= 0).numpy()
                else:  # the reference's GetSubnet, as it is written there
                    out = scores.abs().clone()
                    _, idx = out.flatten().sort()
                    j = int((1 - density) * out.numel())
                    flat = out.flatten()
                    flat[idx[:j]] = 0
                    flat[idx[j:]] = 1
                    expected = flat.view(out.shape).bool().numpy()
                assert np.array_equal(mask, expected)


def test_a_piggyback_state_dict(tmp_path):
    real = torch.tensor([[0.0, 0.005], [0.0051, -1.0]])
    torch.save({"fc.mask_real": real, "fc.weight": torch.ones(2, 2)}, tmp_path / "pb.pt")
    import_checkpoint(tmp_path / "pb.pt", tmp_path / "a.h5", kind="piggyback")
    with MaskArchive.open(tmp_path / "a.h5") as archive:
        assert archive.get("task/0")["fc.weight"].tolist() == [[False, False], [True, False]]


class Evil:
    def __reduce__(self):
        import os

        return (os.system, ("touch supsup-was-here",))


def test_checkpoints_that_are_refused(tmp_path):
    out = tmp_path / "a.h5"
    torch.save({"state_dict": {"a": Evil()}}, tmp_path / "evil.pt")
    (tmp_path / "junk.pt").write_bytes(b"junk" * 10)
    torch.save([1, 2], tmp_path / "list.pt")
    state = reference_checkpoint(tmp_path / "final.pt")
    state["linear.0.scores.1"][0, 0] = float("nan")
    torch.save({"state_dict": state}, tmp_path / "nan.pt")
    for name, kind, message in [
        ("evil.pt", "threshold", "not a checkpoint of tensors alone"),
        ("junk.pt", "threshold", "not a checkpoint"),
        ("list.pt", "threshold", "expected a state_dict, found list"),
        ("none.pt", "threshold", "cannot read"),
        ("nan.pt", "threshold", "not finite"),
        ("final.pt", "piggyback", "no tensors named ….mask_real"),
        ("final.pt", "cats", "expected one of threshold, topk, piggyback"),
    ]:
        with pytest.raises(InvalidInput, match=message):
            import_checkpoint(tmp_path / name, out, kind=kind)
    assert not Path("supsup-was-here").exists()
    assert not out.exists()
    out.touch()
    with pytest.raises(ArchiveExists):
        import_checkpoint(tmp_path / "final.pt", out, kind="threshold")


def test_an_exported_model_gives_the_same_logits(tmp_path):
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=5))
    rng = np.random.default_rng(0)
    masks = {name: rng.random(shape) < 0.3 for name, shape in backbone.layout.shapes.items()}
    with create_archive(tmp_path / "a.h5", backbone) as archive:
        archive.add("t", masks)
        size = export_dense(archive, "t", backbone, tmp_path / "t.safetensors")
        assert size == (tmp_path / "t.safetensors").stat().st_size
        with pytest.raises(InvalidInput, match="safetensors"):
            export_dense(archive, "t", backbone, tmp_path / "t.pt")
    dense = build(BackboneRecipe(net="lenet-300-100", outputs=5, seed=9)).module
    dense.load_state_dict(load_file(tmp_path / "t.safetensors"))
    x = torch.randn(7, 784)
    assert torch.equal(dense(x), backbone.logits(x, backbone.tensors(masks)))
