"""Typed streams: which dtypes travel, what they look like on the other side, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rdmaq
from rdmaq.stream.schema import padding_of
from tests.conformance.rig import TICK, Link, take

DTYPES: dict[str, Any] = {
    "scalar": "<i8",
    "float": "f4",
    "bool": "?",
    "complex": "c16",
    "text": "U7",
    "bytes": "S5",
    "raw": "V3",
    "time": "datetime64[ns]",
    "span": "timedelta64[us]",
    "packed": [("a", "u1"), ("b", "<u8"), ("c", "<f4")],
    "aligned": np.dtype([("a", "u1"), ("b", "<u8"), ("c", "<f4")], align=True),
    "padded": np.dtype({"names": ["a"], "formats": ["<i4"], "offsets": [4], "itemsize": 64}),
    "nested": [("head", [("kind", "u1"), ("at", "<u8")]), ("tail", "<i2")],
    "nested aligned": np.dtype([("in", np.dtype([("x", "u1"), ("y", "<u4")], align=True))]),
    "subarray": [("prices", "<i4", (5,)), ("grid", "<f8", (2, 3))],
    "big-endian": [("a", ">i4"), ("b", ">f8"), ("c", "<i2")],
    "big-endian text and time": [("a", ">U3"), ("b", ">M8[us]"), ("c", ">m8[25us]")],
    "titles": [(("A price", "p"), "<i4"), (("Größe", "größe"), "<u2")],
    "half and long": [("a", "<f2"), ("b", "g"), ("c", "G")],
    "empty fields": [("a", "V5"), ("b", "S0"), ("c", "<i4", (0,)), ("d", "<i4")],
    "metadata": np.dtype([("a", np.dtype("<i4", metadata={"unit": "ns"}))]),
    "holes in a subarray": [
        ("x", {"names": ["p", "q"], "formats": ["u1", ">u8"], "offsets": [0, 8]}, (2, 2)),
        ("y", "?"),
    ],
    "array of structs": [("levels", [("price", ">i8"), ("size", "<u4")], (3,))],
}


def equal(left: np.dtype[Any], right: np.dtype[Any]) -> bool:
    """Also in offsets, byte orders and alignment of each field: bytes mean the same."""
    return left == right and left.itemsize == right.itemsize and left.fields == right.fields


@pytest.mark.parametrize("what", DTYPES)
def test_records_arrive_as_they_were_sent(link: Link, what: str) -> None:
    """Random bytes in the fields; the reader's dtype, given or found, is the publisher's."""
    dtype = np.dtype(DTYPES[what])
    pub = link.publish(schema=dtype)
    told, found = link.subscribe(schema=dtype), link.subscribe()
    for sub in (told, found):
        assert sub.schema is not None
        assert equal(sub.schema, dtype)
    if dtype.kind in "bU":  # not every bit pattern is a value
        records = np.arange(9).astype(dtype)
    else:
        rng = np.random.default_rng(5)
        records = np.frombuffer(rng.bytes(9 * dtype.itemsize), dtype=dtype)
    pub.send_batch(records)
    pub.send(records[:1].reshape(()))
    link.settle()
    for sub in (told, found):
        batch = take(sub)
        assert equal(batch.data.dtype, dtype)
        assert batch.data[:9].tobytes() == records.tobytes()
        assert repr(batch.data[9:].tolist()) == repr(records[:1].tolist()), "but for padding"
    listed = link.peer.streams()[0].schema
    assert listed is not None
    assert equal(listed, dtype)


REFUSED: dict[str, Any] = {
    "object": "O",
    "object in a nested field": [("a", [("b", "<i4"), ("c", "O")], (2,))],
    "object in a field": [("a", "<i4"), ("b", "O")],
    "nothing": "V0",
    "empty text": "S",
    "no fields": [],
    "bare subarray": np.dtype(("<i4", (3,))),
    "text of any length": np.dtypes.StringDType() if hasattr(np.dtypes, "StringDType") else "O",
    "overlap": np.dtype({"names": ["a", "b"], "formats": ["<i4", "<i2"], "offsets": [0, 2]}),
    "out of order": np.dtype({"names": ["a", "b"], "formats": ["<i4", "<i4"], "offsets": [4, 0]}),
    "number and struct": np.dtype(("<i4", [("low", "<i2"), ("high", "<i2")])),
    "title that is no text": np.dtype([((7, "a"), "<i4")]),
    "no dtype": "what?",
    "number": 7,
}


@pytest.mark.parametrize("what", REFUSED)
def test_dtype_that_cannot_be_shared_is_refused_on_both_sides(link: Link, what: str) -> None:
    """SchemaError that names it; no stream is offered and no slot taken."""
    with pytest.raises(rdmaq.SchemaError, match="schema"):
        link.publish("odd", REFUSED[what])
    assert link.peer.streams() == []
    pub = link.publish("untyped")
    with pytest.raises(rdmaq.SchemaError, match="schema"):
        link.subscribe("untyped", REFUSED[what])
    assert pub.reader_count == 0


def test_schema_too_long_for_the_descriptor_is_refused(link: Link) -> None:
    """Thousands of fields: CapacityError says how much room there is."""
    wide = np.dtype([(f"field_with_a_long_name_{i}", "<i4") for i in range(1000)])
    with pytest.raises(rdmaq.CapacityError, match="32,768"):
        link.publish("wide", wide)
    assert link.peer.streams() == []


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        (TICK, [("ts", "<u8")]),
        (TICK, np.dtype(TICK.descr, align=True)),
        (TICK, [(name, TICK[name].newbyteorder(">")) for name in TICK.names or ()]),
        (TICK, "<i8"),
        (None, TICK),
        ([("a", "<i4")], [("b", "<i4")]),
    ],
    ids=["field missing", "alignment", "byte order", "scalar", "untyped", "field name"],
)
def test_schema_mismatch_is_refused_at_subscribe_naming_both(
    link: Link, published: Any, expected: Any
) -> None:
    """The text and the attributes hold both dtypes; nothing was subscribed."""
    pub = link.publish(schema=published)
    with pytest.raises(rdmaq.SchemaMismatch) as caught:
        link.subscribe(schema=expected)
    error = caught.value
    assert error.expected == str(np.dtype(expected)).replace(", 'aligned': True", "")
    assert error.actual == ("untyped" if published is None else str(np.dtype(published)))
    assert error.expected in str(error)
    assert error.actual in str(error)
    assert pub.reader_count == 0


def test_equal_dtypes_of_different_spelling_match(link: Link) -> None:
    """What counts is the dtype, not the words for it."""
    link.publish(schema=[("a", "<i4"), ("b", "<f8")])
    for spelling in (
        "=i4,=f8",
        [("a", np.int32), ("b", float)],
        np.dtype([("a", "i4"), ("b", "d")]),
    ):
        dtype = np.dtype(spelling)
        dtype.names = ("a", "b")
        link.subscribe(schema=dtype)


def test_array_of_another_dtype_or_shape_is_refused_by_send_batch(link: Link) -> None:
    """Nothing is converted in silence, and nothing published."""
    pub, untyped = link.publish(schema="<i8"), link.publish("untyped")
    for wrong in (np.arange(3, dtype="<i4"), np.arange(3.0), np.zeros((2, 2), "<i8"), np.int64(5)):
        with pytest.raises(rdmaq.SchemaError):
            pub.send_batch(wrong)
    with pytest.raises(rdmaq.SchemaError, match="untyped"):
        untyped.send_batch(np.arange(3))
    assert pub.stats.frames == untyped.stats.frames == 0


def test_strided_and_reversed_arrays_are_sent_in_their_order(link: Link) -> None:
    """send_batch copies what is not contiguous; lists of numbers are an array, too."""
    pub, sub = link.publish(schema="<i8"), link.subscribe()
    array = np.arange(20, dtype="<i8")
    pub.send_batch(array[::3])
    pub.send_batch(array[::-1])
    pub.send_batch([7, 8])
    link.settle()
    got = take(sub).data.tolist()
    assert got == [*range(0, 20, 3), *range(19, -1, -1), 7, 8]


PADDED = {
    "aligned": np.dtype([("a", "u1"), ("b", "<u8"), ("c", "u1")], align=True),
    "nested": np.dtype(
        [("x", np.dtype([("p", "u1"), ("q", "<u4")], align=True), (3,)), ("y", "u1")]
    ),
    "trailing": np.dtype({"names": ["a"], "formats": ["<i4"], "offsets": [4], "itemsize": 64}),
    "long double": np.dtype([("a", "g"), ("b", "G")]),
}


def dirty_heap(size_bytes: int) -> None:
    """What numpy hands out next, of that size, holds 0xff."""
    for array in [np.full(size_bytes, 0xFF, dtype=np.uint8) for _ in range(8)]:
        del array


def padding_sent(batch: rdmaq.Batch, dtype: np.dtype[Any]) -> set[int]:
    """The values of all bytes that belong to no field."""
    padding = padding_of(dtype)
    assert padding is not None
    raw = np.frombuffer(batch.data.tobytes(), dtype=np.uint8).reshape(-1, dtype.itemsize)
    return set(raw[:, padding].ravel().tolist())


@pytest.mark.parametrize("what", PADDED)
def test_padding_that_rdmaq_makes_is_zero(link: Link, what: str) -> None:
    """Nothing of the publisher's heap reaches subscribers between the fields of a record.

    Neither by a tuple, nor a record of the user's, nor what has to be copied before it is sent.
    """
    dtype = PADDED[what]
    pub, sub = link.publish(schema=dtype), link.subscribe()
    dirty = np.full(40 * dtype.itemsize, 0xFF, dtype=np.uint8).view(dtype)
    values = np.zeros(1, dtype)[0].item()
    message = values if isinstance(values, tuple) else (values,)
    for _ in range(20):
        dirty_heap(dtype.itemsize)
        pub.send(message)
    pub.send(dirty[0])
    pub.send(dirty[:1].reshape(()))
    dirty_heap(2 * dtype.itemsize)
    pub.send_batch([message, message])
    pub.send_batch(dirty[::3])
    pub.send_batch(dirty[::-1])
    link.settle()
    batch = take(sub, max_messages=1000)
    assert len(batch) == 20 + 2 + 2 + 14 + 40
    assert padding_sent(batch, dtype) == {0}
    names = dtype.names or ()
    assert batch.data[-1][names[0]].tobytes() == dirty[0][names[0]].tobytes() or what != "aligned"


def test_padding_of_an_array_of_the_users_goes_as_it_stands(link: Link) -> None:
    """One copy, of the bytes as they are: it is the user's memory, and the documented price."""
    dtype = PADDED["aligned"]
    pub, sub = link.publish(schema=dtype), link.subscribe()
    pub.send_batch(np.full(4 * dtype.itemsize, 0xFF, dtype=np.uint8).view(dtype))
    assert padding_sent(take(sub), dtype) == {0xFF}


