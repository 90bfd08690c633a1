"""Regions over a NIC of the tests' own, which is as late and as strict as a device may be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rdmaq
from tests.verbs.far import Far, run_nic, slow
from tests.verbs.nic import ALL
from tests.verbs.owner import DEPTH


@pytest.fixture
def far() -> Iterator[Far]:
    with Far(np.arange(1000, dtype="<u8")) as made:
        yield made


def test_many_slices_are_one_chain_and_one_doorbell(far: Far) -> None:
    batch = far.region.batch()
    for i in range(DEPTH):
        batch.read(slice(10 * i, 10 * i + 9))
    results = batch.run()
    assert (far.cost()["doorbells"], far.session.counts()["requests"]) == (1, DEPTH)
    for i, part in enumerate(results):
        assert part.tolist() == list(range(10 * i, 10 * i + 9))


def test_more_than_the_queue_holds_are_as_few_chains_as_half_of_it_allows(far: Far) -> None:
    count = 100
    np.testing.assert_array_equal(far.region.read(slice(0, 2 * count, 2)), far.array[:200:2])
    assert far.cost()["doorbells"] == -(-count // (DEPTH // 2))
    far.region.write(slice(0, 2 * count, 2), np.arange(count, dtype="<u8") + 5)
    assert far.cost()["doorbells"] == -(-count // (DEPTH // 2))
    assert far.array[:200].tolist() == [i // 2 + 5 if i % 2 == 0 else i for i in range(200)]


def test_transfer_longer_than_the_buffer_goes_through_it_in_parts() -> None:
    """3 MiB there and back; whatever passes is in registered memory of ours."""
    values = np.arange(3 << 17, dtype="<u8")
    with Far(np.zeros(3 << 17, "<u8")) as far:
        far.region.write(..., values)
        np.testing.assert_array_equal(far.array, values)
        np.testing.assert_array_equal(far.region.read(), values)
        buffers = far.session.memories
        assert sum(buffer.length for buffer in buffers) <= 512 << 10
        assert far.cost()["bytes"] == 2 * values.nbytes


def test_short_write_travels_within_its_request_and_a_long_one_does_not(far: Far) -> None:
    far.region.write(3, 7)
    far.region.write(slice(8, 16), np.full(8, 9, "<u8"))
    assert far.cost()["inlines"] == 2
    far.region.write(slice(20, 29), np.full(9, 4, "<u8"))
    assert far.cost()["inlines"] == 0
    assert far.array[[3, 8, 15, 20, 28, 29]].tolist() == [7, 9, 9, 4, 4, 29]


def test_what_writes_waits_for_reads_and_atomics_before_it_and_reads_wait_for_nothing(
    far: Far,
) -> None:
    """This NIC lets whatever is not fenced overtake READs and atomics."""
    region = far.region
    first, _, second, third, _, last = (
        region.batch()
        .read(5)
        .write(5, 50)
        .fetch_add(40, 1)
        .compare_swap(40, 51, 52)
        .write(6, 60)
        .read(slice(5, 7))
        .run()
    )
    assert (int(first), second, third, last.tolist()) == (5, 50, 51, [52, 60])
    assert far.cost()["fences"] == 3  # none for the fetch_add behind a WRITE
    region.batch().read(0).read(1).write(2, 1).write(3, 1).read(2).run()
    assert far.cost()["fences"] == 1


def test_order_holds_from_one_chain_to_the_next(far: Far) -> None:
    """Two chains in flight at once: the second's WRITE may not overtake the first's READs."""
    count = DEPTH // 2
    slow(far)

    async def use() -> list[Any]:
        batch = far.region.batch()
        for i in range(count):
            batch.read(i)
        for i in range(count + 4):
            batch.write(i, 1000 + i)
        task = asyncio.ensure_future(batch._run_async())
        await run_nic(far, until=task, count=ALL)
        return (await task)[:count]

    assert [int(value) for value in asyncio.run(use())] == list(range(count))
    assert far.array[:count].tolist() == [1000 + i for i in range(count)]


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(0, 40), st.integers(0, 3000)),
        st.tuples(st.just("write"), st.integers(0, 40), st.integers(0, 3000)),
        st.tuples(st.just("add"), st.integers(0, 60), st.integers(0, 9)),
        st.tuples(st.just("swap"), st.integers(0, 60), st.integers(0, 9)),
    ),
    max_size=60,
)


@given(steps=_STEPS)
def test_any_batch_does_what_the_same_steps_do_one_by_one(steps: list[Any]) -> None:
    """Of any length, through a buffer that is smaller than most of them."""
    model = np.arange(3100, dtype="<u8")
    with Far(model.copy()) as far:
        batch, expected = far.region.batch(), []
        for kind, at, number in steps:
            if kind == "read":
                batch.read(slice(at, at + number))
                expected.append(model[at : at + number].tolist())
            elif kind == "write":
                batch.write(slice(at, at + number), at + number)
                model[at : at + number] = at + number
                expected.append(None)
            elif kind == "add":
                batch.fetch_add(8 * at, number)
                expected.append(int(model[at]))
                model[at] += np.uint64(number)
            else:
                batch.compare_swap(8 * at, at, number)
                expected.append(int(model[at]))
                model[at] = number if model[at] == at else model[at]
        found = batch.run()
        assert [getattr(one, "tolist", lambda one=one: one)() for one in found] == expected
        np.testing.assert_array_equal(far.array, model)


BAD_OPS: dict[str, tuple[dict[str, int], str]] = {
    "beyond the end": ({"kind": 1, "offset_bytes": 7999, "length_bytes": 2}, "RegionBoundsError"),
    "far beyond": ({"kind": 1, "offset_bytes": 2**64 - 1, "length_bytes": 2}, "RegionBoundsError"),
    "unaligned": ({"kind": 3, "offset_bytes": 4, "length_bytes": 8}, "RegionBoundsError"),
    "a short atomic": ({"kind": 4, "offset_bytes": 8, "length_bytes": 4}, "RegionBoundsError"),
    "unknown": ({"kind": 9, "length_bytes": 8}, "RegionBoundsError"),
    "no access": ({"kind": 3, "length_bytes": 8}, "RegionAccessError"),
}


@pytest.mark.parametrize("what", BAD_OPS)
def test_batch_with_one_wrong_operation_is_refused_and_posts_nothing(what: str) -> None:
    """The codes are those of shared memory, and so are the errors."""
    fields, error = BAD_OPS[what]
    with Far(np.arange(1000, dtype="<u8"), "write" if what == "no access" else "atomic") as far:
        batch = far.region.batch().write(0, 5).read(1)
        ops = batch._prepared().copy()
        ops = np.concatenate([ops, ops[:1]])
        ops[2] = 0
        for name, value in fields.items():
            ops[2][name] = value
        code = far.channel.run(ops)
        assert code < 0
        with pytest.raises(getattr(rdmaq, error)):
            far.region.check_code(code)
        assert far.cost()["requests"] == 0
        assert far.array[0] == 0
