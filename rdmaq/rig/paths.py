"""Where a rig keeps its things: what can be made again in the cache, what runs in a runtime folder.

Both belong to one user and have mode 0700: two users never share a rig or a cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rdmaq.rig.errors import RigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


def private_folder(path: Path) -> Path:
    """Make a folder that only this user may enter, and return it.

    Raises:
        RigError: it belongs to somebody else, or others may write to it.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status, own = path.stat(), path.lstat()  # a link is as trustworthy as who made it
    except OSError as error:
        raise RigError(
            f"{path} cannot be made: {error.strerror}; make it a folder of your own, or name "
            "another by RDMAQ_RIG_CACHE or RDMAQ_RIG_RUNTIME"
        ) from error
    if {status.st_uid, own.st_uid} != {os.getuid()} or status.st_mode & 0o022:
        raise RigError(
            f"{path} cannot be used: it belongs to another user, or others may write to it; "
            "remove it, or name another by RDMAQ_RIG_CACHE or RDMAQ_RIG_RUNTIME"
        )
    return path


def cache_folder() -> Path:
    """Return the cache: $RDMAQ_RIG_CACHE, else rdmaq/rig in the user's cache folder."""
    if named := os.environ.get("RDMAQ_RIG_CACHE"):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "rdmaq" / "rig"


def runtime_folder() -> Path:
    """Return the folder of running rigs; its path is short, since a UNIX socket's may be 107 B."""
    if named := os.environ.get("RDMAQ_RIG_RUNTIME"):
        return Path(named)
    if base := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(base) / "rdmaq-rig"
    return Path(tempfile.gettempdir()) / f"rdmaq-rig-{os.getuid()}"


def checkout_of(folder: Path) -> Path:
    """Return the root of the git checkout around `folder`, else `folder` itself."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "--show-toplevel"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return folder.resolve()
    return Path(answer.stdout.strip()).resolve()


def rig_name(checkout: Path, named: str | None = None) -> str:
    """Return the rig's name: the given one, $RDMAQ_RIG_NAME, else one of the checkout's own.

    Raises:
        RigError: the name is not letters, digits, `.`, `_` and `-`.
    """
    name = named or os.environ.get("RDMAQ_RIG_NAME")
    if name is None:
        digest = hashlib.sha256(os.fsencode(checkout)).hexdigest()[:6]
        name = f"{re.sub('[^A-Za-z0-9]', '-', checkout.name)[:20].strip('-') or 'rig'}-{digest}"
    if not _NAME.fullmatch(name):
        raise RigError(f"{name!r} cannot name a rig; use up to 40 letters, digits, '.', '_', '-'")
    return name


class LockHeld(Exception):
    """Somebody else holds a lock that was not to be waited for."""


@contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[None]:
    """Hold a lock on a file while the block runs; the kernel frees it if we die.

    The holder of an exclusive lock may remove its file: who waits for it then makes a new one.

    Raises:
        LockHeld: somebody has it, and `wait` is False.
    """
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    while True:
        private_folder(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, how if wait else how | fcntl.LOCK_NB)
            if _is_still(path, descriptor):
                yield
                return
        except BlockingIOError:
            raise LockHeld(path) from None
        finally:
            os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextmanager
def rig_locked(name: str) -> Iterator[None]:
    """Hold the lock of a rig while the block runs.

    It lies in the cache, since nothing else outlives a rig, and goes when the rig is gone.
    """
    path = cache_folder() / "locks" / name
    with locked(path):
        try:
            yield
        finally:
            if not (runtime_folder() / name).exists():
                path.unlink(missing_ok=True)


def cache_lock() -> Path:
    """Return the lock that is shared by who uses the cache, and exclusive to who empties it."""
    return cache_folder() / "use.lock"


def note_use(folder: Path) -> None:
    """Note that an entry of the cache was used now; the one used longest ago goes first."""
    with suppress(OSError):
        os.utime(folder)