def test_masked_arrays_are_refused_since_the_mask_would_be_lost(link: Link) -> None:
    pub = link.publish(schema="<i8")
    masked = np.ma.masked_array(np.arange(3, dtype="<i8"), mask=[False, True, False])
    with pytest.raises(rdmaq.SchemaError, match="mask"):
        pub.send_batch(masked)
    with pytest.raises(rdmaq.SchemaError, match="mask"):
        pub.send(masked[1])
    assert pub.send_batch(masked.filled(7)) == 1


def test_borrowed_and_polled_arrays_cannot_be_made_writable_over_the_ring(link: Link) -> None:
    """A view refuses; a polled array is a copy, so that no other reader sees what one does."""
    pub, sub, other = link.publish(schema="<i8"), link.subscribe(), link.subscribe()
    pub.send_batch(np.arange(5, dtype="<i8"))
    link.settle()
    with sub.view(0) as batch:
        assert batch is not None
        with pytest.raises(ValueError, match="read-only"):
            batch.data[0] = 1
        with pytest.raises(ValueError, match="WRITEABLE"):
            batch.data.flags.writeable = True
    assert take(other).data.tolist() == [0, 1, 2, 3, 4]


def test_array_that_changed_since_it_was_sent_is_looked_at_again(link: Link) -> None:
    """Its dtype or shape may be set in place: what does not fit any more is refused."""
    pub, sub = link.publish(schema="<i8"), link.subscribe()
    array = np.arange(4, dtype=np.dtype("<i8", copy=True))
    pub.send_batch(array)
    pub.send_batch(array)
    array.shape = (2, 2)
    with pytest.raises(rdmaq.SchemaError, match="1-D"):
        pub.send_batch(array)
    array.shape = (4,)
    as_float = array.view("<f8")
    with pytest.raises(rdmaq.SchemaError, match="float64"):
        pub.send_batch(as_float)
    pub.send_batch(array[:2])
    link.settle()
    assert take(sub).data.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]


def test_array_may_be_resized_once_it_was_sent(link: Link) -> None:
    """Nothing of it is kept: numpy would refuse to resize what somebody looks into."""
    pub, sub = link.publish(schema="<i8"), link.subscribe()
    array = np.arange(4, dtype="<i8")
    pub.send_batch(array)
    array.resize(6, refcheck=False)
    pub.send_batch(array)
    link.settle()
    assert take(sub).data.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 0]
