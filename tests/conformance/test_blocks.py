"""Length-prefixed messages go through as they came, and are refused whole when malformed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rdmaq
from tests.conformance.rig import SHM, Link, message_of, take, take_messages


def blocks_of(messages: list[bytes]) -> bytes:
    return b"".join(len(m).to_bytes(2, "big") + m for m in messages)


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
def test_blocks_become_one_frame_with_their_bytes(link: Link, form: type) -> None:
    """One frame counted on both sides, its payload with prefixes; messages come without them."""
    pub, sub = link.publish(), link.subscribe()
    messages = [message_of(s) for s in range(1, 11)]
    blocks = blocks_of(messages)
    assert pub.send_many(rdmaq.MessageBlocks(form(blocks), 10)) == 1
    assert (pub.stats.frames, pub.stats.messages, pub.stats.bytes) == (1, 10, len(blocks))
    batch = take(sub)
    assert batch.messages == messages
    assert batch.data.tobytes() == b"".join(messages)
    assert batch.frame_counts.tolist() == [10]


def test_blocks_longer_than_the_guard_are_split_between_messages(link: Link) -> None:
    """As few frames as can be, in order; no message is cut."""
    pub, sub = link.publish(), link.subscribe()
    messages = [message_of(s, 2001) for s in range(1, 41)]
    blocks = blocks_of(messages)
    pub.send_many(rdmaq.MessageBlocks(blocks, 40))
    assert -(-len(blocks) // link.transport.message_bytes_max) <= pub.stats.frames < 40
    assert take_messages(sub, 40) == messages


def test_list_and_blocks_make_the_same_frame(link: Link) -> None:
    """send_many of a list is send_many of its blocks."""
    pub, sub = link.publish(), link.subscribe()
    messages = [message_of(s) for s in range(1, 8)]
    pub.send_many(iter(messages))
    once = pub.stats
    pub.send_many(rdmaq.MessageBlocks(blocks_of(messages), 7))
    assert (pub.stats.frames, pub.stats.bytes) == (2 * once.frames, 2 * once.bytes)
    assert take_messages(sub, 14) == messages * 2


MALFORMED = {
    "prefix cut": (b"\x00\x01a\x00", 2),
    "message cut": (b"\x00\x05abc", 1),
    "bytes left over": (b"\x00\x01a\x00", 1),
    "fewer than counted": (b"\x00\x01a", 2),
    "more than counted": (b"\x00\x01a\x00\x01b", 1),
    "counted none": (b"\x00\x01a", 0),
    "nothing": (b"", 1),
    "length beyond": (b"\xff\xff" + bytes(100), 1),
    "negative count": (b"\x00\x01a", -1),
    "huge count": (b"\x00\x01a", 1 << 64),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_blocks_are_refused_and_nothing_is_published(link: Link, what: str) -> None:
    """Documented exception, no frame, no sequence taken, and the stream goes on."""
    pub, sub = link.publish(), link.subscribe()
    buffer, count = MALFORMED[what]
    with pytest.raises(rdmaq.SchemaError, match="do not add up"):
        pub.send_many(rdmaq.MessageBlocks(buffer, count))
    assert pub.stats.frames == 0
    assert pub.next_sequence == 1
    link.settle()
    assert sub.poll(0) is None
    pub.send_many([b"good"])
    assert take_messages(sub, 1) == [b"good"]


def test_block_longer_than_a_frame_is_refused_with_the_limit(link: Link) -> None:
    """The text names the stream's limit, and no size that nobody sent."""
    pub = link.publish()
    too_long = bytes(link.transport.message_bytes_max - 1)
    with pytest.raises(rdmaq.MessageTooLarge, match=f"{pub.message_bytes_max:,}") as caught:
        pub.send_many(rdmaq.MessageBlocks(blocks_of([b"a", too_long]), 2))
    assert not str(caught.value).startswith("0 bytes")
    assert pub.stats.frames == 0
    pub.send_many(rdmaq.MessageBlocks(blocks_of([too_long[:-1]]), 1))
    assert pub.stats.frames == 1


def test_blocks_need_a_contiguous_buffer_and_an_untyped_stream(link: Link) -> None:
    """What cannot be lent is refused in words."""
    pub, typed = link.publish(), link.publish("typed", "<i8")
    with pytest.raises(rdmaq.SchemaError, match="carries records"):
        typed.send_many(rdmaq.MessageBlocks(b"\x00\x00", 1))
    for buffer in (memoryview(b"\x00\x01\x00\x01aa")[::2], "text", None):
        with pytest.raises(rdmaq.SchemaError, match="contiguous"):
            pub.send_many(rdmaq.MessageBlocks(buffer, 1))
    assert pub.next_sequence == 1


@given(
    buffer=st.binary(max_size=64),
    count=st.integers(min_value=0, max_value=12),
)
def test_any_bytes_are_accepted_or_refused_whole(buffer: bytes, count: int) -> None:
    """Random buffers against a five-line reference parser: same verdict, same messages."""
    messages, at = [], 0
    for _ in range(count):
        prefix = buffer[at : at + 2]
        size_bytes = int.from_bytes(prefix, "big") if len(prefix) == 2 else 1 << 20
        messages.append(buffer[at + 2 : at + 2 + size_bytes])
        at += 2 + size_bytes
    is_good = at == len(buffer)
    with Link(SHM) as link:
        pub, sub = link.publish(), link.subscribe()
        if is_good:
            pub.send_many(rdmaq.MessageBlocks(buffer, count))
            assert take_messages(sub, count) == messages
        else:
            with pytest.raises(rdmaq.SchemaError):
                pub.send_many(rdmaq.MessageBlocks(buffer, count))
        assert sub.poll(0) is None
