"""The C half of the stress runs, built when needed, and the books of `ring` in shared memory."""

from __future__ import annotations

import fcntl
import mmap
import os
import subprocess
from pathlib import Path
from typing import Any

from cffi import FFI

_FOLDER = Path(__file__).parent
_BUILD = _FOLDER.parents[1] / ".build" / "stress"
_HEADERS = sorted(_FOLDER.glob("*.h"))
_FLAGS = ["-O2", "-g", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]


def _build() -> Path:
    """Compiles the C files beside this one, unless the library is newer."""
    _BUILD.mkdir(parents=True, exist_ok=True)
    library, sources = _BUILD / "board.so", sorted(_FOLDER.glob("*.c"))
    with (_BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        newest = max(path.stat().st_mtime for path in [*sources, *_HEADERS])
        if not library.exists() or library.stat().st_mtime < newest:
            made = library.with_suffix(f".{os.getpid()}")  # others may have the old one mapped
            compiler = os.environ.get("CC", "cc")
            subprocess.run([compiler, *_FLAGS, *sources, "-o", made], check=True)
            made.replace(library)
    return library


ffi = FFI()
for _path in _HEADERS:
    ffi.cdef(_path.read_text().split("/* cffi: begin */")[1].split("/* cffi: end")[0])
lib: Any = ffi.dlopen(os.fspath(_build()))

RECORD_BYTES: int = lib.BOARD_RECORD_BYTES
MESSAGE_BYTES_MAX: int = lib.BOARD_MESSAGE_BYTES_MAX
LINES_MAX: int = lib.BOARD_LINES_MAX
INCARNATIONS_MAX: int = lib.BOARD_INCARNATIONS_MAX


class Board:
    """A `struct board` that forked children share; `clear` before each round."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, ffi.sizeof("struct board"))
        self.words: Any = ffi.from_buffer("struct board *", self._memory)

    def clear(self) -> None:
        """Empty books, for nobody else is there."""
        ffi.memmove(self.words, ffi.new("struct board *"), ffi.sizeof("struct board"))

    @property
    def published(self) -> int:
        """Sequences published by all incarnations up to now."""
        return int(lib.board_published(self.words))

    def account(self, line: int) -> Any:
        """A copy of the line's `struct account`."""
        return lib.board_account(self.words, line)

    def incarnation(self, number: int) -> Any:
        """The `struct incarnation`, itself."""
        return self.words.incarnations[number]
