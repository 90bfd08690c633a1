"""A peer's region: an array elsewhere, reached by one-sided operations."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rdmaq._handle import Handle
from rdmaq.errors import RegionBoundsError
from rdmaq.region.aio import AsyncRegion
from rdmaq.region.batch import Batch, need_access
from rdmaq.region.channel import Channel
from rdmaq.region.refusals import refusal
from rdmaq.region.selection import Index, Layout


class Region(Handle):
    """An exported array; made by `Peer.region` (a peer's) or held by an `Export` (one's own).

    No instruction of the owner's runs for an operation. Plain reads and writes promise nothing
    about bytes that others write at the same moment: use atomics for a word, a `Table` for rows.
    One thread at a time: a second one inside gets `ConcurrentUse`. A forked child cannot use it.

    Attributes:
        name: under which it was exported.
        dtype: of its elements.
        shape: of the array.
        access: "read", "write" (and read) or "atomic" (and both): what peers may do.
    """

    __slots__ = ("access", "channel", "dtype", "layout", "name", "shape")

    def __init__(
        self,
        name: str,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        access: str,
        channel: Channel,
    ) -> None:
        super().__init__()
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.access = access
        self.channel = channel
        self.layout = Layout(shape, dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    @property
    def transport(self) -> str:
        """How the operations travel: "shm" or "verbs"."""
        return self.channel.transport

    @property
    def aio(self) -> AsyncRegion:
        """The same operations to `await`."""
        return AsyncRegion(self)

    def read(self, index: Index = ..., *, field: str | None = None) -> npt.NDArray[Any]:
        """Reads elements into a fresh array.

        Args:
            index: an integer, a slice (with any step), `...`, or a tuple of these, as numpy takes
                them; out-of-range slices are clipped. Default: everything.
            field: of a structured dtype: this field of the elements only.

        Returns:
            An array of the selected shape; a single element has shape ().

        Raises:
            RegionBoundsError: the index names what is not there.
            RegionRevoked, PeerGone, ConcurrentUse, ClosedError: see there.
        """
        (result,) = self.batch().read(index, field=field).run()
        return result  # type: ignore[no-any-return]

    def read_into(
        self, out: npt.NDArray[Any], index: Index = ..., *, field: str | None = None
    ) -> npt.NDArray[Any]:
        """Reads elements into `out` and returns it; it is yours again when the call returns.

        Args:
            out: C-contiguous, writable, of the selection's very shape and dtype.
            index: see `read`.
            field: see `read`.

        Raises:
            SchemaError, RegionBoundsError: `out` does not fit; nothing was read.
        """
        self.batch().read_into(out, index, field=field).run()
        return out

    def write(self, index: Index, values: npt.ArrayLike, *, field: str | None = None) -> None:
        """Writes elements; they stand in the owner's memory when the call returns.

        Args:
            index: see `read`.
            values: what numpy would take in an assignment: broadcast to the selection's shape and
                cast within the same kind. Copied; yours again at once.
            field: see `read`.

        Raises:
            RegionAccessError: it was exported for reading; nothing was written.
            SchemaError, RegionBoundsError: the values do not fit; nothing was written.
        """
        self.batch().write(index, values, field=field).run()

    def fetch_add(self, offset_bytes: int, amount: int) -> int:
        """Adds `amount` to the 64-bit word at `offset_bytes` in one step, modulo 2**64.

        Args:
            offset_bytes: a multiple of 8 within the region; see `offset_of`.
            amount: may be negative.

        Returns:
            The word before, as an unsigned number.

        Raises:
            RegionAccessError: it was not exported with access="atomic".
            RegionBoundsError: the offset is outside or not aligned.
        """
        (before,) = self.batch().fetch_add(offset_bytes, amount).run()
        return int(before)

    def compare_swap(self, offset_bytes: int, expected: int, value: int) -> int:
        """Puts `value` into the 64-bit word at `offset_bytes` if it is `expected`, in one step.

        Returns:
            The word before, as an unsigned number: `expected` when it was swapped.

        Raises:
            RegionAccessError, RegionBoundsError: as for `fetch_add`.
        """
        (before,) = self.batch().compare_swap(offset_bytes, expected, value).run()
        return int(before)

    def offset_of(self, index: Index, field: str | None = None) -> int:
        """Where an element (or its field) begins, in bytes: what atomics take.

        Args:
            index: one element: an integer for each axis.
            field: of a dtype with fields.

        Raises:
            RegionBoundsError: it selects none, or more than one.
        """
        chosen = self.layout.select(index, field)
        if len(chosen.offsets) != 1:
            raise RegionBoundsError(
                f"index {index!r} selects {len(chosen.offsets)} places: an offset is of one; give "
                "an integer for each axis"
            )
        return int(chosen.offsets[0])

    def batch(self) -> Batch:
        """An empty batch: add operations, then `run()` or `await` it; one crossing, one chain.

        Raises nothing.
        """
        return Batch(self)

    def close(self) -> None:
        """Lets go of the region, waiting for a thread inside; idempotent."""
        if self.closed:
            return
        self._is_closed = True
        self.channel.close()

    def check_access(self, needed: str) -> None:
        """Raises RegionAccessError when `needed` is more than the region allows."""
        need_access(self.what, self.access, needed)

    def check_code(self, code: int) -> None:
        """Raises what a negative code of the channel's stands for."""
        if code < 0 or self._is_forked:
            raise (
                self.closed_error()
                if self._is_forked
                else refusal(self.what, code, self.closed_error())
            )

    @property
    def what(self) -> str:
        """Its name for messages."""
        return f"region {self.name!r}"

    def _forget(self) -> None:
        self.channel.forget()

    def __enter__(self) -> Region:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"<Region {self.name!r} {self.dtype} {self.shape} access={self.access!r} "
            f"over {self.transport}>"
        )
