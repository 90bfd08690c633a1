"""Whatever is passed where something else belongs is refused in words, by the library itself."""

from __future__ import annotations

import datetime
import errno
import linecache
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import rdmaq
from rdmaq.stream import refusals
from tests.conformance.rig import SHM, Link, take_messages

SURROGATE = "\ud800"
NO_NUMBERS: list[Any] = [
    *(None, True, "x", "5", b"5", [], [1], {}, (), object(), int, len, 1 + 2j, range(3)),
    *(datetime.timedelta(seconds=1), np.zeros(3), np.array("x"), np.datetime64(1, "s"), SURROGATE),
]
NO_COUNTS = [*NO_NUMBERS, 1.5, math.nan, math.inf, -math.inf, np.float64(2.0)]
TOO_FAR = [-1, np.int64(-7), 1 << 63, 1 << 200, -(1 << 200)]
NO_TIMES = [*NO_NUMBERS, math.nan, np.float64("nan")]
NO_NAMES = [*(v for v in NO_NUMBERS if not isinstance(v, str)), "", "a\0b", "x" * 193, SURROGATE]
NO_CHOICES = [v for v in NO_COUNTS if v is not None] + ["", "Raise"]
NO_USERS = [
    *(None, True, 7, 1.5, "x", "1000", b"x", object(), int, np.array(5), [None], ["1000"], [1.5]),
    *([True], [-1], [1 << 32], [1 << 200], [math.nan]),
]
NO_STARTS = [*(v for v in NO_COUNTS if not isinstance(v, np.datetime64)), 0, *TOO_FAR]
NO_STARTS += [np.datetime64("NaT"), np.datetime64("3000-01-01"), np.datetime64("-5000-01-01")]
NO_SCHEMAS = [
    *(True, "x", "?!", b"\xff", SURROGATE, object(), len, {}, {"names": 3}, [("a",)], (1, 2), 7),
    *([("a", "O")], [("a", "i4"), ("a", "i4")], "V0", [[[[]]]], ",", "(-1)i4", range(3)),
]

Call = Callable[[Any], object]


def calls(link: Link) -> dict[str, tuple[Call, list[Any]]]:
    """Each parameter of the public API: how to pass something for it, and what it must refuse."""
    pub, typed = link.publish("pub"), link.publish("typed", "<i8")
    link.publish("waiting", flow=rdmaq.reliable(1, timeout=0))
    sub, peer = link.subscribe("pub"), link.peer
    pub.send(b"x")

    def publish(**options: Any) -> object:
        return link.publish("new", **options)

    def subscribe(**options: Any) -> object:
        return link.subscribe("pub", **options)

    def enter(manager: Any) -> object:
        return manager.__enter__()

    no_size = [v for v in NO_COUNTS if v is not None]
    return {
        "address": (rdmaq.Node, [*NO_NUMBERS, "", "local:", "local:\ud800", "x" * 10_000]),
        "address, connect": (rdmaq.connect, [*NO_NUMBERS, "", "local:" + "x" * 99]),
        "allow_uids": (lambda v: rdmaq.Node("local:other", allow_uids=v), NO_USERS),
        "allow_uids, connect": (lambda v: rdmaq.connect(link.address, allow_uids=v), NO_USERS),
        "timeout, connect": (lambda v: rdmaq.connect(link.address, timeout=v), NO_TIMES),
        "name": (lambda v: link.publish(v), NO_NAMES),
        "name, subscribe": (peer.subscribe, NO_NAMES),
        "schema": (lambda v: publish(schema=v), NO_SCHEMAS),
        "schema, subscribe": (lambda v: subscribe(schema=v), NO_SCHEMAS),
        "capacity": (
            lambda v: publish(capacity=v),
            [*no_size, None, "5", 0, 3, "9" * 5000, *TOO_FAR],
        ),
        "guard": (lambda v: publish(guard=v), [*no_size, "5", 0, 33, 65536, *TOO_FAR]),
        "flow": (lambda v: publish(flow=v), [v for v in NO_COUNTS if v is not None]),
        "first_sequence": (lambda v: publish(first_sequence=v), [*NO_COUNTS, 0, *TOO_FAR]),
        "min_readers": (rdmaq.reliable, [*NO_COUNTS, 129, *TOO_FAR]),
        "timeout, reliable": (
            lambda v: rdmaq.reliable(timeout=v),
            [*NO_TIMES, math.inf, 1e9, *TOO_FAR],
        ),
        "start": (lambda v: subscribe(start=v), NO_STARTS),
        "on_gap": (lambda v: subscribe(on_gap=v), [*NO_CHOICES, None]),
        "on_restart": (lambda v: subscribe(on_restart=v), [*NO_CHOICES, None]),
        "wait": (lambda v: subscribe(wait=v), [*NO_CHOICES, None]),
        "timeout, subscribe": (lambda v: subscribe(timeout=v), NO_TIMES),
        "timeout, view": (lambda v: enter(sub.view(v)), [v for v in NO_TIMES if v is not None]),
        "max_messages, view": (
            lambda v: enter(sub.view(0, max_messages=v)),
            [*NO_COUNTS, 0, 1 << 24, *TOO_FAR],
        ),
        "messages, send_many": (
            pub.send_many,
            [
                *(None, True, 7, 1.5, "x", "", b"x", b"", bytearray(2), object(), int, 1 + 2j),
                *(np.array(5), [None], ["x"], [7], [[b"x"]], [b"x", None], np.int64(5)),
            ],
        ),
        "message, send": (pub.send, [*(v for v in NO_COUNTS if not is_bytes_like(v))]),
        "message, send typed": (
            typed.send,
            [None, "x", b"x", [], [1], {}, (), object(), int, 1 + 2j, range(3), 1 << 63, 1 << 200],
        ),
        "records, send_batch": (
            typed.send_batch,
            [None, 7, "x", b"x", {}, object(), int, [1 + 2j], [[1, 2]], np.zeros(3), [1 << 200]],
        ),
        "records, untyped": (pub.send_batch, [None, [1], np.zeros(3), b"x"]),
        "first, gap": (lambda v: pub.send_gap(v, 9), [*NO_COUNTS, 0, *TOO_FAR]),
        "last, gap": (lambda v: pub.send_gap(2, v), [*NO_COUNTS, 0, *TOO_FAR]),
        "size": (lambda v: enter(pub.claim(v)), [*NO_COUNTS, *TOO_FAR]),
        "size, typed": (lambda v: enter(typed.claim(v)), [*NO_COUNTS, 0, *TOO_FAR]),
        "count": (
            lambda v: pub.send_many(rdmaq.MessageBlocks(b"\0\1a", v)),
            [*NO_COUNTS, 2, *TOO_FAR],
        ),
        "first_sequence, send_many": (
            lambda v: pub.send_many([b"x"], first_sequence=v),
            [*(v for v in NO_COUNTS if v is not None), 0, *TOO_FAR],
        ),
        "drain": (lambda v: pub.close(drain=v), NO_TIMES),
    }


