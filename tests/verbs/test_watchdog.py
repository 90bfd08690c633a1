"""A device that completes nothing, though it has requests, is not waited for without end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest

from rdmaq.errors import ConcurrentUse, OperationFailed, PairError
from rdmaq.verbs import watchdog
from rdmaq.verbs.watchdog import Watchdog
from tests.verbs.nic import End, Place, connect, library

LOCAL, REMOTE = Place(0x1000, 64), Place(0x2000, 64)
SECONDS = 0.1


@pytest.fixture
def end() -> Iterator[End]:
    """A pair whose NIC does nothing by itself; the watchdog has it fail and flush."""
    with End() as made:
        made.pair.watchdog = Watchdog(SECONDS, lambda: bite(made))
        yield made


def bite(end: End) -> PairError:
    library().nic_fail(end.qp)
    end.run()
    return PairError("nobody is told of it: all was flushed")


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

    def _bite(self) -> PairError:
        self.count += 1
        return PairError("nobody waits here")

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
    end.be_quick()
    operation = end.pair.write_with_imm(LOCAL, REMOTE, 1)
    for _ in range(100):
        assert bites.after(clock, 1.0) == 0
        end.pair.look(0)
    end.be_slow()
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


# ---- a peer that grants no receive ---------------------------------------------------------


RETRY_EXCEEDED = 12


def test_peer_that_lives_is_asked_now_and_then_and_waited_for(
    end: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By requests of no bytes, once a second, of which nobody hears."""
    clock, bites = Clock(monkeypatch), Bites(end)
    end.be_quick()
    operation = end.pair.write_with_imm(LOCAL, REMOTE, 1)
    for _ in range(20):
        bites.after(clock, 1.0)
        assert end.pair.look(0) == 0
    assert (bites.count, end.posted, end.pair.outstanding) == (0, 20, 1)
    with End() as other:
        connect(end, other)
        end.pair.grant(other.pair.post_receives(1))
        operation.wait(60)
    assert end.posted == 21


@pytest.mark.parametrize("way", ["wait", "run", "await"])
def test_write_that_waits_for_a_dead_peers_receive_ends(end: End, way: str) -> None:
    """Nothing else is in flight, and nobody gave a time-out; what waits behind it ends, too."""
    end.be_quick(RETRY_EXCEEDED)
    operation = end.pair.write_with_imm(LOCAL, REMOTE, 1)
    requests = end.pair.requests(1)
    requests.array["opcode"] = requests.WRITE

    async def main() -> None:
        await operation

    ways: dict[str, Callable[[], object]] = {
        "wait": operation.wait,
        "run": lambda: end.pair.run(requests),
        "await": lambda: asyncio.run(main()),
    }
    with pytest.raises(OperationFailed) as failure:
        ways[way]()
    assert (failure.value.status, failure.value.opcode) == (RETRY_EXCEEDED, "WRITE_WITH_IMM")
    with pytest.raises(OperationFailed):
        operation.wait(60)
    assert end.pair.outstanding == 0
    with pytest.raises(OperationFailed):
        end.pair.receive()


# ---- a device that tells nothing any more --------------------------------------------------


class Lost(PairError):
    pass


def awaited(call: Callable[[End], Awaitable[object]]) -> Callable[[End], object]:
    async def main(end: End) -> None:
        await call(end)

    return lambda end: asyncio.run(main(end))


def run(end: End) -> None:
    requests = end.pair.requests(1)
    requests.array["opcode"] = requests.WRITE
    end.pair.run(requests)


def settle(end: End) -> None:
    end.pair.write(LOCAL, REMOTE)
    end.pair.settle()


WAITS: dict[str, Callable[[End], object]] = {
    "wait": lambda end: end.pair.write(LOCAL, REMOTE).wait(),
    "await": awaited(lambda end: end.pair.write(LOCAL, REMOTE)),
    "run": run,
    "settle": settle,
    "receive": lambda end: end.pair.receive(),
    "receive_async": awaited(lambda end: end.pair.receive_async()),
    "credit": lambda end: end.pair.write_with_imm(LOCAL, REMOTE, 1).wait(),
    "await credit": awaited(lambda end: end.pair.write_with_imm(LOCAL, REMOTE, 1)),
}


@pytest.mark.parametrize("way", WAITS)
def test_all_ends_when_the_device_told_that_it_is_gone(end: End, way: str) -> None:
    """No completion comes, not even of a flush; a second operation is in flight beside it."""
    gone: list[Lost] = []
    end.pair.watchdog = Watchdog(SECONDS, Lost, lambda: gone[0] if gone else None)
    other = end.pair.write(LOCAL, REMOTE)
    waiting = end.pair.write_with_imm(LOCAL, REMOTE, 2)
    gone.append(Lost("the device has failed; open it anew"))
    if way == "settle":
        WAITS[way](end)
    else:
        with pytest.raises((OperationFailed, Lost)):
            WAITS[way](end)
    with pytest.raises(OperationFailed, match="unknown True"):
        other.wait()
    with pytest.raises(Lost):
        waiting.wait()
    assert end.pair.outstanding == 0
    for call in (lambda: end.pair.write(LOCAL, REMOTE), end.pair.receive):
        with pytest.raises(Lost, match="open it anew"):
            call()


def test_thread_that_sleeps_is_told_by_the_one_who_heard_of_the_devices_end(end: End) -> None:
    """One waits in C; another posts, waits on the same pair, and is refused; then the end."""
    gone: list[Lost] = []
    end.pair.watchdog = Watchdog(SECONDS, Lost, lambda: gone[0] if gone else None)
    operation, errors = end.pair.write(LOCAL, REMOTE), list[Exception]()

    def wait() -> None:
        try:
            operation.wait()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    gone.append(Lost("the device has failed; open it anew"))
    for thread in threads:
        thread.join(60)
    assert len(errors) == 4
    assert all(isinstance(e, (ConcurrentUse, OperationFailed, Lost)) for e in errors)
    assert any(isinstance(e, (OperationFailed, Lost)) for e in errors)


def test_device_that_does_not_even_flush_is_given_up(
    end: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands still, and goes on to do so in the error state."""
    monkeypatch.setattr(watchdog, "FLUSH_SECONDS_MAX", 0.1)
    ends: list[Lost] = []

    def bite_in_vain() -> Lost:
        ends.append(Lost("the device stands still; open it anew"))
        return ends[-1]

    end.pair.watchdog = Watchdog(SECONDS, bite_in_vain)
    operation = end.pair.write(LOCAL, REMOTE)
    with pytest.raises(OperationFailed, match="unknown True"):
        operation.wait()
    with pytest.raises(Lost):
        end.pair.write(LOCAL, REMOTE)
    assert len(ends) == 1
