"""The main job: a lossy capture to four subscriber processes, every message accounted for.

The same three checks on synthetic lines, always, and on the real capture where it is there.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rdmaq_services.market_data import ranges
from rdmaq_services.market_data.capture_write import write_capture
from rdmaq_services.market_data.datagrams import Datagram
from rdmaq_services.market_data.moldudp64 import pack, pack_header

Run = Callable[..., "subprocess.CompletedProcess[str]"]
SMALL = "64KiB"


@pytest.fixture(params=["synthetic_lines", "real_lines"])
def lines(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def report_of(finished: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert "Traceback" not in finished.stderr
    report = json.loads(finished.stdout)
    assert isinstance(report, dict)
    return report


def assert_exact(report: dict[str, Any], lines: Any) -> None:
    """Every subscriber has everything that arrived, and knows exactly what did not."""
    lost = ranges.message_count(lines.lost_both)
    assert report["conserved"] is True
    assert report["published"] == lines.messages - lost
    for subscriber in report["subscribers"]:
        assert subscriber["messages"] == lines.messages - lost
        assert subscriber["lost_messages"] == lost
        assert subscriber["lost_ranges"] == lines.lost_both
        assert subscriber["lost_overrun"] == 0
        assert subscriber["lost_overrun_ranges"] == []
        assert subscriber["counts_by_type"] == lines.counts_by_type
        latency = subscriber["latency_ns"]
        assert 0 < latency["p50"] <= latency["p99"] <= latency["p99_9"] <= latency["max"]


def test_four_subscribers_at_full_speed_lose_exactly_what_both_lines_lost(
    rdmaq_md: Run, lines: Any
) -> None:
    finished = rdmaq_md("replay", lines.capture, "--speed", "max", "--subscribers", 4, "--json")
    assert finished.returncode == 0, finished.stderr
    report = report_of(finished)
    assert len(report["subscribers"]) == 4
    assert_exact(report, lines)
    assert report["feed"]["late_messages"] == 0


def test_reliable_ring_that_wraps_fifty_times_gives_the_same_result(
    rdmaq_md: Run, lines: Any
) -> None:
    finished = rdmaq_md("replay", lines.capture, "--reliable", "--capacity", SMALL, "--json")
    assert finished.returncode == 0, finished.stderr
    report = report_of(finished)
    assert report["ring"]["flow"] == "reliable"
    assert report["ring"]["wraps"] >= 50
    assert_exact(report, lines)


def test_slow_subscriber_is_told_upstream_loss_and_overrun_apart_and_exactly(
    rdmaq_md: Run, lines: Any
) -> None:
    """A small lossy ring laps the last subscriber many times, also across upstream losses."""
    finished = rdmaq_md(
        "replay", lines.capture, "--capacity", SMALL, "--slow-subscriber", 2_000, "--json"
    )
    assert finished.returncode == 0, finished.stderr
    report = report_of(finished)
    assert report["conserved"] is True
    lost = ranges.message_count(lines.lost_both)
    for subscriber in report["subscribers"]:
        assert subscriber["lost_ranges"] == lines.lost_both
        overrun = subscriber["lost_overrun_ranges"]
        assert subscriber["lost_overrun"] == ranges.message_count(overrun)
        assert subscriber["messages"] + lost + subscriber["lost_overrun"] == lines.messages
        both = sorted([*overrun, *lines.lost_both])
        assert all(a[1] < b[0] for a, b in itertools.pairwise(both)), "no overlap"
        assert subscriber["undeclared_ranges"] == []
        assert subscriber["doubled"] == 0
    assert report["subscribers"][-1]["lost_overrun"] > 0


def test_synthetic_feed_is_replayed_when_no_capture_is_given(rdmaq_md: Run) -> None:
    finished = rdmaq_md(
        "replay", "--messages", 20_000, "--seed", 5, "--loss", 0.1, "--subscribers", 2, "--json"
    )
    assert finished.returncode == 0, finished.stderr
    report = report_of(finished)
    assert report["published"] + report["declared_lost"] == 20_000
    assert report["declared_lost"] > 0


def test_replay_ends_with_a_table_and_the_verdict(rdmaq_md: Run, synthetic_lines: Any) -> None:
    finished = rdmaq_md("replay", synthetic_lines.capture, "--subscribers", 2)
    assert finished.returncode == 0, finished.stderr
    for words in ("messages", "upstream", "overrun", "p50", "p99", "p99.9", "max", "conserved: "):
        assert words in finished.stdout
    assert finished.stderr == "", "no progress where there is no terminal"


def test_capture_with_several_sessions_is_replayed_session_by_session(
    rdmaq_md: Run, tmp_path: Path
) -> None:
    """One by its end of session, one by a change, one by the capture's end; 1 is expected anew."""
    path = tmp_path / "sessions.pcap"
    line, at_ns = "239.1.1.1:5000", 10**18
    datagrams = []
    for session in ("ONE", "TWO", "THREE"):
        for sequence in (1, 2, 4, 5):
            at_ns += 50_000_000
            datagrams.append(Datagram(at_ns, line, pack(session, sequence, [b"A" * 36])))
        if session == "ONE":
            datagrams.append(Datagram(at_ns, line, pack_header(session, 7, 0xFFFF)))
    write_capture(path, datagrams)
    finished = rdmaq_md("replay", path, "--subscribers", 2, "--json")
    assert finished.returncode == 0, finished.stderr
    report = report_of(finished)
    ends = [(session["session"], session["end"]) for session in report["sessions"]]
    assert ends == [
        ("ONE", "end of session"), ("TWO", "session change"), ("THREE", "end of capture"),
    ]  # fmt: skip
    for subscriber in report["subscribers"]:
        assert subscriber["messages"] == 12
        assert subscriber["lost_ranges"] == [[3, 3], [6, 6], [3, 3], [3, 3]]


