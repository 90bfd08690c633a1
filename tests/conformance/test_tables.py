"""Tables: rows that are read whole while their owner updates them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest

import rdmaq
from tests.conformance.child import Child
from tests.conformance.rig import PATIENCE_SECONDS, Link, Transport, eventually
from tests.stress import table as stress

QUOTE = np.dtype([("bid", "<i8", (8,)), ("ask", "<i8", (8,)), ("symbol", "S8"), ("n", "<u4")])


@pytest.mark.parametrize("dtype", ["<u1", "V55", "V56", "V57", "V112", QUOTE, "V5000"], ids=str)
def test_rows_of_any_size_are_read_as_they_were_updated(link: Link, dtype: Any) -> None:
    """Around the payload of one line and far above it; untouched rows are zeros."""
    dtype = np.dtype(dtype)
    table = link.node.table("t", dtype, rows=9)
    with link.peer.table("t") as reader:
        assert (len(reader), reader.dtype, reader.transport) == (9, dtype, link.transport.name)
        model = np.zeros(9, dtype)
        for turn in range(1, 5):
            raw = np.random.default_rng(turn).integers(1, 256, (3, dtype.itemsize), np.uint8)
            rows = raw.reshape(-1).view(dtype)
            table.update(slice(turn, turn + 3), rows)
            model[turn : turn + 3] = rows
            found, versions = reader.read_versioned()
            assert found.tobytes() == model.tobytes()
        assert versions.tolist() == [0, 1, 2, 3, 3, 2, 1, 0, 0]


def test_index_chooses_rows_as_numpy_does(link: Link) -> None:
    """Integers, slices, arrays of integers, masks; the result has the index's shape."""
    table = link.node.table("t", "<u8", rows=20)
    model = np.arange(20, dtype="<u8") * 10
    table.update(..., model)
    mask = model % 40 == 0
    with link.peer.table("t") as reader:
        indices: list[Any] = [3, -1, slice(2, 15, 4), slice(None, None, -1), [5, 5, 0], mask]
        indices += [np.array([[1, 2], [3, 4]]), np.uint64(7), slice(4, 4), np.empty(0, int)]
        for index in indices:
            np.testing.assert_array_equal(reader.read(index), model[index])
        assert reader.read([]).shape == (0,)
        out = np.empty(3, "<u8")
        assert reader.read_into(out, [1, 0, 2]).tolist() == [10, 0, 20]
        assert asyncio.run(reader.read_async(slice(0, 3))).tolist() == [0, 10, 20]
    table.update([3, 3, 4], [1, 2, 3])
    table.update(slice(10, 12), 9)
    with link.peer.table("t") as reader:
        assert reader.read([3, 4, 10, 11]).tolist() == [2, 3, 9, 9]


@pytest.mark.parametrize(
    "index", [20, -21, [0, 20], "a", 1.5, None, [True], 2**70, np.uint64(2**64 - 1)], ids=repr
)
def test_rows_that_are_not_there_are_refused_on_both_sides(link: Link, index: Any) -> None:
    """Nothing is updated, nothing is read."""
    table = link.node.table("t", "<u8", rows=20)
    with link.peer.table("t") as reader:
        with pytest.raises(rdmaq.RegionBoundsError, match=r".+: .+"):
            reader.read(index)
        with pytest.raises(rdmaq.RegionBoundsError, match=r".+: .+"):
            table.update(index, 1)
        assert not reader.read().any()


@pytest.mark.parametrize("values", [np.zeros(3, "<u8"), np.zeros(2, "<u4"), "text", object()])
def test_values_that_are_no_rows_are_refused(link: Link, values: Any) -> None:
    """Other number, other dtype, no number: SchemaError, and nothing is updated."""
    table = link.node.table("t", "<u8", rows=4)
    with pytest.raises(rdmaq.SchemaError):
        table.update(slice(0, 2), values)
    with link.peer.table("t") as reader:
        assert reader.read_versioned()[1].tolist() == [0] * 4
        with pytest.raises(rdmaq.SchemaError, match="dtype"):
            reader.read_into(np.zeros(4, "<u4"))
        with pytest.raises(rdmaq.RegionBoundsError, match="C-contiguous"):
            reader.read_into(np.zeros(3, "<u8"))


def test_every_row_survives_an_owner_killed_in_the_middle_of_updates(
    child: Child, transport: Transport
) -> None:
    """Stopped and resumed at random points of flat-out updates: whoever looks finds whole rows."""
    address = child.offer(transport)
    child.run("stress = __import__('tests.stress.table', fromlist=['table'])")
    child.run("table = stress.offer(node)")
    with transport.connect(address) as peer, peer.table(stress.NAME) as reader:
        child.begin("stress.update(table, seconds=20)")
        eventually(lambda: reader.read_versioned(0)[1] > 0, "the updates to begin")
        seen = np.zeros(len(reader), np.uint64)
        for _ in range(50):
            child.stop()
            rows, versions = reader.read_versioned()
            assert stress.torn_count(rows, versions) == 0
            assert (versions >= seen).all(), "back in time"
            again, same = reader.read_versioned()
            assert again.tobytes() == rows.tobytes(), "the owner is stopped: nothing moves"
            assert (same == versions).all()
            seen = versions
            child.resume()


def test_four_peers_read_a_table_that_is_updated_flat_out(
    transport: Transport, runtime_dir: object
) -> None:
    """10**5 reads of the stress run: no torn row, none older than before, and some in motion."""
    options = ["--reads", "1e5", "--seconds", str(PATIENCE_SECONDS)]
    options += ["--host", transport.host, "--interface", transport.interface]
    result = stress.run(stress.parse(options))
    assert result["faults"] == [], json.dumps(result)
    assert result["reads"] >= 100_000
    assert result["updates"] > 0


def test_row_that_never_rests_is_told_instead_of_torn(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A channel that never finds a whole row: RowBusy after the timeout, naming the row."""
    link.node.table("t", "<u8", rows=4)
    with link.peer.table("t") as reader:

        def stuck(_shape: Any, rows: Any, *_: Any) -> int:
            return 0 if rows[0] == 2 else 1

        async def stuck_async(*asked: Any) -> int:
            return stuck(*asked)

        monkeypatch.setattr(reader.channel, "read_rows", stuck)
        monkeypatch.setattr(reader.channel, "read_rows_async", stuck_async)
        with pytest.raises(rdmaq.RowBusy, match="row 2 of table 't'"):
            reader.read(timeout=0.01)
        with pytest.raises(rdmaq.RowBusy, match="row 2 of table 't'"):
            asyncio.run(reader.read_async(timeout=0.01))


@pytest.mark.parametrize("timeout", [None, "1", True, float("nan")], ids=repr)
def test_timeout_that_is_no_time_is_refused_in_words(link: Link, timeout: Any) -> None:
    """By every way to read rows, and before anything is read."""
    table = link.node.table("t", "<u8", rows=4)
    table.update(..., [1, 2, 3, 4])
    out = np.zeros(4, "<u8")
    with link.peer.table("t") as reader:
        for call in (
            lambda: reader.read(timeout=timeout),
            lambda: reader.read_versioned(timeout=timeout),
            lambda: reader.read_into(out, timeout=timeout),
            lambda: asyncio.run(reader.read_async(timeout=timeout)),
        ):
            with pytest.raises((TypeError, ValueError), match=r"^timeout=.*give seconds"):
                call()
    assert not out.any()
