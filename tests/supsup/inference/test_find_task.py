import math
import sys

import numpy as np
import pytest
import torch

from maskstore import MaskArchive
from maskstore.errors import InvalidInput, LayoutMismatch
from maskstore.packed import PackedMasks
from supsup import Backbone, build
from supsup.inference import (
    AUTO_OBJECTIVE,
    OBJECTIVES,
    Hybrid,
    MaskBank,
    Resident,
    Streamed,
    Superfluous,
    choose,
    infer,
    infer_in,
    load_masks,
)
from supsup.inference import __all__ as exported
from supsup.inference.find_task import check_levels, confidence_of, margin_of
from supsup.inference.kernels import TorchKernels
from supsup.inference.methods.hybrid import both_ends
from supsup.inference.query import Query
from tests.supsup.helpers import as_users_run_it, small_bn
from tests.supsup.inference.helpers import BY_MASKS, brute_logits, images, odd_net, random_masks


def brute(backbone, masks, x, tasks, classes):
    logits = brute_logits(backbone, x, masks)
    return [int(logits[t, at, :classes].argmax()) for at, t in enumerate(tasks)]


@pytest.mark.parametrize("method", ["auto", *BY_MASKS])
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("mode", ["image", "batch", "first"])
def test_tasks_and_predictions(method, objective, mode):
    backbone = odd_net()
    masks, x = random_masks(backbone, 40), images(6)
    found = infer(backbone, masks, x, method=method, objective=objective, mode=mode, classes=3)
    assert found.names == tuple(masks.names[t] for t in found.tasks)
    assert found.predictions.tolist() == brute(backbone, masks, x, found.tasks, 3)
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()
    assert (found.margin >= 0).all()
    assert found.evidence.shape == ((6, 40) if mode == "image" else (1, 40))
    if mode != "image":
        assert len(set(found.tasks.tolist())) == 1
    assert bool(found.reason) == (method == "auto")


def test_the_first_image_decides():
    backbone = odd_net()
    masks, x = random_masks(backbone, 40), images(6)
    each = infer(backbone, masks, x, method="exhaustive")
    first = infer(backbone, masks, x, method="exhaustive", mode="first")
    assert len(set(each.tasks.tolist())) > 1
    assert first.tasks.tolist() == [each.tasks[0]] * 6


def test_images_alone_and_in_company():
    backbone = odd_net()
    masks, x = random_masks(backbone, 40), images(6)
    for method in BY_MASKS:
        together = infer(backbone, masks, x, method=method)
        alone = [infer(backbone, masks, x[at : at + 1], method=method) for at in range(6)]
        assert together.tasks.tolist() == [int(one.tasks[0]) for one in alone]


@pytest.mark.parametrize("method", BY_MASKS)
def test_one_task(method):
    backbone = odd_net()
    found = infer(backbone, random_masks(backbone, 1), images(3), method=method)
    assert found.tasks.tolist() == [0, 0, 0]
    assert found.confidence.tolist() == [1.0, 1.0, 1.0]
    assert found.margin.tolist() == [math.inf] * 3


def test_a_streamed_archive_gives_the_same(tmp_path, monkeypatch):
    backbone = odd_net()
    masks, x = random_masks(backbone, 40), images(6)
    with MaskArchive.create(tmp_path / "a.h5", backbone.layout) as archive:
        items = [(name, masks.unpack(at), {}) for at, name in enumerate(masks.names)]
        archive.add_many(items, codec="raw")
        monkeypatch.setattr("supsup.inference.mask_source.BLOCK_BYTES", 3 * masks.bits.shape[1])
        sizes = [len(bits) for _, bits in Streamed(archive).blocks()]
        assert sizes == [3] * 13 + [1]
        for method in BY_MASKS:
            for mode in ("image", "batch"):
                streamed = infer(backbone, archive, x, method=method, mode=mode)
                resident = infer(backbone, masks, x, method=method, mode=mode)
                assert np.array_equal(streamed.evidence, resident.evidence)
                assert np.array_equal(streamed.predictions, resident.predictions)
        some = Streamed(archive, ["task/7", "task/3"])
        found = infer(backbone, some, x, method="one-shot")
        assert set(found.names) <= {"task/7", "task/3"}


