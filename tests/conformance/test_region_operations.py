"""Reads, writes and atomics on a peer's array, alone and in batches, sync and asyncio."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import rdmaq
from tests.conformance.rig import TICK, Link, ticks_of

ROW = np.dtype(
    [("count", "<u8"), ("name", "S6"), ("levels", "<i4", (3, 2)), ("mid", "<f8")], align=True
)


def rows_of(count: int) -> npt.NDArray[Any]:
    rows = np.zeros(count, ROW)
    rows["count"], rows["mid"] = np.arange(count), np.arange(count) / 4
    rows["levels"] = np.arange(count * 6).reshape(count, 3, 2)
    rows["name"] = [f"r{i}".encode() for i in range(count)]
    return rows


INDICES = [
    ...,
    0,
    -1,
    np.int64(3),
    slice(7, 8),
    slice(2, 9, 3),
    slice(None, None, -1),
    slice(90, 200),
    slice(5, 5),
    (4, ...),
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_read_and_write_take_the_elements_that_numpy_would(link: Link, index: Any) -> None:
    """One-dimensional records: what numpy's own indexing gives, and its own assignment."""
    model = rows_of(100)
    export = link.node.export("book", model, access="write")
    with link.peer.region("book") as region:
        assert region.transport == link.transport.name
        np.testing.assert_array_equal(region.read(index), model[index])
        values = rows_of(200)[100:200][index]
        region.write(index, values)
        model[index] = values
        np.testing.assert_array_equal(export.array, model)
        np.testing.assert_array_equal(region.read(), model)


def test_any_basic_index_of_any_shape_behaves_as_in_numpy(link: Link) -> None:
    """Random shapes of up to four axes and random indices, read and written, against a model."""

    @settings(max_examples=link.transport.examples)
    @given(data=st.data())
    def behaves(data: st.DataObject) -> None:
        shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=5))
        model = np.arange(np.prod(shape), dtype=data.draw(st.sampled_from(["<u2", ">i4", "<f8"])))
        model = model.reshape(shape)
        index = data.draw(hnp.basic_indices(shape, allow_newaxis=False))
        with link.node.export("any", model, access="write") as export:
            with link.peer.region("any") as region:
                np.testing.assert_array_equal(region.read(index), model[index])
                out = np.empty(np.shape(model[index]), model.dtype)
                assert region.read_into(out, index) is out
                np.testing.assert_array_equal(out, model[index])
                region.write(index, out + out.dtype.type(3))
                model[index] += model.dtype.type(3)
            np.testing.assert_array_equal(export.array, model)

    behaves()


def test_field_of_a_slice_is_read_and_written_alone(link: Link) -> None:
    """Strided bytes: the field arrives and changes, its neighbours do not."""
    model = rows_of(50)
    export = link.node.export("book", model, access="write")
    with link.peer.region("book") as region:
        np.testing.assert_array_equal(region.read(field="mid"), model["mid"])
        np.testing.assert_array_equal(
            region.read(slice(3, 40, 4), field="name"), model[3:40:4]["name"]
        )
        np.testing.assert_array_equal(region.read(7, field="levels"), model["levels"][7])
        region.write(slice(10, 20), 1.5, field="mid")
        region.write(3, [[9, 9]] * 3, field="levels")
    model["mid"][10:20] = 1.5
    model["levels"][3] = 9
    np.testing.assert_array_equal(export.array, model)


def test_owner_and_peers_see_each_others_writes(link: Link) -> None:
    """Two peers and the owner's own array, in turn."""
    export = link.node.export("n", np.zeros(4, "<u4"), access="write")
    with link.peer.region("n") as one, link.peer.region("n") as other:
        export.array[0] = 1
        one.write(1, 2)
        other.write(slice(2, 4), [3, 4])
        for found in (export.array, one.read(), other.read()):
            assert found.tolist() == [1, 2, 3, 4]


def test_batch_runs_its_operations_in_order_and_returns_their_results(link: Link) -> None:
    """A read before and after a write, atomics between; run again, it does the same again."""
    link.node.export("a", np.zeros(8, "<u8"), access="atomic")
    with link.peer.region("a") as region:
        batch = region.batch().read(slice(0, 2)).write(0, 5).fetch_add(0, 2).read(0)
        batch.compare_swap(8, 0, 9).compare_swap(8, 0, 10)
        assert len(batch) == 6
        first, nothing, added, second, swapped, missed = batch.run()
        assert (first.tolist(), nothing, added, int(second)) == ([0, 0], None, 5, 7)
        assert (swapped, missed) == (0, 9)
        assert batch.run()[0] is first
        assert first.tolist() == [7, 9]
        assert region.batch().run() == []


