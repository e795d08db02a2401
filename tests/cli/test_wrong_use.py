"""Wrong uses of the command line: each is one line that says what is wrong, and nothing is lost."""

import shlex
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from maskstore import MaskArchive
from maskstore.interchange import save_masks
from supsup import SupSup
from tests.maskstore.helpers import LAYOUT, random_masks

TRAIN = "train new.h5 --dataset split-mnist-sample"

USAGE = {
    "a command misspelt": ("lst hand.h5", "No such command 'lst'. Did you mean 'list'"),
    "no archive": ("list", "Missing argument 'ARCHIVE'"),
    "too many arguments": ("list net.h5 a b", "unexpected extra argument(s) (b)"),
    "an option misspelt": ("list net.h5 --srt bytes", "No such option: --srt"),
    "an option without its value": ("list net.h5 --sort", "'--sort' requires an argument"),
    "another command's option": ("list net.h5 --steps 3", "No such option: --steps"),
    "text for a number": (f"{TRAIN} --steps ten", "'ten'"),
    "a fraction for a count": (f"{TRAIN} --tasks 1.5", "'1.5'"),
    "no data set": ("train new.h5", "Missing option '--dataset'"),
    "no file to write": ("get net.h5 split-mnist/0", "Missing option '--out'"),
    "a network and its masks": ("create new.h5 --like mask.npz --net bn-2048", "--like goes wi"),
    "an address without ray": (f"{TRAIN} --address host:1", "--address goes with --engine ray"),
    "own data, not named": ("train new.h5 --dataset split-folder", "goes with --data PATH"),
    "a size of digits": (f"{TRAIN} --size 8", "--size goes with --dataset split-folder"),
    "a matrix not measured": ("eval net.h5 --plot new.png", "--plot goes with --metrics"),
    "a limit of nothing": ("infer net.h5 --data image.npy --max-bytes 0", "--max-bytes"),
}  # fmt: skip
"""What is wrong whatever the files hold: exit code 2."""

