"""The C thread that beats hearts, wakes readers and polls links; it never enters Python."""

from __future__ import annotations

from typing import Any

from rdmaq._fast import error_text, ffi, lib
from rdmaq.errors import CapacityError


def start() -> Any:
    """Starts one and returns the `struct rq_keeper *`, which `rq_keeper_stop` ends and frees.

    Raises:
        CapacityError: the system has no room for another thread.
    """
    out = ffi.new("struct rq_keeper **")
    code = lib.rq_keeper_start(out)
    if code != 0:
        raise CapacityError(
            f"rdmaq's thread cannot be started: {error_text(code)}; raise the limits of processes "
            "and open files (ulimit -u, ulimit -n) or the container's of tasks, or free memory"
        )
    return out[0]
