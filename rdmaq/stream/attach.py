"""From a node's grant to a cursor: everything that it sent is checked before it is used."""

from __future__ import annotations

import os
import socket
from typing import Any

import numpy as np

from rdmaq import errors
from rdmaq._fast import lib
from rdmaq.shm import segment as segments
from rdmaq.shm import wire
from rdmaq.shm.dial import ask
from rdmaq.stream import schema as schemas
from rdmaq.stream.cursor import Cursor


def hand_over(sock: socket.socket, request: dict[str, Any], wait_mode: int) -> Cursor:
    """Asks the node behind `sock` for a stream and opens what it grants.

    Args:
        sock: connected to the node; the cursor's own when this returns, else the caller's.
        request: names the stream, the schema that is expected and where to begin.
        wait_mode: RQ_WAIT_*.

    Raises:
        HandoverError: the grant has an unknown form.
        SegmentError: what was granted fails its checks.
        RdmaqError: what the node answered.
    """
    kind, value = request["start"], request["start_value"]
    answer, descriptors = ask(sock, request)
    pidfd = None
    try:
        pidfd = wire.open_pidfd(wire.peer_credentials(sock)[0])
        grant = _checked_grant(answer, descriptors)
        segment = segments.attach(descriptors[0])
        cursor = Cursor(
            segment,
            _checked_schema(segment.description),
            descriptors[1],
            grant,
            deliver_from=value if kind == lib.RQ_START_SEQUENCE else 0,
            deliver_from_ns=value if kind == lib.RQ_START_WALL_NS else 0,
            sock=sock,
            pidfd=pidfd,
            wait_mode=wait_mode,
        )
    except BaseException:
        if pidfd is not None:
            os.close(pidfd)
        raise
    finally:
        wire.close_all(descriptors)
    return cursor


def _checked_grant(answer: dict[str, Any], descriptors: list[int]) -> tuple[int, int, int]:
    slot, position, sequence = (answer.get(k) for k in ("slot", "position", "sequence"))
    if len(descriptors) != 2 or not (
        isinstance(slot, int)
        and isinstance(position, int)
        and isinstance(sequence, int)
        and 0 <= slot < 1 << 31
        and 0 <= position < 1 << 64
        and 0 <= sequence < 1 << 63
    ):
        raise errors.HandoverError(
            "the node's grant has an unknown form: run the same release on both sides"
        )
    return slot, position, sequence


def _checked_schema(description: segments.Description) -> np.dtype[Any] | None:
    """C goes by the record's size, Python by the dtype: they must mean the same."""
    text = description.schema_text
    schema = schemas.from_text(text) if text else None
    record_bytes = 0 if schema is None else schema.itemsize
    if record_bytes != description.record_bytes:
        raise errors.SegmentError(
            f"the segment's schema has records of {record_bytes} bytes, its descriptor says "
            f"{description.record_bytes}: it was not read; is the peer really an rdmaq node?"
        )
    return schema
