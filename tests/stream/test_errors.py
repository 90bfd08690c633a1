"""Every exception class is raised by something, and says what happened, why, and the cure."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rdmaq
from rdmaq import errors
from tests.conformance.rig import SHM, TICK, Link, claim
from tests.conformance.test_lapped import lap
from tests.stream.raisers import NETWORK_RAISERS, REGION_RAISERS
from tests.stream.verbs_raisers import VERBS_RAISERS

CLASSES = [
    member
    for _, member in inspect.getmembers(errors, inspect.isclass)
    if issubclass(member, errors.RdmaqError) and member is not errors.RdmaqError
]


@pytest.fixture
def link() -> Iterator[Link]:
    with Link(SHM) as made:
        yield made


def too_many_readers(link: Link) -> None:
    link.publish()
    for _ in range(SHM.readers_max + 1):
        link.subscribe()


def publisher_gone(link: Link) -> None:
    """A hang-up without an end is what the kernel makes of a killed process."""
    link.publish()
    sub = link.subscribe()
    link.node._listener.close()
    try:
        sub.poll(None)
    finally:
        link.node._is_closed = True


def end_of_stream(link: Link) -> None:
    pub, sub = link.publish(), link.subscribe()
    pub.close()
    sub.poll(0)


def cut_off(link: Link) -> None:
    pub = link.publish(flow=rdmaq.reliable(timeout=0.01))
    sub = link.subscribe()
    while not pub.stats.readers_cut_off:
        pub.send(bytes(1000))
    sub.poll(0)


def gap(link: Link) -> None:
    pub, sub = link.publish(), link.subscribe(on_gap="raise")
    pub.send_gap(1, 2)
    sub.poll(0)


def view_overrun(link: Link) -> None:
    pub, sub = link.publish(), link.subscribe()
    pub.send(b"x")
    with sub.view(0):
        lap(pub, SHM.capacity_bytes)


def concurrent_use(link: Link) -> None:
    pub = link.publish()
    with pub.claim(1):
        pub.send(b"x")


def closed(link: Link) -> None:
    link.node.close()
    link.node.publish("s")


def handover(link: Link) -> None:
    def fail(*_: object) -> None:
        raise OSError(24, "Too many open files")

    pub = link.publish()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(pub), "duplicate_segment_fd", fail)
        link.subscribe()


def segment(link: Link) -> None:
    """The publisher's own ring, scribbled over: what no publisher writes."""
    pub, sub = link.publish(), link.subscribe()
    pub.send(b"x")
    pub.segment.data[:32] = 0xFF
    sub.poll(0)


def access_denied(link: Link) -> None:
    folder = Path("/proc/1/rdmaq")  # nobody can make a folder there
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RDMAQ_RUNTIME_DIR", str(folder))
        rdmaq.Node("local:x")


RAISERS: dict[type[Exception], Callable[[Link], object]] = {
    errors.AccessDenied: access_denied,
    errors.AddressError: lambda _: rdmaq.Node("feed"),
    errors.AddressInUse: lambda link: rdmaq.Node(link.address),
    errors.CapacityError: lambda link: link.publish(capacity=1000),
    errors.ClosedError: closed,
    errors.ConcurrentUse: concurrent_use,
    errors.CutOff: cut_off,
    errors.EndOfStream: end_of_stream,
    errors.GapError: gap,
    errors.HandoverError: handover,
    errors.MessageTooLarge: lambda link: link.publish().send(bytes(9000)),
    errors.NotEnoughReaders: lambda link: link.publish(flow=rdmaq.reliable(1, 0)).send(b"x"),
    errors.PeerNotFound: lambda _: rdmaq.connect("local:nobody"),
    errors.PublisherGone: publisher_gone,
    errors.SchemaError: lambda link: link.publish(schema="O"),
    errors.SchemaMismatch: lambda link: (link.publish(schema=TICK), link.subscribe(schema="<i8")),
    errors.SegmentError: segment,
    errors.SequenceError: lambda link: link.publish(first_sequence=0),
    errors.StreamExists: lambda link: (link.publish(), link.publish()),
    errors.StreamNotFound: lambda link: link.subscribe("nothing"),
    errors.TooManyReaders: too_many_readers,
    errors.ViewOverrun: view_overrun,
    **NETWORK_RAISERS,
    **REGION_RAISERS,
    **VERBS_RAISERS,
}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_class_is_documented_offered_and_raised_below(kind: type[Exception]) -> None:
    """A new class must find its way into this file."""
    assert kind.__doc__
    assert getattr(rdmaq, kind.__name__) is kind
    assert kind in RAISERS


@pytest.mark.parametrize("kind", RAISERS, ids=lambda kind: kind.__name__)
def test_class_is_raised_and_its_text_has_cause_and_cure(link: Link, kind: type[Exception]) -> None:
    """Exactly that class; "what happened: cause; cure", in one line, and a doc-string."""
    with pytest.raises(kind) as caught:
        RAISERS[kind](link)
    assert type(caught.value) is kind
    text = str(caught.value)
    what, _, rest = text.partition(": ")
    assert what, text
    assert rest, f"no cause: {text}"
    if kind is not errors.EndOfStream:  # nothing is wrong there, so nothing is to be cured
        assert any(mark in rest for mark in ("; ", ". ", ", or ")), f"no cure: {text}"
    assert "\n" not in text


@pytest.mark.parametrize(
    ("capacity", "hint"),
    [
        (0, "65,536"),
        (1000, "65,536"),
        (100_000, "131,072"),
        ("1000KiB", "1,048,576"),
        (1 << 41, "1,099,511,627,776"),
        (-5, "65,536"),
        (1 << 70, "1,099,511,627,776"),
        ("many", "64KiB"),
        ("1.5MiB", "64KiB"),
    ],
)
def test_capacity_that_no_ring_can_have_names_one_that_it_can(
    link: Link, capacity: int | str, hint: str
) -> None:
    """A power of two from 64 KiB: the text names the next."""
    with pytest.raises(rdmaq.CapacityError, match=hint):
        link.publish(capacity=capacity)


@pytest.mark.parametrize("guard", [1, 4095, 4097, 32 << 10, "64KiB", -32, 1 << 70, "x"])
def test_guard_out_of_range_is_refused_with_its_range(link: Link, guard: int | str) -> None:
    """4 KiB to a quarter of the capacity, in steps of 32 bytes."""
    with pytest.raises(rdmaq.CapacityError, match=r"guard|is not a size"):
        link.publish(guard=guard)
    claim(link.publish(guard=16 << 10), bytes((16 << 10) - 32))


@pytest.mark.parametrize("timeout", [-1, float("inf"), float("nan"), 1e10])
def test_flow_that_means_nothing_is_refused(timeout: float) -> None:
    """Times and counts are checked where they are given."""
    with pytest.raises(ValueError, match="timeout"):
        rdmaq.reliable(timeout=timeout)
    with pytest.raises(ValueError, match="min_readers"):
        rdmaq.reliable(min_readers=-1)


@pytest.mark.parametrize("option", ["on_gap", "wait", "on_restart"])
def test_word_that_no_option_has_is_refused_with_the_words_that_it_has(
    link: Link, option: str
) -> None:
    """ValueError; nothing was subscribed."""
    pub = link.publish()
    with pytest.raises(ValueError, match=f"{option}='nonsense': use one of '"):
        link.subscribe(**{option: "nonsense"})
    assert pub.reader_count == 0
