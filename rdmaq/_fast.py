"""The compiled extension, imported here and nowhere else.

Its file holds two modules: `rdmaq._ext`, which cffi made of rdmaq_abi.h, and `rdmaq._hot`, the few
methods that are written for CPython by hand. One file, so that both use the same ring and clock.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import sys
from importlib.machinery import ExtensionFileLoader

try:
    from rdmaq import _ext
    from rdmaq._ext import ffi, lib
except ImportError as error:  # pragma: no cover - a broken installation
    raise ImportError(
        f"rdmaq's compiled extension cannot be loaded: {error}; "
        "install the package (pip install rdmaq) or, in a checkout, run scripts/setup"
    ) from error


def _load_hot() -> None:
    """Makes `rdmaq._hot` out of the file that `rdmaq._ext` came from."""
    name = "rdmaq._hot"
    loader = ExtensionFileLoader(name, str(_ext.__file__))
    spec = importlib.util.spec_from_file_location(name, loader.path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    sys.modules[name] = module


_load_hot()

from rdmaq._hot import (  # noqa: E402 - made just now
    BatchCore,
    BatchIterator,
    Poster,
    Receiver,
    Sender,
)

__all__ = [
    "BatchCore",
    "BatchIterator",
    "Poster",
    "Receiver",
    "Sender",
    "address_of",
    "error_text",
    "ffi",
    "lib",
    "parse_bytes",
]

_UNITS = {"": 1, "B": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
_SIZE = re.compile(r"\s*(\d+)\s*([A-Za-z]*)\s*")


def error_text(code: int) -> str:
    """The system's words for a negative errno that C returned, with its name."""
    return f"{os.strerror(-code)} ({errno.errorcode.get(-code, str(code))})"


def address_of(pointer: object) -> int:
    """The number that stands for a pointer of cffi's: what `rdmaq._hot` takes."""
    return int(ffi.cast("uintptr_t", pointer))


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
