"""The benchmarks with tiny counts: that they run and what they tell, never how fast."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from rdmaq import cli
from rdmaq.bench import ucx, zmq_pair
from rdmaq.bench.quiet import Watch
from tests.bench.conftest import Run

LATENCY = ("bench", "latency", "--count", "20", "--rounds", "1", "--capacity", "64KiB")
RATE = ("bench", "rate", "--count", "50", "--messages", "640", "--rounds", "1", "--batch", "100")
STALLED = ("bench", "stalled", "--count", "1000", "--rounds", "1", "--subscribers", "3")
FLAT = ("bench", "flat", "--decades", "4", "--rounds", "1")
FANOUT = ("bench", "fanout", "--count", "3", "--rounds", "1", "--subscribers", "3")


def check_shape(report: dict[str, Any], arguments: tuple[str, ...]) -> None:
    """What every benchmark's object has."""
    assert report["benchmark"] == arguments[1]
    assert report["command"] == " ".join(("rdmaq", *arguments, "--json"))
    assert {"cpu", "cpus", "kernel", "python", "rdmaq", "clock"} <= set(report["machine"])
    assert isinstance(report["void_measurements"], int)
    assert isinstance(report["quiet"], bool)
    assert report["others_cpus"] >= 0
    assert report["notes"]
    for result in report["results"].values():
        assert result["rounds"] + result["rounds_void"] >= 1
        for metric in (v for v in result.values() if isinstance(v, dict)):
            assert 0 <= metric["min"] <= metric["median"] <= metric["max"]
    for ratio in report["ratios"].values():
        assert isinstance(ratio["value"], float)
        assert ratio["met"] is None or ratio["target"] is not None


def test_latency_stands_beside_c_pyzmq_pipe_and_an_empty_crossing(
    rdmaq_json: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them in one run, with the ratios that are its targets; UCX is missing, and told."""
    monkeypatch.setattr(ucx, "find", lambda: None)
    report = rdmaq_json(*LATENCY)
    check_shape(report, LATENCY)
    others = {"c_ring", "plain_c", "pyzmq", "pipe", "crossing", "clock"}
    assert set(report["results"]) == {"rdmaq_auto", "rdmaq_spin", "rdmaq_sleep", *others}
    assert set(report["results"]["rdmaq_auto"]) > {"p50_ns", "p99_ns"}
    assert report["ratios"]["times_faster_than_pyzmq"]["target"] == 20
    assert report["ratios"]["crossings_above_c"]["target"] == 6
    assert any("ucx_perftest is not on the path" in note for note in report["notes"])


FAKE_UCX = """#!/bin/sh
case "$*" in
*tag_lat*) printf 'iterations,50.0_percentile_lat,avg_lat\\n20,0.250,9.1\\n' ;;
*) exec sleep 60 ;;
esac
"""


def test_latency_stands_beside_ucx_where_that_is_found(
    rdmaq_json: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A program of that name on the path that says 0.25 us one way: 500 ns there and back."""
    program = tmp_path / "ucx_perftest"
    program.write_text(FAKE_UCX)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    report = rdmaq_json(*LATENCY)
    assert report["results"]["ucx"]["p50_ns"]["median"] == 500
    assert report["ratios"]["times_faster_than_ucx"]["target"] == 1