def test_batch_of_many_scattered_reads_is_one_crossing(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five hundred slices: the channel runs once, and each slice is right."""
    model = ticks_of(1, 1000)
    link.node.export("t", model)
    with link.peer.region("t") as region:
        runs: list[int] = []
        channel_run = region.channel.run

        def counted(ops: npt.NDArray[Any]) -> int:
            runs.append(len(ops))
            return channel_run(ops)

        monkeypatch.setattr(region.channel, "run", counted)
        batch = region.batch()
        for i in range(500):
            batch.read(slice(2 * i, 2 * i + 1))
        for i, part in enumerate(batch.run()):
            np.testing.assert_array_equal(part, model[2 * i : 2 * i + 1])
        assert runs == [500]


def test_fetch_add_by_several_threads_and_the_owner_loses_nothing(link: Link) -> None:
    """Four peers and the owner add to one word; every value before is seen once."""
    export = link.node.export("counter", np.zeros(2, ROW), access="atomic")
    offset = export.offset_of(1, "count")
    seen: list[list[int]] = [[] for _ in range(5)]
    count = link.transport.atomics_each

    def add(who: int) -> None:
        if who == 4:
            seen[who] += [export.fetch_add(offset, 1) for _ in range(count)]
            return
        with link.peer.region("counter") as region:
            assert region.offset_of(1, "count") == offset
            seen[who] += [region.fetch_add(offset, 1) for _ in range(count)]

    threads = [threading.Thread(target=add, args=(who,)) for who in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(value for values in seen for value in values) == list(range(5 * count))
    assert export.array["count"].tolist() == [0, 5 * count]


def test_atomics_count_modulo_two_to_the_64(link: Link) -> None:
    """Below zero and above the top; results are unsigned."""
    link.node.export("w", np.zeros(1, "<u8"), access="atomic")
    with link.peer.region("w") as region:
        assert region.fetch_add(0, -1) == 0
        assert region.fetch_add(0, 2) == 2**64 - 1
        assert region.compare_swap(0, 1, -5) == 1
        assert region.compare_swap(0, -5, 2**64 - 1) == 2**64 - 5
        assert int(region.read(0)) == 2**64 - 1


def test_operations_can_be_awaited(link: Link) -> None:
    """Each of them, a batch, and two tasks beside each other; a large read lets others run."""
    big = np.arange(1 << 19, dtype="<u8")
    link.node.export("a", np.arange(8, dtype="<u8"), access="atomic")
    link.node.export("big", big)

    async def work() -> None:
        with link.peer.region("a") as region, link.peer.region("big") as large:
            assert (await region.aio.read(slice(1, 3))).tolist() == [1, 2]
            out = np.empty(2, "<u8")
            assert (await region.aio.read_into(out, slice(4, 6))) is out
            await region.aio.write(0, 40)
            assert await region.aio.fetch_add(0, 2) == 40
            assert await region.aio.compare_swap(0, 42, 1) == 42
            assert await region.batch().read(0).fetch_add(8, 1) == [1, 1]
            turns = 0

            async def others() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            task = asyncio.create_task(others())
            np.testing.assert_array_equal(await large.aio.read(), big)
            task.cancel()
            assert turns > 0

    asyncio.run(work())


BAD_INDICES: list[Any] = [100, -101, (0, 0), "count", [1, 2], True, None, 1.5, np.zeros(3, bool)]


@pytest.mark.parametrize("index", BAD_INDICES, ids=repr)
def test_index_that_is_not_there_is_refused_in_words(link: Link, index: Any) -> None:
    """Out of range, too many axes, and what only fancy indexing takes."""
    link.node.export("book", rows_of(100), access="write")
    with link.peer.region("book") as region:
        for attempt in (
            lambda: region.read(index),
            lambda: region.write(index, rows_of(1)[0]),
            lambda: region.offset_of(index),
        ):
            with pytest.raises(rdmaq.RegionBoundsError, match=r".+: .+"):
                attempt()
        with pytest.raises(rdmaq.RegionBoundsError, match="field"):
            region.read(0, field="nothing")


@pytest.mark.parametrize("offset", [-8, 4, 1, 800, 793, 2**70, "8", 1.0])
def test_atomic_outside_or_unaligned_is_refused(link: Link, offset: Any) -> None:
    """The word must be whole, aligned and inside; nothing changes."""
    export = link.node.export("w", np.zeros(100, "<u8"), access="atomic")
    with link.peer.region("w") as region:
        with pytest.raises(rdmaq.RegionBoundsError, match="multiple of 8"):
            region.fetch_add(offset, 1)
        with pytest.raises(rdmaq.RegionBoundsError, match="multiple of 8"):
            region.compare_swap(offset, 0, 1)
        with pytest.raises(rdmaq.RegionBoundsError, match="64-bit"):
            region.fetch_add(0, 2**64)
    assert not export.array.any()


@pytest.mark.parametrize("values", [np.zeros(3, TICK), "text", [1, 2, 3], np.ones(2), object()])
def test_values_that_do_not_fit_are_refused_and_nothing_is_written(link: Link, values: Any) -> None:
    """Other dtype, other shape, no number."""
    export = link.node.export("n", np.zeros(2, "<u4"), access="write")
    with link.peer.region("n") as region, pytest.raises(rdmaq.SchemaError):
        region.write(slice(0, 2), values)
    assert not export.array.any()


def test_array_that_cannot_be_read_into_is_refused(link: Link) -> None:
    """Other dtype, other shape, strided, read-only, and no array at all."""
    link.node.export("n", np.zeros(4, "<u4"))
    frozen = np.zeros(4, "<u4")
    frozen.flags.writeable = False
    with link.peer.region("n") as region:
        for out in (np.zeros(4, "<u8"), [0] * 4):
            with pytest.raises(rdmaq.SchemaError, match="dtype"):
                region.read_into(out)  # type: ignore[arg-type]
        for other in (np.zeros(5, "<u4"), np.zeros(8, "<u4")[::2], frozen):
            with pytest.raises(rdmaq.RegionBoundsError, match="C-contiguous"):
                region.read_into(other)


@pytest.mark.parametrize("field", [["ts", "price"], 0, np.array([0, 1]), b"ts", slice(1)], ids=repr)
def test_field_that_is_no_name_is_refused_and_touches_nothing(link: Link, field: Any) -> None:
    """As an index numpy would fetch from where no memory is; as a list, write what lies between."""
    export = link.node.export("rows", rows_of(1000), access="write")
    with link.peer.region("rows") as region:
        for call in (
            lambda: region.read(slice(900, 902), field=field),
            lambda: region.write(slice(900, 902), rows_of(2), field=field),
            lambda: region.offset_of(900, field),
        ):
            with pytest.raises(rdmaq.RegionBoundsError, match="no name of a field"):
                call()
    np.testing.assert_array_equal(export.array, rows_of(1000))
