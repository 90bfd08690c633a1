"""What a benchmark's child process runs: `python -m rdmaq.bench.worker ROLE FD PARENT`."""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
from contextlib import closing
from multiprocessing.connection import Connection

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent_pid: int) -> None:
    """The kernel kills this process when its parent's thread ends, however that comes about."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the call
        sys.exit(1)


def serve(role: str, connection: Connection) -> None:
    """Runs one method of the role's `Far` after the other, until the parent hangs up."""
    try:
        far = importlib.import_module(role).Far(**connection.recv())
    except Exception as error:  # told to the parent, which raises it
        connection.send((False, f"{type(error).__name__}: {error}"))
        return
    connection.send((True, None))
    with closing(far):
        while True:
            method, arguments = connection.recv()
            try:
                answer = getattr(far, method)(**arguments)
            except Exception as error:
                connection.send((False, f"{type(error).__name__}: {error}"))
                return
            connection.send((True, answer))


def main() -> None:
    """Entry of the child process."""
    role, fd, parent_pid = sys.argv[1:]
    die_with_parent(int(parent_pid))
    with Connection(int(fd)) as connection:
        try:
            serve(role, connection)
        except (EOFError, ConnectionError):
            return  # the parent hung up: the end


if __name__ == "__main__":
    main()
