"""Every verb with the user's own module, weights, images and names: right, or one line.

Right is what plain PyTorch computes of the masks and tensors that the archive holds
(:mod:`tests.cli.own_case`).
"""

import shutil
import sys
from itertools import islice

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from maskstore import MaskArchive
from supsup import SupSup
from supsup.task_free import task_stream
from supsup_store.main import main
from tests.cli.own_case import (
    CASES,
    CLASSES,
    FOLDER,
    MODULE,
    STEPS,
    TEST,
    Case,
    answers,
    effective,
    images_of,
    make_kitchen,
    module_of,
    right_share,
)

ALONE = {name: case for name, case in CASES.items() if case.bits_alone}
BESIDE = {name: case for name, case in CASES.items() if not case.bits_alone}


def command(*arguments: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["supsup-store", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code, arguments


def train_command(case: Case, path: object) -> tuple[object, ...]:
    return ("train", path, *case.data, *case.network, *STEPS, "--quiet")


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory):
    """A user's folder: module, weights, pictures, and a trained archive of each case."""
    folder = tmp_path_factory.mktemp("kitchen")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        make_kitchen(folder)
        for name, case in CASES.items():
            path = f"{name}.h5"
            command(*train_command(case, path))
            with MaskArchive.open(path) as archive:
                made = archive.names()
            for before, after in zip(made, case.names, strict=True):
                if before != after:
                    command("rename", path, before, after)
        yield folder
    sys.modules.pop(MODULE, None)


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


@pytest.fixture
def path(request, kitchen, case, tmp_path, monkeypatch):
    """A copy of the archive, in the user's folder."""
    monkeypatch.chdir(kitchen)
    (name,) = (name for name, each in CASES.items() if each is case)
    return shutil.copy(f"{name}.h5", tmp_path / "a.h5") and tmp_path / "a.h5"


def one_line(result) -> str:
    assert result.code == 1
    assert not result.out
    (line,) = result.err.splitlines()
    assert line.startswith("error: ")
    return line


def contents(path):
    with MaskArchive.open(path) as archive:
        return [
            (
                task.name,
                task.sha256,
                {
                    name: np.array(value).tobytes()
                    for name, value in archive.tensors(task.name).items()
                },
            )
            for task in archive
        ]


def given_accuracies(case, path):
    return {name: pytest.approx(right_share(case, path, at)) for at, name in enumerate(case.names)}


def test_train_and_eval(case, path, run):
    found = run("eval", path, *case.where, *case.trust, "--json").json()
    assert {row["name"]: row["accuracy"] for row in found["per_task"]} == given_accuracies(
        case, path
    )
    assert found["accuracy"] > 0.6
    if case.trust:
        assert f"--net {case.net}" in one_line(run("eval", path, *case.where))


def test_resume_trains_what_is_missing_to_the_same_bits(case, path, run):
    before = contents(path)
    assert run(*train_command(case, path), "--resume", "--json").json()["skipped"] == 2
    assert run("remove", path, case.names[1]).code == 0
    again = run(*train_command(case, path), "--resume", "--json")
    assert again.json()["skipped"] == 1
    after = contents(path)
    assert [each[1:] for each in after] == [each[1:] for each in before]
    assert after[0][0] == case.names[0]


def test_infer_and_predict(case, path, run, tmp_path):
    x, _ = images_of(case, 1)
    pictures = "food/test/dal" if case.own_images else tmp_path / "x.npy"
    if case.own_images:
        x = x[:TEST]
    else:
        np.save(pictures, x.numpy())
    logits = [answers(case, path, name, x) for name in case.names]
    given = run("infer", path, "--data", pictures, "--task", case.names[1], *case.trust, "--json")
    images = given.json()["images"]
    assert {each["task"] for each in images} == {case.names[1]}
    assert [each["prediction"] for each in images] == logits[1][:, :2].argmax(1).tolist()
    if case.own_images:
        assert images[0]["file"] == "00.png"
        assert {each["label"] for each in images} <= {"çay", "dal"}

    how = ("--method", "exhaustive", "--objective", "entropy", *case.trust, "--json")
    found = run("infer", path, "--data", pictures, *how).json()["images"]
    spread = torch.stack([each.softmax(1).mul(each.log_softmax(1)).sum(1) for each in logits])
    sure = (spread[0] - spread[1]).abs() > 1e-4
    assert sure.float().mean() > 0.5
    least = spread.argmax(0)  # of p log p, so that its entropy is least
    for each, task, clear in zip(found, least.tolist(), sure.tolist(), strict=True):
        if clear:
            assert each["task"] == case.names[task]

    with SupSup.open(path, *([case.net] if case.trust else [])) as model:
        module = model.module(case.names[1])
        with torch.no_grad():
            wanted = answers(case, path, case.names[1], x[:8])[:, :2]
            torch.testing.assert_close(module(x[:8])[:, :2], wanted)
        told = model.predict(x, case.names[1])
        assert told.predictions.tolist() == logits[1][:, :2].argmax(1).tolist()


def test_serve(case, path):
    """Names with spaces and slashes are in the address; each request's images may be one."""
    import asyncio
    import io
    from urllib.parse import quote

    pytest.importorskip("fastapi")
    import httpx

    from examples.serve import make_app

    app = make_app(str(path), *case.trust[1:])
    x, _ = images_of(case, 1)
    body = io.BytesIO()
    np.save(body, x[:1].numpy())

    async def ask(place: str) -> dict:
        inside = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=inside, base_url="http://served") as client:
            return (await client.post(place, content=body.getvalue())).json()

    told = asyncio.run(ask(f"/predict/{quote(case.names[1], safe='')}"))
    wanted = answers(case, path, case.names[1], x[:1])[0, :2]
    assert wanted[told["classes"][0]] == pytest.approx(float(wanted.max()), abs=1e-5)
    found = asyncio.run(ask("/infer"))
    assert set(found["tasks"]) <= set(case.names)
    if case.own_images:
        assert {*told["labels"], *found["labels"]} <= {*CLASSES}


