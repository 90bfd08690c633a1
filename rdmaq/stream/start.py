"""Where a subscription begins."""

from __future__ import annotations

import datetime
from typing import Any, Literal

import numpy as np

from rdmaq._fast import lib

Start = Literal["live", "oldest"] | int | datetime.datetime | np.datetime64

_SEQUENCE_MAX = (1 << 62) - 1
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def parse_start(start: Any) -> tuple[int, int]:
    """(RQ_START_*, value) of what a user wrote.

    Raises:
        ValueError: it is none of the forms, or out of range.
    """
    if isinstance(start, str):
        kinds = {"live": lib.RQ_START_LIVE, "oldest": lib.RQ_START_OLDEST}
        if start in kinds:
            return kinds[start], 0
    elif isinstance(start, int | np.integer) and not isinstance(start, bool):
        if 1 <= start <= _SEQUENCE_MAX:
            return lib.RQ_START_SEQUENCE, int(start)
        raise ValueError(f"start={start}: sequences are 1 to {_SEQUENCE_MAX}; use 1 for the first")
    elif isinstance(start, datetime.datetime):
        if start.tzinfo is None:
            raise ValueError(
                f"start={start!r} has no time zone: write datetime.now(datetime.UTC), for example"
            )
        since = start - _EPOCH
        microseconds = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        return lib.RQ_START_WALL_NS, _wall_ns(microseconds * 1000, start)
    elif isinstance(start, np.datetime64):
        # By seconds first: a year that 64 bits of ns cannot hold would come out as another.
        seconds = start.astype("datetime64[s]")
        is_near = np.datetime64(0, "s") <= seconds < np.datetime64((1 << 63) // 10**9, "s")
        wall_ns = int(start.astype("datetime64[ns]").astype(int)) if is_near else -1
        return lib.RQ_START_WALL_NS, _wall_ns(wall_ns, start)
    raise ValueError(
        f"start={start!r}: use 'live', 'oldest', a sequence (int), an aware datetime or a "
        "numpy datetime64 (UTC)"
    )


def _wall_ns(wall_ns: int, start: object) -> int:
    if not 0 <= wall_ns < 1 << 63:
        raise ValueError(f"start={start!r}: the time must lie between 1970 and 2262")
    return wall_ns
