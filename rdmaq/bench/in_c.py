"""What the loops in C need: the handles behind Python's objects, and errors as exceptions."""

from __future__ import annotations

from typing import Any

import rdmaq
from rdmaq._fast import error_text
from rdmaq.bench.children import BenchError


def reader_of(subscription: rdmaq.Subscription) -> Any:
    """The C reader behind a subscription."""
    return subscription._cursor.handle


def check(done: int) -> int:
    """Returns how much a loop got done.

    Raises:
        BenchError: it stopped with an error.
    """
    if done < 0:
        raise BenchError(f"the loop in C stopped: {error_text(done)}; run again")
    return done
