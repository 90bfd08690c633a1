"""A stream's schema: a numpy dtype, its text in the segment's descriptor, and its hash.

The text is JSON of numpy's own array-interface description (numpy.lib.format.dtype_to_descr), so
nothing that a stranger wrote is ever evaluated.
"""

from __future__ import annotations

import functools
import hashlib
import json
from typing import Any

import numpy as np
import numpy.typing as npt

from rdmaq import arguments
from rdmaq.errors import SchemaError, SchemaMismatch, SegmentError

# What the x87 stores of a long double; the rest of its 16 bytes is padding (System V ABI, x86-64).
_X87_MANTISSA_BITS = 63
_X87_BYTES = 10


def check_dtype(schema: npt.DTypeLike) -> np.dtype[Any]:
    """The dtype that `schema` means, if records of it can be shared.

    Raises:
        SchemaError: no dtype at all; objects or references in it; records of no bytes.
    """
    try:
        dtype = np.dtype(schema)
    except Exception as error:  # numpy has many for what is no dtype
        raise SchemaError(
            f"schema {arguments.shown(schema)} is no numpy dtype: {error}; "
            'write for example np.dtype([("price", "<i8"), ("size", "<u4")])'
        ) from error
    if dtype.hasobject:
        raise SchemaError(
            f"schema {dtype} holds Python objects: a pointer means nothing in another process; "
            "use fixed-size fields (numbers, 'S16', subarrays)"
        )
    if dtype.itemsize == 0:
        raise SchemaError(f"schema {dtype} has records of no bytes: give every field a size")
    if dtype.subdtype is not None:
        raise SchemaError(
            f"schema {dtype} is a bare subarray: name it as a field, "
            f'for example np.dtype([("values", {dtype.subdtype[0].str!r}, {dtype.subdtype[1]})])'
        )
    return dtype


def to_text(dtype: np.dtype[Any]) -> str:
    """The dtype as text; `from_text` gives it back equal, offsets, titles and byte orders included.

    Metadata is not part of it, as it is not part of what makes dtypes equal.

    Raises:
        SchemaError: fields overlap or stand out of order, or it is a kind that has no name as text.
    """
    try:
        descr = np.lib.format.dtype_to_descr(np.lib.format.drop_metadata(dtype))
        text = json.dumps(descr, separators=(",", ":"))
        is_same = from_text(text) == dtype
    except (TypeError, ValueError, SegmentError) as error:
        raise SchemaError(
            f"schema {dtype} cannot be written down: {error}; "
            "use text as names and titles, and fields in the order of their offsets"
        ) from error
    if not is_same:
        raise SchemaError(
            f"schema {dtype} cannot be written down faithfully: it comes back as "
            f"{from_text(text)}; use numpy's own number types, each field for itself"
        )
    return text


@functools.lru_cache(maxsize=64)
def padding_of(dtype: np.dtype[Any]) -> npt.NDArray[np.bool_] | None:
    """Which bytes of a record belong to no value, shape (itemsize,); None if all of them do."""
    padding = ~_covered(dtype)
    return padding if padding.any() else None


def _covered(dtype: np.dtype[Any]) -> npt.NDArray[np.bool_]:
    if dtype.subdtype is not None:
        base = _covered(dtype.subdtype[0])
        return np.tile(base, dtype.itemsize // max(1, base.size))
    covered = np.ones(dtype.itemsize, dtype=np.bool_)
    if dtype.names is not None:
        covered[:] = False
        for name in dtype.names:
            field, offset = dtype.fields[name][:2]  # type: ignore[index]
            covered[offset : offset + field.itemsize] = _covered(field)
    elif dtype.char in "gG" and np.finfo(np.longdouble).nmant == _X87_MANTISSA_BITS:
        covered.reshape(-1, np.dtype("g").itemsize)[:, _X87_BYTES:] = False
    return covered


def from_text(text: str) -> np.dtype[Any]:
    """Reads what `to_text` wrote; the text may be a stranger's.

    Raises:
        SegmentError: it is not such a text.
    """
    try:
        return check_dtype(np.lib.format.descr_to_dtype(_tuples(json.loads(text))))
    except Exception as error:  # numpy has many for what is no dtype, and the text is a stranger's
        raise SegmentError(f"the stream's schema cannot be read: {error}") from error


def check_wanted(wanted_text: str, actual: np.dtype[Any] | None, name: str) -> None:
    """Refuses a stream of another schema. Texts may differ where dtypes are equal: those decide.

    Args:
        wanted_text: what a subscriber expects; "": an untyped stream.
        actual: what the stream carries.
        name: the stream's.

    Raises:
        SchemaMismatch: it carries another dtype.
        SegmentError: the text is none.
    """
    wanted = None if wanted_text == "" else from_text(wanted_text)
    if wanted == actual:
        return
    expected, carried = str(wanted or "untyped"), str(actual or "untyped")
    raise SchemaMismatch(
        f"stream {name!r} carries {carried}, the subscriber expects {expected}: "
        "subscribe with the stream's dtype, or without one to take it as it is",
        expected=expected,
        actual=carried,
    )


def text_hash(text: str) -> int:
    """The first 8 bytes of the text's SHA-256, big-endian."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _tuples(value: Any) -> Any:
    """JSON has lists only; numpy wants a list of fields, each of them a tuple."""
    if not isinstance(value, list):
        return value
    fields = []
    for field in value:
        if not isinstance(field, list) or not 2 <= len(field) <= 3:
            raise ValueError(f"{field!r} is no field")
        shape = (tuple(int(extent) for extent in field[2]),) if len(field) == 3 else ()
        fields.append((_name(field[0]), _tuples(field[1]), *shape))
    return fields


def _name(value: Any) -> str | tuple[str, str]:
    """A name, or title and name."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value):
        return (value[0], value[1])
    raise ValueError(f"{value!r} is no name of a field")
