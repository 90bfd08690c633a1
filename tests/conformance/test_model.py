"""A publisher and two readers against a model of ten lines, driven at random by hypothesis."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conformance.machine import RestartingRing, Ring, TypedRing

TestRing = Ring.TestCase
TestRing.settings = settings(max_examples=40, stateful_step_count=40)

TestTypedRing = TypedRing.TestCase
TestTypedRing.settings = settings(max_examples=40, stateful_step_count=40)

TestRestartingRing = RestartingRing.TestCase
TestRestartingRing.settings = settings(max_examples=10, stateful_step_count=40)


@pytest.mark.slow
@pytest.mark.timeout(900)  # no claim about pace: a machine that others use takes ten times as long
@pytest.mark.parametrize("machine", [Ring, TypedRing, RestartingRing])
def test_ring_keeps_to_the_model_for_long(machine: type[Ring]) -> None:
    """The same, some 10 seconds each; `scripts/stress model` walks on for as long as you like."""
    count = 40 if machine is RestartingRing else 300
    run_state_machine_as_test(
        machine, settings=settings(max_examples=count, stateful_step_count=60)
    )
