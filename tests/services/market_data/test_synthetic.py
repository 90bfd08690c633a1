"""The synthetic day: the same for ever, valid ITCH, bursts, and lines whose truth is true."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from rdmaq_services.market_data import ranges
from rdmaq_services.market_data.arbiter import Arbiter, arbitrate
from rdmaq_services.market_data.capture import Capture
from rdmaq_services.market_data.capture_write import write_capture
from rdmaq_services.market_data.datagrams import DatagramReader
from rdmaq_services.market_data.dice import Dice
from rdmaq_services.market_data.events import Delivery, Loss
from rdmaq_services.market_data.itch50 import BLOCK_DTYPES, MESSAGE_BYTES
from rdmaq_services.market_data.itch_encode import symbol_names
from rdmaq_services.market_data.lines import LineFaults, LossyLines
from rdmaq_services.market_data.moldudp64 import parse
from rdmaq_services.market_data.synthetic import synthetic_blocks, synthetic_packets


def messages(count: int, seed: int) -> list[np.void]:
    """The messages as records."""
    out = []
    for blocks in synthetic_blocks(count, seed):
        data = blocks.data.tobytes()
        for start, kind in zip(blocks.starts, blocks.kinds, strict=False):
            out.append(np.frombuffer(data, BLOCK_DTYPES[chr(kind)], 1, start)[0])
    return out


def test_same_seed_gives_the_same_bytes_for_ever() -> None:
    """A digest written down: another numpy, machine or year must give it again."""
    digest = hashlib.sha256()
    for packet in synthetic_packets(20_000, 1):
        digest.update(packet.time_ns.to_bytes(8, "big") + packet.blocks)
    assert digest.hexdigest() == (
        "4766128bfbac50739d3f0e6d2ea07fcfcf0d1ac23c896cd7ee453be348c5beb3"
    )


def test_dice_are_splitmix64() -> None:
    """The first numbers of seed 0, as the published algorithm gives them."""
    dice = Dice(0, "")
    assert [int(number) for number in dice.draw(3)] == [
        0xE220A8397B1DCDAF,
        0x6E789E6AA1B965F4,
        0x06C45D188009454F,
    ]
    assert int(Dice(0, "").draw(3)[2]) == 0x06C45D188009454F


def test_other_seed_gives_other_bytes() -> None:
    first, second = (b"".join(p.blocks for p in synthetic_packets(2_000, seed)) for seed in (1, 2))
    assert first != second


@pytest.mark.parametrize("count", [1, 2, 9, 30, 1_000, 20_001])
def test_day_has_exactly_as_many_messages_as_asked_for(count: int) -> None:
    packets = list(synthetic_packets(count, 3))
    assert sum(packet.message_count for packet in packets) == count
    next_sequence = 1
    for packet in packets:
        assert packet.first_sequence == next_sequence
        assert len(packet.kinds) == packet.message_count
        next_sequence += packet.message_count


def test_record_lengths_are_those_of_the_specification() -> None:
    for kind, dtype in BLOCK_DTYPES.items():
        assert dtype.itemsize == 2 + MESSAGE_BYTES[kind]


def test_every_reference_is_that_of_a_living_order() -> None:
    """An order book in a dictionary: nothing unknown, nothing reused, shares never below zero."""
    shares: dict[int, int] = {}
    seen: set[int] = set()
    kinds: Counter[str] = Counter()
    for message in messages(30_000, 4):
        kind = message["type"].decode()
        kinds[kind] += 1
        assert message["length"] == MESSAGE_BYTES[kind]
        if kind in "AF":
            reference = int(message["ref"])
            assert reference not in seen
            seen.add(reference)
            shares[reference] = int(message["shares"])
        elif kind in "ECX":
            shares[int(message["ref"])] -= int(message["shares"])
            left = shares[int(message["ref"])]
            assert left >= 0
            if left == 0:
                assert kind != "X", "a cancel leaves something"
                del shares[int(message["ref"])]
        elif kind == "D":
            del shares[int(message["ref"])]
        elif kind == "U":
            del shares[int(message["ref"])]
            assert int(message["new_ref"]) not in seen
            seen.add(int(message["new_ref"]))
            shares[int(message["new_ref"])] = int(message["shares"])
    assert set(kinds) == set("SRHAFECXDUP")
    assert kinds["R"] == kinds["H"] == 300


def test_times_ascend_and_bursts_reach_the_rate_exchanges_warn_of() -> None:
    day = messages(60_000, 5)
    times = np.array([int(m["time_high"]) << 32 | int(m["time_low"]) for m in day])
    assert (np.diff(times) >= 0).all()
    within = np.searchsorted(times, times + 1_000_000) - np.arange(len(times))
    assert 1_500 < within[700:].max() <= 6_000


def test_symbols_have_names_of_their_own() -> None:
    names = symbol_names(2_000)
    assert len(set(names.tolist())) == 2_000
    assert all(len(name) == 8 for name in names.tolist())


def test_feed_announces_quiet_seconds_by_heartbeats_and_its_end() -> None:
    packets = [parse(d.payload) for d in LossyLines(synthetic_packets(5_000, 1), 1, LineFaults())]
    assert any(not packet.message_count and not packet.end_of_session for packet in packets)
    assert sum(packet.end_of_session for packet in packets) == 6


@pytest.mark.parametrize(
    "faults",
    [
        LineFaults(),
        LineFaults(lines=1, loss=0.1),
        LineFaults(lines=3, loss=0.3, duplicates=0.2, reorder=0.3, skew_ns=200_000),
        LineFaults(loss=0, duplicates=0, reorder=0, skew_ns=0, late_ns=0),
        LineFaults(loss=1),
    ],
    ids=["default", "one line", "three bad lines", "no faults", "all lost"],
)
def test_arbitration_of_the_lines_loses_exactly_what_their_truth_says(faults: LineFaults) -> None:
    lines = LossyLines(synthetic_packets(20_000, 6), 6, faults)
    lost: list[ranges.Range] = []
    delivered = 0
    arrived = ((datagram.time_ns, parse(datagram.payload)) for datagram in lines)
    for _, event in arbitrate(arrived, Arbiter()):
        if isinstance(event, Loss):
            ranges.append(lost, event.first, event.last)
        elif isinstance(event, Delivery):
            delivered += event.message_count
    truth = lines.truth.as_json()
    assert truth["messages"] == 20_000
    assert lost == truth["lost"]["both"]
    assert delivered == 20_000 - truth["missing_messages_after_arbitration"]
    assert sum(truth["counts_by_type"].values()) == 20_000
    assert sum(truth["counts_by_type_lost"].values()) == 20_000 - delivered


@pytest.mark.parametrize("vlan", [None, 142])
@pytest.mark.parametrize("name", ["lines.pcap", "lines.pcap.gz"])
def test_written_capture_reads_back_as_it_was(tmp_path: Path, name: str, vlan: int | None) -> None:
    def lines() -> LossyLines:
        return LossyLines(synthetic_packets(3_000, 8), 8, LineFaults())

    path = tmp_path / name
    count = write_capture(path, lines(), vlan)
    with Capture(path) as capture:
        reader = DatagramReader(capture)
        assert list(reader) == list(lines())
    assert not reader.skipped
    assert capture.frame_count == count
    twin = tmp_path / f"twin-{name}"
    write_capture(twin, lines(), vlan)
    assert twin.read_bytes() == path.read_bytes()


def test_truth_can_be_written_as_json() -> None:
    lines = LossyLines(synthetic_packets(3_000, 8), 8, LineFaults())
    frame_count = len(list(lines))
    truth = json.loads(json.dumps(lines.truth.as_json()))
    assert set(truth["lost"]) == {"A", "B", "both"}
    assert truth["frames"] == frame_count


@pytest.mark.parametrize(
    "faults", [{"lines": 0}, {"lines": 27}, {"loss": -0.1}, {"reorder": 1.1}, {"skew_ns": -1}]
)
def test_faults_that_no_line_can_have_are_refused(faults: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"lines|parts|negative"):
        LineFaults(**faults)  # type: ignore[arg-type]