def test_stats_report_list(case, path, run, tmp_path):
    parameters = sum(each.numel() for each in module_of(case).parameters())
    found = run("stats", path, "--json").json()
    assert found["tasks"] == 2
    with MaskArchive.open(path) as archive:
        bits, size = archive.layout.bits, sum(task.bytes for task in archive)
    assert (found["bits_per_mask"], found["payload_bytes"]) == (bits, size)
    assert (found["weights_bytes"] > 0) == bool(case.options)
    assert found["dense_bytes_per_task"] <= 4 * parameters + 200
    listed = run("list", path, "--json").json()["tasks"]
    assert [each["name"] for each in listed] == list(case.names)


@pytest.mark.parametrize("case", [CASES["all"], CASES["module, data"]], ids=["all", "module, data"])
def test_report(case, path, run, tmp_path):
    page, memory = tmp_path / "r.html", ()
    if case.bits_alone:  # its masks are recovered, too, under names that are the user's
        assert run("rename", path, case.names[0], "börek or pie").code == 0
        assert run("encode", path, "--out", tmp_path / "m.h5", *case.where, *case.trust).code == 0
        memory = ("--memory", tmp_path / "m.h5", *case.where)
        assert f"--net {case.net}" in one_line(run("report", path, "--out", page, *memory))
        memory += case.trust
    assert run("report", path, "--out", page, *memory, "--quiet").code == 0
    text = page.read_text("utf-8")
    with MaskArchive.open(path) as archive:
        assert all(name.replace("&", "&amp;") in text for name in archive.names())
    assert text.count("bit for bit") == 2 * case.bits_alone


def test_merge_and_copy(case, path, run, tmp_path):
    parts = []
    for at, name in enumerate(case.names):
        parts.append(tmp_path / f"part{at}.h5")
        assert run("create", parts[-1], "--like", path).code == 0
        copied = run("copy", path, name, parts[-1])
        assert copied.code == 0, copied.err
    merged = tmp_path / "merged.h5"
    assert run("merge", *parts, "--out", merged).code == 0
    assert contents(merged) == contents(path)
    shutil.copy(merged, path)  # weights are found beside it
    found = run("eval", path, *case.where, *case.trust, "--json").json()
    assert {row["name"]: row["accuracy"] for row in found["per_task"]} == given_accuracies(
        case, path
    )


def test_export_and_masks_by_hand(case, path, run, tmp_path):
    out = tmp_path / "dense.safetensors"
    asked = ("export", path, case.names[1], "--out", out, *case.trust)
    assert run(*asked).code == 0
    with MaskArchive.open(path) as archive:
        wanted = effective(case, archive, case.names[1]).state_dict()
    for name, value in load_file(out).items():
        torch.testing.assert_close(
            value, wanted[name][: len(value)] if value.ndim else wanted[name]
        )
    assert run("get", path, case.names[1], "--out", tmp_path / "m.npz").code == 0
    with MaskArchive.open(path) as archive, np.load(tmp_path / "m.npz") as found:
        kept = archive.get(case.names[1])
        assert {name for name in found.files if not name.startswith("tensors/")} == set(kept)
        assert all(np.array_equal(found[name], kept[name]) for name in kept)


