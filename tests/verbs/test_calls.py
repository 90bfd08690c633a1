"""Ends by steps: each is taken, though one before it failed, and the first failure is told."""

from __future__ import annotations

import pytest

from rdmaq.errors import PairError
from rdmaq.verbs._calls import take_all


def test_each_step_is_taken_and_the_first_failure_is_raised() -> None:
    taken: list[int] = []

    def fail(number: int, error: BaseException) -> None:
        taken.append(number)
        raise error

    with pytest.raises(KeyboardInterrupt):
        take_all(
            lambda: taken.append(1),
            lambda: fail(2, KeyboardInterrupt()),
            lambda: fail(3, PairError("it follows from the second; see there")),
            lambda: taken.append(4),
        )
    assert taken == [1, 2, 3, 4]


def test_steps_that_go_well_raise_nothing() -> None:
    take_all()
    take_all(lambda: 1, lambda: 2)
