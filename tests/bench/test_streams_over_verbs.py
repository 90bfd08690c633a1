"""What `--transport verbs` makes of rounds; the rest needs devices (tests/rdma)."""

from __future__ import annotations

import pytest

from rdmaq.bench.chain_pair import frame_bytes
from rdmaq.bench.paired import Compared, ratios
from rdmaq.bench.rounds import Contender, Result
from tests.bench.conftest import Run


def result(key: str, values: list[float]) -> Result:
    contender = Contender(key=key, title=key.upper(), run=dict)
    return Result(contender=contender, samples=[{"p50_ns": value} for value in values])


def test_ratio_is_the_median_of_the_rounds_own_not_of_the_medians() -> None:
    """What drifts from round to round drifts for both; the interval stands beside it."""
    theirs = [100.0, 900.0, 200.0, 400.0, 300.0, 500.0, 700.0]
    ours = [1.2 * value for value in theirs]
    ours[1] = 100.0  # one round in which the other was disturbed
    compared = Compared(ours="a", theirs="b", metric="p50_ns", target=1.3, is_at_most=True)
    results = {"a": result("a", ours), "b": result("b", theirs)}
    (ratio,) = ratios(results, [compared])
    assert ratio.key == "a_to_b"
    assert ratio.value == pytest.approx(1.2)
    assert ratio.is_met
    assert "7 rounds, 0.11 - 1.20" in ratio.title


def test_round_that_only_one_of_them_had_does_not_count() -> None:
    compared = Compared(ours="a", theirs="b", metric="p50_ns")
    results = {"a": result("a", [2.0, 2.0]), "b": result("b", [1.0, 1.0, 7.0])}
    assert compared.of_rounds(results) == [2.0, 2.0]


@pytest.mark.parametrize(("message", "frame"), [(0, 32), (1, 64), (32, 64), (48, 96), (64, 96)])
def test_bare_chain_carries_what_a_link_would(message: int, frame: int) -> None:
    """Header, payload, padding to 32 bytes."""
    assert frame_bytes(message) == frame


@pytest.mark.parametrize("name", ["latency", "fanout"])
def test_missing_devices_are_an_error_with_a_cure(rdmaq_error: Run, name: str) -> None:
    devices = ("--device", "none0", "--device", "none1")
    said = rdmaq_error("bench", name, "--transport", "verbs", *devices)
    assert "two active devices" in said
    assert "rdmaq rig exec" in said
