"""Buffers that lend more than bytes: of Python's objects none is published, of the rest all is."""

from __future__ import annotations

import ctypes
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rdmaq
from tests.conformance.rig import Link, take_messages

OBJECTS: dict[str, Any] = {
    "array": np.array([None]),
    "one object": np.array(None),
    "memoryview": memoryview(np.array([None, 1])),
    "field": np.zeros(2, [("count", "<u4"), ("what", object)]),
    "field of a field": np.zeros(1, [("outer", [("inner", object, (2,))])]),
    "record": np.zeros(1, [("what", object)])[0],
    "name with a colon": np.zeros(1, [("a:b", object)]),
    "every other one": np.array([None] * 4)[::2],
    "ctypes": (ctypes.py_object * 2)(ctypes.py_object(None), ctypes.py_object(1)),
    "pickle": pickle.PickleBuffer(np.array([None])),
}
BYTES: dict[str, Any] = {
    "fields whose names have an O": np.ones(2, [("Offset", "<u4"), ("TOO", [("O", "<u2")])]),
    "name with a colon": np.ones(2, [("O:O", "<u4")]),
    "times": np.array(["2026-01-02", "2026-01-03"], dtype="<M8[s]"),
    "every other time": np.array(["2026-01-02", "2026-01-03"], dtype="<M8[s]")[::2],
    "fields with times": np.zeros(1, [("at", "<M8[ns]"), ("O", "<u4")]),
    "columns": np.arange(6).reshape(2, 3)[:, ::2],
    "one number": np.float64(1.5),
    "ctypes": (ctypes.c_uint16 * 2)(1, 2),
}
Send = Callable[[rdmaq.Publisher, Any], object]
WAYS: dict[str, Send] = {
    "send": rdmaq.Publisher.send,
    "send_many": lambda pub, message: pub.send_many([b"before", message]),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", OBJECTS)
def test_objects_are_refused_since_their_bytes_are_addresses(
    link: Link, what: str, way: str
) -> None:
    """Neither they nor what stood before them in the same call; what comes next is taken."""
    pub, sub = link.publish(), link.subscribe()
    with pytest.raises(rdmaq.SchemaError, match=r"holds Python objects.*; encode what they say"):
        WAYS[way](pub, OBJECTS[what])
    assert pub.next_sequence == 1
    pub.send(b"next")
    assert take_messages(sub, 1) == [b"next"]


@pytest.mark.parametrize("what", OBJECTS)
def test_objects_are_no_message_blocks(link: Link, what: str) -> None:
    pub = link.publish()
    with pytest.raises(rdmaq.SchemaError, match="one contiguous buffer of bytes"):
        pub.send_many(rdmaq.MessageBlocks(OBJECTS[what], 1))
    assert pub.next_sequence == 1


@pytest.mark.parametrize("what", BYTES)
def test_bytes_of_every_other_kind_arrive(link: Link, what: str) -> None:
    """By both ways, and in C order."""
    pub, sub = link.publish(), link.subscribe()
    message = BYTES[what]
    pub.send(message)
    pub.send_many([message])
    sent = np.asarray(message).tobytes()
    assert take_messages(sub, 2) == [sent, sent]


def test_buffer_that_was_released_is_no_message_blocks(link: Link) -> None:
    pub = link.publish()
    gone = memoryview(b"\0\1a")
    gone.release()
    with pytest.raises(rdmaq.SchemaError, match="one contiguous buffer of bytes"):
        pub.send_many(rdmaq.MessageBlocks(gone, 1))
