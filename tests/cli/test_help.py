"""Every command has its place in --help, an example that it takes, and words on Ctrl-C."""

import os
import shlex
import subprocess
import sys
from importlib.metadata import version

import pytest
import typer

from maskstore import MaskArchive
from maskstore.interchange import save_masks
from supsup.errors import TrainingStopped
from supsup_store.app import app
from supsup_store.command_help import COMMANDS
from tests.maskstore.helpers import LAYOUT, random_masks


def test_every_command_has_a_row_and_every_row_a_command():
    assert set(typer.main.get_command(app).commands) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_is_what_the_command_takes(name):
    command = typer.main.get_command(app).commands[name]
    arguments = shlex.split(COMMANDS[name].example)
    with command.make_context(name, list(arguments)) as context:  # raises on wrong usage
        assert context.params
    assert command.epilog == f"Example: supsup-store {name} {COMMANDS[name].example}"


def test_help_is_in_groups_and_shows_the_example(run):
    listed = run("--help").out
    groups = list(dict.fromkeys(row.group for row in COMMANDS.values()))
    assert len(groups) > 4
    for group in groups:
        assert f"─ {group} ─" in listed
    assert "Example: supsup-store list rotated.h5" in run("list", "--help").out


def test_version_names_what_it_runs_on_and_imports_none_of_it():
    code = (
        "import sys; from supsup_store.main import main; sys.argv[1:] = ['--version']\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'matplotlib', 'numba'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    said, imported = done.stdout.splitlines()
    packages = [f"{name} {version(name)}" for name in ("supsup-store", "torch", "numpy", "h5py")]
    assert not [each for each in packages if each not in said]
    assert f"python {'.'.join(map(str, sys.version_info[:3]))}" in said
    assert imported == "[]"
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("ev", ["eval"]),
        ("comp", ["compact", "compare"]),
        ("list --js", ["--json"]),
        ("list --sort na", ["name"]),
        ("train a.h5 --codec s", ["seeded"]),
        ("compact a.h5 --codec h", ["history"]),  # a preset and a codec
        ("train a.h5 --dataset split-mnist-", ["split-mnist-sample"]),
        ("infer a.h5 --method o", ["one-shot"]),
        ("show a.h5 fo", ["food/0", "food/1"]),
        ("diff a.h5 food/0 food/1", ["food/1"]),
        ("eval a.h5 --task o", ["other"]),
        ("eval --task o", []),  # of no archive
        ("add a.h5 fo", []),  # a name that is new
        ("show none.h5 fo", []),  # a file that is not there
        ("show file://{folder}/a.h5 fo", []),  # nor is any server asked
    ],
)
def test_the_shell_completes(typed, completed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with MaskArchive.create("a.h5", LAYOUT) as archive:
        for at, name in enumerate(("food/0", "food/1", "other")):
            archive.add(name, random_masks(at))
    words = ["supsup-store", *typed.format(folder=tmp_path).split()]
    environment = os.environ | {
        "_SUPSUP_STORE_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    code = "from supsup_store.app import app; app(prog_name='supsup-store')"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300
    )
    assert sorted(done.stdout.split()) == completed


def test_completion_is_offered(run):
    assert {"--install-completion", "--show-completion"} <= set(run("--help").out.split())


WORK = {
    "demo": ("supsup.demo.run_demo", ("--out", "{tmp}/demo")),
    "create": ("maskstore.MaskArchive.create", ("{tmp}/c.h5", "--like", "{tmp}/m.npz")),
    "train": ("supsup.archives.train_family", ("{tmp}/t.h5", "--dataset", "split-mnist-sample")),
    "learn": (
        "supsup.task_free.learn_family",
        ("{tmp}/l.h5", "--dataset", "split-mnist-sample"),
    ),
    "import": ("supsup.checkpoints.import_checkpoint", ("{tmp}/i.h5", "final.pt")),
    "eval": ("supsup.archives.backbone_of", ("{tmp}/a.h5",)),
    "infer": ("supsup.archives.backbone_of", ("{tmp}/a.h5", "--data", "x.npy")),
    "export": ("supsup.archives.backbone_of", ("{tmp}/a.h5", "t", "--out", "{tmp}/e.safetensors")),
    "list": ("maskstore.MaskArchive.open", ("{tmp}/a.h5",)),
    "show": ("maskstore.MaskArchive.open", ("{tmp}/a.h5",)),
    "get": ("maskstore.MaskArchive.get", ("{tmp}/a.h5", "t", "--out", "{tmp}/g.npz")),
    "stats": ("maskstore.MaskArchive.get_packed", ("{tmp}/a.h5", "--per-layer")),
    "report": ("maskstore.MaskArchive.get_packed", ("{tmp}/a.h5", "--out", "{tmp}/r.html")),
    "verify": ("maskstore.MaskArchive.get_packed", ("{tmp}/a.h5", "--deep")),
    "add": ("maskstore.storage.store.Store.append", ("{tmp}/a.h5", "new", "{tmp}/m.npz")),
    "prototypes": ("supsup.archives.backbone_of", ("{tmp}/a.h5",)),
    "rename": ("maskstore.storage.store.Store.append", ("{tmp}/a.h5", "t", "u")),
    "remove": ("maskstore.storage.store.Store.append", ("{tmp}/a.h5", "t")),
    "copy": ("maskstore.storage.store.Store.append", ("{tmp}/a.h5", "t", "{tmp}/o.h5")),
    "diff": ("maskstore.MaskArchive.get_packed", ("{tmp}/a.h5", "t", "t")),
    "overlap": ("maskstore.MaskArchive.packed", ("{tmp}/a.h5",)),
    "merge": ("maskstore.storage.store.Store.append", ("{tmp}/a.h5", "--out", "{tmp}/n.h5")),
    "repair": ("maskstore.storage.store.Store.append", ("{tmp}/a.h5", "--out", "{tmp}/n.h5")),
    "compact": ("maskstore.storage.store.Store.append", ("{tmp}/a.h5",)),
    "encode": ("supsup.recovery.encode_archive", ("{tmp}/a.h5", "--out", "{tmp}/m.h5")),
    "recover": ("supsup.recovery.recover_from", ("{tmp}/m.h5", "--data", "x.npy")),
    "compare": (
        "supsup.recovery.compare_family",
        ("--dataset", "split-mnist-sample", "--out", "{tmp}/compared"),
    ),
    "reproduce": ("supsup.figures.reproduce", ("hopfield", "--out", "{tmp}/figures")),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_says_what_is_kept_and_how_to_go_on(name, run, tmp_path, monkeypatch):
    save_masks(tmp_path / "m.npz", random_masks(0))
    with MaskArchive.create(tmp_path / "a.h5", LAYOUT) as archive:
        archive.add("t", random_masks(0))
    MaskArchive.create(tmp_path / "o.h5", LAYOUT).close()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    work, arguments = WORK[name]

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(work, stopped)
        result = run(name, *(each.format(tmp=tmp_path) for each in arguments))
    assert (result.code, result.out) == (130, "")
    assert result.err == f"stopped: {COMMANDS[name].stopped}\n"
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    with MaskArchive.open(tmp_path / "a.h5", "a") as archive:  # nobody holds it any more
        assert archive.names() == ["t"]


@pytest.mark.parametrize("name", ["train", "demo", "compare", "reproduce"])
def test_a_stopped_training_says_how_that_command_goes_on(name, run, tmp_path, monkeypatch):
    work, arguments = WORK[name]

    def stopped(*_, **__):
        raise TrainingStopped("a.h5", done=2, tasks=5)

    monkeypatch.setattr(work, stopped)
    result = run(name, *(each.format(tmp=tmp_path) for each in arguments))
    assert result.err.startswith("stopped: 2 of 5 tasks are in a.h5, which is valid; ")
    assert ("--resume" in result.err) == (name == "train")
    assert "go" in result.err.rpartition(";")[2]


@pytest.mark.parametrize("module", ["rich.console", "numpy", "typer", "supsup_store.app"])
def test_ctrl_c_while_modules_are_imported(module):
    code = (
        "import sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            sys.meta_path.remove(self)  # one Ctrl-C\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from supsup_store.main import main\n"
        "sys.argv = ['supsup-store', 'list', 'none.h5']\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    said = "stopped: nothing was begun; run the same command again\n"
    assert (done.returncode, done.stdout, done.stderr) == (130, "", said)
