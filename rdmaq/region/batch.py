"""Operations on a region, gathered and then done in one crossing (or as one chain of the NIC)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rdmaq.errors import RegionBoundsError, SchemaError
from rdmaq.region.channel import COMPARE_SWAP, FETCH_ADD, OP, READ, WRITE
from rdmaq.region.refusals import access_error
from rdmaq.region.selection import Index, Selection, address_of

if TYPE_CHECKING:
    from rdmaq.region.region import Region


class Batch:
    """Many operations on one region; made by `Region.batch()`.

    Nothing happens until `run()` or `await batch`. The operations are done in the order in which
    they were added, all of them or, when one is refused, none. Each adding method returns the
    batch, so that they chain:

        first, _, before = book.batch().read(0).write(9, row).fetch_add(4096, 1).run()

    A batch may be run again: it reads into the same arrays and writes the same values.
    """

    __slots__ = ("_keep", "_ops", "_parts", "_region", "_results")

    def __init__(self, region: Region) -> None:
        self._region = region
        self._parts: list[npt.NDArray[Any]] = []
        self._results: list[Callable[[npt.NDArray[Any]], Any]] = []
        self._keep: list[npt.NDArray[Any]] = []
        self._ops: npt.NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self._results)

    def read(self, index: Index = ..., *, field: str | None = None) -> Batch:
        """Adds a read; its result is a fresh array. See `Region.read`."""
        chosen = self._region.layout.select(index, field)
        return self._move(READ, chosen, np.empty(chosen.shape, chosen.dtype))

    def read_into(
        self, out: npt.NDArray[Any], index: Index = ..., *, field: str | None = None
    ) -> Batch:
        """Adds a read into your array; its result is that array. See `Region.read_into`."""
        chosen = self._region.layout.select(index, field)
        if not isinstance(out, np.ndarray) or out.dtype != chosen.dtype:
            found = out.dtype if isinstance(out, np.ndarray) else type(out).__name__
            raise SchemaError(
                f"read_into cannot read {chosen.dtype} into {found}: give an array of that dtype"
            )
        if out.shape != chosen.shape or not out.flags.c_contiguous or not out.flags.writeable:
            raise RegionBoundsError(
                f"read_into cannot read shape {chosen.shape} into this array of shape {out.shape}: "
                "it must have that shape, be C-contiguous and writable"
            )
        return self._move(READ, chosen, out)

    def write(self, index: Index, values: npt.ArrayLike, *, field: str | None = None) -> Batch:
        """Adds a write; its result is None. The values are copied now. See `Region.write`."""
        region = self._region
        self._need("write")
        chosen = region.layout.select(index, field)
        return self._move(WRITE, chosen, _fitted(values, chosen))

    def fetch_add(self, offset_bytes: int, amount: int) -> Batch:
        """Adds an atomic addition; its result is the value before. See `Region.fetch_add`."""
        return self._atomic(FETCH_ADD, offset_bytes, operand=amount)

    def compare_swap(self, offset_bytes: int, expected: int, value: int) -> Batch:
        """Adds an atomic exchange; its result is the value before. See `Region.compare_swap`."""
        return self._atomic(COMPARE_SWAP, offset_bytes, operand=value, compare=expected)

    def run(self) -> list[Any]:
        """Does the operations; returns their results in order.

        Raises:
            RegionRevoked, PeerGone, ConcurrentUse, ClosedError: nothing was done.
        """
        ops = self._prepared()
        self._region.check_code(self._region.channel.run(ops))
        return [result(ops) for result in self._results]

    def __await__(self) -> Generator[Any, None, list[Any]]:
        return self._run_async().__await__()

    async def _run_async(self) -> list[Any]:
        ops = self._prepared()
        self._region.check_code(await self._region.channel.run_async(ops, self._keep))
        return [result(ops) for result in self._results]

    def _prepared(self) -> npt.NDArray[Any]:
        if self._ops is None:
            self._ops = np.concatenate(self._parts) if self._parts else np.empty(0, OP)
        return self._ops

    def _add(self, ops: npt.NDArray[Any], result: Callable[[npt.NDArray[Any]], Any]) -> Batch:
        self._parts.append(ops)
        self._results.append(result)
        self._ops = None
        return self

    def _move(self, kind: int, chosen: Selection, local: npt.NDArray[Any]) -> Batch:
        ops = np.zeros(len(chosen.offsets), OP)
        ops["kind"] = kind
        ops["offset_bytes"] = chosen.offsets
        ops["length_bytes"] = chosen.run_bytes
        ops["local_address"] = address_of(local)
        if len(ops) > 1:
            ops["local_address"] += np.arange(len(ops), dtype=np.uint64) * chosen.run_bytes
        self._keep.append(local)
        return self._add(ops, (lambda _: local) if kind == READ else (lambda _: None))

    def _atomic(self, kind: int, offset_bytes: int, *, operand: int, compare: int = 0) -> Batch:
        self._need("atomic")
        region_bytes = self._region.nbytes
        if not isinstance(offset_bytes, int | np.integer) or not (
            0 <= offset_bytes <= region_bytes - 8 and offset_bytes % 8 == 0
        ):
            raise RegionBoundsError(
                f"offset_bytes={offset_bytes!r}: an atomic takes 8 bytes at a multiple of 8 within "
                f"the region's {region_bytes:,}; offset_of(index, field) finds it"
            )
        ops = np.zeros(1, OP)
        ops["kind"], ops["offset_bytes"], ops["length_bytes"] = kind, offset_bytes, 8
        ops["operand"], ops["compare"] = _word(operand), _word(compare)
        at = sum(map(len, self._parts))
        return self._add(ops, lambda done: int(done["result"][at]))

    def _need(self, access: str) -> None:
        self._region.check_access(access)


def need_access(what: str, access: str, needed: str) -> None:
    """Raises RegionAccessError when a region of `access` does not allow `needed`."""
    order = ("read", "write", "atomic")
    if order.index(access) < order.index(needed):
        raise access_error(what, access, needed)


def _word(value: int) -> np.uint64:
    if not isinstance(value, int | np.integer) or not -(1 << 63) <= value < 1 << 64:
        raise RegionBoundsError(
            f"{value!r} is no 64-bit word: atomics take integers from -2**63 to 2**64 - 1"
        )
    return np.uint64(int(value) & ((1 << 64) - 1))


def _fitted(values: npt.ArrayLike, chosen: Selection) -> npt.NDArray[Any]:
    """The values as a contiguous array of their own, of the selection's shape and dtype."""
    try:
        if not isinstance(values, np.ndarray):
            given = np.array(values, dtype=chosen.dtype)
        else:
            given = values
        local = np.empty(chosen.shape, chosen.dtype)
        np.copyto(local, given, casting="same_kind")
    except (TypeError, ValueError, OverflowError) as error:
        raise SchemaError(
            f"the values do not fit {chosen.dtype} of shape {chosen.shape}: {error}; "
            "give an array, a record (tuple) or a number of that form"
        ) from error
    return local
