"""The hot methods, written in C (csrc/python): bases of what users hold in their hands."""

from collections import deque
from collections.abc import Iterator
from typing import Any, Self

import numpy.typing as npt

from rdmaq.errors import EndOfStream
from rdmaq.stream.batch import Batch
from rdmaq.stream.cursor import Cursor
from rdmaq.verbs.operation import Operation
from rdmaq.verbs.requests import Requests

class Sender:
    """The hot half of `Publisher`, which has the slow twins of the sends, and `_refuse_entry`."""

    _known_dtype: Any
    _known_type: type | None
    def send(self, message: Any, /) -> int: ...
    def send_batch(self, records: npt.ArrayLike, /) -> int: ...
    def _send_list(self, messages: object, /) -> int: ...
    def _bind(
        self,
        publisher: int,
        taken: int,
        owner: object,
        dtype: object,
        record_bytes: int,
        message_bytes_max: int,
        /,
    ) -> None: ...
    def _enter(self) -> None: ...
    def _leave(self) -> None: ...

class Poster:
    """The hot half of a pair's `PostedPair`, which has the methods that it calls."""

    _taken: int
    _posted: int
    reported: int
    _special_seen: int
    _found: int
    awaited_count: int
    _dropped: int
    _has_failed: int
    _is_closed: int
    def run(self, requests: Requests, /, timeout: float | None = None) -> None: ...
    def look(self, wait_ns: int, /) -> int: ...
    def _accept(self, operation: Operation, requests: bytes | Requests, count: int, /) -> int: ...
    def _accept_bind(self, operation: Operation, qp: object, request: object, /) -> int: ...
    def _post_waiting(self) -> None: ...
    def _settle(self, found: int, /) -> None: ...
    def _bind(
        self,
        addresses: tuple[int, int, int, int],
        owner: object,
        requests_type: type[Requests],
        operation_type: type[Operation],
        in_flight: deque[Operation],
        backlog: deque[tuple[bytes, int]],
        /,
    ) -> None: ...
    def _take_turns(self) -> bool: ...
    def _forget_turns(self) -> None: ...
    def _is_inside(self) -> bool: ...

class Receiver:
    """The hot half of `Subscription`, which has `_answer`, `_check_into` and `_refuse_entry`."""

    _has_ended: bool
    @property
    def _is_inside(self) -> int: ...
    @property
    def _kept(self) -> Batch | None: ...
    @property
    def _undelivered(self) -> int: ...
    @property
    def _undelivered_sequence(self) -> int: ...
    def _take_undelivered(self) -> Batch | None: ...
    def _keep_gap(self, found: bytes, /) -> None: ...
    def poll(
        self, timeout: float | None = None, *, max_messages: int = 1024, into: Any = None
    ) -> Batch | None: ...
    def _bind(
        self,
        cursor: object,
        reader: int,
        record_bytes: int,
        wait_mode: int,
        batch_type: type[BatchCore],
        /,
    ) -> None: ...
    def _enter(self) -> None: ...
    def _leave(self) -> None: ...

class BatchCore:
    """What a batch is made of; `Batch` computes the rest of it when it is asked for."""

    def __new__(
        cls,
        cursor: Cursor,
        payload: Any,
        found: bytes,
        is_untyped: bool,
        offsets: Any = None,
        /,
    ) -> Self: ...
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...
    @property
    def sequence(self) -> int: ...
    @property
    def messages(self) -> list[bytes]: ...
    @property
    def _cursor(self) -> Cursor: ...
    @property
    def _payload(self) -> Any: ...
    @property
    def _offsets(self) -> Any: ...
    @property
    def _notes(self) -> bytes | None: ...
    @property
    def _received_ticks(self) -> int: ...
    @property
    def _publish_ticks(self) -> int: ...

class BatchIterator(Iterator[Batch]):
    """The hot half of `Batches`."""

    def __init__(
        self,
        receiver: Receiver,
        timeout: float | None,
        max_messages: int,
        end: type[EndOfStream],
        /,
    ) -> None: ...
    def __next__(self) -> Batch: ...
