"""What a package exports is there, and no name in it hides a module of that name."""

import importlib
import inspect
import subprocess
import sys
from types import ModuleType

import pytest

import maskstore
import supsup
from tests.sources import PACKAGES, folder_of


def modules_of(package: str) -> dict[str, ModuleType]:
    """Every module and folder of a package by its full name, imported."""
    found = {}
    for file in sorted(folder_of(package).rglob("*.py")):
        parts = (package, *file.relative_to(folder_of(package)).with_suffix("").parts)
        for stop in range(1, len(parts) + (parts[-1] not in ("__init__", "__main__"))):
            name = ".".join(parts[:stop])
            try:
                found[name] = importlib.import_module(name)
            except ModuleNotFoundError as error:
                if error.name != "triton":  # comes with PyTorch for CUDA only
                    raise
    return found


MODULES = {name: module for package in PACKAGES for name, module in modules_of(package).items()}
FOLDERS = {name: module for name, module in MODULES.items() if hasattr(module, "__path__")}


def hidden(folder: ModuleType, modules: dict[str, ModuleType]) -> list[str]:
    """The modules of a folder that the folder's attribute of their name is not."""
    return [
        name
        for name, module in modules.items()
        if name.rpartition(".")[0] == folder.__name__
        and getattr(folder, name.rpartition(".")[2]) is not module
    ]


@pytest.mark.parametrize("name", FOLDERS)
def test_no_name_hides_a_module(name):
    assert not hidden(FOLDERS[name], MODULES)


def test_a_hidden_module_is_seen(monkeypatch):
    assert {"maskstore.storage", "supsup.training", "hopfield.rules"} <= set(FOLDERS)
    monkeypatch.setattr(maskstore, "archive", maskstore.archive.MaskArchive)
    assert hidden(maskstore, MODULES) == ["maskstore.archive"]


@pytest.mark.parametrize("name", [name for name in FOLDERS if hasattr(FOLDERS[name], "__all__")])
def test_every_exported_name_exists_once(name):
    exported = FOLDERS[name].__all__
    assert len(set(exported)) == len(exported)
    assert all(hasattr(FOLDERS[name], each) for each in exported)
    assert set(exported) <= set(dir(FOLDERS[name]))


def test_the_three_libraries_say_what_they_export():
    assert all(hasattr(FOLDERS[name], "__all__") for name in ("maskstore", "hopfield", "supsup"))


@pytest.mark.parametrize("name", ["archive_stats", "compact", "merge", "repair", "verify"])
def test_what_is_done_to_whole_archives_is_a_function_of_maskstore(name):
    assert inspect.isfunction(getattr(maskstore, name))
    assert name in maskstore.__all__
    assert getattr(maskstore, name).__doc__


@pytest.mark.parametrize(
    ("package", "heavy"),
    [
        ("maskstore", ("torch", "numba", "matplotlib", "h5py")),
        ("hopfield", ("torch", "numba", "matplotlib", "h5py")),
        ("supsup", ("torch", "numba", "matplotlib")),
        ("supsup_store.main", ("torch", "numba", "matplotlib")),
    ],
)
def test_importing_a_package_is_cheap(package, heavy):
    code = f"import sys, {package}; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert package in loaded
    assert not loaded & set(heavy)


@pytest.mark.parametrize("name", ["maskstore", "hopfield", "supsup"])
def test_completion_offers_what_is_exported_and_modules(name):
    package = FOLDERS[name]
    offered = {each for each in dir(package) if not each.startswith("_")}
    others = offered - set(package.__all__)
    assert not [each for each in others if not isinstance(getattr(package, each), ModuleType)]


ARCHIVE = """
    add add_many backbone bitarrays close closed create damage file_bytes format_version get
    get_packed keys layout metadata_example names open packed parameters path refresh remove rename
    set_shared_tensors set_tensors shared shared_tensors task tasks tensors to_dataframe transaction
    update weights_digest
"""
MODEL = "archive backbone close create data evaluate infer module open predict report tasks train"


def test_completion_offers_what_an_object_is_to_its_users(tmp_path):
    with supsup.SupSup.create(tmp_path / "a.h5", "lenet-300-100", outputs=2) as model:
        for found, offered in ((model, MODEL), (model.archive, ARCHIVE)):
            assert [each for each in dir(found) if not each.startswith("_")] == offered.split()


GIVES_PATHS = {"build"}  # its folders are those of an archive that was opened

TAKES_PATHS = {
    (folder, name): value
    for folder, module in FOLDERS.items()
    for name in getattr(module, "__all__", ())
    if inspect.isfunction(value := getattr(module, name))
    and name not in GIVES_PATHS
    and any("Path" in str(each.annotation) for each in inspect.signature(value).parameters.values())
}


@pytest.mark.parametrize(("folder", "name"), TAKES_PATHS)
def test_a_path_may_be_text(folder, name):
    for each in inspect.signature(TAKES_PATHS[folder, name]).parameters.values():
        if "Path" in str(each.annotation) and "Callable" not in str(each.annotation):
            assert "str" in str(each.annotation).replace("PathLike[str]", ""), each
