"""The extension is rebuilt exactly when a source is newer than the last build."""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from scripts import _rebuild_on_import as rebuild_on_import

YEAR_2020_NS = 1_577_836_800_000_000_000


class Loader:
    """Stands for scikit-build-core's loader; counts instead of building."""

    def __init__(self) -> None:
        self.rebuild_count = 0
        self.path_seen = ""

    def rebuild(self) -> None:
        self.rebuild_count += 1
        self.path_seen = os.environ["PATH"]


@pytest.fixture
def loader(monkeypatch: pytest.MonkeyPatch) -> Loader:
    package = ModuleType("rdmaq")
    package.__spec__ = ModuleSpec("rdmaq", None)
    loader = Loader()
    package.__spec__.loader = loader  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "rdmaq", package)
    return loader


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose sources are years older than any build."""
    (tmp_path / "csrc" / "ring").mkdir(parents=True)
    (tmp_path / ".build").mkdir()
    for name in ("CMakeLists.txt", "csrc/ring/a.c"):
        (tmp_path / name).touch()
    for path in tmp_path.rglob("*"):
        os.utime(path, ns=(YEAR_2020_NS, YEAR_2020_NS))
    return tmp_path


def test_first_import_builds_and_the_second_does_not(checkout: Path, loader: Loader) -> None:
    for _ in range(2):
        rebuild_on_import.rebuild_when_stale(str(checkout))
    assert loader.rebuild_count == 1
    assert loader.path_seen.startswith(f"{sys.prefix}/bin{os.pathsep}")
    assert not os.environ["PATH"].startswith(f"{sys.prefix}/bin{os.pathsep}{sys.prefix}")


@pytest.mark.parametrize("change", ["edit", "add", "remove"])
def test_changed_source_is_built_again(checkout: Path, loader: Loader, change: str) -> None:
    rebuild_on_import.rebuild_when_stale(str(checkout))
    source = checkout / "csrc" / "ring" / "a.c"
    if change == "edit":
        source.write_text("int x;\n")
    elif change == "add":
        source.with_name("b.c").touch()
    else:
        source.unlink()
    rebuild_on_import.rebuild_when_stale(str(checkout))
    assert loader.rebuild_count == 2


def test_failed_build_is_tried_again(
    checkout: Path, loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("does not compile")

    monkeypatch.setattr(loader, "rebuild", fail)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            rebuild_on_import.rebuild_when_stale(str(checkout))


def test_finder_acts_once_and_only_on_the_extension(
    checkout: Path, loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    finder = rebuild_on_import.RebuildBeforeImport(str(checkout))
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    finder.find_spec("rdmaq.node")
    assert loader.rebuild_count == 0
    for _ in range(2):
        finder.find_spec("rdmaq._ext")
    assert loader.rebuild_count == 1
    assert finder not in sys.meta_path


def test_deleted_build_folder_is_told_with_its_cure(checkout: Path, loader: Loader) -> None:
    (checkout / ".build").rmdir()
    with pytest.raises(ImportError, match="scripts/setup"):
        rebuild_on_import.rebuild_when_stale(str(checkout))
    assert loader.rebuild_count == 0
