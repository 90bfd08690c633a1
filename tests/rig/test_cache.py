"""The cache stays small, is emptied only when nobody uses it, and locks leave nothing behind."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from rdmaq.rig import cache, paths, state
from rdmaq.rig.errors import RigError
from rdmaq.rig.paths import LockHeld, cache_lock, locked, rig_locked


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("RDMAQ_RIG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RDMAQ_RIG_RUNTIME", str(tmp_path / "run"))
    return tmp_path / "cache"


def fill(folder: Path) -> None:
    """Six images, used in the order of their letters, with a snapshot each."""
    for age, key in enumerate("abcdef"):
        for name in (f"image-{key}", f"snapshot-{key}-1"):
            (folder / name).mkdir(parents=True)
            os.utime(folder / name, (1000 + age, 1000 + age))


def test_images_used_last_are_kept_with_their_snapshots(folder: Path) -> None:
    fill(folder)
    paths.note_use(folder / "image-a")
    cache.prune(keep=2)
    left = {path.name for path in folder.iterdir() if path.is_dir()}
    assert left == {"image-a", "snapshot-a-1", "image-f", "snapshot-f-1"}


def test_nothing_is_pruned_or_cleaned_while_a_rig_starts(folder: Path) -> None:
    fill(folder)
    with locked(cache_lock(), shared=True):
        assert cache.prune(keep=2) == []
        with pytest.raises(RigError, match="being started or built; try again"):
            cache.clean()
    assert (folder / "image-a").is_dir()


def test_clean_leaves_nothing(folder: Path) -> None:
    fill(folder)
    (folder / "locks").mkdir()
    (folder / "locks" / "of-a-killed-up").touch()
    cache.clean()
    assert not folder.exists()
    cache.clean()


def test_lock_goes_with_its_rig_and_stays_while_there_is_one(folder: Path) -> None:
    with rig_locked("mine"):
        assert (folder / "locks" / "mine").exists()
    assert not (folder / "locks" / "mine").exists()
    with rig_locked("mine"):
        state.folder_of("mine").mkdir(parents=True)
    assert (folder / "locks" / "mine").exists()


def test_lock_file_removed_by_its_holder_lets_in_one_at_a_time(folder: Path) -> None:
    """Waiters get the lock of a file that is no longer there; they must not believe it."""
    inside, most = 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(50):
            with rig_locked("busy"):
                with guard:
                    inside += 1
                    most = max(most, inside)
                with guard:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_lock_that_is_held_is_told_when_not_waited_for(folder: Path) -> None:
    with locked(folder / "one"), pytest.raises(LockHeld), locked(folder / "one", wait=False):
        pass
