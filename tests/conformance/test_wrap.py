"""The ring's end is nowhere to be seen: frames straddle it and read back whole."""

from __future__ import annotations

import numpy as np
import pytest

import rdmaq
from tests.conformance.rig import (
    TICK,
    Ledger,
    Link,
    message_of,
    take,
    take_messages,
    ticks_of,
)


def test_frame_that_straddles_the_end_reads_back_whole(link: Link) -> None:
    """Fill up to 64 bytes before the end, then send a message that must cross it."""
    pub, sub = link.publish(), link.subscribe()
    size_bytes = 4096
    filled_bytes = 0
    while filled_bytes + size_bytes <= link.transport.capacity_bytes - 64:
        pub.send(bytes(size_bytes - 32))
        filled_bytes += size_bytes
        take(sub)
    while filled_bytes < link.transport.capacity_bytes - 64:
        pub.send(b"")
        filled_bytes += 32
        take(sub)
    crossing = message_of(1000, 3001)
    assert len(crossing) > 64
    pub.send(crossing)
    assert take_messages(sub, 1) == [crossing]
    with_view = message_of(1001, 3001)
    pub.send(with_view)
    link.settle()
    with sub.view(0) as batch:
        assert batch is not None
        assert [bytes(message) for message in batch.messages] == [with_view]


@pytest.mark.parametrize("flow", ["lossy", "reliable"])
def test_reader_that_keeps_up_gets_every_message_over_many_wraps(link: Link, flow: str) -> None:
    """Odd lengths, 30 times round the ring, read at once: nothing lost, nothing torn."""
    pub = link.publish(flow=rdmaq.reliable() if flow == "reliable" else rdmaq.lossy())
    sub, ledger = link.subscribe(), Ledger()
    while pub.stats.bytes < 30 * link.transport.capacity_bytes:
        sequence = pub.next_sequence
        pub.send_many([message_of(s) for s in range(sequence, sequence + 5)])
        pub.send(message_of(sequence + 5))
        link.settle()
        ledger.drain(sub)
    assert ledger.received == pub.stats.messages
    assert ledger.gaps == []


def test_records_that_straddle_the_end_come_as_one_contiguous_array(link: Link) -> None:
    """Batches of a length that divides nothing, many times round, copied and in place."""
    pub, sub, seen = link.publish(schema=TICK), link.subscribe(), 0
    for turn in range(400):
        records = ticks_of(pub.next_sequence, 89)
        pub.send_batch(records)
        if turn % 2:
            assert np.array_equal(take(sub).data, records)
        else:
            link.settle()
            with sub.view(0) as batch:
                assert batch is not None
                assert batch.data.flags.c_contiguous
                assert np.array_equal(batch.data, records)
        seen += len(records)
    assert seen * TICK.itemsize > 10 * link.transport.capacity_bytes
    assert sub.stats.messages == pub.stats.messages == seen
