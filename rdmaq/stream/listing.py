"""What a node's publishers offer, as a peer learns it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rdmaq.stream import schema as schemas
from rdmaq.stream.flow import Flow, lossy, reliable


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """One stream on offer.

    Attributes:
        name: its name in the node.
        schema: dtype of its records; None: untyped.
        capacity_bytes: of its ring.
        flow: lossy or reliable; min_readers and timeout are the publisher's own business.
        epoch: its incarnation: ns since 1970 when it was made.
        next_sequence: of the next message, when asked.
    """

    name: str
    schema: np.dtype[Any] | None
    capacity_bytes: int
    flow: Flow
    epoch: int
    next_sequence: int


def stream_info(stream: dict[str, Any]) -> StreamInfo:
    """Reads what a node says of one.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: it has an unknown form.
    """
    text = stream["schema"]
    return StreamInfo(
        name=str(stream["name"]),
        schema=schemas.from_text(text) if text else None,
        capacity_bytes=int(stream["capacity_bytes"]),
        flow=reliable() if stream["is_reliable"] else lossy(),
        epoch=int(stream["epoch"]),
        next_sequence=int(stream["next_sequence"]),
    )
