"""What nodes, publishers and subscriptions have in common: fork, pickle, close.

After `fork` a child holds copies of its parent's handles, but not their memory (segments are
MADV_DONTFORK) and not their threads. The copies are marked, and raise at the first use.
"""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from typing import NoReturn

from rdmaq.errors import ClosedError

_handles: weakref.WeakSet[BareHandle] = weakref.WeakSet()


class BareHandle:
    """`Handle` without the room for its attributes: for who has a base that is written in C.

    Beside such a base no other may have room of its own: the subclass itself must name
    `__weakref__`, `_is_closed` and `_is_forked` among its slots.
    """

    __slots__ = tuple[str, ...]()
    _is_closed: bool
    _is_forked: bool

    def __init__(self) -> None:
        self._is_closed = False
        self._is_forked = False
        _handles.add(self)

    @property
    def closed(self) -> bool:
        """True once `close()` was called, or in a forked child."""
        return self._is_closed or self._is_forked

    def _forget(self) -> None:
        """Lets go in a forked child, without touching what is the parent's."""

    def closed_error(self) -> ClosedError:
        """What to raise on use after close, or after a fork."""
        what = type(self).__name__.lower()
        if self._is_forked:
            return ClosedError(
                f"this {what} is the parent's: handles do not survive a fork; "
                "make a new one in the child"
            )
        return ClosedError(f"this {what} is closed: it cannot be used any more; make a new one")

    def __reduce__(self) -> NoReturn:
        what = type(self).__name__
        raise TypeError(
            f"a {what} cannot be pickled: it stands for memory of this process; send the address "
            "and the stream's name, and connect or publish in the other process"
        )


class Handle(BareHandle):
    """Base of everything that owns something of the system's."""

    __slots__ = ("__weakref__", "_is_closed", "_is_forked")


def _after_fork_in_child() -> None:
    for handle in list(_handles):
        handle._is_forked = True
        with suppress(AttributeError):  # its making failed: there is nothing to let go of
            handle._forget()


os.register_at_fork(after_in_child=_after_fork_in_child)
