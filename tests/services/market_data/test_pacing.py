"""Publishing keeps the capture's pace by sleeping, not by spinning."""

from __future__ import annotations

import pytest
from rdmaq_services.market_data.errors import OptionError
from rdmaq_services.market_data.pacing import GRAIN_NS, SLICE_NS, SPIN_NS, Pacer, parse_speed


class FakeTime:
    """A clock that moves by what is slept, and a little each time it is read."""

    def __init__(self) -> None:
        self.now_ns = 5_000
        self.read_count = 0
        self.slept_ns = 0

    def clock_ns(self) -> int:
        self.read_count += 1
        self.now_ns += 100
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)
        self.slept_ns += round(seconds * 1e9)


@pytest.mark.parametrize(("speed", "factor"), [(1.0, 1), (10.0, 10), (0.5, 0.5)])
def test_event_is_due_its_capture_time_after_the_first_one(speed: float, factor: float) -> None:
    fake = FakeTime()
    pacer = Pacer(speed, clock_ns=fake.clock_ns, sleep=fake.sleep)
    pacer.wait_until(1_000)
    begin_ns = fake.now_ns
    for after_ns in (1_000_000, 50_000_000, 3_000_000_000):
        pacer.wait_until(1_000 + after_ns)
        assert abs((fake.now_ns - begin_ns) - after_ns / factor) <= GRAIN_NS + 1_000


def test_waits_are_slept_but_for_a_short_spin() -> None:
    fake = FakeTime()
    pacer = Pacer(1.0, clock_ns=fake.clock_ns, sleep=fake.sleep)
    pacer.wait_until(0)
    pacer.wait_until(10_000_000)
    assert fake.slept_ns >= 10_000_000 - SPIN_NS - 2_000
    assert fake.read_count < 300


def test_what_is_almost_due_goes_out_at_once() -> None:
    fake = FakeTime()
    pacer = Pacer(1.0, clock_ns=fake.clock_ns, sleep=fake.sleep)
    pacer.wait_until(0)
    pacer.wait_until(GRAIN_NS // 2)
    assert fake.slept_ns == 0


def test_full_speed_never_looks_at_the_clock() -> None:
    fake = FakeTime()
    pacer = Pacer(None, clock_ns=fake.clock_ns, sleep=fake.sleep)
    pacer.wait_until(0)
    pacer.wait_until(10**15)
    assert fake.read_count == fake.slept_ns == 0


def test_long_quiet_stretches_are_told_in_slices() -> None:
    fake = FakeTime()
    calls = []
    pacer = Pacer(1.0, lambda: calls.append(1), clock_ns=fake.clock_ns, sleep=fake.sleep)
    pacer.wait_until(0)
    pacer.wait_until(SLICE_NS * 4)
    assert len(calls) in (3, 4)


def test_capture_time_that_steps_back_is_not_waited_for() -> None:
    fake = FakeTime()
    pacer = Pacer(1.0, clock_ns=fake.clock_ns, sleep=fake.sleep)
    pacer.wait_until(10**9)
    pacer.wait_until(0)
    assert fake.slept_ns == 0


def test_restarted_pacer_sets_the_pace_anew() -> None:
    fake = FakeTime()
    pacer = Pacer(1.0, clock_ns=fake.clock_ns, sleep=fake.sleep)
    pacer.wait_until(0)
    pacer.restarted().wait_until(10**12)
    assert fake.slept_ns == 0


def test_speeds_are_read() -> None:
    assert parse_speed("max") is None
    assert parse_speed("1") == 1.0
    assert parse_speed("2.5") == 2.5


@pytest.mark.parametrize("text", ["0", "-1", "fast", "nan", "inf", ""])
def test_speed_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="a number from"):
        parse_speed(text)
