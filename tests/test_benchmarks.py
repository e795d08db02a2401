"""Every benchmark starts, draws its picture from the figures that are published, and measures.

Nothing is timed: each is run at a size that takes a moment, for what it gives.
"""

import importlib
import json
import re
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from benchmarks import results
from maskstore import MaskArchive
from maskstore.seeded import streams as seeded
from supsup import BackboneRecipe, SupSup, TensorTask, TrainConfig, build
from supsup.archives import create_archive, train_into
from supsup.datasets import load as load_data
from supsup.figures import FIGURES
from supsup.figures.cache import Cache
from supsup.tasks import make_task, task_family
from tests.pictures import faults
from tests.sources import ROOT

MODULES = sorted(
    file.stem for file in (ROOT / "benchmarks").glob("*.py") if file.stem != "__init__"
)
EXTRA = {"hdf5plugin", "zarr", "scipy"}
"""What some of them compare with; not everybody has it."""


def load(name: str):
    """A benchmark; the test is skipped where this machine lacks what it compares with."""
    try:
        return importlib.import_module(f"benchmarks.{name}")
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        pytest.skip(f"{error.name} is not installed")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where results go instead of docs/results."""
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    return tmp_path


@pytest.fixture
def looked_at(monkeypatch):
    """What is wrong with the pictures that the test draws."""
    found, save = [], Figure.savefig

    def look(figure, *arguments, **options):
        found.extend(faults(figure))
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", look)
    return found


def words_of(path):
    """Every text in a picture, which matplotlib writes beside its outlines."""
    return re.findall(r"<!-- (.*?) -->", path.read_text("utf-8"))


@pytest.mark.parametrize("name", MODULES)
def test_every_benchmark_starts(name, monkeypatch, capsys):
    module = load(name)
    assert module.__doc__
    if "argparse" not in vars(module):
        others = ((ROOT / "benchmarks" / f"{other}.py").read_text("utf-8") for other in MODULES)
        imported = any(f"from benchmarks.{name} import" in text for text in others)
        assert callable(getattr(module, "main", None)) or imported or name == "results"
        return
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as exit_:
        module.main()
    assert not exit_.value.code
    assert "usage:" in capsys.readouterr().out


NAMED = {
    "mnist_training": "mnist-training",
    "recovery_report": "hopfield_recovery",
    "split_cifar100_report": "split_cifar100",
}
"""Benchmark → what its results are called, where that is not its own name."""

DRAWN = {
    "archive_scale": ("draw", "systems"),
    "baselines": ("plot", "families"),
    "batched_training": ("draw",),
    "coding_ablation": ("plot", "bits_per_weight"),
    "conv_tasks": ("plot",),
    "hopfield_bytes": ("draw",),
    "hopfield_capacity": ("draw",),
    "many_tasks": ("draw", "rows"),
    "mask_coding": ("plot", "archives", "sparse"),
    "mnist_training": ("draw", "runs"),
    "nns": ("plot",),
    "omniglot": ("draw",),
    "one_shot": ("plot",),
    "piggyback": ("draw", "summary"),
    "prototypes": ("draw",),
    "rate_frontier": ("draw", "points", "prototypes"),
    "recovery_report": ("draw",),
    "rotated_binary": ("plot",),
    "sparse_inference": ("plot", "rows"),
    "split_cifar100_report": ("draw", "rows", "by_width"),
    "task_inference": ("plot", "archives"),
    "transfer": ("draw", "points"),
    "unknown_tasks": ("draw", "points"),
}
"""Benchmark → the function that draws, and the parts of the published document that it is given."""


@pytest.mark.parametrize(("name", "how"), DRAWN.items(), ids=DRAWN)
def test_pictures_are_drawn_from_the_published_figures(name, how, folder, looked_at):
    module, (function, *parts) = load(name), how
    stem = NAMED.get(name, name)
    document = json.loads((ROOT / "docs" / "results" / f"{stem}.json").read_text("utf-8"))
    getattr(module, function)(*([document[part] for part in parts] or [document]))
    assert (looked_at, words_of(folder / f"{stem}.svg")) == (
        [],
        words_of(ROOT / "docs" / "results" / f"{stem}.svg"),
    )


REPRODUCED = json.loads((ROOT / "docs" / "results" / "reproduced.json").read_text("utf-8"))


@pytest.mark.parametrize("name", REPRODUCED)
def test_figures_of_the_paper_are_drawn_from_the_published_ones(name, folder, looked_at):
    path = folder / f"reproduced-{name}.svg"
    _, _, figure, *_ = REPRODUCED[name]["command"].split()
    FIGURES[figure].draw(REPRODUCED[name]["rows"], path)
    assert looked_at == []
    published = ROOT / "docs" / "results" / path.name
    assert not published.exists() or words_of(path) == words_of(published)


def test_every_published_picture_is_of_vectors_and_has_its_figures():
    pictures = {path.name for path in (ROOT / "docs" / "results").glob("*.[ps][nv]g")}
    drawn = {f"{NAMED.get(name, name)}.svg" for name in DRAWN}
    assert pictures - {f"reproduced-{name}.svg" for name in REPRODUCED} == {*drawn, "demo.svg"}


def test_the_picture_of_the_demo_is_of_what_the_readme_says_that_it_prints():
    """The README's figures are compared with what the demo prints as it is walked through."""
    readme = (ROOT / "README.md").read_text("utf-8")
    shares = re.findall(r"^│ split-mnist/\d │ +([\d.]+) │", readme, re.MULTILINE)
    (size,) = re.findall(r"^│ archive, all of the file │ +([\d,.]+) │", readme, re.MULTILINE)
    shown = [f"{100 * float(share):.1f}" for share in shares]
    shown.append(f" {float(size.replace(',', '')):,.0f}")
    words = words_of(ROOT / "docs" / "results" / "demo.svg")
    assert len(shares) == 5
    assert [each for each in shown if each not in words] == []


def test_every_benchmark_that_draws_is_drawn():
    drawing = {
        name
        for name in MODULES
        if "picture(" in (ROOT / "benchmarks" / f"{name}.py").read_text("utf-8")
    }
    assert drawing == {*DRAWN, "results"}


