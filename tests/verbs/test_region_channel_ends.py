"""How operations on a region over verbs fail, wait, and end; by a NIC of the tests' own."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import rdmaq
from rdmaq.region.grant import ARRAY, RegionInfo
from rdmaq.region.verbs_channel import VerbsChannel
from rdmaq.verbs import Status
from tests.verbs.far import Far, in_thread, run_nic, slow
from tests.verbs.nic import REMOTE_ACCESS
from tests.verbs.owner import DEPTH, FakeSession


@pytest.fixture
def far() -> Iterator[Far]:
    with Far(np.arange(1000, dtype="<u8")) as made:
        yield made


def test_region_that_was_revoked_says_so_again_and_again(far: Far) -> None:
    far.session.revoke()
    said = []
    for call in (lambda: far.region.read(0), lambda: far.region.write(0, 1)):
        with pytest.raises(rdmaq.RegionRevoked, match=r"region 'r' was revoked.*READ failed with"):
            call()
        said.append(far.cost()["requests"])
    assert said == [1, 0]
    assert [error.status for error in far.session.failures] == [Status.REM_ACCESS_ERR]


def test_session_that_its_owner_ended_is_told_before_anything_is_posted(far: Far) -> None:
    """No operation, and so no time-out, is needed to learn of it."""
    assert int(far.region.read(1)) == 1
    far.session.end_said = rdmaq.RegionRevoked("region 'r' was revoked: its node was closed")
    before = far.cost()["requests"]
    for _ in range(2):
        with pytest.raises(rdmaq.RegionRevoked, match="its node was closed"):
            far.region.write(1, 5)
    with pytest.raises(rdmaq.RegionRevoked, match="its node was closed"):
        asyncio.run(far.region.aio.read(1))
    assert (before, far.cost()["requests"]) == (1, 0)
    assert far.array[1] == 1


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (Status.RETRY_EXC_ERR, "lost its owner"),
        (Status.WR_FLUSH_ERR, "lost its connection"),
        (Status.LOC_PROT_ERR, "lost its connection"),
    ],
)
def test_owner_that_does_not_answer_is_gone(far: Far, status: Status, says: str) -> None:
    """And what was asked for is unknown, not undone."""
    far.session.end.be_quick(status)
    with pytest.raises(rdmaq.PeerGone, match=f"{says}.*may or may not have been done.*READ failed"):
        far.region.read(0)
    with pytest.raises(rdmaq.PeerGone, match=says) as again:
        far.region.fetch_add(0, 1)
    assert isinstance(far.session.failures[0], rdmaq.OperationFailed)
    assert not isinstance(again.value, rdmaq.OperationFailed)


def test_awaited_failure_is_explained_off_the_event_loop(far: Far) -> None:
    """Whoever explains it may ask the node, which takes time."""
    threads: list[int] = []
    failure = far.session.failure

    def explain(error: rdmaq.OperationFailed) -> rdmaq.RdmaqError:
        threads.append(threading.get_ident())
        return failure(error)

    far.session.failure = explain  # type: ignore[method-assign]
    far.session.revoke()

    async def use() -> None:
        for _ in range(2):
            with pytest.raises(rdmaq.RegionRevoked):
                await far.region.aio.read(0)

    asyncio.run(use())
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


def test_device_that_refuses_to_go_on_ends_the_region_in_its_words(far: Far) -> None:
    far.session.end.refuse(0, 5)
    with pytest.raises(rdmaq.PeerGone, match="EIO"):
        far.region.read(0)


def test_awaited_operations_take_turns_and_others_run_meanwhile(far: Far) -> None:
    slow(far)

    async def use() -> list[Any]:
        tasks = [asyncio.ensure_future(far.region.aio.fetch_add(0, 1)) for _ in range(20)]
        ended = asyncio.gather(*tasks)
        await run_nic(far, until=ended)
        return await ended

    assert asyncio.run(use()) == list(range(20))
    assert far.array[0] == 20


def test_awaited_transfer_in_parts_is_whole() -> None:
    with Far(np.arange(1 << 16, dtype="<u8")) as far:
        slow(far)

        async def use() -> Any:
            task = asyncio.ensure_future(far.region.aio.read())
            await run_nic(far, until=task)
            return await task

        np.testing.assert_array_equal(asyncio.run(use()), far.array)


def test_cancelled_operation_ends_when_nothing_is_in_flight_and_begins_no_more(far: Far) -> None:
    """Also when it is cancelled twice; the next one finds everything in order."""
    slow(far)
    out = np.zeros(300, "<u8")

    async def use() -> None:
        task = asyncio.ensure_future(far.region.aio.read_into(out, slice(0, 600, 2)))
        while far.session.end.pair.outstanding == 0:
            await asyncio.sleep(0)
        in_flight = far.session.end.pair.outstanding
        for _ in range(2):
            task.cancel()
            for _ in range(10):
                await asyncio.sleep(0)
        assert not task.done()
        assert far.session.end.pair.outstanding == in_flight
        await run_nic(far, until=task)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert far.session.end.pair.outstanding == 0
        assert far.cost()["requests"] == in_flight
        again = asyncio.ensure_future(far.region.aio.read(7))
        await run_nic(far, until=again)
        assert int(await again) == 7

    asyncio.run(use())
    assert not out[DEPTH:].any()


def test_thread_is_refused_while_another_is_inside_and_close_ends_that_one(far: Far) -> None:
    slow(far)
    told = in_thread(far, lambda: far.region.read(0))
    with pytest.raises(rdmaq.ConcurrentUse):
        far.region.read(1)
    far.region.close()
    assert [type(error) for error in told()] == [rdmaq.ClosedError]
    assert [memory.is_closed for memory in far.session.memories] == [True]
    with pytest.raises(rdmaq.ClosedError, match="this region is closed"):
        far.region.read(0)


def test_close_ends_what_a_task_awaits(far: Far) -> None:
    slow(far)

    async def use() -> None:
        task = asyncio.ensure_future(far.region.aio.read(0))
        while far.session.end.pair.outstanding == 0:
            await asyncio.sleep(0)
        far.region.close()
        far.region.close()
        with pytest.raises(rdmaq.ClosedError):
            await task

    asyncio.run(use())
    assert far.session.closed == 1


def test_interrupted_call_lends_its_buffer_until_it_has_ended(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle: the next call first waits until the NIC has let go."""
    slow(far)
    pair = far.session.pair

    def interrupted(requests: Any) -> None:
        pair.post(requests, requests.count)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pair, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            far.region.read(slice(0, 20))
    assert far.session.end.pair.outstanding == 1
    settled: list[int] = []
    settle = pair.settle

    def note() -> None:
        far.session.end.run()
        settle()
        settled.append(far.session.end.pair.outstanding)
        far.session.end.be_quick()

    monkeypatch.setattr(pair, "settle", note)
    assert int(far.region.read(3)) == 3
    assert settled == [0]
    assert int(far.region.read(4)) == 4
    assert settled == [0]


