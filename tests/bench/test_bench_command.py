"""The three benchmarks with tiny counts: that they run and what they tell, never how fast."""

from __future__ import annotations

import os
from typing import Any

import pytest

from rdmaq import cli
from rdmaq.bench import zmq_pair
from rdmaq.bench.quiet import Watch
from tests.bench.conftest import Run

LATENCY = ("bench", "latency", "--count", "20", "--rounds", "1", "--capacity", "64KiB")
RATE = ("bench", "rate", "--count", "50", "--messages", "640", "--rounds", "1", "--batch", "100")
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


def test_latency_stands_beside_c_pyzmq_pipe_and_an_empty_crossing(rdmaq_json: Run) -> None:
    """All of them in one run, with the ratio that is its target."""
    report = rdmaq_json(*LATENCY)
    check_shape(report, LATENCY)
    others = {"c_ring", "plain_c", "pyzmq", "pipe", "crossing", "clock"}
    assert set(report["results"]) == {"rdmaq_auto", "rdmaq_spin", "rdmaq_sleep", *others}
    assert set(report["results"]["rdmaq_auto"]) > {"p50_ns", "p99_ns"}
    assert report["ratios"]["times_faster_than_pyzmq"]["target"] == 20


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
    assert report["ratios"]["into_of_plain_c"]["target"] == 0.8


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
