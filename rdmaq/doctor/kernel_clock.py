"""Asks the kernel whether the clock is kept to the time of day: adjtimex(2), changing nothing."""

from __future__ import annotations

import ctypes
import errno
import sys

# struct timex of linux/timex.h on 64-bit machines: 208 bytes; `status` stands at 40.
_TIMEX_BYTES, _STATUS_OFFSET = 208, 40
_STA_UNSYNC = 0x0040


def is_synchronised() -> bool:
    """Whether a time service (chronyd, systemd-timesyncd, ptp4l with phc2sys) disciplines it."""
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes 0: only ask
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.adjtimex(timex) < 0:
        # A sandbox that forbids the question: nothing is known against the clock.
        return ctypes.get_errno() in (errno.EPERM, errno.ENOSYS)
    status = int.from_bytes(timex.raw[_STATUS_OFFSET : _STATUS_OFFSET + 4], sys.byteorder)
    return not status & _STA_UNSYNC
