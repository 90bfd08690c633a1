"""A stream's schema: a numpy dtype, its text in the segment's descriptor, and its hash.

The text is JSON of numpy's own array-interface description (numpy.lib.format.dtype_to_descr), so
nothing that a stranger wrote is ever evaluated.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import numpy.typing as npt

from rdmaq import arguments
from rdmaq.errors import SchemaError, SegmentError


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
    """The dtype as text; `from_text` gives it back equal, offsets and byte orders included."""
    text = json.dumps(np.lib.format.dtype_to_descr(dtype), separators=(",", ":"))
    if from_text(text) != dtype:
        raise SchemaError(
            f"schema {dtype} cannot be written down faithfully (titles, overlapping fields?): "
            "use plain names and offsets"
        )
    return text


def from_text(text: str) -> np.dtype[Any]:
    """Reads what `to_text` wrote; the text may be a stranger's.

    Raises:
        SegmentError: it is not such a text.
    """
    try:
        return check_dtype(np.lib.format.descr_to_dtype(_tuples(json.loads(text))))
    except Exception as error:  # numpy has many for what is no dtype, and the text is a stranger's
        raise SegmentError(f"the stream's schema cannot be read: {error}") from error


def text_hash(text: str) -> int:
    """The first 8 bytes of the text's SHA-256, big-endian."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _tuples(value: Any) -> Any:
    """JSON has lists only; numpy wants a list of fields, each of them a tuple."""
    if not isinstance(value, list):
        return value
    fields = []
    for field in value:
        if not isinstance(field, list) or not 2 <= len(field) <= 3 or not isinstance(field[0], str):
            raise ValueError(f"{field!r} is no field")
        shape = (tuple(int(extent) for extent in field[2]),) if len(field) == 3 else ()
        fields.append((field[0], _tuples(field[1]), *shape))
    return fields
