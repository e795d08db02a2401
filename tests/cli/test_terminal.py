"""Text of others reaches no terminal raw, no output fails on it, and no work is done in vain."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import unicodedata
from contextlib import suppress
from functools import partial
from io import StringIO

import numpy as np
import pytest
import torch
from rich.console import Console

from maskstore import MaskArchive
from maskstore.interchange import save_masks
from supsup import BackboneRecipe, build
from supsup.archives import create_archive
from supsup_store.console import counted, print_table, printable
from supsup_store.progress import (
    ProgressLines,
    line_of,
    progress_bar,
    stage_progress,
    task_progress,
)
from tests.maskstore.helpers import LAYOUT, random_masks

HOSTILE = {
    "colours and a title": "\x1b[31mred\x1b]0;title\x07",
    "C1": "\x9b31mred\x9d0;title\x9c",
    "lines": "one\r\ntwo\x0b\x0c\u2028three",
    "backwards": "\u202egnp.exe",
    "markup that closes": "[/red]",
    "markup that opens": "[bold]x[link=y]",
    "emoji": ":boom:",
    "not Latin": "λ漢",
}

TINY = ("--dataset", "split-mnist-sample", "--tasks", "1", "--steps", "1")


def is_harmless(output: str) -> bool:
    return all(each.isprintable() or each == "\n" for each in output)


@pytest.fixture
def hostile(tmp_path, monkeypatch, request):
    """An archive whose path, task, metadata and recipe are hostile text, as a forger may write."""
    text = HOSTILE[request.param]
    monkeypatch.setattr("maskstore.writer.parse_name", lambda name, *_: name.encode())
    path = tmp_path / "here" / f"{text}.h5"
    path.parent.mkdir(parents=True)  # one of them has a slash
    with MaskArchive.create(path, LAYOUT, backbone={"net": text, "outputs": 2}) as archive:
        archive.add(text, random_masks(0), {text: text, "metrics": {"accuracy": text}})
        archive.add("other", random_masks(1))
    return path, text


def shown(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


COMMANDS = {
    "list": lambda a, t, d: ("list", a),
    "list PATTERN": lambda a, t, d: ("list", a, f"{t}*", "--csv"),
    "diff": lambda a, t, d: ("diff", a, t, "other"),
    "overlap": lambda a, t, d: ("overlap", a, "--per-layer"),
    "overlap as CSV": lambda a, t, d: ("overlap", a, "--csv"),
    "copy": lambda a, t, d: ("copy", a, t, d / "to.h5"),
    "copy twice": lambda a, t, d: ("copy", a, t, a),
    "rename": lambda a, t, d: ("rename", a, t, "new"),
    "rename to": lambda a, t, d: ("rename", a, "other", t),
    "show": lambda a, t, d: ("show", a),
    "show TASK": lambda a, t, d: ("show", a, t),
    "stats": lambda a, t, d: ("stats", a, "--per-task", "--per-layer"),
    "verify": lambda a, t, d: ("verify", a, "--deep"),
    "get": lambda a, t, d: ("get", a, t, "--out", d / f"{t}.npz"),
    "get twice": lambda a, t, d: ("get", a, "other", "--out", d / "there.npz"),
    "add": lambda a, t, d: ("add", a, f"{t}x", d / "there.npz"),
    "add again": lambda a, t, d: ("add", a, t, d / "there.npz"),
    "add nothing": lambda a, t, d: ("add", a, "new", d / f"{t}.npz"),
    "remove": lambda a, t, d: ("remove", a, t),
    "remove nothing": lambda a, t, d: ("remove", a, f"no {t}"),
    "compact": lambda a, t, d: ("compact", a),
    "merge": lambda a, t, d: ("merge", a, "--out", d / f"m {t}.h5"),
    "merge twice": lambda a, t, d: ("merge", a, a, "--out", d / f"m {t}.h5"),
    "repair": lambda a, t, d: ("repair", a, "--out", d / f"r {t}.h5"),
    "create": lambda a, t, d: ("create", d / f"c {t}.h5", "--like", d / "there.npz"),
    "create again": lambda a, t, d: ("create", a, "--like", d / "there.npz"),
    "create of": lambda a, t, d: ("create", d / "c.h5", "--net", t),
    "export": lambda a, t, d: ("export", a, t, "--out", d / f"{t}.safetensors"),
    "import": lambda a, t, d: ("import", d / f"i {t}.h5", d / f"{t}.pt"),
    "import as": lambda a, t, d: ("import", d / f"i {t}.h5", d / "final.pt", "--name", f"{t}x"),
    "import nothing": lambda a, t, d: ("import", d / "i.h5", d / f"none {t}.pt"),
    "eval": lambda a, t, d: ("eval", a),
    "infer": lambda a, t, d: ("infer", a, "--data", d / f"{t}.npy"),
    "encode": lambda a, t, d: ("encode", a, "--out", d / f"{t}.mem"),
    "recover": lambda a, t, d: ("recover", a, "--data", d / f"{t}.npy"),
    "learn": lambda a, t, d: ("learn", a, "--dataset", t),
    "train": lambda a, t, d: ("train", a, "--dataset", t),
    "train of": lambda a, t, d: ("train", d / "t.h5", *TINY, "--net", t),
    "reproduce": lambda a, t, d: ("reproduce", t),
    "no archive": lambda a, t, d: ("list", d / f"none {t}.h5"),
    "plot": lambda a, t, d: ("stats", a, "--plot", d / f"p.{t}"),
    "a number": lambda a, t, d: ("train", a, "--dataset", "x", "--steps", t),
    "an option": lambda a, t, d: ("list", a, f"--{t}"),
    "a command": lambda a, t, d: (f"x{t}",),
}  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE, indirect=True)
@pytest.mark.parametrize("command", COMMANDS)
def test_text_of_others_is_shown_and_not_obeyed(hostile, run, tmp_path, command):
    path, text = hostile
    save_masks(tmp_path / "there.npz", random_masks(2))
    state = {"fc.scores.0": torch.ones(2, 2), f"{text}.scores.0": torch.ones(2)}
    torch.save({"state_dict": state, "args": None}, tmp_path / "final.pt")
    (tmp_path / f"{text}.pt").parent.mkdir(exist_ok=True)
    torch.save({"arch": text, "state_dict": state}, tmp_path / f"{text}.pt")
    result = run(*COMMANDS[command](path, text, tmp_path))
    assert result.code in (0, 1, 2)
    assert is_harmless(result.out), result.out
    # Of wrong usage, what was typed is shown by typer, which escapes control characters alone.
    controls = [each for each in result.err if unicodedata.category(each) == "Cc" and each != "\n"]
    assert is_harmless(result.err) or (result.code == 2 and not controls), result.err
    if result.code == 1:
        assert result.err.startswith("error: ")
        assert result.err.count("\n") == 1
    if command in ("list", "verify", "remove", "no archive"):
        assert shown(text) in result.out + result.err


@pytest.mark.parametrize("hostile", HOSTILE, indirect=True)
def test_json_gives_it_back_as_it_is(hostile, run):
    path, text = hostile
    listed = run("list", path, "--json")
    assert is_harmless(listed.out)
    assert listed.json()["tasks"][0]["name"] == text


def test_printable_changes_what_is_not():
    assert printable("a b\tc\n\x1b[0m\udcff\xa0") == r"a b\tc\n\x1b[0m\udcff\xa0"
    assert printable("λ漢 ok") == "λ漢 ok"


def supsup_store(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "supsup_store", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
        **options,
    )


@pytest.mark.parametrize("hostile", ["colours and a title", "emoji"], indirect=True)
def test_on_a_real_terminal(hostile):
    path, text = hostile
    leader, follower = pty.openpty()
    done = supsup_store("list", path, stdout=follower, stderr=follower)
    os.close(follower)
    output = b""
    try:
        while block := os.read(leader, 1 << 16):
            output += block
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(leader)
    assert done.returncode == 0
    for sequence in (b"\x1b[31mred", b"\x1b]0;", b"\x07", "\N{COLLISION SYMBOL}".encode()):
        assert sequence not in output
    joined = output.decode().replace("\r\n", "").replace(" ", "")
    assert shown(text)[:4] in joined


@pytest.mark.parametrize("hostile", ["not Latin", "backwards"], indirect=True)
def test_a_terminal_that_lacks_the_characters(hostile):
    path, text = hostile
    done = supsup_store(
        "list", path, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"}
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert text.encode("unicode_escape") in done.stdout


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["table", "json"])
def test_output_to_a_full_device(tmp_path, options):
    with MaskArchive.create(tmp_path / "a.h5", LAYOUT) as archive:
        archive.add("t", random_masks(0))
    # As Python is on most machines: what it buffers fails once more at the end, with 120.
    run = partial(supsup_store, env={**os.environ, "PYTHONUNBUFFERED": ""})
    for command in (("list", tmp_path / "a.h5"), ("verify", tmp_path / "a.h5")):
        with open("/dev/full", "wb") as full:
            done = run(*command, *options, stdout=full, stderr=subprocess.PIPE)
        assert done.returncode == 1
        assert done.stderr == b"error: standard output: cannot write: No space left on device\n"
        with open("/dev/full", "wb") as full:
            assert run("list", "none.h5", stdout=full, stderr=full).returncode == 1


@pytest.fixture
def memory(tmp_path, run):
    """A memory file of a small network."""
    recipe = BackboneRecipe(net="bn-2048", outputs=2, options={"width": 8})
    backbone = build(recipe)
    rng = np.random.default_rng(0)
    with create_archive(tmp_path / "net.h5", backbone) as archive:
        masks = {name: rng.random(shape) < 0.5 for name, shape in backbone.layout.shapes.items()}
        archive.add("t", masks)
    return tmp_path / "net.h5"


@pytest.mark.parametrize("place", ["none/p.png", ".", "p.cats", "folder.png"])
@pytest.mark.parametrize(
    "command",
    [
        ("stats", "{archive}"),
        ("recover", "{archive}", "--data", "x.npy"),
        ("compare", *TINY, "--out", "{folder}/compared"),
        ("reproduce", "hopfield", *TINY, "--out", "{folder}/figures"),
    ],
    ids=lambda command: command[0],
)
def test_a_plot_that_cannot_be_saved_is_said_before_any_work(
    memory, run, tmp_path, monkeypatch, command, place
):
    (tmp_path / "folder.png").mkdir()
    monkeypatch.chdir(tmp_path)
    for work in (
        "maskstore.MaskArchive.open",
        "supsup.recovery.recover_from",
        "supsup.recovery.compare_family",
        "supsup.figures.hopfield.HopfieldFigure.measure",
    ):
        monkeypatch.setattr(work, lambda *_, **__: pytest.fail("work was done"))
    words = [word.format(archive=memory, folder=tmp_path) for word in command]
    result = run(*words, "--plot", place)
    assert result.code == 1
    assert "cannot save the plot" in result.err or "cannot draw there" in result.err
    assert not list(tmp_path.glob("**/*.h5.*"))
    assert not (tmp_path / ".png").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("get", "{archive}", "t", "--out", "none/m.npz"),
        ("export", "{archive}", "t", "--out", "none/m.safetensors"),
        ("encode", "{archive}", "--out", "none/m.h5"),
        ("recover", "{archive}", "--data", "x.npy", "--out", "none/m.npz"),
    ],
    ids=lambda command: command[0],
)
def test_a_folder_that_is_not_there_is_said_before_any_work(memory, run, monkeypatch, command):
    monkeypatch.setattr(MaskArchive, "open", lambda *_, **__: pytest.fail("work was done"))
    result = run(*(word.format(archive=memory) for word in command))
    assert (result.code, "No such file or directory (no folder none)" in result.err) == (1, True)


def test_a_failed_training_leaves_no_archive_in_the_way(run, tmp_path, monkeypatch):
    path = tmp_path / "a.h5"

    def fails(*_, **__):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("supsup.archives.engine.iter_train_into", fails)
        with pytest.raises(MemoryError):
            run("train", path, *TINY, "--outputs", "2")
    assert not path.exists()
    assert run("train", path, *TINY, "--outputs", "3").code == 0
    # An archive that was there before stays, empty or not.
    assert run("create", tmp_path / "b.h5", "--outputs", "2").code == 0
    with monkeypatch.context() as patched:
        patched.setattr("supsup.archives.engine.iter_train_into", fails)
        with pytest.raises(MemoryError):
            run("train", tmp_path / "b.h5", *TINY)
    assert json.loads(run("list", tmp_path / "b.h5", "--json").out)["tasks"] == []


def plain(output: str) -> str:
    """Without colours and bold."""
    return re.sub(r"\x1b\[[0-9;]*m", "", output)


TABLE = {
    "headings": ("#", "task", "density", "codec", "bytes", "accuracy", "sha256"),
    "rows": [(0, "rotated-mnist/1234", 0.5, "seeded", 26_123, 0.98, "0b49abffd02c")],
    "least_wanted": ("sha256", "codec", "#"),
}


@pytest.mark.parametrize(
    ("width", "missing"),
    [
        (200, ()),
        (120, ()),
        (79, ("sha256",)),
        (60, ("sha256", "codec")),
        (20, TABLE["least_wanted"]),
    ],
)
def test_a_narrow_terminal_goes_without_columns_and_cuts_no_name(
    capsys, monkeypatch, width, missing
):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    print_table(**TABLE, title="archive.h5: 1 task")
    lines = plain(capsys.readouterr().out).splitlines()
    assert sum("rotated-mnist/1234" in line for line in lines) == 1
    assert "26,123" in "".join(lines)
    heading = next(line for line in lines if "task" in line and "┃" in line)
    assert [name for name in TABLE["headings"] if name not in heading] == [
        name for name in TABLE["headings"] if name in missing
    ]
    if width >= 60:
        assert max(map(len, lines)) <= width


def test_sentences_are_wrapped_and_a_pipe_is_given_all(capsys, monkeypatch):
    cause = "its bits have another sha256 than was recorded " * 3
    table = {"headings": ("task", "cause"), "rows": [("t" * 29, cause)], "long": ("cause",)}
    print_table(**table)
    assert cause in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    print_table(**table)
    lines = plain(capsys.readouterr().out).splitlines()
    assert len(lines) > 6
    assert max(map(len, lines)) <= 60
    assert sum("t" * 29 in line for line in lines) == 1


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_list_on_a_real_terminal_of_that_width(tmp_path, columns):
    with MaskArchive.create(tmp_path / "a.h5", LAYOUT) as archive:
        for index in range(3):
            archive.add(f"rotated-mnist/{index}", random_masks(index))
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    done = supsup_store(
        "list",
        "a.h5",
        stdout=follower,
        stderr=follower,
        cwd=tmp_path,
        env=environment | {"NO_COLOR": "1", "TERM": "xterm-256color"},
    )
    os.close(follower)
    output = b""
    with suppress(OSError):
        while block := os.read(leader, 1 << 16):
            output += block
    os.close(leader)
    assert done.returncode == 0
    assert b"\x1b[3" not in output  # colours; bold stays
    lines = plain(output.decode()).splitlines()
    assert max(map(len, lines)) <= columns
    for index in range(3):
        assert sum(f"rotated-mnist/{index}" in line for line in lines) == 1
    assert any("sha256" in line for line in lines) == (columns >= 120)
    assert "a.h5: 3 tasks" in lines[0]


def test_show_is_json_for_people(run, tmp_path):
    with MaskArchive.create(tmp_path / "a.h5", LAYOUT) as archive:
        archive.add("t", random_masks(0), {"λ": "\u202egnp", "x": list(range(40))})
    shown = run("show", tmp_path / "a.h5")
    assert '    {"name": "fc1.weight", "shape": [10, 7]},\n' in shown.out
    one = run("show", tmp_path / "a.h5", "t")
    assert json.loads(one.out) == run("show", tmp_path / "a.h5", "t", "--json").json()
    assert '"λ": "\\u202egnp"' in one.out


def test_one_is_singular(run, tmp_path):
    with MaskArchive.create(tmp_path / "a.h5", LAYOUT) as archive:
        archive.add("t", random_masks(0))
    assert "a.h5: 1 task, no damage" in run("verify", tmp_path / "a.h5").out
    assert "removed t; 0 tasks left" in run("remove", tmp_path / "a.h5", "t").out
    assert [counted(n, "byte") for n in (0, 1, 2, 1000)] == [
        "0 bytes",
        "1 byte",
        "2 bytes",
        "1,000 bytes",
    ]


def test_into_a_log_progress_is_a_line_now_and_then(capsys):
    now = 0.0
    with ProgressLines(lambda: now) as bar:
        shown = bar.add_task("training", total=40)
        for done in range(1, 21):
            now += 5.0
            bar.update(shown, advance=1, description=f"training \x1b[31m/{done}")
        lines = capsys.readouterr().err.splitlines()
        assert lines == [
            r"training \x1b[31m/6: 6 of 40, 0.2/s, 2 min 50 s left",
            r"training \x1b[31m/12: 12 of 40, 0.2/s, 2 min 20 s left",
            r"training \x1b[31m/18: 18 of 40, 0.2/s, 1 min 50 s left",
        ]
        bar.reset(shown, total=16_000, description="reading")
        now += 40.0
        bar.update(shown, completed=8_000)
    assert capsys.readouterr().err == "reading: 8,000 of 16,000, 200/s, 40 s left\n"


@pytest.mark.parametrize(("quiet", "lines"), [(False, 1), (True, 0)])
def test_the_bar_of_every_command_is_lines_in_a_log(capsys, monkeypatch, quiet, lines):
    monkeypatch.setattr("supsup_store.progress.LINE_SECONDS", 0.0)
    with task_progress("verifying", 7_200, quiet=quiet) as report:
        report("a")
    assert capsys.readouterr().err.count("verifying a: 1 of 7,200") == lines


@pytest.mark.parametrize("terminal", [False, True])
def test_a_title_that_is_wider_than_its_table_stays_on_its_line(capsys, monkeypatch, terminal):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TTY_COMPATIBLE", str(int(terminal)))
    title = "/some/where/far/away/split-mnist.h5: 5 tasks, 45,863 bytes, scenario GG"
    print_table(("task",), [("a",)], title=title)
    assert plain(capsys.readouterr().out).splitlines()[0] == title


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_bar_is_one_line_and_the_name_on_it_whole(monkeypatch, width):
    written = StringIO()
    terminal = Console(file=written, force_terminal=True, width=width, highlight=False)
    monkeypatch.setattr("supsup_store.console.stderr", terminal)
    with progress_bar(quiet=False) as bar:
        shown = bar.add_task("reading masks", total=5)
        bar.update(shown, advance=1, description="reading masks rotated-mnist/1234")
        terminal.print(bar.get_renderable())
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written.getvalue()).splitlines()
    shown = [line for line in lines if "rotated" in line]
    assert shown
    assert all("rotated-mnist/1234" in line and "1/5" in line for line in shown)
    assert max(map(len, lines)) <= width


def test_a_narrow_diff_tells_both_tasks_or_neither(run, tmp_path, monkeypatch):
    with MaskArchive.create(tmp_path / "a.h5", LAYOUT) as archive:
        for name in "ab":
            archive.add(name, random_masks(0))
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    for width in range(40, 90, 5):
        monkeypatch.setenv("COLUMNS", str(width))
        head = plain(run("diff", tmp_path / "a.h5", "a", "b").out).splitlines()[2]
        assert ("first" in head, "differ" in head) == ("second" in head, True)


def test_a_stage_that_tells_its_first_part_when_that_is_done_took_time_for_it(monkeypatch, capsys):
    clock = [0.0]
    lines = partial(ProgressLines, lambda: clock[0])
    monkeypatch.setattr("supsup_store.progress.ProgressLines", lines)
    with stage_progress(quiet=False) as report:
        for clock[0], stage, done in [(40, "one", 1), (80, "one", 2), (180, "two", 1)]:
            report(stage, done, 2)
    assert capsys.readouterr().err.splitlines() == [
        "one: 1 of 2, 0.025/s, 40 s left",
        "one: 2 of 2, 0.025/s, 0 s left",
        "two: 1 of 2, 0.01/s, 1 min 40 s left",
    ]


@pytest.mark.parametrize(
    ("parts", "shown"), [(1, "0.1/s"), (53, "5.3/s"), (996, "100/s"), (480_000, "48,000/s")]
)
def test_a_rate_is_no_power_of_ten(parts, shown):
    now = 0.0
    bar = ProgressLines(lambda: now)
    at = bar.add_task("verifying", total=1_000_000)
    bar.update(at, completed=parts)
    now = 10.0
    assert f", {shown}, " in line_of(bar.tasks[0])


def test_a_diff_of_metadata_fits_and_tells_numbers_apart(run, tmp_path, monkeypatch):
    measured = {
        "a": {"accuracy": 0.9393333333333334, "close": 0.12345678, "start_density": "a-" * 20},
        "b": {"accuracy": 0.9386666666666666, "close": 0.12345679, "start_density": "b-" * 20},
    }
    with MaskArchive.create(tmp_path / "a.h5", LAYOUT) as archive:
        for name, metrics in measured.items():
            archive.add(name, random_masks(0), metadata={"training": metrics})
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "60")
    shown = plain(run("diff", tmp_path / "a.h5", "a", "b").out)
    assert max(map(len, shown.splitlines())) <= 60
    assert "0.939333 │ 0.938667 │" in " ".join(shown.split())
    assert "0.12345678 │ 0.12345679" in " ".join(shown.split())