@pytest.fixture(scope="module")
def digits():
    return load_data("mnist-sample")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, digits):
    """Two tasks of permuted digits, hardly trained."""
    path = tmp_path_factory.mktemp("trained") / "a.h5"
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=20))
    tasks = [make_task(recipe, digits) for recipe in task_family("permuted-mnist-sample", 2)]
    with create_archive(path, backbone) as archive:
        train_into(archive, backbone, tasks, TrainConfig(steps=5), codec="raw")
    return path


@pytest.mark.parametrize("system", ["Ours", "Sqlite", "Hdf5Datasets", "Safetensors", "Npz"])
def test_archive_scale(system, tmp_path):
    found = load("archive_scale").measure(getattr(load("archive_scale"), system)(), tmp_path, 20)
    assert found["tasks"] == 20
    assert found["overhead_bytes_per_task"] == round(found["bytes_per_task"] - 1250, 1)
    assert not list(tmp_path.iterdir())


def test_baselines(monkeypatch, digits):
    module = load("baselines")
    monkeypatch.setattr(module, "digits", lambda: digits)
    monkeypatch.setattr(module, "STEPS", {"permuted-mnist-sample": 2})
    setting = module.Setting(lr=1e-3)
    found = module.run("lower-bound", setting, "permuted-mnist-sample", 0, (1, 2))
    assert [row["tasks"] for row in found["rows"]] == [1, 2]
    assert found["bytes"] > 0
    assert module.run("lower-bound", module.Setting(lr=1e30), "permuted-mnist-sample", 0, (1,))[
        "diverged"
    ]


def test_baselines_over_seeds():
    """The deviation is over seeds; bytes and setting are the first one's."""
    runs = {
        str(seed): {"rows": [{"tasks": 2, "accuracy": accuracy}], "bytes": 8}
        for seed, accuracy in ((0, 0.5), (2, 0.7))
    }
    found = load("baselines").joined(runs)
    assert found["seeds"] == [0, 2]
    assert found["rows"] == [{"tasks": 2, "accuracy": 0.6, "deviation": pytest.approx(0.1)}]
    assert found["bytes"] == 8


def test_baselines_choose_on_images_that_no_reported_task_tests_on(monkeypatch, digits):
    module = load("baselines")
    monkeypatch.setattr(module, "digits", lambda: digits)
    family = "permuted-mnist-sample"
    (tried,), (reported,) = (module.tasks_of(family, 1, seed) for seed in (module.HELD_OUT, 0))
    seen = 5 * len(digits.train_images) // 6
    assert tried.train_size == seen
    assert torch.equal(tried.test_images, digits.train_images[seen:])
    assert torch.equal(reported.test_images, digits.test_images[::5])


@pytest.mark.parametrize("method", ["supsup", "packnet", "wsn", "joint"])
def test_omniglot(method, monkeypatch, tmp_path):
    module = load("omniglot")
    images = seeded.uniform(0, "characters", (6, 20, 28, 28), 0, 1)
    monkeypatch.setattr(module, "characters", lambda: images)
    monkeypatch.setattr(module, "STEPS", 2)
    monkeypatch.setattr(module, "CACHE", Cache(folder=tmp_path))
    setting = module.GRIDS[method][0]
    found = module.measured(method, setting, 2, 0)
    assert len(found["per_task"]) == 2
    assert found["bytes"] > 0
    assert module.measured(method, setting, 2, 0) == found


