"""Tables over a NIC of the tests' own, which fetches words in any order while the owner updates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import rdmaq
from rdmaq.region.exported import Table
from rdmaq.region.grant import TABLE, RegionInfo
from rdmaq.region.table_reader import TableReader
from rdmaq.region.verbs_channel import VerbsChannel
from tests.verbs.owner import DEPTH, FakeSession

WORDS = 25
ROW = np.dtype([("words", "<u8", (WORDS,))])


class FarTable:
    """A table whose owner is behind the NIC, and its reader."""

    def __init__(self, dtype: Any, rows: int) -> None:
        info = RegionInfo(name="t", kind=TABLE, dtype=np.dtype(dtype), shape=(rows,), access="read")
        self.table = Table(info, lambda _: None)
        memory = self.table.area.array(np.dtype("u1"), (info.data_bytes,))
        self.session = FakeSession(memory, info)
        self.reader = TableReader(info, VerbsChannel(self.session, info))
        self.updates = np.zeros(rows, np.uint64)
        self._before = self.session.counts()

    def update(self, *rows: int) -> None:
        """Each word of a row follows from the row and its version."""
        for row in rows:
            self.updates[row] += np.uint64(1)
            self.table.update(row, self.row_at(row, int(self.updates[row])))

    def row_at(self, row: int, version: int) -> npt.NDArray[Any]:
        values = np.zeros((), ROW)
        values["words"] = 0 if version == 0 else version * 1000 + row + np.arange(WORDS)
        return values

    def check(self, index: Any, **options: Any) -> npt.NDArray[np.uint64]:
        """Reads rows; each must be what its version says."""
        rows, versions = self.reader.read_versioned(index, **options)
        numbers = np.atleast_1d(np.arange(len(self.reader))[index])
        pairs = zip(numbers, np.atleast_1d(rows), np.atleast_1d(versions), strict=True)
        for number, row, version in pairs:
            assert row == self.row_at(int(number), int(version)), f"row {number} is torn"
        return versions

    def cost(self) -> dict[str, int]:
        before, self._before = self._before, self.session.counts()
        return {name: count - before[name] for name, count in self._before.items()}

    def __enter__(self) -> FarTable:
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.close()
        self.table.close()


@pytest.fixture
def far() -> Iterator[FarTable]:
    with FarTable(ROW, 40) as made:
        yield made


def test_neighbours_are_one_read_and_others_one_chain_three_times_over(far: FarTable) -> None:
    far.update(*range(40))
    assert far.check(slice(3, 15)).tolist() == [1] * 12
    assert (far.cost()["doorbells"], far.session.counts()["requests"]) == (3, 3)
    far.check([30, 1, 2, 8, 7])
    assert far.cost() == {"doorbells": 3, "requests": 12, "fences": 0, "inlines": 0, "bytes": 7680}
    far.check(slice(None, None, 2))  # 20 places, and the queue holds 15
    assert far.cost()["doorbells"] == 6
    assert far.reader.rereads == 0


@pytest.mark.parametrize("dtype", ["<u1", "V56", "V57", "V5000", "V1048576"])
def test_rows_of_any_size_come_as_they_were_updated(dtype: str) -> None:
    dtype_ = np.dtype(dtype)
    with FarTable(dtype_, 3) as far:
        raw = np.random.default_rng(1).integers(0, 256, (3, dtype_.itemsize), np.uint8)
        rows = raw.reshape(-1).view(dtype_)
        far.table.update(..., rows)
        assert far.reader.read().tobytes() == rows.tobytes()
        assert far.reader.read(1).tobytes() == rows[1].tobytes()


def moving(far: FarTable, every: int, *rows: int) -> Callable[[], None]:
    """The owner updates the rows in the middle of every so-manieth READ."""
    count = 0

    def go_on() -> None:
        nonlocal count
        count += 1
        if count % every == 0:
            far.update(*rows)

    return go_on


@pytest.mark.parametrize("every", [2, 3, 5])
def test_row_that_moves_is_fetched_again_alone_until_it_is_whole(far: FarTable, every: int) -> None:
    """Two updates of it within three READs are too many; its neighbours are taken at once."""
    far.update(*range(40))
    far.session.during_reads(moving(far, every, 7))
    seen = 0
    for _ in range(50):
        versions = far.check(slice(5, 10))
        assert int(versions[2]) >= seen, "back in time"
        seen = int(versions[2])
        assert versions[[0, 1, 3, 4]].tolist() == [1, 1, 1, 1]
    assert seen > 1


def test_reread_costs_one_read_more_not_three(far: FarTable) -> None:
    """Any three that follow each other will do: the owner moves in the second only."""
    far.update(*range(40), 7, 7)
    far.cost()
    reads: list[int] = []

    def move() -> None:
        reads.append(1)
        if len(reads) == 2:
            far.update(7, 7, 7)

    far.session.during_reads(move)
    assert far.check(7).tolist() == 6
    assert far.cost()["doorbells"] == 4
    assert far.reader.rereads == 1


def test_owner_that_never_rests_is_told_and_bounds_each_call(far: FarTable) -> None:
    """The rows before it come; the call asks for so many READs and no more."""
    far.update(*range(40))
    far.session.during_reads(lambda: far.update(7, 7))
    with pytest.raises(rdmaq.RowBusy, match="row 7 of table 't'"):
        far.reader.read(slice(5, 10), timeout=0.0)
    assert far.cost()["doorbells"] <= 64
    assert far.check(slice(0, 7)).tolist() == [1] * 7
    with pytest.raises(rdmaq.RowBusy, match="row 7 of table 't'"):
        asyncio.run(far.reader.read_async(slice(5, 10), timeout=0.0))


def test_hostile_memory_is_refused_or_read_and_never_ends_the_process(far: FarTable) -> None:
    """Whatever the versions say, for ever: RowBusy, or rows of some bytes."""
    random = np.random.default_rng(2)
    for _ in range(30):
        far.session.array[:] = random.integers(0, 256, far.session.array.nbytes, np.uint8)
        try:
            far.reader.read(timeout=0.0)
        except rdmaq.RowBusy:
            continue
    far.session.array[:] = 255
    with pytest.raises(rdmaq.RowBusy):
        far.reader.read(timeout=0.01)


def test_single_read_would_be_fooled_by_this_nic(far: FarTable) -> None:
    """The check of the checker: words of two updates in one READ, under versions that agree."""
    far.update(*range(40))
    torn = 0
    rows: list[npt.NDArray[Any]] = []
    far.session.during_reads(lambda: far.update(7, 7))
    far.reader.channel._bounce.fetch.copy_count = 0  # type: ignore[attr-defined]
    for _ in range(5):
        with pytest.raises(rdmaq.RowBusy):
            far.reader.read(7, timeout=0.0)
        buffer = far.session.memories[0].buffer[:512].view("<u8").reshape(2, 4, 8)
        rows.append(buffer.copy())
    for slots in rows:
        for slot in slots:
            payload = slot[:, 1:].reshape(-1)[:WORDS]
            torn += len(set((payload - np.arange(WORDS)).tolist())) > 1
    assert torn > 0


def test_rows_that_are_not_there_are_refused_before_anything_is_posted(far: FarTable) -> None:
    rows = np.array([1, 40], np.uint64)
    out, versions = np.zeros(2 * ROW.itemsize, np.uint8), np.zeros(2, np.uint64)
    shape, note = far.reader._shape, far.reader._note
    assert far.reader.channel.read_rows(shape, rows, out, versions, note) < 0
    assert note.bad_index == 1
    assert far.cost()["requests"] == 0


def test_awaited_rows_are_whole_and_let_others_run(far: FarTable) -> None:
    far.update(*range(40))
    far.session.during_reads(moving(far, 3, 7))
    far.session.end.be_slow()

    async def use() -> tuple[Any, int]:
        turns = 0
        task = asyncio.ensure_future(far.reader.read_async(slice(0, 2 * DEPTH, 2)))
        while not task.done():
            far.session.end.run(1)
            await asyncio.sleep(0)
            turns += 1
        return await task, turns

    rows, turns = asyncio.run(use())
    assert rows["words"][:, 0].tolist() == [1000 + 2 * row for row in range(DEPTH)]
    assert turns > 3 * DEPTH


def test_cancelled_reading_leaves_nothing_in_flight(far: FarTable) -> None:
    far.update(*range(40))
    far.session.end.be_slow()

    async def use() -> None:
        task = asyncio.ensure_future(far.reader.read_async([1, 9]))
        while far.session.end.pair.outstanding == 0:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        far.session.end.run()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(use())
    assert far.session.end.pair.outstanding == 0
    assert far.cost()["doorbells"] == 1
    far.session.end.be_quick()
    assert far.check([1, 9]).tolist() == [1, 1]


def test_table_that_was_revoked_says_so(far: FarTable) -> None:
    far.session.revoke()
    for _ in range(2):
        with pytest.raises(rdmaq.RegionRevoked, match="was revoked"):
            far.reader.read(0)
    with pytest.raises(rdmaq.RegionRevoked, match="was revoked"):
        asyncio.run(far.reader.read_async(0))
    far.reader.close()
    with pytest.raises(rdmaq.ClosedError):
        far.reader.read(0)
