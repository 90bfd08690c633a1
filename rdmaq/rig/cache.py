"""What of the cache is kept: the images used last, and their snapshots."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from rdmaq.rig import state
from rdmaq.rig.errors import RigError
from rdmaq.rig.paths import LockHeld, cache_folder, cache_lock, locked

IMAGES_MAX = 4  # some 75 MB each, and 130 MB for each of its snapshots


def prune(*, keep: int = IMAGES_MAX - 1) -> list[Path]:
    """Remove all but the last used images, with their snapshots, to make room for a new one.

    Does nothing while a rig is being started. Running rigs do not need theirs any more.
    """
    cache = cache_folder()
    try:
        with locked(cache_lock(), wait=False):
            images = sorted(cache.glob("image-*"), key=lambda path: -path.stat().st_mtime_ns)
            kept = {path.name.removeprefix("image-") for path in images[:keep]}
            old = [path for path in images if path.name.removeprefix("image-") not in kept]
            old += [p for p in cache.glob("snapshot-*") if p.name.split("-")[1] not in kept]
            for path in old:
                shutil.rmtree(path, ignore_errors=True)
    except LockHeld:
        return []
    return old


def clean() -> None:
    """Remove the cache.

    Raises:
        RigError: a rig of this user is up or being started, and uses it.
    """
    if up_now := [n for n in state.names() if (s := state.read(n)) is not None and s.is_whole]:
        raise RigError(f"in use by rig {', '.join(up_now)}; run `rdmaq rig down --all` first")
    cache = cache_folder()
    if not cache.exists():
        return
    try:
        with locked(cache_lock(), wait=False):
            for path in cache.iterdir():
                if path == cache_lock() or path.name == "locks":
                    continue
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            for path in (cache / "locks").glob("*"):
                with contextlib.suppress(LockHeld), locked(path, wait=False):
                    path.unlink()
            cache_lock().unlink()
    except LockHeld:
        raise RigError("a rig is being started or built; try again when it is done") from None
    except OSError as error:
        raise RigError(f"{cache} cannot be removed: {error}; remove it by hand") from error
    with contextlib.suppress(OSError):
        (cache / "locks").rmdir()
        cache.rmdir()
