"""What to do when the device refuses to make or to connect a queue pair."""

from __future__ import annotations

import errno

MAKE_CURES = {
    errno.ENOMEM: "the device has no room for it (see `rdma resource`): close others, or lower "
    "send_depth, receive_depth and inline_bytes; or raise `ulimit -l`",
    errno.EINVAL: "the device refuses these depths: lower send_depth, receive_depth, inline_bytes",
    0: "see the kernel's log",
}
CONNECT_CURES = {
    errno.ETIMEDOUT: "nobody on the network has the peer's address: check that it lives and that "
    "`ping` reaches it from the interface of our GID",
    errno.ENETUNREACH: "our GID's interface has no route there: choose another GID on one of the "
    "sides (interface=, reach= or gid_index= of rdmaq.verbs.open)",
    errno.EHOSTUNREACH: "the peer does not answer on our GID's network: check that it lives, and "
    "the GIDs of both sides",
    errno.EINVAL: "the device refuses what was agreed on: check the GIDs of both sides (of one "
    "kind, and still there: `rdmaq.verbs.ports()`), the MTU and the depths",
    0: "check the GIDs of both sides and see the kernel's log",
}
