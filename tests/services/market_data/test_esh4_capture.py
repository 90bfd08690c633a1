"""The real capture: 92,206 frames of two lossy lines, arbitrated to the truth."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from rdmaq_services.market_data import ranges
from rdmaq_services.market_data.events import Delivery, Loss, SessionBegin, SessionEnd
from rdmaq_services.market_data.feed import FeedOptions, open_capture_feed
from rdmaq_services.market_data.window import WindowLimits

# The real maxima are 8.2 us and 8,726 messages: windows just wide enough, and far wider.
WINDOWS = [
    WindowLimits(),
    WindowLimits(time_ns_max=8_203),
    WindowLimits(messages_max=8_800, time_ns_max=10**18),
]


@pytest.mark.parametrize("limits", WINDOWS, ids=["default", "least time", "least messages"])
def test_real_lines_lose_exactly_what_the_truth_says(
    shared_data: Path, limits: WindowLimits
) -> None:
    truth = json.loads((shared_data / "moldudp64/esh4_ab_lossy.truth.json").read_text())
    lost: list[ranges.Range] = []
    kinds: Counter[str] = Counter()
    next_sequence = 1
    events = []
    with open_capture_feed(
        shared_data / "moldudp64/esh4_ab_lossy.pcap.gz", FeedOptions(limits=limits)
    ) as feed:
        for _, event in feed:
            if isinstance(event, Loss):
                assert event.first == next_sequence
                next_sequence = event.last + 1
                ranges.append(lost, event.first, event.last)
            elif isinstance(event, Delivery):
                assert event.first_sequence == next_sequence
                next_sequence += event.message_count
                blocks = bytes(event.blocks)
                while blocks:
                    kinds[chr(blocks[2])] += 1
                    blocks = blocks[2 + int.from_bytes(blocks[:2], "big") :]
            else:
                events.append(event)
    assert lost == truth["lost"]["both"]
    assert sum(kinds.values()) == 59_432
    assert events == [
        SessionBegin("RDMAQTEST1", 1, joined=False),
        SessionEnd("RDMAQTEST1", 59_603, "end of session"),
    ]
    report = feed.describe()
    assert report["frames"] == truth["frames"] == 92_206
    assert report["late_messages"] == 0
    assert report["cut_short"] is None
    assert not report["skipped"]
    assert not report["malformed"]


def test_window_narrower_than_the_lines_need_declares_too_much_and_says_so(
    shared_data: Path,
) -> None:
    limits = WindowLimits(time_ns_max=1_000)
    with open_capture_feed(
        shared_data / "moldudp64/esh4_ab_lossy.pcap.gz", FeedOptions(limits=limits)
    ) as feed:
        losses = [event for _, event in feed if isinstance(event, Loss)]
    assert ranges.message_count(losses) > 170
    assert feed.describe()["late_messages"] > 0


def test_every_captured_packet_of_real_feeds_is_read(shared_data: Path) -> None:
    """55 packets of six exchanges' feeds, with 802.1Q tags and heartbeats."""
    paths = sorted((shared_data / "moldudp64/captured").glob("*.pcap"))
    packet_count = 0
    for path in paths:
        with open_capture_feed(path, FeedOptions(join_live=True)) as feed:
            events = [event for _, event in feed]
        report = feed.describe()
        assert isinstance(events[0], SessionBegin), path
        assert report["packets"] == report["frames"], path
        assert not report["malformed"], path
        packet_count += report["packets"]
    assert packet_count == 55
