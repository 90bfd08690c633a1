"""What a node's publishers offer, as a peer learns it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rdmaq import errors
from rdmaq.shm import wire
from rdmaq.shm.dial import ask
from rdmaq.stream import schema as schemas
from rdmaq.stream.flow import Flow, lossy, reliable

_STREAMS_MAX = 100_000  # a stranger could list names for ever


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


def list_streams(dial: Callable[[float], Any], address: str) -> list[StreamInfo]:
    """Asks page by page: what `Peer.streams` says."""
    streams: list[StreamInfo] = []
    is_whole = False
    while not is_whole:
        after = streams[-1].name if streams else ""
        with dial(0.0) as sock:
            answer, unwanted = ask(sock, {"want": "streams", "after": after})
        wire.close_all(unwanted)
        try:
            page = [_stream_info(stream) for stream in answer["streams"]]
            is_whole = bool(answer["is_whole"]) or not page or page[-1].name <= after
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise errors.HandoverError(
                f"the node at {address} listed its streams in an unknown form: {error!r}; run the "
                "same release on both sides"
            ) from error
        streams += page
        if len(streams) > _STREAMS_MAX:
            raise errors.HandoverError(
                f"the node at {address} lists more than {_STREAMS_MAX:,} streams: is it really an "
                "rdmaq node?"
            )
    return streams


def _stream_info(stream: dict[str, Any]) -> StreamInfo:
    text = stream["schema"]
    return StreamInfo(
        name=str(stream["name"]),
        schema=schemas.from_text(text) if text else None,
        capacity_bytes=int(stream["capacity_bytes"]),
        flow=reliable() if stream["is_reliable"] else lossy(),
        epoch=int(stream["epoch"]),
        next_sequence=int(stream["next_sequence"]),
    )