def is_bytes_like(value: Any) -> bool:
    try:
        memoryview(value)
    except (TypeError, ValueError):
        return False
    return True


@pytest.fixture
def link() -> Iterator[Link]:
    with Link(SHM) as made:
        yield made


def raised_by(error: BaseException) -> str:
    """File and line of the code that raised it."""
    trace = error.__traceback__
    assert trace is not None
    while trace.tb_next is not None:
        trace = trace.tb_next
    path = trace.tb_frame.f_code.co_filename
    return f"{path}: {linecache.getline(path, trace.tb_lineno).strip()}"


PARAMETERS = [
    *("address", "address, connect", "allow_uids", "allow_uids, connect", "timeout, connect"),
    *("name", "name, subscribe", "schema", "schema, subscribe", "capacity", "guard", "flow"),
    *("first_sequence", "min_readers", "timeout, reliable", "start", "on_gap", "on_restart"),
    *("wait", "timeout, subscribe", "timeout, view", "max_messages, view", "messages, send_many"),
    *("message, send", "message, send typed", "records, send_batch", "records, untyped"),
    *("first, gap", "last, gap", "size"),
    *("size, typed", "count", "first_sequence, send_many", "drain"),
]


def test_every_parameter_has_its_test(link: Link) -> None:
    assert list(calls(link)) == PARAMETERS


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_what_does_not_belong_there_is_refused_by_a_raise_of_ours_with_cause_and_cure(
    link: Link, parameter: str
) -> None:
    """ValueError or TypeError, or an error of the library's own, and everything is as it was."""
    call, values = calls(link)[parameter]
    reader_count = len(link.peer.streams())
    for value in values:
        with pytest.raises((rdmaq.RdmaqError, ValueError, TypeError)) as caught:
            call(value)
        where = raised_by(caught.value)
        assert f"{Path(rdmaq.__file__).parent}/" in where, f"{value!r}: {where}"
        assert ": raise " in where, f"{value!r}: {where} raised {caught.value!r}"
        assert re.search(r".: .", str(caught.value)), f"{value!r}: {caught.value}"
        assert len(str(caught.value)) < 4096
    assert len(link.peer.streams()) == reader_count


@pytest.mark.parametrize("how", ["poll", "batches"])
def test_what_the_methods_written_in_c_refuse_they_refuse_in_the_same_words(
    link: Link, how: str
) -> None:
    """No line of Python raises there: the text itself names argument, value and cure."""
    pub, sub = link.publish(), link.subscribe()
    pub.send(b"x")

    def read(timeout: Any = 0, max_messages: Any = 1) -> object:
        if how == "poll":
            return sub.poll(timeout, max_messages=max_messages)
        return next(sub.batches(timeout=timeout, max_messages=max_messages), None)

    for value in [v for v in NO_TIMES if v is not None]:
        with pytest.raises((TypeError, ValueError), match=r"timeout=.*: .*; give seconds"):
            read(timeout=value)
    for value in [*NO_COUNTS, 0, 1 << 24, *TOO_FAR]:
        with pytest.raises((TypeError, ValueError), match=r"max_messages=.*: .*; leave it out"):
            read(max_messages=value)
    assert take_messages(sub, 1) == [b"x"]


def test_whole_numbers_of_numpy_and_times_without_end_are_welcome(link: Link) -> None:
    """What looks like a number and is one is taken as one."""
    one: Any = np.uint8(1)
    six: Any = np.int64(6)
    flow = rdmaq.reliable(one, timeout=np.float64(2.5))
    pub = link.publish(
        capacity=np.int64(65536), guard=np.int32(4096), flow=flow, first_sequence=np.uint64(5)
    )
    sub = link.subscribe(start=np.int16(5), timeout=math.inf)
    rdmaq.connect(link.address, timeout=np.float64(0), allow_uids=np.array([0, 1000]))
    with pub.claim(one) as area:
        area[:] = b"x"
    assert pub.send_gap(six, six) == 6
    assert take_messages(sub, 1) == [b"x"]


def test_ring_that_a_device_does_not_let_go_of_is_told_with_a_cure() -> None:
    """The one wait of a lossy publisher; the kernel's word for it would be 'Timer expired'."""
    facts: Any = SimpleNamespace(name="ticks", _is_forked=False)
    words = str(refusals.refusal(facts, -errno.ETIME, 100))
    assert "link to a subscriber of another host has failed" in words
    assert "2 s; send again" in words
