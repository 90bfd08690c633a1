"""What poll is called with, and what it cannot be called with: in words, and nothing is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.conformance.rig import Link, take_messages

BAD: dict[str, tuple[type[Exception], str, tuple[Any, ...], dict[str, Any]]] = {
    "text": (TypeError, "timeout='1' is no time: .*; give seconds", ("1",), {}),
    "bool": (TypeError, "timeout=True is no time: .*; give seconds", (), {"timeout": True}),
    "nan": (ValueError, "timeout=nan: .*; give seconds", (float("nan"),), {}),
    "no count": (TypeError, "max_messages='2': .*; leave it out", (), {"max_messages": "2"}),
    "half": (TypeError, "max_messages=1.5: .*; leave it out", (), {"max_messages": 1.5}),
    "none": (ValueError, "max_messages=0: .*; leave it out", (0,), {"max_messages": 0}),
    "huge": (ValueError, "max_messages=1208925819614629174706176", (), {"max_messages": 1 << 80}),
    "unknown": (TypeError, "no argument 'limit': it takes timeout", (), {"limit": 1}),
    "surplus": (TypeError, "one positional argument, timeout: name", (0, 10), {}),
}


@pytest.mark.parametrize("what", BAD)
def test_argument_that_poll_cannot_use_is_refused_in_words(link: Link, what: str) -> None:
    """What it was, and what it may be; the message comes with the next call."""
    error, words, positional, named = BAD[what]
    pub, sub = link.publish(), link.subscribe()
    pub.send(b"x")
    with pytest.raises(error, match=words):
        sub.poll(*positional, **named)
    assert take_messages(sub, 1) == [b"x"]


@pytest.mark.parametrize("timeout", [0, -1, -0.0, np.float64(0), np.int64(0), float("-inf")])
def test_time_that_is_over_already_is_not_waited_for(link: Link, timeout: float) -> None:
    """By position and by name; numpy's numbers are numbers."""
    link.publish()
    sub = link.subscribe()
    assert sub.poll(timeout) is None
    count: Any = np.int64(7)
    assert sub.poll(timeout=timeout, max_messages=count, into=None) is None


@pytest.mark.parametrize("timeout", [None, float("inf"), 10**400, 1e300])
def test_time_without_an_end_is_waited_for_until_there_is_something(
    link: Link, timeout: float | None
) -> None:
    """Here there is something already."""
    pub, sub = link.publish(), link.subscribe()
    pub.send(b"x")
    batch = sub.poll(timeout)
    assert batch is not None
    assert batch.messages == [b"x"]