def test_ucx_that_speaks_otherwise_is_an_error_with_a_cure(
    rdmaq_error: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its last words are told."""
    program = tmp_path / "ucx_perftest"
    program.write_text("#!/bin/sh\necho nonsense\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert "nonsense" in rdmaq_error(*LATENCY)


def test_latency_without_pyzmq_says_so(rdmaq_json: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pyzmq is taken away; its line is gone, the note names it, the rest is there."""
    monkeypatch.setattr(zmq_pair, "is_there", lambda: False)
    report = rdmaq_json(*LATENCY)
    assert "pyzmq" not in report["results"]
    assert "times_faster_than_pyzmq" not in report["ratios"]
    assert any("pyzmq is not installed" in note for note in report["notes"])


def test_rate_holds_dense_batches_against_c(rdmaq_json: Run) -> None:
    """Same ring, same copies; every way of sending and receiving has its line."""
    report = rdmaq_json(*RATE)
    check_shape(report, RATE)
    dense = {"batch_into", "c_copy", "plain_c", "batch_copy", "batch_view"}
    assert set(report["results"]) == {*dense, "single", "many", "blocks"}
    assert report["ratios"]["into_of_c"]["target"] == 0.9
    assert report["ratios"]["into_of_plain_c"]["target"] is None
    assert report["settings"] == {
        "batch": 100,
        "batches": 50,
        "message_bytes": 32,
        "messages": 640,
        "capacity": "16MiB",
        "rounds": 1,
        "seconds_max": 50.0,
        "record_bytes": 32,
        "many": 64,
    }


def test_stalled_holds_sends_to_who_stands_still_against_sends_to_nobody(rdmaq_json: Run) -> None:
    """The stopped process goes on afterwards: it ends when it is told to."""
    report = rdmaq_json(*STALLED)
    check_shape(report, STALLED)
    assert set(report["results"]) == {"no_subscriber", "stalled"}
    assert report["ratios"]["p999_of_none"]["target"] == 1.1


def test_flat_holds_every_power_of_ten_against_the_smallest(rdmaq_json: Run) -> None:
    """From 10^3 to the one that was asked for."""
    report = rdmaq_json(*FLAT)
    check_shape(report, FLAT)
    assert set(report["results"]) == {"e3", "e4"}
    assert report["ratios"]["dearest_of_smallest"]["target"] == 1.1


def test_fanout_accounts_for_every_message_of_every_subscriber(rdmaq_json: Run) -> None:
    """Received + declared lost = published, for each subscriber of each contender."""
    report = rdmaq_json(*FANOUT)
    check_shape(report, FANOUT)
    assert {k: len(v) for k, v in report["subscribers"].items()} == {
        "one_send": 1,
        "many_send": 3,
        "one_batch": 1,
        "many_batch": 3,
    }
    for totals in report["subscribers"].values():
        for total in totals:
            assert total["published"] > 0
            assert total["received"] + total["lost"] == total["published"]


def test_never_quiet_machine_is_told_not_hidden(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every probe is made to fail: the figures are shown, and marked as void."""
    monkeypatch.setattr(Watch, "is_quiet", lambda _: False)
    assert cli.run([*FANOUT, "--seconds", "0.1"]) == 0
    printed = capsys.readouterr().out
    assert "NEVER QUIET" in printed
    assert "measurements were void" in printed


def test_table_shows_machine_command_and_spread(capsys: pytest.CaptureFixture[str]) -> None:
    """What a figure needs to be quoted stands beside it."""
    assert cli.run(RATE) == 0
    printed = capsys.readouterr().out
    assert f"Linux {os.uname().release}" in printed
    assert f"$ rdmaq {' '.join(RATE)}" in printed
    assert "the same ring in C" in printed
    assert "[least - most]" in printed


@pytest.mark.parametrize(
    "arguments",
    [
        ("bench", "flat", "--decades", "3"),
        ("bench", "stalled", "--subscribers", "129"),
        ("bench", "latency", "--count", "-1"),
        ("bench", "latency", "--bytes", "0"),
        ("bench", "latency", "--capacity", "100000"),
        ("bench", "latency", "--capacity", "much"),
        ("bench", "rate", "--batch", "0"),
        ("bench", "rate", "--rounds", "0"),
        ("bench", "rate", "--seconds", "never"),
        ("bench", "rate", "--seconds", "nan"),
        ("bench", "latency", "--seconds", "inf"),
        ("streams", "local:nobody", "--timeout", "nan"),
        ("bench", "fanout", "--subscribers", "65"),
        ("bench", "fanout", "--subscribers", "-3"),
        ("bench", "warmth"),
        ("bench", "rate", "surplus"),
    ],
)
def test_bad_arguments_end_with_cause_and_cure(
    arguments: tuple[str, ...], rdmaq_error: Run
) -> None:
    """One line on standard error, exit code 2, nothing on standard output."""
    assert "--help" in rdmaq_error(*arguments)