def test_a_streamed_archive_on_the_kernels_of_a_device(tmp_path, monkeypatch):
    backbone = odd_net()
    masks, x = random_masks(backbone, 40), images(6)
    monkeypatch.setattr("supsup.inference.mask_source.BLOCK_BYTES", 3 * masks.bits.shape[1])
    with MaskArchive.create(tmp_path / "a.h5", backbone.layout) as archive:
        items = [(name, masks.unpack(at), {}) for at, name in enumerate(masks.names)]
        archive.add_many(items, codec="raw")
        streamed = MaskBank(backbone, archive, kernels=TorchKernels())
        resident = MaskBank(backbone, masks)
        for method in BY_MASKS:
            one, two = (infer_in(bank, x, method=method) for bank in (streamed, resident))
            np.testing.assert_allclose(one.evidence, two.evidence, rtol=1e-4, atol=1e-6)
            assert np.array_equal(one.predictions, two.predictions)


def test_progress_counts_up_to_all(tmp_path):
    backbone = odd_net()
    masks, seen = random_masks(backbone, 40), []
    with MaskArchive.create(tmp_path / "a.h5", backbone.layout) as archive:
        items = [(name, masks.unpack(at), {}) for at, name in enumerate(masks.names)]
        archive.add_many(items, codec="raw")

        def note(what, done, total):
            seen.append((what, done, total))

        loaded = load_masks(archive, note)
        assert np.array_equal(loaded.read(slice(None)), masks.bits)
        assert seen == [("reading", 40, 40)]
        for source in (archive, loaded):
            for method, stages in (
                ("one-shot", {"superposing", "weighing", "predicting"}),
                ("exhaustive", {"trying", "predicting"}),
                ("hybrid", {"superposing", "weighing", "trying", "predicting"}),
            ):
                for mode in ("image", "batch"):
                    seen.clear()
                    bank = MaskBank(backbone, source, progress=note)
                    infer_in(bank, images(3), method=method, mode=mode)
                    assert {what for what, _, _ in seen} - {"superposing"} == stages - {
                        "superposing"
                    }
                    for stage in stages:
                        counts = [done for what, done, _ in seen if what == stage]
                        totals = {total for what, _, total in seen if what == stage}
                        assert counts == sorted(counts)
                        assert totals == {counts[-1]}


def test_masks_in_a_read_only_file(tmp_path):
    backbone = odd_net()
    masks = random_masks(backbone, 5)
    np.save(tmp_path / "bits.npy", masks.bits)
    mapped = PackedMasks(
        layout=masks.layout,
        names=masks.names,
        bits=np.load(tmp_path / "bits.npy", mmap_mode="r"),
    )
    bank, x = MaskBank(backbone, mapped), images(3)
    expected = infer(backbone, masks, x, method="one-shot")
    assert np.array_equal(infer_in(bank, x, method="one-shot").evidence, expected.evidence)
    bank.replace(0, masks.bits[1])
    assert np.array_equal(bank.source.read(slice(0, 2)), masks.bits[[1, 1]])
    assert np.array_equal(mapped.bits, masks.bits)


def test_masks_that_are_appended():
    backbone = odd_net()
    masks, x = random_masks(backbone, 30), images(4)
    first = PackedMasks(layout=masks.layout, names=masks.names[:2], bits=masks.bits[:2])
    kept = first.bits.copy()
    bank = MaskBank(backbone, Resident(first))
    infer_in(bank, x)
    for at in range(2, 30):
        bank.append(masks.names[at], masks.bits[at])
    assert np.array_equal(first.bits, kept)
    for method in BY_MASKS:
        grown, whole = infer_in(bank, x, method=method), infer(backbone, masks, x, method=method)
        assert np.array_equal(grown.evidence, whole.evidence)
        assert grown.names == whole.names


def test_auto_says_why(monkeypatch):
    monkeypatch.setattr(sys.modules["supsup.inference.auto"], "EXHAUSTIVE_BYTES", 1000)
    backbone = odd_net()
    few, sparse, dense = (
        MaskBank(backbone, random_masks(backbone, count, density=density))
        for count, density in ((5, 0.5), (60, 0.02), (60, 0.5))
    )
    for bank, images_, mode, name, reason in (
        (few, 1, "image", "exhaustive", "5 masks are few"),
        (sparse, 1, "image", "exhaustive", "density 2"),
        (dense, 128, "image", "exhaustive", "128 images, each on its own"),
        (dense, 128, "batch", "hybrid", "One-Shot with H at 1.5 names 32"),
        (dense, 1, "image", "hybrid", "60 masks of density"),
    ):
        method, why = choose(bank, images=images_, mode=mode)
        assert method.name == name
        assert reason in why


