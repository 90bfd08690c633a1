"""Conservation under load: a publisher flat out, reader processes that check every byte.

The run is the one of `scripts/stress ring`, kept short.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.stress import ring
from tests.stress._ring_reader import Report
from tests.stress._ring_records import make, torn_count


def test_lossy_flood_conserves_every_message() -> None:
    """Three readers, 300,000 records through 64 KiB: overrun exactly, nothing torn or doubled."""
    result = ring.run(ring.parse(["--messages", "3e5", "--readers", "3", "--seed", "11"]))
    assert result["faults"] == []
    assert result["stalls"] == 0
    assert all(reader["received"] > 0 for reader in result["readers"])
    assert any(reader["lost_overrun"] > 0 for reader in result["readers"]), "nobody was lapped"
    upstream = result["published"] - result["messages"]
    assert upstream > 0
    assert all(reader["lost_upstream"] == upstream for reader in result["readers"])


def test_reliable_flood_loses_nothing() -> None:
    """The same ring, gated by the slowest of three: every record to everybody."""
    result = ring.run(ring.parse(["--messages", "3e5", "--seed", "12", "--reliable"]))
    assert result["faults"] == []
    assert result["stalls"] > 0, "the gate was never shut: the test shows nothing"
    assert [reader["received"] for reader in result["readers"]] == [result["messages"]] * 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", [21, 22])
def test_long_flood_conserves_every_message(seed: int) -> None:
    """Ten million records, four readers on whatever CPUs there are."""
    arguments = ["--messages", "1e7", "--readers", "4", "--seconds", "40", "--seed", str(seed)]
    assert ring.run(ring.parse(arguments))["faults"] == []


def test_checks_of_the_flood_can_fail() -> None:
    """Each kind of break, made on purpose, is found by the same code."""
    records = make(100, 50)
    assert torn_count(records, 100) == 0
    assert torn_count(records, 101) == 50
    records["words"][7, 3] ^= np.uint64(1 << 40)
    records[9] = records[8]
    assert torn_count(records, 100) == 2
    report = Report(next_sequence=10)
    report.expect(8)
    report.expect(15)
    assert (report.doubled, report.undeclared) == (2, 5)
    good = {"received": 5, "lost_upstream": 3, "lost_overrun": 2, "next_sequence": 11}
    good |= {"torn": 0, "doubled": 0, "undeclared": 0}
    assert ring.judge(10, [good], is_reliable=False) == []
    assert ring.judge(11, [good], is_reliable=False) == ["reader 0: 10 accounted of 11 published"]
    for broken in ("torn", "doubled", "undeclared"):
        assert ring.judge(10, [good, good | {broken: 1}], is_reliable=False) == [
            f"reader 1: 1 {broken}"
        ]
    assert len(ring.judge(10, [good], is_reliable=True)) == 1
