"""What poll is called with, and what it cannot be called with: in words, and nothing is lost."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import rdmaq
from tests.conformance.rig import TICK, Link, take, take_messages, ticks_of

BAD: dict[str, tuple[type[Exception], str, tuple[Any, ...], dict[str, Any]]] = {
    "text": (TypeError, "timeout='1' is no time: .*; give seconds", ("1",), {}),
    "bool": (TypeError, "timeout=True is no time: .*; give seconds", (), {"timeout": True}),
    "nan": (ValueError, "timeout=nan: .*; give seconds", (float("nan"),), {}),
    "no count": (TypeError, "max_messages='2': .*; leave it out", (), {"max_messages": "2"}),
    "half": (TypeError, "max_messages=1.5: .*; leave it out", (), {"max_messages": 1.5}),
    "none": (ValueError, "max_messages=0: .*; leave it out", (0,), {"max_messages": 0}),
    "huge": (ValueError, "max_messages=1208925819614629174706176", (), {"max_messages": 1 << 80}),
    "unknown": (TypeError, "no argument 'limit': it takes timeout", (), {"limit": 1}),
    "twice": (TypeError, "got timeout twice: give it once", (0,), {"timeout": 0}),
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


def remake(array: npt.NDArray[Any], how: str) -> None:
    """Changes an array in place, as numpy allows it also for one that is lent."""
    if how == "read-only":
        array.flags.writeable = False
    elif how == "dtype":
        array.dtype = np.dtype("u1")  # type: ignore[misc]
    else:
        array.shape = (2, -1)


@pytest.mark.parametrize("how", ["read-only", "dtype", "shape"])
def test_array_that_was_changed_since_the_last_poll_is_looked_at_anew(link: Link, how: str) -> None:
    """The same object, and another thing: it is refused, and nothing is lost."""
    pub, sub = link.publish(schema=TICK), link.subscribe()
    into = np.zeros(10, TICK)
    for _ in range(2):
        pub.send_batch(ticks_of(1, 4))
    link.settle()
    assert sub.poll(into=into) is not None
    remake(into, how)
    before = into.tobytes()
    pub.send_batch(ticks_of(5, 4))
    for _ in range(2):
        link.settle()
        with pytest.raises(ValueError, match=r"^into="):
            sub.poll(0, into=into)
    assert into.tobytes() == before
    assert take(sub).data.tobytes() == ticks_of(5, 4).tobytes()


def test_array_that_got_other_memory_since_the_last_poll_is_filled_there(link: Link) -> None:
    """`resize` frees what stood there, although it is lent: nothing is written to that."""
    pub, sub = link.publish(schema=TICK), link.subscribe()
    into = np.zeros(100_000, TICK)  # large enough for its pages to go when it is resized
    for count in (100_000, 3, 20):
        into.resize(count, refcheck=False)
        sent = ticks_of(1, 3)
        pub.send_batch(sent)
        batch = sub.poll(into=into)
        assert batch is not None
        assert batch.data.tobytes() == sent.tobytes() == into[:3].tobytes()


@pytest.mark.parametrize(
    "into",
    [
        np.array([None] * 8),
        memoryview(np.array([None] * 8)),
        (ctypes.py_object * 2)(ctypes.py_object(None), ctypes.py_object(None)),
        np.ma.zeros(64, "u1"),
    ],
    ids=["objects", "view of objects", "objects of ctypes", "masked"],
)
def test_buffer_that_bytes_would_spoil_is_refused_untouched(link: Link, into: Any) -> None:
    """Bytes in the place of object pointers crash the interpreter; a mask hides what came."""
    pub, sub = link.publish(), link.subscribe()
    pub.send(bytes(range(1, 65)))
    link.settle()
    with pytest.raises(ValueError, match="into= is masked or holds Python objects"):
        sub.poll(0, into=into)
    assert not any(getattr(into, "obj", into))
    assert take_messages(sub, 1) == [bytes(range(1, 65))]


def test_buffer_that_was_released_is_refused_in_words(link: Link) -> None:
    """To be written to, and to be sent."""
    pub, sub = link.publish(), link.subscribe()
    gone = memoryview(bytearray(8))
    gone.release()
    with pytest.raises(rdmaq.SchemaError, match="takes bytes, not memoryview"):
        pub.send(gone)
    with pytest.raises(rdmaq.SchemaError, match="takes bytes, not memoryview"):
        pub.send_many([gone])
    pub.send(b"x")
    link.settle()
    with pytest.raises(ValueError, match="into= cannot be written to"):
        sub.poll(0, into=gone)
    assert take_messages(sub, 1) == [b"x"]
