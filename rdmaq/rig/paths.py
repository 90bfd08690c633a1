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
from contextlib import contextmanager
from pathlib import Path

from rdmaq.rig.errors import RigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


def private_folder(path: Path) -> Path:
    """Make a folder that only this user may enter, and return it.

    Raises:
        RigError: it belongs to somebody else, or others may write to it.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
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


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file while the block runs; the kernel frees it if we die."""
    private_folder(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
