"""The compiled extension, imported here and nowhere else."""

from __future__ import annotations

import errno
import os
import re

try:
    from rdmaq._ext import ffi, lib
except ImportError as error:  # pragma: no cover - a broken installation
    raise ImportError(
        f"rdmaq's compiled extension cannot be loaded: {error}; "
        "install the package (pip install rdmaq) or, in a checkout, run scripts/setup"
    ) from error

__all__ = ["error_text", "ffi", "lib", "parse_bytes"]

_UNITS = {"": 1, "B": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
_SIZE = re.compile(r"\s*(\d+)\s*([A-Za-z]*)\s*")


def error_text(code: int) -> str:
    """The system's words for a negative errno that C returned, with its name."""
    return f"{os.strerror(-code)} ({errno.errorcode.get(-code, str(code))})"


def parse_bytes(size: int | str) -> int:
    """Reads a size in bytes: 65536, "64KiB", "16 MiB", "1GiB".

    Raises:
        ValueError: the text is not a number with one of those units.
    """
    if isinstance(size, int):
        return size
    match = _SIZE.fullmatch(size)
    if match is None or match[2].upper() not in _UNITS:
        raise ValueError(f"{size!r} is not a size")
    return int(match[1]) * _UNITS[match[2].upper()]
