"""Refuses interpreters that rdmaq cannot run in. Imported first, so that nothing is loaded yet."""

from __future__ import annotations

import importlib
import sys


def _is_subinterpreter() -> bool:
    """Whether this is not the process's main interpreter.

    The module that tells is private to CPython and has two names: `_xxsubinterpreters` up to 3.12,
    `_interpreters` from 3.13 on, where an interpreter is a pair of its number and its origin. Where
    there is neither, Python code cannot have made a subinterpreter.
    """
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        is_other: bool = module.get_current() != module.get_main()
        return is_other
    return False


def _check() -> None:
    if _is_subinterpreter():
        raise ImportError(
            "rdmaq cannot be used in a subinterpreter: numpy and cffi keep state that belongs to "
            "the main one, and so do rdmaq's handles; use a process or a thread instead"
        )
    if "t" in getattr(sys, "abiflags", ""):
        raise ImportError(
            "rdmaq cannot be used in a free-threaded Python: its extension uses the limited API, "
            "which such builds do not have, and its handles count on the GIL between two crossings "
            "into C; use the usual build of the same version"
        )


_check()
