"""Row numbers and row bytes of a table, from what numpy users write."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rdmaq.errors import RegionBoundsError, SchemaError


def row_numbers(
    row_count: int, index: Any, what: str
) -> tuple[npt.NDArray[np.uint64], tuple[int, ...]]:
    """The rows that an index means, and the shape of a result for them.

    Args:
        row_count: of the table.
        index: an integer (negative: from the end), a slice, `...`, or an array of integers.
        what: the table, for messages.

    Raises:
        RegionBoundsError: it means rows that are not there, or nothing at all.
    """
    if type(index) is int and 0 <= index < row_count:
        return np.array([index], dtype=np.uint64), ()
    try:
        if isinstance(index, slice):
            numbers = np.arange(*index.indices(row_count), dtype=np.int64)
        elif index is Ellipsis:
            numbers = np.arange(row_count, dtype=np.int64)
        else:
            numbers = np.asarray(index)
            if numbers.dtype == bool:
                numbers = np.arange(row_count, dtype=np.int64)[numbers]
            elif numbers.dtype == np.uint64:  # too large ones become one that is not there
                numbers = np.minimum(numbers, np.uint64(row_count)).astype(np.int64)
            numbers = numbers.astype(np.int64, casting="safe" if numbers.size else "unsafe")
    except (TypeError, ValueError, OverflowError, IndexError) as error:
        raise RegionBoundsError(
            f"{index!r} is no choice of rows of {what}: {error}; give an integer, a slice or an "
            "array of integers"
        ) from error
    if numbers.size and not (-row_count <= int(numbers.min()) <= int(numbers.max()) < row_count):
        raise RegionBoundsError(
            f"{what} has rows 0 to {row_count - 1}: {index!r} asks for others; nothing was done"
        )
    flat = numbers.astype(np.int64).reshape(-1)
    return np.where(flat < 0, flat + row_count, flat).astype(np.uint64), numbers.shape


def fitted_rows(
    values: npt.ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any], what: str
) -> npt.NDArray[np.uint8]:
    """The values as contiguous rows.

    Raises:
        SchemaError: they are no rows of the table, or of another number.
    """
    if isinstance(values, np.ndarray) and values.dtype == dtype and values.shape == shape:
        packed = np.ascontiguousarray(values)
    else:
        try:
            given = values if isinstance(values, np.ndarray) else np.array(values, dtype=dtype)
            packed = np.empty(shape, dtype)
            np.copyto(packed, given, casting="equiv")
        except (TypeError, ValueError, OverflowError) as error:
            raise SchemaError(
                f"the values are no rows of {what}: {error}; give {dtype} of shape {shape}, or one "
                "row for all"
            ) from error
    return packed.reshape(-1).view(np.uint8)
