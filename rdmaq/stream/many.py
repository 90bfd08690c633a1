"""`Publisher.send_many`: several messages of an untyped stream as one frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rdmaq import errors
from rdmaq._fast import ffi, lib
from rdmaq.stream import encode, refusals

if TYPE_CHECKING:
    from rdmaq.stream.publisher import Publisher


def send(
    publisher: Publisher,
    messages: encode.MessageBlocks | Iterable[Any],
    first_sequence: int | None,
) -> int:
    """Does what `Publisher.send_many` says."""
    dtype, name = publisher.schema, publisher.name
    if dtype is not None:
        raise errors.SchemaError(
            f"stream {name!r} carries records of {dtype}: "
            "send_many is for untyped streams; use send_batch"
        )
    if first_sequence is not None:
        refusals.check_first_sequence(first_sequence)
    if not isinstance(messages, encode.MessageBlocks):
        encode.check_several(messages)
        messages = [m if type(m) is bytes else encode.payload(m, None, name) for m in messages]
    publisher._enter()
    try:
        if isinstance(messages, list):
            return _send_list(publisher, messages, first_sequence)
        encode.check_blocks(messages)
        return _send_blocks(publisher, messages.buffer, messages.count, first_sequence or 0)
    finally:
        publisher._leave()


def _send_blocks(publisher: Publisher, buffer: Any, count: int, first_sequence: int) -> int:
    view = memoryview(buffer)
    pointer = ffi.from_buffer("uint8_t *", buffer)
    handle, taken = publisher.handle, publisher._taken
    sequence = lib.rq_send_blocks(handle, pointer, view.nbytes, count, first_sequence, taken)
    if sequence > 0:
        return sequence
    if sequence == 0 and count == 0:
        return publisher.next_sequence
    return publisher._finish(
        sequence,
        0,
        lambda sent, sent_bytes: lib.rq_send_blocks(
            handle, pointer + sent_bytes, view.nbytes - sent_bytes, count - sent, 0, taken
        ),
        first_sequence,
    )


def _send_list(publisher: Publisher, payloads: list[Any], first_sequence: int | None) -> int:
    longest_bytes = max(map(len, payloads), default=0)
    if longest_bytes > publisher.message_bytes_max:
        raise refusals.too_large(publisher, longest_bytes)
    first = 0
    if first_sequence is not None or not payloads:
        first = _send_blocks(publisher, b"", 0, first_sequence or 0)
    sent = 0
    for piece, count in encode.pieces(payloads, publisher.message_bytes_max):
        try:
            sequence = _send_blocks(publisher, piece, count, 0) if count else publisher.send(piece)
        except errors.NotEnoughReaders as error:
            error.sent += sent
            raise
        first = first or sequence
        sent += count or 1
    return first
