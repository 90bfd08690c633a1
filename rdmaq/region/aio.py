"""A region's operations for event loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from rdmaq.region.selection import Index

if TYPE_CHECKING:
    from rdmaq.region.region import Region


class AsyncRegion:
    """`Region.aio`: each method is its namesake of `Region`, to be awaited.

    Several at once are one `Region.batch()`, which can be awaited, too. One that is cancelled ends
    when nothing of it is under way any more: arrays are yours again then, as otherwise.
    """

    __slots__ = ("_region",)

    def __init__(self, region: Region) -> None:
        self._region = region

    async def read(self, index: Index = ..., *, field: str | None = None) -> npt.NDArray[Any]:
        """See `Region.read`."""
        (result,) = await self._region.batch().read(index, field=field)
        return result  # type: ignore[no-any-return]

    async def read_into(
        self, out: npt.NDArray[Any], index: Index = ..., *, field: str | None = None
    ) -> npt.NDArray[Any]:
        """See `Region.read_into`. `out` is lent to the region until the await returns."""
        await self._region.batch().read_into(out, index, field=field)
        return out

    async def write(self, index: Index, values: npt.ArrayLike, *, field: str | None = None) -> None:
        """See `Region.write`."""
        await self._region.batch().write(index, values, field=field)

    async def fetch_add(self, offset_bytes: int, amount: int) -> int:
        """See `Region.fetch_add`."""
        (before,) = await self._region.batch().fetch_add(offset_bytes, amount)
        return int(before)

    async def compare_swap(self, offset_bytes: int, expected: int, value: int) -> int:
        """See `Region.compare_swap`."""
        (before,) = await self._region.batch().compare_swap(offset_bytes, expected, value)
        return int(before)
