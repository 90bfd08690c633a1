"""The fuzzers, for a short while each; `scripts/stress fuzz` runs them for long."""

from __future__ import annotations

import os

import pytest

from tests.fuzz import fuzzers

SECONDS = 15
INPUTS_MIN = {"blocks": 100_000, "descriptor": 1_000, "publisher": 1_000, "reader": 5_000}


@pytest.mark.slow
@pytest.mark.parametrize("target", fuzzers.TARGETS)
def test_fuzzer_finds_no_fault(target: str) -> None:
    """Seeds first, then what libFuzzer makes of them, by coverage, for a bounded time."""
    if os.environ.get("CI") != "true" and not fuzzers.has_clang():
        pytest.skip("clang with libFuzzer not present")
    outcome = fuzzers.run(target, seconds=SECONDS)
    assert outcome.passed, f"{outcome.text[-4000:]}\ninputs: {outcome.kept}"
    assert outcome.input_count > INPUTS_MIN[target], "it hardly ran: is the target stuck?"