def test_live_join_starts_where_the_lines_are(rdmaq_md: Run, tmp_path: Path) -> None:
    path = tmp_path / "late.pcap"
    line = "239.1.1.1:5000"
    write_capture(path, [Datagram(10**18, line, pack("A", 1_000_000, [b"S", b"R"]))])
    finished = rdmaq_md("replay", path, "--start", "live", "--subscribers", 1, "--json")
    report = report_of(finished)
    assert report["sessions"][0]["joined_live"] is True
    assert report["sessions"][0]["first_sequence"] == 1_000_000
    assert report["subscribers"][0]["lost_messages"] == 0
    finished = rdmaq_md("replay", path, "--subscribers", 1, "--json")
    assert report_of(finished)["subscribers"][0]["lost_ranges"] == [[1, 999_999]]


def test_capture_from_the_middle_of_a_day_gets_a_hint(rdmaq_md: Run, tmp_path: Path) -> None:
    """Not one whose lines lost a little at the beginning."""
    late, whole = tmp_path / "late.pcap", tmp_path / "whole.pcap"
    for path, first in ((late, 50_001), (whole, 4)):
        write_capture(
            path, [Datagram(10**18, "239.1.1.1:5000", pack("A", first, [b"S" + bytes(11)] * 5))]
        )
    said = rdmaq_md("replay", late, "--subscribers", 1).stdout
    assert "nothing before 50,001 is in the capture" in said
    assert "--start live" in said
    for arguments in ((late, "--start", "live"), (whole,)):
        assert "--start live" not in rdmaq_md("replay", *arguments, "--subscribers", 1).stdout


def test_capture_cut_in_the_middle_delivers_what_is_whole_and_says_where_it_ends(
    rdmaq_md: Run, synthetic_lines: Any, tmp_path: Path
) -> None:
    path = tmp_path / "cut.pcap.gz"
    whole = synthetic_lines.capture.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    finished = rdmaq_md("replay", path, "--subscribers", 2, "--json")
    assert finished.returncode == 2
    report = report_of(finished)
    assert report["conserved"] is True
    assert report["published"] > 1_000
    cut = report["feed"]["cut_short"]
    assert finished.stderr.startswith(f"error: {path} is cut short: ")
    assert f"packet {cut['frames_whole'] + 1}" in finished.stderr
    assert f"byte {cut['offset_bytes']}" in finished.stderr
    assert finished.stderr.count("\n") == 1


def test_speed_of_the_capture_takes_the_time_of_the_capture(rdmaq_md: Run, tmp_path: Path) -> None:
    """Five seconds of it: far longer than processes take to start, so that no pace would show."""
    path = tmp_path / "paced.pcap"
    line = "239.1.1.1:5000"
    times_ns = [10**18 + index * 1_000_000_000 for index in range(6)]
    write_capture(
        path,
        [Datagram(t, line, pack("A", n + 1, [b"S"])) for n, t in enumerate(times_ns)],
    )
    began = time.monotonic()
    finished = rdmaq_md("replay", path, "--speed", 1, "--subscribers", 1, "--json")
    assert time.monotonic() - began >= 5.0
    assert finished.returncode == 0, finished.stderr
    assert report_of(finished)["subscribers"][0]["messages"] == 6
