"""Changes of a subscription's state, for people and monitors: `Subscription.events()`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Event:
    """One change.

    Attributes:
        kind: "connected"; "silent" (no heartbeat for a second, or for as long as a link's settings
            say: nothing is torn down) and "heard" again; "ended" (the publisher closed the
            stream); "gone" (it vanished); "restarted" (a new incarnation is followed); "cut_off".
            Over verbs also "link_down" (it is asked for again) and "linked" (it goes on; a loss is
            declared as a gap); "replaying" (what was published before is READ), "catching_up" (all
            is here that was published when that began; once more, with the reason, where the
            node's NIC alone answers for seconds) and "live" (the publisher's NIC has taken over).
        epoch: the publisher's incarnation.
        detail: in words.
        time_ns: when it was noticed, ns since 1970.
    """

    kind: str
    epoch: int
    detail: str = ""
    time_ns: int = field(default_factory=time.time_ns)