ERRORS = {
    "no such archive": ("list none.h5", "none.h5: no archive there"),
    "a folder as archive": ("list .", ".: no archive there (not a regular file)"),
    "text as archive": ("list text.h5", "text.h5: not an HDF5 file"),
    "another's HDF5": ("list other.h5", "other.h5: an HDF5 file, but not a mask archive"),
    "an unknown scheme": ("list nosuch://x/a.h5", "Protocol not known: nosuch"),
    "an archive over another": ("create net.h5", "net.h5: there is a file already"),
    "an archive in no folder": ("create no/new.h5", "no/new.h5: No such file or directory"),
    "a damaged mask": ("get damaged.h5 a --out new.npz", "task 'a' is damaged"),
    "no such task": ("show net.h5 split-mnist/7", "no task 'split-mnist/7' among its 2 tasks"),
    "a task misspelt": ("show net.h5 split-mnits/0", "did you mean 'split-mnist/0'?"),
    "a pattern of none": ("list net.h5 'x*'", "no task of 2 is called 'x*' or matches it"),
    "evaluating none": ("eval net.h5 --task 'x*'", "no task of 2 is called 'x*'"),
    "an empty name": ("add hand.h5 '' mask.npz", "1 to 255 bytes of UTF-8, got an empty name"),
    "a line end in a name": ("rename hand.h5 a 'b\n'", "control characters"),
    "a name that is taken": ("rename hand.h5 a b", "task 'b' is there already"),
    "removing none": ("remove hand.h5 none", "no task 'none'"),
    "sorting by nothing": ("list net.h5 --sort size", "sort: expected one of index, name,"),
    "copying onto itself": ("copy hand.h5 a hand.h5", "task 'a' is there already"),
    "copying to other weights": ("copy hand.h5 a net.h5", "made for another network"),
    "a difference to none": ("diff hand.h5 a c", "no task 'c'"),
    "the overlap of none": ("overlap net.h5 --task none", "no task of 2 is called 'none'"),
    "a mask of other layers": ("add net.h5 t mask.npz", "layer 'fc3.weight' is missing"),
    "text as a mask": ("add hand.h5 t text.h5", "ends in .npz or .safetensors, got '.h5'"),
    "a mask as text": ("get hand.h5 a --out new.txt", "ends in .npz or .safetensors, got '.txt'"),
    "a file in the way": ("get hand.h5 a --out mask.npz", "overwrite it with --force"),
    "metadata of no JSON": ("add hand.h5 t mask.npz --metadata {", "--metadata: not JSON"),
    "a codec misspelt": ("add hand.h5 t mask.npz --codec zst", "did you mean 'zstd'?"),
    "compacting by none": ("compact hand.h5 --codec zip", "codec 'zip' is unknown"),
    "a plot of no format": ("stats net.h5 --plot new.doc", "new.doc: cannot draw there"),
    "a report of no page": ("report net.h5 --out text.h5", "text.h5: expected a page to write"),
    "merging two networks": ("merge net.h5 hand.h5 --out new.h5", "made for another network"),
    "merging one twice": ("merge hand.h5 hand.h5 --out new.h5", "task 'a' is in both"),
    "repairing in place": ("repair hand.h5 --out hand.h5", "there is a file already"),
    "text as checkpoint": ("import new.h5 text.h5", "not a checkpoint that torch.save wrote"),
    "a model of another kind": ("export net.h5 split-mnist/0 --out new.pt", "in .safetensors"),
    "a model of no network": ("export hand.h5 a --out n.safetensors", "without the recipe"),
    "a data set misspelt": ("train new.h5 --dataset split-mnits", "did you mean 'split-mnist'?"),
    "a data set, no rule": ("train new.h5 --dataset mnist-sample", "'split-mnist-sample'?"),
    "a network misspelt": (f"{TRAIN} --net lenet-300", "did you mean 'lenet-300-100'?"),
    "no such module": (f"{TRAIN} --net nowhere:net", "cannot import module 'nowhere'"),
    "another network": ("train net.h5 --dataset split-mnist-sample --net bn-2048",
                        "made for net 'lenet-300-100', asked for 'bn-2048'"),
    "another seed": ("train net.h5 --dataset split-mnist-sample --seed 7", "asked for 7"),
    "tasks that are there": ("train net.h5 --dataset split-mnist-sample", "go on with --resume"),
    "too many tasks": (f"{TRAIN} --tasks 6", "expected 1 to 5 tasks, got 6"),
    "no tasks": (f"{TRAIN} --tasks 0", "expected 1 to 5 tasks, got 0"),
    "negative steps": (f"{TRAIN} --steps -1", "steps: expected a whole number from 1, got -1"),
    "two lengths": (f"{TRAIN} --steps 1 --epochs 1", "expected exactly one"),
    "a batch of none": (f"{TRAIN} --batch 0", "batch: expected a whole number from 1, got 0"),
    "too dense": (f"{TRAIN} --mask topk --density 1.5", "density: expected a number in (0, 1]"),
    "a density not heeded": (f"{TRAIN} --density 0.1", "density: goes with rule topk or gradual"),
    "a budget not heeded": (f"{TRAIN} --budget erdos-renyi", "budget: goes with rule topk or grad"),
    "a rate of no number": (f"{TRAIN} --lr nan", "lr: expected a positive number, got nan"),
    "an optimizer misspelt": (f"{TRAIN} --optimizer addam", "did you mean 'adam'?"),
    "a schedule misspelt": (f"{TRAIN} --schedule cosin", "did you mean 'cosine'?"),
    "a rule misspelt": (f"{TRAIN} --mask tpok", "did you mean 'topk'?"),
    "too few outputs": (f"{TRAIN} --outputs 1", "has 2 classes, the network 1 outputs"),
    "an archive at a URL": ("create s3://b/new.h5 --like mask.npz", "a URL can only be read"),
    "tasks at a URL": (TRAIN.replace("new", "s3://b/new"), "a URL can only be read"),
    "a page at a URL": ("report net.h5 --out https://a.b/new.html", "a URL can only be read"),
    "a folder at a URL": ("demo --out s3://b/new --quiet", "a URL can only be read"),
    "a device of no kind": (f"{TRAIN} --device gpu", "expected cpu, cuda, cuda:1, … or mps"),
    "a card that is not there": (f"{TRAIN} --device cuda:99", "'cuda:99' cannot be used here"),
    "a log in no folder": (f"{TRAIN} --csv no/log.csv", "no/log.csv: cannot be gone on with"),
    "a log of no kind": (f"{TRAIN} --log tensorbord:x", "mean 'tensorboard'?"),
    "a log of no place": (f"{TRAIN} --log wandb", "expected wandb:PLACE"),
    "text as weights": (f"{TRAIN} --weights text.h5", "not a checkpoint that torch.save wrote"),
    "labels of no kind": (f"{TRAIN} --labels own", "expected one of shared, original, got 'own'"),
    "ways that do not divide": (f"{TRAIN} --ways 11", "cannot be split into tasks of 11"),
    "parameters of no name": (f"{TRAIN} --per-task head.*", "no parameter matches 'head.*'"),
    "a scenario misspelt": ("eval net.h5 --scenario GNx", "expected one of GG, GNs, GNu, NNs"),
    "a method misspelt": ("eval net.h5 --scenario GNu --method one-shoot", "'one-shot'?"),
    "an objective misspelt": ("eval net.h5 --scenario GNu --objective entropi", "'entropy'?"),
    "a mode misspelt": ("infer net.h5 --data image.npy --mode images", "did you mean 'image'?"),
    "masks of no network": ("eval hand.h5", "made by hand, without the recipe of a network"),
    "no such images": ("infer net.h5 --data none.npy", "none.npy: cannot read: No such file"),
    "images of another size": ("infer net.h5 --data small.npy", "its images have 784 numbers"),
    "text as images": ("infer net.h5 --data text.h5", "that ends in '.h5'"),
    "words as images": ("infer net.h5 --data words.npy", "got an array of shape (2,)"),
    "images of no numbers": ("infer net.h5 --data nan.npy", "2 of 2 images have numbers"),
    "no images": ("infer net.h5 --data empty.npy", "got an array of shape (0, 784)"),
    "no prototypes": ("infer net.h5 --data image.npy --method prototypes", "not every task"),
    "no such layer": ("prototypes net.h5 --layer fc9", "no layer 'fc9'; the network has: fc1"),
    "a memory by no rule": ("encode net.h5 --out new.h5 --rule hebbs", "did you mean 'hebb'?"),
    "a memory too large": ("encode net.h5 --out new.h5", "265,400 units need matrices of"),
    "an archive as memory": ("recover net.h5 --data image.npy", "net.h5: not a Hopfield memory"),
    "seeds that are words": ("compare --dataset split-mnist-sample --seeds a --out n", "--seeds:"),
    "a figure misspelt": ("reproduce hopfeild --out new", "did you mean 'hopfield'?"),
    "learning over masks": ("learn net.h5 --dataset split-mnist-sample", "go on with --resume"),
    "a stream of nothing": ("learn new.h5 --dataset split-mnist-sample --least 0", "1 <= least"),
    "a demo over a file": ("demo --out text.h5", "text.h5: cannot make the folder"),
}  # fmt: skip
"""What the files and settings forbid: exit code 1."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two archives, one made by hand, and files that are none of what they are given for."""
    folder = tmp_path_factory.mktemp("wrong")
    with MaskArchive.create(folder / "hand.h5", LAYOUT) as hand:
        for seed, name in enumerate("ab"):
            hand.add(name, random_masks(seed))
        offset = hand.entry("a").offset
    damaged = bytearray((folder / "hand.h5").read_bytes())
    damaged[offset] ^= 1
    (folder / "damaged.h5").write_bytes(damaged)
    with SupSup.create(folder / "net.h5", "lenet-300-100", outputs=2) as model:
        model.train("split-mnist-sample", count=2, steps=2, quiet=True)
    with h5py.File(folder / "other.h5", "w") as other:
        other["x"] = np.zeros(100)
    (folder / "text.h5").write_text("hello\n" * 50)
    save_masks(folder / "mask.npz", random_masks(3))
    np.save(folder / "image.npy", np.zeros((2, 784), np.float32))
    np.save(folder / "small.npy", np.zeros((2, 5), np.float32))
    np.save(folder / "nan.npy", np.full((2, 784), np.nan, np.float32))
    np.save(folder / "empty.npy", np.zeros((0, 784), np.float32))
    np.save(folder / "words.npy", np.array(["a", "b"]))
    return folder


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, and what its file holds."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize(
    ("line", "message", "code"),
    [
        pytest.param(*row, code, id=what)
        for table, code in ((USAGE, 2), (ERRORS, 1))
        for what, row in table.items()
    ],
)
def test_one_line_and_nothing_lost(folder, run, monkeypatch, line, message, code):
    monkeypatch.chdir(folder)
    before = contents(folder)
    found = run(*shlex.split(line))
    after = contents(folder)
    for path in after.keys() - before.keys():  # the next row finds what this one found
        shutil.rmtree(path) if after[path] is None else Path(path).unlink()
    assert (found.code, found.out) == (code, "")
    assert found.err.startswith("error: ")
    assert found.err.count("\n") == 1
    assert message in found.err
    assert code == 1 or "see `supsup-store" in found.err
    assert after == before


def test_there_are_sixty():
    assert len(USAGE) + len(ERRORS) >= 60