@pytest.mark.parametrize("case", ALONE.values(), ids=ALONE)
def test_encode_recover_compare(case, path, run, tmp_path):
    memory = tmp_path / "m.h5"
    made = run("encode", path, "--out", memory, *case.where, *case.trust, "--quiet", "--json")
    assert made.json()["tasks"] == 2
    family = ("--dataset", case.data[1], *case.where)
    out = tmp_path / "found.npz"
    found = run(
        "recover", memory, *family, "--task", case.names[1], *case.trust, "--out", out, "--json"
    ).json()
    assert found["task"] == case.names[1]
    with MaskArchive.open(path) as archive, np.load(out) as masks:
        kept = archive.get(case.names[1])
        assert all(np.array_equal(masks[name], kept[name]) for name in kept)
    if case.own_images:
        told = run("recover", memory, "--data", "food/test/dal", *case.trust, "--json")
        assert told.code == 0, told.err
    # compare trains its own archive, and recovers on what is scored.
    together = tmp_path / "both"
    how = (*case.network, "--steps", "12", "--same-data", "--out", together, "--quiet", "--json")
    tasks = () if case.own_images else ("--tasks", "2")
    compared = run("compare", *family, *tasks, *how).json()
    _check_compared(case, together, compared)


def _check_compared(case, folder, compared):
    """Scores of a comparison against those of the masks that it stored."""
    (archive,) = (each for each in folder.glob("*.h5") if "memory" not in each.name)
    for at, row in enumerate(compared["runs"]):
        assert row["explicit_accuracy"] == pytest.approx(right_share(case, archive, at))
        assert row["exact"] == (row["hamming"] == 0)
        if row["exact"]:
            assert row["hopfield_accuracy"] == row["explicit_accuracy"]


def test_compare_over_own_weights(kitchen, run, tmp_path, monkeypatch):
    """The file is named, and neither beside the archive nor found otherwise."""
    monkeypatch.chdir(kitchen)
    torch.manual_seed(2)
    module = module_of(CASES["module, data"])
    torch.save(module.state_dict(), tmp_path / "own.pt")
    case = Case(**vars(CASES["module, data"]) | {"options": ("--weights", tmp_path / "own.pt")})
    how = (*case.network, "--steps", "12", "--same-data", "--quiet", "--json")
    compared = run("compare", *case.data, *how, "--out", tmp_path / "both").json()
    _check_compared(case, tmp_path / "both", compared)
    other = run("compare", *case.data, *case.network[:4], "--out", tmp_path / "both")
    assert "made for weights of parameters ['*'], asked for None" in one_line(other)


def test_what_cannot_be_forced_is_not_offered(kitchen, run, tmp_path, monkeypatch):
    monkeypatch.chdir(kitchen)
    case = CASES["module, data"]
    memory = tmp_path / "m.h5"
    assert run("encode", "module, data.h5", "--out", memory, *case.where, *case.trust).code == 0
    shutil.copytree("food", tmp_path / "food")
    next((tmp_path / "food" / "train" / "dal").iterdir()).unlink()
    elsewhere = ("--dataset", "split-folder", "--data", tmp_path / "food")
    line = one_line(run("recover", memory, *elsewhere, "--task", case.names[1], *case.trust))
    assert line.endswith("(training images: 120 and 119); name those")
    line = one_line(run("eval", "module, data.h5", *elsewhere[2:], *case.trust))
    assert line.endswith("name those, or --force to evaluate on these")


@pytest.mark.parametrize("case", BESIDE.values(), ids=BESIDE)
def test_encode_says_what_it_cannot_hold(case, path, run, tmp_path):
    line = one_line(run("encode", path, "--out", tmp_path / "m.h5", *case.where, *case.trust))
    assert ("beside theirs" if "--per-task" in case.options else "units need matrices of") in line
    assert not (tmp_path / "m.h5").exists()


