"""A completion queue and the channel that wakes who sleeps on it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

from rdmaq.errors import PairError
from rdmaq.verbs import pointers
from rdmaq.verbs._calls import refusals
from rdmaq.verbs.library import load

if TYPE_CHECKING:
    from rdmaq.verbs.device import Device

_CURES = {
    errno.ENOMEM: "the device has no room for it (see `rdma resource`); use smaller depths",
    errno.EINVAL: "the depths are more than the device takes; use smaller ones",
    errno.EMFILE: "this process has too many open files (`ulimit -n`); close some or raise it",
    0: "see the kernel's log",
}


class CompletionQueue:
    """What the NIC reports into, with room for all that may be in flight.

    Attributes:
        pointers: verified addresses, for the C side, and the channel's descriptor (non-blocking).
    """

    def __init__(self, device: Device, entry_count: int) -> None:
        if entry_count > device.limits.cq_entries_max:
            raise PairError(
                f"{entry_count:,} operations cannot be in flight: {device.port.device} takes "
                f"{device.limits.cq_entries_max:,}; lower send_depth and receive_depth"
            )
        context, pyverbs = device.pyverbs_context, load()
        self.channel: Any = None
        self.cq: Any = None
        try:
            with refusals("cannot make a completion queue", _CURES, PairError):
                self.channel = pyverbs.cq.CompChannel(context)
                self.cq = pyverbs.cq.CQ(context, entry_count, None, self.channel, 0)
            self.pointers = pointers.of_queue(
                self.cq,
                self.channel,
                context=device.pointers.context,
                entry_count_min=entry_count,
            )
            os.set_blocking(self.pointers.channel_fd, False)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Destroys queue and channel; all events must have been acknowledged. Idempotent."""
        for name in ("cq", "channel"):
            thing = getattr(self, name)
            setattr(self, name, None)
            if thing is not None:
                with refusals("cannot close a completion queue", _CURES, PairError):
                    thing.close()