def test_omniglot_tasks_are_classes_and_drawers_of_their_own(monkeypatch):
    module = load("omniglot")
    images = seeded.uniform(0, "characters", (6, 20, 28, 28), 0, 1)
    monkeypatch.setattr(module, "characters", lambda: images)
    turned = np.stack([np.rot90(images, turns, axes=(2, 3)) for turns in range(4)], 1)
    where = {part.tobytes(): at for at, part in enumerate(turned.reshape(-1, 28, 28)[:, None])}
    seen: dict[str, set[int]] = {}
    for task in module.tasks_of(2, seed=0):
        for part, (x, y) in {"train": task._train, "test": task._test}.items():
            places = [where[image.numpy().tobytes()] for image in x]
            # (character, turn) is the class; drawers are the last axis.
            assert (
                len({(place // 20, int(label)) for place, label in zip(places, y, strict=True)})
                == 12
            )
            seen.setdefault(f"{part} drawers", set()).update(place % 20 for place in places)
            seen.setdefault(f"{task.name} classes", set()).update(place // 20 for place in places)
    assert len(seen["train drawers"]) == 15
    assert not seen["train drawers"] & seen["test drawers"]
    assert not seen["omniglot/0 classes"] & seen["omniglot/1 classes"]


def test_the_frontier_takes_what_did_best_on_images_kept_back(digits):
    module = load("rate_frontier_settings")
    row = module.tried(module.gradual(0.05, 3, lr=1e-4, start_density=0.4), digits, 2)
    assert (row["lr"], row["start_density"], row["outliers"]) == (1e-4, 0.4, 0.0)
    assert 0 <= row["GNu"] <= 1
    rows = [
        {**row, "density": density, "lr": lr, "start_density": 0.2, "accuracy": accuracy}
        for density, _ in module.SPARSE
        for lr, accuracy in ((5e-5, 0.7), (1e-4, 0.8 if density == 0.02 else 0.6))
    ]
    rows += [{**row, "outliers": share, "GNu": share} for share in module.SHARES]
    points = {point.name: point.config for point in module.points_of(rows)}
    assert {config.lr for name, config in points.items() if name.startswith("gradual, 5%")} == {
        5e-5
    }
    assert points["gradual, 2%, 1,000 steps, outliers"].lr == 1e-4
    assert points["gradual, 2%, 1,000 steps, outliers"].outliers == 0.1


def test_objectives(monkeypatch, digits):
    module = load("objectives")
    monkeypatch.setattr(module, "load", lambda *_, **__: digits)
    monkeypatch.setattr(module, "FAMILIES", {"split-mnist-sample": (2, 20, 3)})
    found = module.measure("split-mnist-sample", 0)
    assert set(found) == set(module.OBJECTIVES)
    assert all(0 <= share <= 1 for share in found.values())


def test_peers_read_the_same_tensors(monkeypatch, digits):
    module = load("peers")
    monkeypatch.setattr(module, "load", lambda *_, **__: digits)
    monkeypatch.setattr(module, "TASKS", {"split-mnist-sample": 2})
    monkeypatch.setattr(module, "MOST_IMAGES", {"split-mnist-sample": 256})
    tasks = module.tasks_of("split-mnist-sample", 0)
    assert [task.train_size for task in tasks] == [256, 256]
    assert module.ours(tasks, "task", "ewc", 1, 0) > 0.5
    pytest.importorskip("avalanche")
    assert module.theirs(tasks, "task", "ewc", 1, 0) > 0.5


def test_batched_training(digits):
    module = load("batched_training")
    (task,) = (make_task(recipe, digits) for recipe in task_family("permuted-mnist-sample", 1))
    config = TrainConfig(steps=60)
    (ours,) = module.engine([task], config, module.Plan())
    plain = module.plain_loop(task, config)
    assert min(ours, plain) > 0.7
    assert abs(ours - plain) < 0.02


def test_training_pace(monkeypatch, digits):
    """Ours and the plain loop learn the same task; the part that is counted is most of a step."""
    module = load("training_pace")
    monkeypatch.setattr(module, "load", lambda *_, **__: digits)
    monkeypatch.setattr(module, "task_family", lambda _, n: task_family("permuted-mnist-sample", n))
    (task,) = (make_task(recipe, digits) for recipe in task_family("permuted-mnist-sample", 1))
    net = BackboneRecipe(net="lenet-300-100", outputs=10)
    config = TrainConfig(steps=30)
    loops = load("plain_loop")
    for kind in (loops.Ours, loops.Plain):
        training = kind(net, task, config)
        losses = [training.step() for _ in range(30)]
        assert losses[-1] < 0.5 * losses[0]
        assert training.accuracy() > 0.6
    lenet = module.measure_lenet("permuted-mnist", rounds=2, steps=1)
    assert set(lenet["times"]) == {"plain", "matrix products alone"}
    conv = module.measure_conv(rounds=2, width=2)
    assert set(conv["cpu_seconds"]) > {"ours", "plain", "plain, channels last"}
    assert conv["gflops_a_step"] > 0
    norm = module.measure_norm(rounds=2)["error"]
    assert norm["ours, channels last"] < 1e-6 < norm["PyTorch, channels last"]
    storing = module.measure_storing(rounds=2, tasks=1, steps=1)
    assert set(storing["times"]) == {"without"}


def test_all_cores_train_the_same_tasks(monkeypatch):
    module = load("all_cores")
    monkeypatch.setattr(module, "CORES", 1)
    found = module.measure("split-mnist-sample", rounds=2, steps=30)
    assert set(found["times"]) == {"plain, threads", "plain, a process a task"}
    assert all(accuracy > 0.8 for (accuracy,) in found["accuracies"].values())
    stored = module.measure_stored("split-mnist-sample", tasks=2, steps=30)
    assert stored["accuracy"] > 0.8
    assert 0 < stored["share_of_coding"] < 1


def test_hopfield(tmp_path, monkeypatch):
    masks, size = load("hopfield_masks"), load("hopfield_bytes")
    patterns = masks.random_patterns(3, masks.BITS)
    assert size.archive_bytes(patterns, "raw", tmp_path) > 3 * masks.BITS / 8
    monkeypatch.setattr(size, "COUNTS", (1, 2))
    rows = size._growing(size.new_memory("modern", masks.BITS), patterns, tmp_path)
    assert {row["tasks"] for row in rows} == {1, 2}
    few = masks.random_patterns(4, 64)
    found = load("hopfield_capacity").curves(few, "projection", (2, 4), (0, 1), (4,), probes=2)
    assert all(row["0 flipped"]["exact"] == 1 for row in found["by_count"] if not row["bits"])


def test_mask_coding(monkeypatch):
    module = load("mask_coding")
    monkeypatch.setattr(module, "DENSITIES", (0.05,))
    row = module.sparse_masks()[0]["over_entropy"]
    assert 1 <= row["ans"] < row["gaps"] < row["raw"]


def test_mnist_training():
    module = load("mnist_training")
    rows = [module._run("sample", "split-mnist-sample", 1, "bn-2048", 10, steps=2).measure()]
    assert len(rows[0]["accuracies"]) == 1
    assert "bn-2048" in module.summary(rows, "sample")


def test_one_shot_agrees_with_autograd_over_stacked_masks(monkeypatch):
    module = load("one_shot")
    monkeypatch.setattr(module, "best_of", lambda work, *_, **__: (work(), 0.0)[1])
    monkeypatch.setattr(module, "OUTPUTS", 20)
    torch.manual_seed(0)
    assert module.stacked(3, "cpu")["largest_difference_of_gradients_relative"] < 1e-3
    assert (
        module.packed(3, "cpu")["packed_bytes"]
        == 3 * build(BackboneRecipe(net="lenet-300-100", outputs=20)).layout.packed_bytes
    )


def test_recovery_report(folder, tmp_path):
    module = load("recovery_report")
    pieces = Cache(folder=tmp_path / "pieces")
    run = {
        "hamming": 0, "restarts": 0, "explicit_accuracy": 0.99, "accuracy": 0.98, "known": True,
        "batches": 5, "seconds": 1.0, "entropy": 0.1, "trajectory": [9, 3, 0],
        "paper_hamming": 7, "paper_accuracy": 0.9, "paper_batches": 9, "paper_seconds": 2.0,
    }  # fmt: skip
    for seed in (20, 21):
        rows = [run | {"seed": seed, "task": f"split-mnist/{at}"} for at in range(5)]
        pieces.cached(*module.piece("mnist", seed), lambda rows=rows: {"runs": rows})
    several = [module.many_piece(10, "hebb"), module.many_piece(20, "hebb")]
    many = {"rule": "hebb", "count": 10, "exact": 1, "runs": 2}
    pieces.cached(*several[0], lambda: many)
    module.report(pieces, several)
    found = json.loads((folder / "hopfield_recovery.json").read_text("utf-8"))
    assert found["judged"]["mnist"]["runs"] == found["judged"]["mnist"]["exact"] == 10
    assert found["judged"]["mnist"]["seeds"] == [20, 21]
    assert found["many"] == [many]
    assert (folder / "hopfield_recovery.svg").exists()


def test_task_inference_is_measured_once(trained, tmp_path, monkeypatch):
    module = load("task_inference")
    monkeypatch.setattr(module, "COUNTS", (2,))
    monkeypatch.setattr(module, "CACHE", Cache(folder=tmp_path))
    found = module.measured(trained, 4)
    assert set(module.RUNS) <= set(found["rows"][0])
    monkeypatch.setattr(module, "measure", lambda *_: pytest.fail("measured again"))
    assert module.measured(trained, 4) == found


def test_forged_memory(tmp_path):
    module = load("forged_memory")
    path = module.archive(tmp_path / "a.h5", 8)
    code, megabytes = module.peak("list", path)
    assert code == 0
    assert 20 < megabytes < 500
    assert module.peak("list", module.checkpoint(tmp_path / "a.pt", 100))[0] == 1
    assert module.size_of(module.pixels(tmp_path / "pictures", 100)) < 300
    with np.load(module.npz(tmp_path / "a.npz", 1001)) as images:
        assert images["images"].shape == (1001, 784)


def test_many_tasks(monkeypatch, tmp_path):
    module = load("many_tasks")
    monkeypatch.setattr(module, "ASKED", 5)
    options = {"dataset": "permuted-mnist-sample", "tasks": 10, "outputs": 20, "steps": 1}
    sizes = SimpleNamespace(**options, images=2)
    found = module.study(tmp_path, None, sizes)
    (row,) = found["rows"]
    assert (row["tasks"], row["images"]) == (10, 10)
    assert {"task given", *module.RUNS} <= row.keys()
    assert found["dense_bytes"] > 31 * found["packed_bytes_of_masks"]
    monkeypatch.setattr(module, "measure", lambda *_: pytest.fail("measured again"))
    assert module.study(tmp_path, None, sizes)["rows"] == [row]


def test_sparse_inference(trained, monkeypatch):
    module = load("sparse_inference")
    monkeypatch.setattr(module, "IMAGES", 4)
    with MaskArchive.open(trained) as archive:
        images = {name: torch.randn(4, 784) for name in archive.names()}
    found = module.examine(trained, images)
    assert set(found["image"]) == set(module.WAYS)
    assert found["tasks"] == 2


def test_transfer(digits, monkeypatch, tmp_path):
    module = load("transfer")
    monkeypatch.setattr(module, "load", lambda *_, **__: replace(digits, name="mnist"))
    monkeypatch.setattr(module, "CACHE", Cache(folder=tmp_path))
    monkeypatch.setattr(module, "TASKS", 2)
    case = replace(module.CASES[0], steps=(2,))
    monkeypatch.setattr(module, "CASES", (case,))
    monkeypatch.setattr(module, "SEEDS", (0,))
    assert not module.done_runs()
    module.train_missing()
    rows = module.done_runs()
    assert [row["transfer"] for row in rows] == ["none", "masks", "scores"]
    assert all(point["seeds"] == 1 for point in module.summary(rows))
    monkeypatch.setattr(module, "run", lambda *_: pytest.fail("trained again"))
    module.train_missing()


def test_near_strangers():
    """Each score against scipy's densities, and strangers that every one of them tells."""
    module = load("near_strangers")
    from scipy.stats import multivariate_normal

    from supsup.inference.prototypes import measure
    from supsup.inference.prototypes.statistics import PooledCovariance

    rng = np.random.default_rng(0)
    centres = 3 * rng.normal(size=(6, 5))
    y = np.arange(300) % 2
    data = [centres[2 * at + y] + rng.normal(size=(300, 5)) for at in range(3)]
    parts = []
    for at in range(3):
        means, steps = measure([(data[at].astype(np.float32), y)], classes=2, size=5, task="t")
        parts.append((means, PooledCovariance(total=steps, tasks=frozenset({at}))))
    known, x = module.Known.of(parts[:2]), data[2][:20]
    energy = rng.normal(size=(20, 2))
    found = module.scores(known, x, energy)
    middle = known.means.mean(0)
    spread = known.means - middle
    total = known.within + spread.T @ spread / 4

    def log(mean, covariance):
        return multivariate_normal(mean, covariance).logpdf(x)

    each = np.stack([log(mean, known.within) for mean in known.means], 1).reshape(20, 2, 2)
    tasks = np.logaddexp.reduce(each, axis=2) - np.log(2)
    assert np.array_equal(found["task"], tasks.argmax(1))
    assert np.array_equal(found["energy"], energy[np.arange(20), tasks.argmax(1)])
    ratio = log(middle, known.within) - tasks.max(1)
    np.testing.assert_allclose(found["likelihood ratio"], ratio, atol=1e-6)
    constant = np.linalg.slogdet(known.within)[1] - np.linalg.slogdet(total)[1]
    relative = 2 * (log(middle, total) - tasks.max(1)) - constant
    np.testing.assert_allclose(found["relative Mahalanobis"], relative, atol=1e-6)
    away = np.linalg.solve(known.within, (x - middle).T).T * (x - middle)
    np.testing.assert_allclose(found["share explained"], ratio / away.sum(1), atol=1e-6)
    images = [(each, np.zeros((300, 3)) + rng.normal(size=(300, 1))) for each in data]
    noise = (10 * rng.normal(size=(300, 5)), rng.normal(size=(300, 3)))
    areas = module.left_out(2, parts, [*images * 2, noise], ("noise",))
    assert areas["prototypes: known called unknown"] == pytest.approx(0.05, abs=0.01)
    assert areas["prototypes: strangers called unknown"] > 0.5
    assert min(areas["prototypes"], areas["prototypes: noise"]) > 0.9
    assert areas["energy, by task: noise"] == pytest.approx(0.5, abs=0.07)
    assert min(areas["Mahalanobis"], areas["relative Mahalanobis"]) > 0.9
    assert areas["energy"] == pytest.approx(0.5, abs=0.07)


def test_outlier_kinds(monkeypatch):
    module = load("outlier_kinds")
    monkeypatch.setattr(module, "STEPS", 40)
    recipes = task_family("split-mnist-sample", 3)
    tasks = [make_task(recipe, load_data("mnist-sample")) for recipe in recipes]
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=10))
    found = module.measure(tasks, backbone, 0, 2)
    assert set(found) == set(module.KINDS)
    assert min(row["given"] for row in found.values()) > 0.9
    for row in found.values():
        for way in module.WAYS:
            if f"{way}: accuracy" in row:
                assert 1 / 3 < row[f"{way}: accuracy"] <= row[f"{way}: task found"] + 1e-9
    drawn, without = found["gaussian"], found["none"]
    assert drawn["entropy: task found"] > without["entropy: task found"] + 0.1
    assert "prototypes and masks: task found" in drawn
    assert drawn["1000: prototypes: task found"] > 0.8
    assert set(module.measure(tasks, backbone, 0, 20, ("rotated",))) == {"none", "rotated"}


def test_strangers_peers(monkeypatch):
    module = load("strangers_peers")
    monkeypatch.setattr(module, "STEPS", 60)
    rng = np.random.default_rng(0)
    centres = torch.from_numpy(4 * rng.normal(size=(3, 2, 20)).astype(np.float32))
    tasks = []
    for at in range(3):
        y = torch.from_numpy(rng.integers(0, 2, 300))
        x = centres[at][y] + torch.from_numpy(rng.normal(size=(300, 20)).astype(np.float32))
        tasks.append(TensorTask(f"t/{at}", train=(x, y), test=(x[:60], y[:60]), classes=2))
    orders = [torch.randperm(300, generator=torch.Generator().manual_seed(0)) for _ in tasks]
    x, y = module.joined(tasks, [0, 2], orders)
    assert (x.shape, sorted(set(y.tolist()))) == ((600, 20), [0, 1, 2, 3])
    network = module.trained(x, y, 0)
    asked = [next(iter(tasks[at].test_batches(60))) for at in (0, 2)]
    assert module.accuracy(network, asked) > 0.9
    assert module.accuracy(network, asked[::-1]) < 0.1  # classes are numbered on, task after task
    pytest.importorskip("pytorch_ood")
    for score in module.detectors(network, x, y, None).values():
        assert module.area(score(next(iter(tasks[1].test_batches(60)))[0]), score(x)) > 0.5


def test_prototypes_killed(tmp_path, monkeypatch):
    module = load("prototypes_killed")
    monkeypatch.setattr(module, "TASKS", 3)
    path = tmp_path / "a.h5"
    module.make(path)
    before = path.stat().st_size
    assert module.contents(path) == ({}, 0)
    module.measure(path)
    means, total = module.contents(path)
    assert (set(means), total) == ({"task/0", "task/1", "task/2"}, 3)
    assert {len(rows) for rows in means.values()} == {512}
    grown = module.growth(path, before)
    assert grown["bytes"] > grown["bytes_once_compacted"] > grown["of_tasks"] == 3 * 512


def test_prototypes_trained(monkeypatch):
    module = load("prototypes_trained")
    for name, value in (("CLASSES", 4), ("POOLED", 12), ("SIZES", (32,)), ("STEPS", 2)):
        monkeypatch.setattr(module, name, value)
    rng = np.random.default_rng(0)
    centres = rng.uniform(0, 4, (4, 12))
    parts = {
        split: (centres + 0.1 * rng.standard_normal((count, 4, 12))).astype(np.float32)
        for split, count in (("train", 60), ("test", 10))
    }
    (row,) = module.measure(parts, 2, 0)
    assert min(row["task_found"], row["class_by_prototypes"], row["given_by_prototypes"]) > 0.9
    assert row["class_by_masks"] <= row["task_found"]
    assert row["bytes_a_task"] > 2 * (32 + 8)


def test_classes_are_named_whatever_order_masks_were_trained_in(monkeypatch, tmp_path):
    module = load("prototypes_trained")
    for name, value in (("CLASSES", 4), ("POOLED", 12)):
        monkeypatch.setattr(module, name, value)
    rng = np.random.default_rng(0)
    parts = {
        split: (10 * np.eye(4, 12) + rng.standard_normal((count, 4, 12))).astype(np.float32)
        for split, count in (("train", 60), ("test", 10))
    }
    tasks = module.tasks_of(parts, 2, 0)
    with module.SupSup.create(tmp_path / "a.h5", module.head(2, 0)) as model:
        model.train(tasks[::-1], steps=2, quiet=True)
        module.add_prototypes(model.archive, model.backbone, tasks)
        found = module.without_masks(model, tasks, 2)
    assert min(found.values()) > 0.9


def test_pixels_are_chosen_on_training_images(tmp_path, monkeypatch):
    module = load("prototypes_trained")
    for name, value in (("CLASSES", 3), ("POOLED", 48), ("SIZES", (32,))):
        monkeypatch.setattr(module, name, value)
    net = torch.nn.Sequential()
    net.add_module(module.LAYER, torch.nn.AdaptiveAvgPool2d(4))
    monkeypatch.setattr(module, "network", lambda: net)
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 255, (3, 1, 1, 3))
    y = np.repeat(np.arange(3), 50)
    x = np.clip(colours[y] + rng.integers(-9, 9, (150, 32, 32, 3)), 0, 255).astype(np.uint8)
    np.savez(tmp_path / "all.npz", x_train=x, y_train=y, x_test=x[::-1], y_test=y[::-1])
    assert module.choose(tmp_path / "all.npz", tmp_path, 64) == {"32": 1.0}
    files = sorted(path.name for path in (tmp_path / "chosen-64").iterdir())
    assert files == [f"train-00{part}.npy" for part in range(4)]


def test_few_images(monkeypatch):
    module = load("prototypes")
    monkeypatch.setattr(module, "SIZES", (128, 248))
    monkeypatch.setattr(module, "FEW", (20, 200))
    monkeypatch.setattr(module, "SEEDS", (0, 1))
    shares = module.few("split-mnist-sample")
    assert 0.6 < shares["20"]["248"]["mean"] < shares["200"]["248"]["mean"] < 0.95


def test_recovery_guided():
    """Down the cross-entropy, judged by the entropy."""
    module = load("recovery_guided")
    backbone = build(BackboneRecipe(net="lenet-300-100", outputs=2))
    x = torch.from_numpy(np.random.default_rng(0).random((150, 1, 28, 28), np.float32))
    labels = torch.arange(150) % 2
    entropy = module.MaskEntropy(backbone, x, classes=2)
    mask = np.random.default_rng(1).random(backbone.layout.bits)
    for step in range(3):
        value, slope = module.Guided(entropy, x, labels)(mask, step)
        assert value == entropy(mask, step)[0]
        at = slice(64 * (step % 2), 64 * (step % 2) + 64)
        flat = torch.from_numpy(mask.astype(np.float32)).requires_grad_()
        logits = backbone.run(x[at], backbone.masked(backbone.layout.split(flat)))
        torch.nn.functional.nll_loss(logits.log_softmax(1), labels[at]).backward()
        assert np.allclose(slope, flat.grad.numpy(), atol=1e-6)


def test_prototypes_omniglot(monkeypatch):
    module = load("prototypes_omniglot")
    rng = np.random.default_rng(0)
    drawn = {
        name: (ink + 0.1 * rng.random((count, 20, 28, 28))).astype(np.float32)
        for name, count, ink in zip(
            "abc", (15, 14, 16), rng.integers(0, 2, (3, 1, 1, 28, 28)), strict=True
        )
    }
    monkeypatch.setattr(module, "alphabets", lambda: drawn)
    monkeypatch.setattr(module, "SIZES", (16,))
    monkeypatch.setattr(module, "STEPS", 1)
    tasks = module.tasks_of(0)
    assert [(task.name, task.classes, task.train_size) for task in tasks] == [
        (name, 14, 210) for name in "abc"
    ]
    found = module.measure(tasks, 0)
    assert found["prototypes, 16: task found"] == 1
    assert found["area: prototypes, 16"] > 0.9
    assert 0 <= found["one-shot: task found"] <= 1


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """An ``.npz`` as CIFAR-100's, of ten pictures a class to learn from and two to test on."""
    rng = np.random.default_rng(0)
    arrays = {"classes": np.array([f"class {at}" for at in range(100)])}
    for part, count in (("train", 10), ("test", 2)):
        arrays[f"x_{part}"] = rng.integers(0, 256, (100 * count, 32, 32, 3), np.uint8)
        arrays[f"y_{part}"] = np.repeat(np.arange(100), count)
    path = tmp_path_factory.mktemp("photographs") / "cifar100.npz"
    np.savez(path, **arrays)
    return path


def split_cifar100(photographs, folder, monkeypatch, **how):
    """The benchmark and a study of its tasks whose masks are kept in a folder."""
    module = load("split_cifar100")
    monkeypatch.setattr(module, "CACHE", Cache(folder=folder))
    return module, module.Study(data=module.images(photographs), batch=8, width=2, **how)


def cifar_cell(module, arm, task):
    return module.Cell(arm=arm, task=task, seed=0, steps=2, lr=1e-2, own_lr=1e-2)


@pytest.mark.parametrize("arm", ["upper-bound", "batche", "separate-heads", "supsup s=8, transfer"])
def test_split_cifar100_goes_on_where_nothing_is_kept(arm, photographs, tmp_path, monkeypatch):
    module, study = split_cifar100(photographs, tmp_path / "one", monkeypatch)
    first, second = (study.measure(cifar_cell(module, arm, task)) for task in (0, 1))
    module, anew = split_cifar100(photographs, tmp_path / "other", monkeypatch)
    again = anew.measure(cifar_cell(module, arm, 1))
    assert {**again, "cpu_seconds": 0} == {**second, "cpu_seconds": 0}
    assert (first["bytes"] > 2 * second["bytes"]) == (arm in module.SHARED)


def test_split_cifar100_counts_the_statistics_of_masks(photographs, tmp_path, monkeypatch):
    module, study = split_cifar100(photographs, tmp_path, monkeypatch)
    sparse, dense = (study.measure(cifar_cell(module, arm, 0)) for arm in list(module.MASKS)[::2])
    assert sparse["density"] < dense["density"]
    assert sparse["statistics_bytes"] > 4 * 2 * 2 * (1 + 2 + 4 + 8)


def test_split_cifar100_chooses_on_training_images(photographs, tmp_path, monkeypatch):
    _, study = split_cifar100(photographs, tmp_path, monkeypatch, trial=True)
    (task,) = study.tasks(seed=0, until=0)
    kept = {image.numpy().tobytes() for image in task.train_images}
    held = {image.numpy().tobytes() for image in task.test_images}
    every = {image.numpy().tobytes() for image in study.data.train_images}
    assert (len(kept), len(held), kept & held) == (40, 10, set())
    assert kept | held <= every
    assert task.test_y.bincount().tolist() == [2] * 5


def test_split_cifar100_sums_up():
    module = load("split_cifar100_report")
    cells = {}
    for arm, rates in (("supsup 0.3", (0.5, 0.7)), ("supsup 0.3, transfer", (0.5, 0.8))):
        for task, accuracy in enumerate(rates):
            found = {"accuracy": accuracy, "bytes": 100 + task, "statistics_bytes": 4}
            about = {"arm": arm, "task": task, "seed": 0, "steps": 2, "cpu_seconds": 6.0}
            cells[f"{arm}/{task}"] = about | found
    found = {"accuracy": 0.9, "bytes": 1000, "statistics_bytes": 0, "cpu_seconds": 1.0}
    for task in (0, 1):
        cells[f"dense/{task}"] = {
            "arm": "upper-bound",
            "task": task,
            "seed": 0,
            "steps": 2,
            **found,
        }
    dense, best, other = module.summary(cells)
    assert (best["arm"], best["first_task"], best["accuracy"], best["bytes"]) == (
        "supsup 0.3, transfer",
        0.5,
        0.8,
        104 + 19 * 105,
    )
    assert (best["to_no_transfer"], best["to_dense"], dense["to_dense"]) == (0.1, -0.1, None)
    assert (other["accuracy"], other["later_tasks"], other["cpu_minutes"]) == (0.7, 1, 0.2)
    assert module.by_width(cells) == []


def test_split_cifar100_by_width():
    module, cells = load("split_cifar100_report"), {}
    for width, transfer, rates in (
        (10, "", (0.5, 0.6, 0.7)),
        (10, ", transfer", (0.5, 0.7, 0.9)),
        (40, "", (0.6, 0.8)),
        (40, ", transfer", (0.6, 0.9, 0.9)),
    ):
        for task, accuracy in enumerate(rates):
            arm = f"supsup 0.3{transfer}, width {width}, float32"
            cells[f"{arm}/{task}"] = {
                **{"arm": arm, "task": task, "seed": 0, "steps": 2, "accuracy": accuracy},
                **{"width": width, "precision": "float32", "cpu_seconds": 60.0},
                **{"bytes": 100 * width, "statistics_bytes": 4},
            }
    rows = module.by_width(cells)
    assert [(row["width"], row["transfer"], row["accuracy"]) for row in rows] == [
        (10, False, 0.6),
        (10, True, 0.7),
        (40, False, 0.8),
        (40, True, 0.9),
    ]
    assert {tuple(row["later_tasks"]) for row in rows} == {(1,)}
    assert [row["bytes"] for row in rows] == [1004, 1004, 4004, 4004]
    gains = {row["arm"]: row["to_no_transfer"] for row in module.summary(cells)}
    assert gains["supsup 0.3, transfer, width 10, float32"] == 0.15
    assert {row["to_dense"] for row in module.summary(cells)} == {None}


def test_split_cifar100_inferred(photographs, tmp_path, monkeypatch):
    module, study = split_cifar100(photographs, tmp_path, monkeypatch)
    inferred = load("split_cifar100_inferred")
    tasks = study.tasks(seed=0, until=1)
    with study.archive(cifar_cell(module, "supsup 0.3", 0), tasks) as archive:
        path = archive.path
    with SupSup.open(path, mode="a") as model:
        masks = inferred.Masks(model=model, tasks=tasks, seed=0)
        found = {name: measure() for name, measure in inferred.methods(masks)}
    assert found["task given"]["mask_bytes"] > 0
    alone = inferred.of_all_classes(study, 0, 16, "layer4")
    assert 0 < alone["class_by_prototypes"] <= alone["task_found"] + 0.1
    features = "prototypes, 248 features of layer4"
    assert found[features]["prototype_bytes_a_task"] == 5 * 256
    assert found[features]["images"] == 20
    assert found[f"{features}, masks of 5"]["images"] == 4
    assert all(0 <= each["accuracy"] <= 1 for each in found.values())


def test_unknown_tasks():
    module = load("unknown_tasks")
    low, high = np.arange(20.0), np.arange(20.0) + 100
    assert module.separation(low, high) == {"auroc": 1.0, "unknown_taken_for_known": 0.0}
    assert module.separation(high, low)["auroc"] == 0.0


def test_layout_figures():
    if not (ROOT / "supsup").is_dir():
        pytest.skip("the packages are installed, their source is not here")
    found = load("layout_figures").figures(ROOT)
    assert found["of them within circles of folders"] == "0"
    assert int(found["`supsup`: files"]) > 100


def test_metrics():
    """SupSup and a third of the baselines through the calls of the study; its table by hand."""
    from supsup.baselines import BASELINES

    module, digits = load("metrics"), load_data("mnist-sample")
    tasks = [
        replace(
            task,
            train_images=task.train_images[:64],
            train_y=task.train_y[:64],
            test_images=task.test_images[:16],
            test_y=task.test_y[:16],
        )
        for task in (make_task(each, digits) for each in task_family("split-mnist-sample", 2))
    ]
    assert len(BASELINES) == 12
    for name in ("supsup", *sorted(BASELINES)[::3]):
        found = module.measured(name, tasks, 0, 1).to_json()
        assert len(found["seconds"]) == len(found["bytes"]) == 2
        assert 0 <= found["average_accuracy"] <= 1
    run = {
        "average_accuracy": 0.75,
        "forgetting": 0.2,
        "backward_transfer": -0.2,
        "forward_transfer": None,
        "bytes": [10, 20],
        "seconds": [1.0, 2.0],
        "accuracy_matrix": [[0.9, None], [0.7, 0.8]],
    }
    best = run | {"accuracy_matrix": [[1.0, None], [1.0, 1.0]]}
    told = module.table({"upper-bound": {"0": best}, "a": {"0": run, "2": run}})["a"]
    assert told["intransigence"]["mean"] == pytest.approx(0.15)
    assert told["seconds"] == {"mean": 3.0, "deviation": 0.0}
    assert (told["bytes"]["mean"], told["forward_transfer"]) == (20, None)


def test_screens(tmp_path):
    """What a terminal of a width shows, as a page; names are text there."""
    from maskstore import MaskArchive

    module = load("screens")
    with MaskArchive.create(tmp_path / "a.h5", {"w": (4,)}) as archive:
        archive.add("<one>", {"w": np.ones(4, bool)})
    text = module.listed(tmp_path / "a.h5", 60)
    assert "<one>" in text
    assert max(map(len, text.splitlines())) <= 60
    page = module.terminal_page(text, 60)
    assert "&lt;one&gt;" in page
    assert "min-width:60ch" in page


def test_serving(tmp_path):
    """Both services give the classes that the masks give; traffic and summaries by hand."""
    import asyncio
    import io

    import httpx

    from examples.serve import make_app
    from supsup import SupSup

    module = load("serving")
    module.make_archive(tmp_path / "a.h5", 3)
    module.make_checkpoints(tmp_path / "a.h5", tmp_path / "dense")
    images = np.random.default_rng(1).normal(size=(5, 784)).astype(np.float32)
    body = io.BytesIO()
    np.save(body, images)

    async def ask(app) -> list[list[int]]:
        inside = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=inside, base_url="http://served") as client:
            found = [
                await client.post(f"/predict/task/{task}", content=body.getvalue())
                for task in range(3)
            ]
        return [each.json()["classes"] for each in found]

    with SupSup.open(tmp_path / "a.h5") as model:
        expected = [model.predict(images, f"task/{at}").predictions.tolist() for at in range(3)]
    for app in (make_app(str(tmp_path / "a.h5")), module.dense_app(tmp_path / "dense")):
        assert asyncio.run(ask(app)) == expected
    skewed = np.bincount(module.traffic("skewed", 100, 5000, 0), minlength=100)
    even = np.bincount(module.traffic("even", 100, 5000, 0), minlength=100)
    assert skewed[0] > 10 * even[0] > skewed[50]
    found = module.summary([[0.01] * 10, [0.02] * 10, [0.04] * 10])
    assert found == {"requests_a_second": 50.0, "p95_ms": 20.0}


