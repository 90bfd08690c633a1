"""What C's error numbers mean to the user of a publisher, and what a subscriber asks in vain."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rdmaq import arguments, errors
from rdmaq._fast import error_text, lib

if TYPE_CHECKING:
    from rdmaq.stream.publisher_facts import PublisherFacts

_SEQUENCE_MAX = (1 << 62) - 1
_NAMES_TOLD_MAX = 200


def check_first_sequence(first_sequence: int) -> None:
    """Refuses what no stream can begin with, before C gets a number that it cannot hold."""
    cure = "sequences start at 1; leave it out for the next one"
    _check_sequence("first_sequence", first_sequence, cure)


def check_gap(first: int, last: int) -> None:
    """Refuses what is no range of sequences."""
    cure = "give first and last, inclusive, 1 or more"
    _check_sequence("first", first, cure)
    _check_sequence("last", last, cure)
    if last < first:
        raise errors.SequenceError(
            f"gap {first} to {last}: the last is below the first; give them in order, inclusive"
        )


def _check_sequence(name: str, value: int, cure: str) -> None:
    try:
        arguments.whole(name, value, 1, _SEQUENCE_MAX, cure)
    except (TypeError, ValueError) as error:
        raise errors.SequenceError(str(error)) from error


def too_large(publisher: PublisherFacts, payload_bytes: int) -> errors.MessageTooLarge:
    """A message, record or claim that no frame of the stream holds; 0: one of many, C says."""
    what = f"a message of {payload_bytes:,} bytes" if payload_bytes else "one of the messages"
    return errors.MessageTooLarge(
        f"{what} is too large for one frame of stream {publisher.name!r}: the "
        f"limit is {publisher.message_bytes_max:,} (guard less header); "
        "publish with a larger capacity or guard"
    )


def refusal(
    publisher: PublisherFacts, code: int, payload_bytes: int, first_sequence: int = 0
) -> Exception:
    """The exception that a negative `code` stands for."""
    name = publisher.name
    if code == -errno.ESHUTDOWN or publisher._is_forked:
        return publisher.closed_error()
    if code == -errno.EMSGSIZE:
        return too_large(publisher, payload_bytes)
    if code == -errno.ETIMEDOUT:
        flow = publisher.flow
        return errors.NotEnoughReaders(
            f"stream {name!r} has {publisher.reader_count} subscribers, and fewer than "
            f"min_readers={flow.min_readers} kept up for longer than {flow.timeout_seconds} s: "
            "start them, or lower min_readers"
        )
    if code == -errno.ETIME:
        return errors.RdmaqError(
            f"stream {name!r} cannot go on: the link to a subscriber of another host has failed, "
            f"and the device has not let go of the ring for {lib.RQ_STALL_NS_MAX / 1e9:g} s; send "
            "again, and if that goes on look at the device (rdmaq doctor) and the kernel's log"
        )
    if code == -errno.ERANGE:
        return errors.SequenceError(
            f"sequence {first_sequence} does not follow: the next one of stream {name!r} is "
            f"{publisher.next_sequence}; declare what is missing by send_gap first"
        )
    if code == -errno.EBADMSG:
        return errors.SchemaError(
            "the message blocks do not add up: count and lengths must cover the buffer exactly"
        )
    if code == -errno.EALREADY:
        return errors.ConcurrentUse(
            f"a claim of stream {name!r} is open: one thing at a time; end its with-block before "
            "you send"
        )
    if code == -errno.EBUSY:
        return errors.ConcurrentUse(
            f"another thread is inside the publisher of {name!r}: one thread at a time; "
            "publish a stream per thread, or use a lock of yours"
        )
    return errors.RdmaqError(f"stream {name!r} refused the call: {error_text(code)}")


def no_such_stream(name: str, where: str, names: Iterable[str]) -> errors.StreamNotFound:
    """Nobody publishes it there; `names` are those of the streams that there are."""
    offered = sorted(names)
    words = ", ".join(repr(n) for n in offered[:20]) or "none"
    return errors.StreamNotFound(
        f"no stream {name[:200]!r} at {where}: it offers {words}; check the name, or "
        "pass timeout= seconds to wait for it",
        available=offered[:_NAMES_TOLD_MAX],
    )