@pytest.mark.parametrize("case", [CASES[name] for name in ("weights", "module, data")])
def test_learn(case, path, run, tmp_path):
    learnt = tmp_path / "learnt.h5"
    stream = (
        "--least",
        "40",
        "--most",
        "40",
        "--steps",
        "40",
        "--batch",
        "20",
        "--quiet",
        "--json",
    )
    found = run("learn", learnt, *case.data, *case.network, *stream).json()
    assert found["allocated"] == 2
    renamed = Case(**vars(case) | {"names": ("nns/0", "nns/1")})
    evaluated = run(
        "eval", learnt, *case.where, *case.trust, "--scenario", "NNs", "--mode", "batch", "--json"
    ).json()
    for at, row in enumerate(evaluated["per_task"]):
        assert row["task_accuracy"] == 1.0
        assert row["accuracy"] == pytest.approx(right_share(renamed, learnt, at))


def test_learn_of_tasks_with_parameters_of_their_own_is_refused(kitchen, run, monkeypatch):
    monkeypatch.chdir(kitchen)
    refused = run("learn", "l.h5", *FOLDER, "--net", f"{MODULE}:conv", "--per-task", "5.*")
    assert refused.code == 2
    assert not (kitchen / "l.h5").exists()


@pytest.mark.parametrize("case", [CASES["module, data"], CASES["all"]], ids=["module", "all"])
def test_on_a_cluster_own_images_are_refused(case, path, run, tmp_path):
    new = tmp_path / "b.h5"
    line = one_line(run(*train_command(case, new), "--engine", "ray", "--address", "local"))
    assert "own images" in line
    assert not new.exists()


def test_one_picture_is_answered_alone(kitchen, run, monkeypatch, tmp_path):
    """With running statistics; over all of it, where they are of the batch, it is refused."""
    monkeypatch.chdir(kitchen)
    folder = tmp_path / "one"
    folder.mkdir()
    shutil.copy("food/test/dal/03.png", folder)
    case = CASES["all"]
    shutil.copy("all.h5", tmp_path / "a.h5")
    for weights in kitchen.glob("*.pt"):
        shutil.copy(weights, tmp_path)
    how = ("--data", folder, "--task", case.names[1], *case.trust, "--json")
    (alone,) = run("infer", tmp_path / "a.h5", *how).json()["images"]
    everything = run("infer", tmp_path / "a.h5", "--data", "food/test/dal", *how[2:]).json()
    beside = next(each for each in everything["images"] if each["file"] == "03.png")
    assert alone["prediction"] == beside["prediction"]
    assert alone["confidence"] == pytest.approx(beside["confidence"], abs=1e-5)


CHANGES = {
    "a picture is another": ("food/train/dal/00.png", "digests"),
    "a picture less": ("food/test/dal/00.png", "test images: 40 and 39"),
    "a class has another name": ("food", "digests"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_on_a_changed_folder_every_verb_names_the_difference(
    change, kitchen, run, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for each in (*kitchen.glob("*.pt"), kitchen / "all.h5", kitchen / "module, data.h5"):
        shutil.copy(each, tmp_path)
    shutil.copytree(kitchen / "food", "food")
    alone = CASES["module, data"]
    stream = ("learn", "l.h5", *FOLDER, *alone.network, "--least", "4", "--most", "4")
    stream += ("--steps", "4", "--batch", "20", "--quiet")
    with monkeypatch.context() as patch:  # stopped in the middle, as by Ctrl-C
        patch.setattr("supsup.task_free.session.task_stream", _stopped)
        assert run(*stream).code == 130
    assert run("encode", "module, data.h5", "--out", "m.h5", *alone.where, *alone.trust).code == 0
    changed, difference = CHANGES[change]
    if change == "a picture is another":
        shutil.copy("food/train/dal/01.png", changed)
    elif change == "a picture less":
        (tmp_path / changed).unlink()
    else:
        for part in ("train", "test"):
            (tmp_path / changed / part / "dal").rename(tmp_path / changed / part / "dal makhani")
    case = CASES["all"]
    recover = ("recover", "m.h5", "--dataset", "split-folder", "--task", alone.names[0])
    for verb in (
        ("eval", "all.h5", *case.where, *case.trust),
        ("eval", "all.h5", *case.where, *case.trust, "--scenario", "GNu"),
        (*train_command(case, "all.h5"), "--resume"),
        (*stream, "--resume"),
        ("prototypes", "all.h5", *case.where, *case.trust),
        (*recover, *alone.where, *alone.trust),
    ):
        assert difference in one_line(run(*verb)), verb
    assert run("eval", "all.h5", *case.where, *case.trust, "--force", "--json").code == 0


def _stopped(*arguments, **settings):
    yield from islice(task_stream(*arguments, **settings), 2)
    raise KeyboardInterrupt
