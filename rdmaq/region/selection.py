"""From a numpy index to byte runs: which parts of a region an operation touches.

An index is tried on an array of the region's shape and strides that has no memory behind it: numpy
itself says what the result looks like and where it begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rdmaq.errors import RegionBoundsError

#: What an index may be: an integer, a slice, `...`, or a tuple of these.
Index = Any


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """What an index selects.

    Attributes:
        shape: of the result.
        dtype: of the result.
        run_bytes: the result in C order consists of runs of so many bytes,
        offsets: which begin at these bytes of the region (uint64).
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    run_bytes: int
    offsets: npt.NDArray[np.uint64]


class Layout:
    """A C-contiguous region's form.

    Args:
        shape: of the region.
        dtype: of its elements.
    """

    __slots__ = ("_begin", "_whole")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        strides, stride = [], dtype.itemsize
        for extent in reversed(shape):
            strides.append(stride)
            stride *= max(extent, 1)
        self._whole = np.lib.stride_tricks.as_strided(
            np.empty(1, dtype=dtype), shape, tuple(reversed(strides)), writeable=False
        )
        self._begin = address_of(self._whole)

    def select(self, index: Index, field: str | None) -> Selection:
        """Resolves an index.

        Raises:
            RegionBoundsError: it names elements or a field that are not there, or is no basic
                index.
        """
        view = self._view(index, field)
        run_bytes, outer = view.dtype.itemsize, view.ndim
        while outer > 0 and (view.shape[outer - 1] == 1 or view.strides[outer - 1] == run_bytes):
            outer -= 1
            run_bytes *= view.shape[outer]
        offsets = np.array([address_of(view) - self._begin], dtype=np.int64)
        for extent, stride in zip(view.shape[:outer], view.strides[:outer], strict=True):
            offsets = np.add.outer(offsets, np.arange(extent, dtype=np.int64) * stride)
        if view.size == 0:
            offsets = np.empty(0, dtype=np.int64)
        return Selection(view.shape, view.dtype, run_bytes, offsets.reshape(-1).view(np.uint64))

    def _view(self, index: Index, field: str | None) -> npt.NDArray[Any]:
        if field is not None and not isinstance(field, str):
            # A list would write what stands between its fields, an index fetch what is not there.
            raise RegionBoundsError(
                f"field={field!r} is no name of a field: give one, and put several reads or writes "
                "into one batch()"
            )
        if field is not None and field not in (self._whole.dtype.names or ()):
            names = ", ".join(map(repr, self._whole.dtype.names or ())) or "no fields"
            raise RegionBoundsError(
                f"field={field!r} is not there: elements of {self._whole.dtype} have {names}; give "
                "one that is, or leave it out"
            )
        parts = index if isinstance(index, tuple) else (index,)
        for part in parts:
            is_integer = isinstance(part, int | np.integer) and not isinstance(part, bool)
            if not (is_integer or isinstance(part, slice) or part is Ellipsis):
                raise RegionBoundsError(
                    f"{part!r} cannot index a region: one-sided operations take integers, slices "
                    "and '...'; for a choice of elements put several reads into one batch()"
                )
        if not any(part is Ellipsis for part in parts):
            parts = (*parts, Ellipsis)  # or numpy would fetch a scalar from where no memory is
        try:
            view = self._whole[parts]
            return view if field is None else view[field]
        except (IndexError, ValueError, TypeError) as error:
            which = f"{index!r}" if field is None else f"{index!r} with field {field!r}"
            raise RegionBoundsError(
                f"index {which} does not fit a region of shape {self._whole.shape} and dtype "
                f"{self._whole.dtype}: {error}; ask for what is there"
            ) from error


def address_of(array: npt.NDArray[Any]) -> int:
    """Where an array begins."""
    return int(array.__array_interface__["data"][0])