def test_gpu(tmp_path, monkeypatch, capsys):
    """All parts on the processor, at small sizes; a part that fails is said, and the rest runs."""
    from benchmarks.gpu_page import page

    module, parts = load("gpu"), load("gpu_parts")

    def in_this_process(command, seconds, into, environment):
        name = command[command.index("benchmarks.gpu_parts") + 1]
        job = parts.Job(device="cpu", small="--small" in command, seconds=seconds)
        parts.measure(name, job, into)
        failed = "out of memory" if name == "convolutions" else None
        return {"took_seconds": 0.1, "failed": failed, **json.loads(into.read_text("utf-8"))}

    def fewer(job):  # the tests that are marked are their own test's, below
        yield {"passed": 3, "skipped": 1, "failure": 1, "error": 0}
        yield {"not_passed": [{"test": "test_a", "says": "1 is\nnot 2"}]}

    monkeypatch.setattr(module, "run_part", in_this_process)
    monkeypatch.setitem(parts.PARTS, "tests", fewer)
    arguments = ["gpu", "--device", "cpu", "--small", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    module.main()
    assert "convolutions: out of memory" in capsys.readouterr().out
    found = json.loads((tmp_path / "gpu.json").read_text("utf-8"))
    assert list(found["parts"]) == list(module.SHARES) == list(parts.PARTS)
    assert sum(module.SHARES.values()) < 1
    assert found["parts"]["permuted"]["stored"] == found["parts"]["permuted"]["tasks"] == 4
    assert found["parts"]["convolutions"]["stored"] == 2
    text = (tmp_path / "gpu.md").read_text("utf-8")
    assert text == page(found)
    for told in (
        "**Not finished:** out of memory",
        "A rehearsal",
        "`test_a`: 1 is not 2",
        "4 of 4",
    ):
        assert told in text
    assert "was not measured" not in text
    del found["parts"]["permuted"]["stored"]
    assert "stored was not measured before the part ended" in page(found)
    monkeypatch.setattr(sys, "argv", arguments[:4])
    with pytest.raises(SystemExit):
        module.main()
    assert "name its folder with --out" in capsys.readouterr().err


def test_gpu_page_is_that_of_the_published_figures():
    from benchmarks.gpu_page import page

    published = (ROOT / "docs" / "results" / "gpu.md").read_text("utf-8")
    assert published == page(results.saved_results("gpu"))


def test_gpu_parts_that_end_early(tmp_path):
    """What they had measured is kept, with the reason; what they started ends with them."""
    module, into = load("gpu"), tmp_path / "a.json"
    write = "import sys, json; open(sys.argv[2], 'w').write(json.dumps({'a': 1})); "

    def run(script, seconds=30.0):
        return module.run_part([sys.executable, "-c", write + script], seconds, into, {})

    done = run("")
    assert (done["failed"], done["a"]) == (None, 1)
    failed = run("raise RuntimeError('no such card')")
    assert (failed["failed"], failed["a"]) == ("RuntimeError: no such card", 1)
    child = (
        "import subprocess; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    )
    late = run(child, 3.0)
    assert (late["failed"], late["a"]) == ("stopped after its share of the time, 3 s", 1)
    assert late["took_seconds"] < 300
    assert run("import os; os._exit(3)")["failed"] == "ended with exit code 3"


def test_gpu_counts_the_marked_tests(tmp_path, monkeypatch):
    parts = load("gpu_parts")
    (tmp_path / "tests").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = cuda: of a card\n")
    (tmp_path / "tests" / "test_a.py").write_text(
        "import pytest\n"
        "@pytest.mark.cuda\n"
        "@pytest.mark.parametrize('a', [1, 1, 2])\n"
        "def test_one(a): assert a == 1, 'not one'\n"
        "@pytest.mark.cuda\n"
        "def test_skipped(): pytest.skip('no')\n"
        "def test_other(): assert False\n"
    )
    monkeypatch.setattr(parts, "ROOT", tmp_path)
    (found,) = parts.marked_tests(parts.Job(device="cpu"))
    assert (found["passed"], found["failure"], found["skipped"]) == (2, 1, 1)
    (bad,) = found["not_passed"]
    assert bad["test"] == "test_one[2]"
    assert "not one" in bad["says"]


def cell(arm, task, seed, accuracy, *, steps=120, lr=1e-3):
    """A cell as a study's results have it."""
    about = {"arm": arm, "task": task, "seed": seed, "steps": steps, "lr": lr, "own_lr": 0.0}
    name = load("cells").Cell(**about).key
    return {name: about | {"float32": {"accuracy": accuracy, "bytes": 100 + task}}}


def test_the_best_form_of_an_arm_is_taken_at_as_many_steps():
    cells = load("cells")
    held_out = {
        **cell("full", 9, 1, 0.8),
        **cell("full:frozen", 9, 1, 0.9, lr=3e-4),
        **cell("full:frozen", 9, 1, 0.85, lr=1e-4),
        **cell("full", 9, 1, 0.7, steps=600),
        **cell("masks-full", 9, 1, 0.99),
    }
    found = {steps: cells.best_cells(held_out, steps)["full"] for steps in (120, 600, 5)}
    assert (found[120].arm, found[120].lr, found[120].task) == ("full:frozen", 3e-4, 9)
    assert (found[600].arm, found[600].lr) == ("full", 1e-3)
    assert found[5] == found[120]


def test_means_are_over_the_seeds_that_have_every_task():
    cells = load("cells")
    measured = {
        **cell("probe", 0, 0, 0.5),
        **cell("probe", 1, 0, 0.7),
        **cell("probe", 0, 1, 0.7),
        **cell("probe", 1, 1, 0.9),
        **cell("probe", 0, 2, 0.1),
        **cell("full", 0, 0, 0.9),
    }
    (row,) = cells.summary(measured, (0, 1))
    assert (row["seeds"], row["by_seed"], row["by_task"]) == ([0, 1], [0.6, 0.8], [0.6, 0.8])
    assert (row["accuracy"], row["spread"], row["bytes"]) == (0.7, 0.1414, 100)
    assert cells.table([row], {"probe": "head alone"}).splitlines()[2] == (
        "| head alone | 0.600 | 0.800 | 0.700 ± 0.141 | 2 | 100 |"
    )


@pytest.mark.parametrize("study", ["piggyback", "minilm"])
def test_tables_are_of_the_published_figures(study):
    module, cells = load(study), load("cells")
    document = results.saved_results(study)
    page = (ROOT / "docs" / "results" / f"{study}.md").read_text("utf-8")
    assert document["summary"] == cells.summary(document["cells"], module.TABLE_TASKS)
    assert cells.table(document["summary"], module.NAMES) in page


@torch.no_grad()
def test_lora_and_a_gated_adapter_add_nothing_at_first():
    nets = load("minilm_nets")
    torch.manual_seed(0)
    x = torch.randn(2, 3, nets.WIDTH)
    assert not nets.Adapter(None)(x).any()
    assert nets.Adapter(0.1)(x).any()
    layer = torch.nn.Linear(nets.WIDTH, nets.WIDTH)
    assert torch.equal(nets.LoRA(layer)(x), layer(x))