def test_forked_child_is_refused_and_the_parent_goes_on(far: Far) -> None:
    pid = os.fork()
    if pid == 0:
        calls: list[Callable[[], object]] = [
            lambda: far.region.read(0),
            lambda: far.region.write(0, 1),
            lambda: asyncio.run(far.region.aio.read(0)),
        ]
        refused = 0
        for call in calls:
            try:
                call()
            except rdmaq.ClosedError as error:
                refused += "fork" in str(error)
        far.region.close()
        os._exit(refused if far.session.forgotten == 1 and far.session.closed == 0 else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    assert int(far.region.read(1)) == 1


def test_key_of_another_size_than_the_region_is_refused_and_the_session_closed() -> None:
    array = np.zeros(10, "<u8")
    info = RegionInfo(name="r", kind=ARRAY, dtype=array.dtype, shape=(10,), access="read")
    session = FakeSession(array, info, key_bytes=72)
    with pytest.raises(rdmaq.HandoverError, match="72 bytes, and it should have 80"):
        VerbsChannel(session, info)
    assert session.closed == 1
    assert session.memories == []


def test_failure_in_the_middle_of_a_batch_says_that_what_came_before_was_done(far: Far) -> None:
    slow(far)
    batch = far.region.batch().write(0, 5).read(1).write(2, 7)
    told = in_thread(far, batch.run)
    far.session.end.run(2, REMOTE_ACCESS)
    far.session.end.run()
    (error,) = told()
    assert isinstance(error, rdmaq.RegionRevoked)
    assert "only what came before it" in str(error)
    assert far.array[[0, 2]].tolist() == [5, 2]
    assert far.session.failures[0].status == REMOTE_ACCESS


def test_closing_frees_no_bytes_that_somebody_may_still_copy(far: Far) -> None:
    """A task that goes on in another thread copies out of the buffer: it goes with the channel."""
    channel: Any = far.region.channel
    bounce = channel._bounce
    memory = weakref.ref(bounce.memory.buffer.base)
    far.region.close()
    bounce.memory.buffer = None  # as memory that is closed lets go of its buffer
    gc.collect()
    assert memory() is not None
