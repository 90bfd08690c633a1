"""A child process that cannot outlive its parent, however the parent ends."""

from __future__ import annotations

import ctypes
import os
import signal

# linux/prctl.h
PR_SET_PDEATHSIG = 1


def end_with_parent(parent_pid: int) -> None:
    """Lets the kernel kill this process when the thread that started it ends.

    Args:
        parent_pid: Of the parent; if it is gone already, this process ends now.

    Raises:
        OSError: The kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    # The parent may have ended before the kernel was asked.
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)
