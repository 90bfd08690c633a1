"""What a node says of an export: plain fields in a message, checked by whoever receives it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from rdmaq._fast import lib
from rdmaq.errors import HandoverError, RegionError
from rdmaq.region.refusals import ACCESSES
from rdmaq.stream import schema as schemas

ARRAY, TABLE = "array", "table"
_DIMENSIONS_MAX = 32  # numpy's own limit was 32 until 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionInfo:
    """One region or table on offer.

    Attributes:
        name: under which it is exported.
        kind: "array" (`Peer.region`) or "table" (`Peer.table`).
        dtype: of the elements, or of the rows.
        shape: of the array; of a table: (rows,).
        access: what peers may do: "read", "write" or "atomic"; of a table "read".
    """

    name: str
    kind: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    access: str

    @property
    def data_bytes(self) -> int:
        """Bytes of its area."""
        if self.kind == TABLE:
            return int(lib.rq_table_bytes(self.dtype.itemsize, self.shape[0]))
        return math.prod(self.shape) * self.dtype.itemsize

    def to_message(self) -> dict[str, Any]:
        """Plain fields, as JSON or another plane may carry them."""
        return {
            "name": self.name,
            "kind": self.kind,
            "format": lib.RQ_TABLE_FORMAT,
            "schema": schemas.to_text(self.dtype),
            "shape": list(self.shape),
            "access": self.access,
        }


def from_message(message: dict[str, Any]) -> RegionInfo:
    """Checks what a stranger says of an export.

    Raises:
        HandoverError: a field is missing, of the wrong form, or contradicts another.
        SegmentError: the dtype's text cannot be read.
    """
    name, kind, access = (message.get(key) for key in ("name", "kind", "access"))
    shape, text = message.get("shape"), message.get("schema")
    if not (
        isinstance(name, str)
        and isinstance(text, str)
        and kind in (ARRAY, TABLE)
        and access in ACCESSES
        and isinstance(shape, list)
        and len(shape) <= (1 if kind == TABLE else _DIMENSIONS_MAX)
        and all(isinstance(extent, int) and 0 < extent < 1 << 40 for extent in shape)
    ):
        raise HandoverError(
            "the node describes its region in an unknown form: run the same release on both sides"
        )
    if kind == TABLE and (message.get("format") != lib.RQ_TABLE_FORMAT or len(shape) != 1):
        raise HandoverError(
            f"the node's table has format {message.get('format')!r}, this side reads "
            f"{lib.RQ_TABLE_FORMAT}: run the same release on both sides"
        )
    info = RegionInfo(
        name=name,
        kind=str(kind),
        dtype=schemas.from_text(text),
        shape=tuple(shape),
        access=str(access),
    )
    try:
        check_size(info)
    except RegionError as error:
        raise HandoverError(f"the node describes an impossible region: {error}") from error
    return info


def check_size(info: RegionInfo) -> None:
    """Refuses what no area can hold.

    Raises:
        RegionError: it is empty or too large, or the rows are, or it has too many axes.
    """
    row_bytes = info.dtype.itemsize
    if len(info.shape) > _DIMENSIONS_MAX:
        raise RegionError(
            f"array {info.name!r} has {len(info.shape)} axes: peers take at most "
            f"{_DIMENSIONS_MAX}; reshape it"
        )
    if info.kind == TABLE and row_bytes > lib.RQ_TABLE_ROW_BYTES_MAX:
        raise RegionError(
            f"rows of {row_bytes:,} bytes: a table's have at most {lib.RQ_TABLE_ROW_BYTES_MAX:,}; "
            "split the row, or export an array"
        )
    elements_bytes = math.prod(info.shape) * row_bytes  # before C multiplies in 64 bits
    if not 0 < elements_bytes <= lib.RQ_AREA_BYTES_MAX:
        raise RegionError(
            f"{info.kind} {info.name!r} has {elements_bytes:,} bytes: it must be 1 to "
            f"{lib.RQ_AREA_BYTES_MAX:,}"
        )
