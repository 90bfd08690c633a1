"""A device that completes nothing, though it has requests, is not waited for without end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from rdmaq.errors import OperationFailed
from rdmaq.verbs import watchdog
from rdmaq.verbs.watchdog import Watchdog
from tests.verbs.nic import End, Place, library

LOCAL, REMOTE = Place(0x1000, 64), Place(0x2000, 64)
SECONDS = 0.1


@pytest.fixture
def end() -> Iterator[End]:
    """A pair whose NIC does nothing by itself; the watchdog has it fail and flush."""
    with End() as made:
        made.pair.watchdog = Watchdog(SECONDS, lambda: bite(made))
        yield made


def bite(end: End) -> None:
    library().nic_fail(end.qp)
    end.run()


def test_wait_ends_in_an_error_when_the_device_stands_still(end: End) -> None:
    operations = [end.pair.write(LOCAL, REMOTE) for _ in range(3)]
    for operation in operations:
        with pytest.raises(OperationFailed):
            operation.wait(60)
    assert end.pair.outstanding == 0


def test_await_ends_in_an_error_when_the_device_stands_still(end: End) -> None:
    async def main() -> None:
        with pytest.raises(OperationFailed):
            await end.pair.write(LOCAL, REMOTE)

    asyncio.run(main())


class Clock:
    """Time as a test says it, in the place of the module `time`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(watchdog, "time", self)

    def monotonic(self) -> float:
        return self.now


class Bites:
    """A watchdog of ten seconds, looked at by hand."""

    def __init__(self, end: End) -> None:
        self.count = 0
        self._pair = end.pair
        self._dog = Watchdog(10.0, self._bite)

    def _bite(self) -> None:
        self.count += 1

    def after_look(self) -> int:
        """How often it has bitten after one more look."""
        self._dog.look(self._pair)
        return self.count

    def after(self, clock: Clock, seconds: float) -> int:
        """How often it has bitten after so long, looked at every second."""
        for _ in range(int(seconds)):
            clock.now += 1.0
            self._dog.look(self._pair)
        clock.now += seconds % 1.0
        return self.after_look()


def test_device_that_goes_on_slowly_is_left_alone(
    end: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each completion comes just before the time is over."""
    clock, bites = Clock(monkeypatch), Bites(end)
    for _ in range(4):
        end.pair.write(LOCAL, REMOTE)
    for _ in range(4):
        assert bites.after_look() == 0
        assert bites.after(clock, 9.9) == 0
        end.run(1)
        assert end.pair.look(0) == 1
    assert bites.after(clock, 100) == 0


def test_long_request_is_given_time_for_its_bytes(
    end: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mebibyte may take a second more."""
    clock, bites = Clock(monkeypatch), Bites(end)
    end.pair.write(Place(0x1000, 1 << 20), Place(0x2000, 1 << 20))
    assert bites.after_look() == 0
    assert bites.after(clock, 11.0) == 0
    assert bites.after(clock, 0.1) == 1


def test_waiting_for_the_peers_receives_is_no_standstill(
    end: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is in our backlog; the device has nothing to complete."""
    clock, bites = Clock(monkeypatch), Bites(end)
    operation = end.pair.write_with_imm(LOCAL, REMOTE, 1)
    assert bites.after(clock, 100) == 0
    end.pair.grant(1)  # now the device has it, and its time begins
    assert bites.after_look() == 0
    assert bites.after(clock, 9.9) == 0
    end.run()
    operation.wait(60)


def test_time_while_nobody_waited_counts_for_nothing(
    end: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was in flight then may have ended, and what is in flight now may have just begun."""
    clock, bites = Clock(monkeypatch), Bites(end)
    end.pair.write(LOCAL, REMOTE)
    assert bites.after_look() == 0
    clock.now += 1000.0
    assert bites.after_look() == 0
    assert bites.after(clock, 9.9) == 0
    assert bites.after(clock, 1.0) == 1
