"""Writing in place: `with publisher.claim(n) as area`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rdmaq import arguments, errors
from rdmaq._fast import ffi, lib
from rdmaq.stream import refusals

if TYPE_CHECKING:
    from rdmaq.stream.publisher import Publisher

_NOWHERE = (1 << 64) - 1  # no offset into a ring


class Claim:
    """Context manager made by `Publisher.claim`; see there."""

    __slots__ = ("_payload_bytes", "_publisher")

    def __init__(self, publisher: Publisher, size: int) -> None:
        dtype = publisher.schema
        least = 0 if dtype is None else 1
        cure = f"claim at least {'0 bytes' if dtype is None else '1 record'}"
        try:
            size = arguments.whole("size", size, least, 1 << 62, cure)
        except ValueError as error:
            raise errors.MessageTooLarge(str(error)) from error
        self._publisher = publisher
        self._payload_bytes = size * (1 if dtype is None else dtype.itemsize)
        if self._payload_bytes > publisher.message_bytes_max:
            raise refusals.too_large(publisher, self._payload_bytes)

    def __enter__(self) -> Any:
        publisher, payload_bytes = self._publisher, self._payload_bytes
        offset = ffi.new("uint64_t *", _NOWHERE)
        try:
            code = publisher._insist(
                lambda: lib.rq_claim(publisher.handle, payload_bytes, offset), payload_bytes
            )
            publisher._result(code, payload_bytes)
            area = publisher.segment.data[offset[0] : offset[0] + payload_bytes]
            return memoryview(area) if publisher.schema is None else area.view(publisher.schema)
        except BaseException:  # Ctrl-C after it was lent: the block that would end it never begins
            if offset[0] != _NOWHERE:
                lib.rq_abort(publisher.handle)
            raise

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        publisher = self._publisher
        if kind is not None:
            lib.rq_abort(publisher.handle)
            return
        publisher._result(lib.rq_commit(publisher.handle), self._payload_bytes)
