"""What arbitration says, in order: a session begins, messages or losses, the session ends."""

from __future__ import annotations

from typing import Literal, NamedTuple

EndCause = Literal["end of session", "session change", "end of capture"]


class SessionBegin(NamedTuple):
    """The first event of a session.

    Attributes:
        session: Its name.
        first_sequence: What is expected first.
        joined: True when that is where the lines happened to be, not the session's beginning.
    """

    session: str
    first_sequence: int
    joined: bool


class Delivery(NamedTuple):
    """Messages in order, each sequence once.

    Attributes:
        first_sequence: Of the first message.
        message_count: How many.
        blocks: Their length-prefixed blocks, borrowed from the packet that brought them.
    """

    first_sequence: int
    message_count: int
    blocks: memoryview


class Loss(NamedTuple):
    """Sequences, first and last inclusive, that no line brought within the reorder window."""

    first: int
    last: int


class SessionEnd(NamedTuple):
    """The last event of a session: everything below `next_sequence` was delivered or declared."""

    session: str
    next_sequence: int
    cause: EndCause


Event = SessionBegin | Delivery | Loss | SessionEnd
