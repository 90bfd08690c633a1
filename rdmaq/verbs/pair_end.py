"""The steps of a queue pair's end, and what is said where its device does not take them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rdmaq.errors import PairError
from rdmaq.verbs import states
from rdmaq.verbs._calls import keep_for_ever, refusals
from rdmaq.verbs.watchdog import FLUSH_SECONDS_MAX

if TYPE_CHECKING:
    from rdmaq.verbs.device import Device
    from rdmaq.verbs.failure import PairFacts
    from rdmaq.verbs.fast import PostedPair


def to_error(qp: Any) -> None:
    """Has the device throw away what is in flight; one that is gone has done so by itself."""
    if qp is not None:  # else another thread closes the pair: it is destroyed
        with suppress(PairError), refusals("", {0: ""}, PairError):
            states.to_err(qp)


def flush(posted: PostedPair, qp: Any, device: Device) -> None:
    """Refuses what comes, and waits until all in flight has its report, for a bounded time."""
    posted.close()
    to_error(qp)
    posted.drain(0.0 if device.is_gone else FLUSH_SECONDS_MAX)


def destroy(qp: Any) -> None:
    """Destroys the queue pair.

    Raises:
        PairError: the device refuses. It is not tried again.
    """
    try:
        with refusals("cannot close a queue pair", {0: "see the kernel's log"}, PairError):
            qp.close()
    except PairError:
        keep_for_ever(qp)  # else pyverbs tries when its last reference goes, and is heard by nobody
        raise


def stands_still(facts: PairFacts) -> PairError:
    """What is lost when not even a flush comes."""
    return PairError(
        f"{facts} is lost: its device completes nothing, and did not even throw away what was in "
        "flight; close the pair, see the kernel's log, and open the device anew"
    )


def gone(facts: PairFacts, device: Device) -> PairError:
    """What is lost when the device told that it has failed, or was removed."""
    why = "told DEVICE_FATAL, it has failed" if device.events.is_fatal else "was removed"
    return PairError(
        f"{facts} is lost: {device.port.device} {why}; close the pair and the device, see the "
        "kernel's log, and open the device anew"
    )
