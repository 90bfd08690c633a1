"""Rebuild the extension when its sources changed: `scripts/setup` installs this into `.venv`.

scikit-build-core can rebuild at each import by itself, but then every process start runs CMake
twice (130 ms measured, one process at a time) and needs `cmake` in PATH. This finder looks at the
times of some forty files instead (under 1 ms), and asks scikit-build-core's own rebuild, with its
lock, only when one of them is newer than the last build.
"""

from __future__ import annotations

import os
import sys
import time

EXTENSION = "rdmaq._ext"
SOURCES = ("CMakeLists.txt", "csrc")
STAMP = os.path.join(".build", "extension-built")

# A file's time comes from a clock that lags by up to a tick: err towards one rebuild more.
CLOCK_LAG_NS = 20_000_000


class RebuildBeforeImport:
    """A finder that finds nothing; it rebuilds, once, just before the extension is looked for."""

    def __init__(self, root: str) -> None:
        self.root = root

    def find_spec(self, fullname: str, *_where: object) -> None:
        """Leave every import to the finders behind this one."""
        if fullname == EXTENSION and self in sys.meta_path:
            sys.meta_path.remove(self)
            rebuild_when_stale(self.root)


def newest_change_ns(root: str) -> int:
    """Return when a source was last changed, added or removed, in ns since the epoch."""
    newest_ns = 0
    pending = [os.path.join(root, name) for name in SOURCES]
    while pending:
        path = pending.pop()
        # A folder's own time tells of files added and removed.
        newest_ns = max(newest_ns, os.stat(path).st_mtime_ns)
        if os.path.isdir(path):
            with os.scandir(path) as entries:
                pending.extend(e.path for e in entries if not e.name.startswith((".", "__pyc")))
    return newest_ns


def rebuild_when_stale(root: str) -> None:
    """Run the install's own rebuild if a source is newer than the stamp.

    Raises:
        ImportError: The build folder was deleted; `scripts/setup` makes it again.
        subprocess.CalledProcessError: The C code does not compile; the compiler's words are on
            standard error.
    """
    stamp = os.path.join(root, STAMP)
    if not os.path.isdir(os.path.dirname(stamp)):
        raise ImportError(
            f"cannot rebuild {EXTENSION}: {os.path.dirname(stamp)} is gone; run scripts/setup"
        )
    try:
        built_ns = os.stat(stamp).st_mtime_ns
    except FileNotFoundError:
        built_ns = 0
    if newest_change_ns(root) <= built_ns:
        return
    loader = getattr(sys.modules["rdmaq"].__spec__, "loader", None)
    rebuild = getattr(loader, "rebuild", None)
    if rebuild is None:
        return  # not an editable install: there is nothing to rebuild
    started_ns = time.time_ns() - CLOCK_LAG_NS
    search_path = os.environ.get("PATH", "")
    # The environment's own cmake, whether or not the environment is activated.
    os.environ["PATH"] = os.path.join(sys.prefix, "bin") + os.pathsep + search_path
    try:
        rebuild()
    finally:
        os.environ["PATH"] = search_path
    with open(stamp, "w", encoding="utf-8"):
        pass
    os.utime(stamp, ns=(started_ns, started_ns))