def test_auto_lists_by_the_superfluous_outputs_where_there_are_some(monkeypatch):
    monkeypatch.setattr(sys.modules["supsup.inference.auto"], "EXHAUSTIVE_BYTES", 1000)
    backbone, x = odd_net(), images(6)
    masks = random_masks(backbone, 60)
    for classes, by, reason in ((3, Superfluous(), "G of 2 superfluous"), (5, None, "H at 1.5")):
        bank = MaskBank(backbone, masks, classes=classes)
        found = infer_in(bank, x, mode="batch")
        assert f"One-Shot with {reason}" in found.reason
        expected = Hybrid(lists_by=by).evidence(
            Query(bank=bank, x=x, objective=AUTO_OBJECTIVE, per_image=False)
        )
        assert np.array_equal(found.evidence, expected)
    # Of a module that was handed in nobody knows the outputs before it runs.
    handed_in = Backbone(backbone.module, None, tuple(backbone.layout.shapes))
    method, reason = choose(MaskBank(handed_in, masks, classes=3), images=1, mode="image")
    assert "H at 1.5" in reason
    assert method == Hybrid(lists_by=AUTO_OBJECTIVE)


def test_auto_tries_every_mask_that_memory_bandwidth_allows():
    bank = MaskBank(odd_net(), random_masks(odd_net(), 60))
    method, why = choose(bank, images=1, mode="batch")
    assert method.name == "exhaustive"
    assert "60 masks are few enough" in why
    assert choose(MaskBank(odd_net(), random_masks(odd_net(), 1)), images=1, mode="batch")[1] == (
        "the only mask is tried"
    )


def test_auto_softens_the_entropy():
    backbone = odd_net()
    masks, x = random_masks(backbone, 40), images(6)
    found = infer(backbone, masks, x, method="one-shot")
    soft = infer(backbone, masks, x, method="one-shot", objective="entropy", temperature=1.5)
    hard = infer(backbone, masks, x, method="one-shot", objective="entropy")
    assert found.objective == "entropy"
    assert np.array_equal(found.evidence, soft.evidence)
    assert not np.array_equal(found.evidence, hard.evidence)


def test_confidence():
    rng = np.random.default_rng(0)
    chance = [confidence_of(rng.standard_normal(500)) for _ in range(200)]
    assert 0.3 < np.mean(chance) < 0.6  # the best of 500 alike is nothing special
    standing_out = np.append(rng.standard_normal(500), 8.0)
    assert confidence_of(standing_out) > 0.999
    assert confidence_of(np.zeros(10)) == pytest.approx(0.1)
    assert confidence_of(np.array([0.0, 0.0, 0.0, 0.0, 1.0])) == 1.0
    assert confidence_of(np.array([1.0, -np.inf, -np.inf])) == 1.0
    assert confidence_of(np.array([2.0, 2.0])) == 0.5


def test_confidence_does_not_depend_on_the_unit():
    scores = np.random.default_rng(0).standard_normal(50)
    assert confidence_of(1e-6 * scores + 3) == pytest.approx(confidence_of(scores), abs=1e-6)


def test_margin():
    assert margin_of(np.array([1.0, 4.0, 2.5])) == 1.5
    assert margin_of(np.array([1.0])) == math.inf
    assert margin_of(np.array([1.0, -np.inf])) == math.inf


def test_exports():
    import supsup.inference

    assert sorted(exported, key=str.lower) == sorted(set(exported), key=str.lower)
    assert all(hasattr(supsup.inference, name) for name in exported)


def no_masks(backbone):
    empty = np.empty((0, backbone.layout.packed_bytes), np.uint8)
    return PackedMasks(layout=backbone.layout, names=(), bits=empty)


