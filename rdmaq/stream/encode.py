"""What users hand to a publisher, made into the bytes that C takes."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rdmaq import arguments
from rdmaq._fast import lib
from rdmaq.errors import SchemaError
from rdmaq.stream import schema as schemas

_PREFIX_BYTES = 2
_FIELD_NAMES = re.compile(":[^:]*:")  # in a buffer's format
_PREFIXES = [size.to_bytes(_PREFIX_BYTES, "big") for size in range(512)]  # of the usual sizes


@dataclass(frozen=True, slots=True)
class MessageBlocks:
    """Messages that stand length-prefixed in one buffer already, and go into one frame as they are.

    Args:
        buffer: `count` times a u16 big-endian length and so many bytes: the message blocks of a
            MoldUDP64 packet (specification 1.00) behind its header. Lent for the call only.
        count: how many messages it holds.
    """

    buffer: Any
    count: int


def check_blocks(blocks: MessageBlocks) -> None:
    """Checks what C could not: its own checks are of the bytes.

    Raises:
        SchemaError: no contiguous buffer, or a count that no buffer can have.
    """
    try:
        is_plain = memoryview(blocks.buffer).c_contiguous and not holds_objects(blocks.buffer)
    except (TypeError, ValueError, BufferError):
        is_plain = False
    if not is_plain:
        raise SchemaError(
            f"MessageBlocks of {type(blocks.buffer).__name__}: the blocks must stand in one "
            "contiguous buffer of bytes; copy them into bytes"
        )
    try:
        arguments.whole("count", blocks.count, 0, (1 << 63) - 1, "give how many blocks there are")
    except (TypeError, ValueError) as error:
        raise SchemaError(
            f"the message blocks do not add up: {error}; count and lengths must cover the buffer "
            "exactly"
        ) from error


def check_several(messages: Any) -> None:
    """Checks that there is something to go through, and that it is not one message.

    Raises:
        SchemaError: it is no iterable of messages.
    """
    if isinstance(messages, str | bytes | bytearray | memoryview):
        raise SchemaError(
            f"send_many got one {type(messages).__name__}: it takes several messages; "
            "use send, or put it into a list"
        )
    if not isinstance(messages, Iterable) or getattr(messages, "ndim", 1) == 0:
        raise SchemaError(
            f"send_many got {type(messages).__name__}: it cannot be gone through; "
            "give a list of bytes-like objects, or MessageBlocks"
        )


def payload(message: Any, dtype: np.dtype[Any] | None, name: str) -> Any:
    """One message as a bytes-like object of single bytes.

    Raises:
        SchemaError: it is not what a stream of this dtype (None: untyped) carries.
    """
    if dtype is not None:
        return _record(message, dtype, name)
    try:
        if not holds_objects(message):
            # numpy lends no view of datetime64, but its bytes are bytes all the same.
            is_array = isinstance(message, np.ndarray)
            return (np.asarray(message) if is_array else memoryview(message)).tobytes()
    except (TypeError, ValueError, BufferError) as error:
        raise SchemaError(
            f"stream {name!r} is untyped and takes bytes, not {type(message).__name__} ({error}): "
            "encode the message, or publish with a schema"
        ) from error
    raise SchemaError(
        f"stream {name!r} cannot carry this {type(message).__name__}: it holds Python objects, and "
        "their addresses mean nothing in another process; encode what they say, or publish with a "
        "schema"
    )


def holds_objects(buffer: Any) -> bool:
    """True where a buffer's bytes are the addresses of Python's objects.

    Raises:
        TypeError, ValueError, BufferError: it is no buffer, or one that cannot say.
    """
    if isinstance(buffer, np.ndarray | np.generic):
        return buffer.dtype.hasobject
    return "O" in _FIELD_NAMES.sub("", memoryview(buffer).format)


def is_masked(array: Any) -> bool:
    """True for numpy's masked arrays, of which there are none before somebody imported them.

    Not by `np.ma`: its first use imports, in the midst of a send, and under a lock. A child that
    is forked just then waits for that lock for ever, where it should get `ClosedError`.
    """
    module = sys.modules.get("numpy.ma")
    return module is not None and isinstance(array, module.MaskedArray)


def _record(message: Any, dtype: np.dtype[Any], name: str) -> bytes:
    if isinstance(message, bytes | bytearray | memoryview):
        raise SchemaError(
            f"stream {name!r} carries records of {dtype}, not bytes: "
            "send a tuple or record, or publish without a schema"
        )
    if is_masked(message):
        raise SchemaError("send got a masked record: its mask would be lost; fill it first")
    if isinstance(message, np.generic | np.ndarray):
        is_fitting = message.dtype == dtype
    else:
        is_fitting = dtype.names is None or isinstance(message, tuple)
    if not is_fitting:  # numpy would fill every field with one number, or convert by position
        raise SchemaError(
            f"{message!r} is no record of the dtype {dtype} of stream {name!r}: "
            "send a tuple with one value a field, or a record of that dtype"
        )
    try:
        record = np.asarray(message, dtype=dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise SchemaError(
            f"{message!r} does not fit the dtype {dtype} of stream {name!r}: {error}; "
            "send a tuple with one value a field"
        ) from error
    if record.ndim != 0:
        raise SchemaError(f"send takes one record, this has shape {record.shape}: use send_batch")
    padding = schemas.padding_of(dtype)
    if padding is None:
        return record.tobytes()
    # Whatever the heap held there is nobody's business, least of all another user's.
    copied = np.array(record).reshape(1)
    _clear(copied, padding)
    return copied.tobytes()


def _clear(array: npt.NDArray[Any], padding: npt.NDArray[np.bool_]) -> None:
    array.view(np.uint8).reshape(-1, array.itemsize)[:, padding] = 0


def records(array: npt.ArrayLike, dtype: np.dtype[Any] | None, name: str) -> npt.NDArray[Any]:
    """A contiguous 1-D array of exactly this dtype.

    Padding between fields is zero in what is made here (of lists, of strided arrays); a contiguous
    array's own padding goes as it stands.

    Raises:
        SchemaError: the stream is untyped, or the array is of another dtype or shape, or masked.
    """
    if dtype is None:
        raise SchemaError(
            f"stream {name!r} is untyped: send_batch is for streams with a schema; "
            "use send or send_many"
        )
    is_ours = not isinstance(array, np.ndarray)
    if not isinstance(array, np.ndarray):
        try:
            array = np.array(array, dtype=dtype)
        except (TypeError, ValueError, OverflowError) as error:
            raise SchemaError(
                f"what send_batch got does not fit the dtype {dtype} of stream {name!r}: {error}; "
                "send an array of that dtype"
            ) from error
    if array.dtype != dtype:
        raise SchemaError(
            f"send_batch got dtype {array.dtype}, stream {name!r} carries {dtype}: "
            "convert it with astype, or publish another stream"
        )
    if array.ndim != 1:
        raise SchemaError(
            f"send_batch takes a 1-D array, this has shape {array.shape}: use ravel()"
        )
    if is_masked(array):
        raise SchemaError(
            "send_batch got a masked array: its mask would be lost; send array.filled(value)"
        )
    if not array.flags.c_contiguous:
        array, is_ours = np.ascontiguousarray(array), True
    padding = schemas.padding_of(dtype) if is_ours else None
    if padding is not None:
        _clear(array, padding)
    return array


def pieces(payloads: list[Any], message_bytes_max: int) -> Iterator[tuple[bytes, int]]:
    """Joins messages into runs of blocks: (blocks, count); (message, 0) for one that is too long.

    A block's length prefix has 16 bits (MoldUDP64 specification 1.00).
    """
    limit_bytes = min(lib.RQ_BLOCK_PAYLOAD_BYTES_MAX, message_bytes_max - _PREFIX_BYTES)
    run: list[bytes] = []
    for message in payloads:
        size_bytes = len(message)
        if size_bytes <= limit_bytes:
            short = size_bytes < len(_PREFIXES)
            prefix = _PREFIXES[size_bytes] if short else size_bytes.to_bytes(_PREFIX_BYTES, "big")
            run += (prefix, message)
            continue
        if run:
            yield b"".join(run), len(run) // 2
            run = []
        yield message, 0
    if run:
        yield b"".join(run), len(run) // 2
