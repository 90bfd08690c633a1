"""What every call of pyverbs needs: its errors as ours, and objects that a fork must not free."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rdmaq.errors import RdmaqError
from rdmaq.verbs.library import load


@contextmanager
def refusals(what: str, cures: dict[int, str], kind: type[RdmaqError]) -> Iterator[None]:
    """Turns pyverbs' errors into ours: "what: the system's words; cure".

    Args:
        what: what was being done, for the text.
        cures: by errno; 0 is for all others.
        kind: the class to raise.
    """
    try:
        yield
    except load().pyverbs_error.PyverbsError as error:
        code = abs(getattr(error, "error_code", 0) or 0)
        if (code in errno.errorcode and code != 1) or "Errno: 1" in str(error):
            cause = f"{os.strerror(code)} ({errno.errorcode[code]})"
        else:
            cause = str(error)
        raise kind(f"{what}: {cause}; {cures.get(code, cures[0])}") from error


def take_all(*steps: Callable[[], object]) -> None:
    """Takes each step of an end, though one before it failed; then raises the first failure."""
    failures = []
    for step in steps:
        try:
            step()
        except BaseException as error:
            failures.append(error)
    if failures:
        raise failures[0]


def keep_for_ever(*pyverbs_objects: Any) -> None:
    """Never frees these in this process.

    For a forked child: it has its parent's descriptors, so destroying its copy of a queue pair
    would destroy the parent's.
    """
    for thing in pyverbs_objects:
        if thing is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