def test_what_cannot_be_used(tmp_path):
    backbone = odd_net()
    masks, x = random_masks(backbone, 4), images(3)
    bad = images(3)
    bad[1, 2] = math.nan
    with as_users_run_it():
        for data, message in [
            (images(3, 12), r"shape \(3, 12\): the network does not take it"),
            (bad, "1 of 3 images have numbers that are NaN or infinite"),
            (x.double(), "expected float32, got torch.float64"),
            ((x * 255).byte(), "expected float32, got torch.uint8"),
            (x[:0], r"at least one image, .* got shape \(0, 13\)"),
            (x[0], r"at least one image, .* got shape \(13,\)"),
            (torch.full((3, 13), 3e38), "not finite"),
        ]:
            for method in ("one-shot", "exhaustive"):
                with pytest.raises(InvalidInput, match=message):
                    infer(backbone, masks, data, method=method)
        with pytest.raises(InvalidInput, match="archive is empty"):
            infer(backbone, no_masks(backbone), x)
        with (
            MaskArchive.create(tmp_path / "a.h5", backbone.layout) as archive,
            pytest.raises(InvalidInput, match="archive is empty"),
        ):
            infer(backbone, archive, x)
        with pytest.raises(LayoutMismatch, match="use the network that the masks were trained on"):
            infer(odd_net(outputs=6), masks, x)
        for method in ("one-shot", "exhaustive", "hybrid", "binary"):
            with pytest.raises(InvalidInput, match="5 outputs for 5 classes and none to spare"):
                infer(backbone, masks, x, method=method, objective="superfluous")
        with pytest.raises(InvalidInput, match="classes: expected 1 to 5, .* got 6"):
            infer(backbone, masks, x, classes=6)
        with pytest.raises(InvalidInput, match="mode: expected one of image, batch, first"):
            infer(backbone, masks, x, mode="all")


def test_sparse_masks_and_data_of_another_size():
    backbone = odd_net()
    with pytest.raises(InvalidInput, match="does not take it"):
        infer(backbone, random_masks(backbone, 60, density=0.02), images(3, 12))


def test_one_image_has_no_batch_statistics():
    backbone = build(small_bn())
    masks, x = random_masks(backbone, 40), images(8, 20)
    with pytest.raises(InvalidInput, match=r"at least 2 images .* \(mode batch\)"):
        infer(backbone, masks, x, method="one-shot")
    assert len(infer(backbone, masks, x, method="one-shot", mode="batch").tasks) == 8


def test_one_class():
    backbone = odd_net(outputs=1)
    found = infer(backbone, random_masks(backbone, 3), images(2), method="one-shot")
    assert found.predictions.tolist() == [0, 0]
    assert torch.get_default_dtype() == torch.float32


def test_a_mask_in_the_place_of_another():
    backbone = odd_net()
    masks, others, x = random_masks(backbone, 9), random_masks(backbone, 2, seed=7), images(4)
    bits = masks.bits.copy()
    bank = MaskBank(
        backbone, PackedMasks(layout=masks.layout, names=masks.names, bits=masks.bits.copy())
    )
    infer_in(bank, x, method="one-shot")  # the totals are there before
    bank.replace(3, others.bits[0])
    bank.append("new", others.bits[1])
    bits = np.concatenate([bits, others.bits[1:]])
    bits[3] = others.bits[0]
    expected = MaskBank(
        backbone, PackedMasks(layout=masks.layout, names=(*masks.names, "new"), bits=bits)
    )
    assert bank.names == expected.names
    assert np.array_equal(bank.counts, expected.counts)
    for method in ("one-shot", "exhaustive"):
        found = infer_in(bank, x, method=method).evidence
        assert np.allclose(found, infer_in(expected, x, method=method).evidence)


def test_confidence_of_three_is_the_softmax_and_of_four_is_not():
    three = np.array([0.0, 1.0, 2.0])
    assert confidence_of(three) == pytest.approx(1 / np.exp(three - 2).sum())
    four = np.array([0.0, 1.0, 2.0, 4.0])
    z = (4 - 1) / np.array([0.0, 1.0, 2.0]).std()
    normal = 0.5 * (1 + math.erf(z / math.sqrt(2)))
    assert confidence_of(four) == pytest.approx(normal**4)


@pytest.mark.parametrize(
    ("low", "high", "refused"),
    [(0.0, 1.0, True), (0.1, 0.9, True), (-0.01, 1.0, False), (0.0, 1.01, False)],
)
def test_pixels_that_were_not_normalised(low, high, refused):
    x = torch.tensor([low, high], dtype=torch.float32, device="cpu")
    if refused:
        with pytest.raises(InvalidInput):
            check_levels(x, -0.42, 2.8)
    else:
        check_levels(x, -0.42, 2.8)
    check_levels(x, 0.0, 1.0)  # where black is 0 they are what is expected


def test_a_shortlist_is_of_both_ends():
    slopes = np.array([[3.0, 1.0, 2.0, 0.0, 5.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    assert both_ends(slopes, 3).tolist() == [[3, 1, 4], [0, 1, 4]]
    assert both_ends(slopes, 1).tolist() == [[3], [0]]
    assert both_ends(slopes, 5).shape == (2, 5)
