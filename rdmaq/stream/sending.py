"""What a publisher does besides sending at once: gates that are shut, odd messages, refusals."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, NoReturn

import numpy.typing as npt

from rdmaq import errors
from rdmaq._fast import Sender, ffi, lib
from rdmaq.stream import encode, refusals
from rdmaq.stream.publisher_facts import PublisherFacts


class Sending(Sender, PublisherFacts):
    """The slow half of `Publisher`, which fills in the attributes.

    `send` and `send_batch` are written in C (csrc/python/sender.c); what they leave over (a gate
    that is shut, a message that is no bytes, an array that is not contiguous, an error) comes here.
    """

    __slots__ = ()
    _taken: Any

    def _refuse_entry(self) -> NoReturn:
        raise refusals.refusal(self, -errno.EBUSY, 0)

    def _send_slowly(self, message: Any) -> int:
        """All that `send` does, from the beginning: nothing was published."""
        if type(message) is not bytes or self._dtype is not None:
            message = encode.payload(message, self._dtype, self.name)
        sequence = self._insist(
            lambda: lib.rq_send(self.handle, message, len(message)), len(message)
        )
        return self._result(sequence, len(message))

    def _send_batch_slowly(self, records: npt.ArrayLike, sequence: int | None) -> int:
        """The rest of `send_batch`; `sequence`: what C answered (None: it did not try)."""
        array = encode.records(records, self._dtype, self.name)
        pointer, count = ffi.from_buffer("uint8_t *", array), len(array)
        if sequence is None:
            if array is records:
                # The next one of this kind is C's.
                self._known_dtype, self._known_type = array.dtype, type(array)
            sequence = lib.rq_send_records(self.handle, pointer, count, self._taken)
        if sequence == 0 and count == 0:
            return self.next_sequence
        return self._finish(
            sequence,
            array.dtype.itemsize,
            lambda sent, sent_bytes: lib.rq_send_records(
                self.handle, pointer + sent_bytes, count - sent, self._taken
            ),
        )

    def _finish(
        self,
        sequence: int,
        payload_bytes: int,
        send_rest: Callable[[int, int], int],
        first_sequence: int = 0,
    ) -> int:
        """Sends what is left, as often as the gate opens; returns the first sequence of all."""
        sent, sent_bytes, first = 0, 0, 0
        try:
            while sequence == 0:
                if self._taken.messages:
                    first = first or int(self._taken.sequence)
                    sent += int(self._taken.messages)
                    sent_bytes += int(self._taken.bytes)
                self._wait(self._taken.shut_out_bytes)
                sequence = send_rest(sent, sent_bytes)
        except errors.NotEnoughReaders as error:
            error.sent = sent
            raise
        finally:
            lib.rq_publisher_give_up(self.handle)
        last_sent = self._result(sequence, payload_bytes, first_sequence)  # raises, also midway
        return first or last_sent

    def _insist(self, attempt: Callable[[], int], payload_bytes: int) -> int:
        """Attempts until the gate lets it pass. Meanwhile the publisher is this thread's."""
        sequence = attempt()
        if sequence != 0:
            return sequence
        try:
            while sequence == 0:
                self._wait(payload_bytes)
                sequence = attempt()
        finally:
            lib.rq_publisher_give_up(self.handle)
        return sequence

    def _wait(self, payload_bytes: int) -> None:
        """Until the gate lets a frame of so many bytes pass. Slices, so that Ctrl-C works."""
        while True:
            code = lib.rq_publisher_wait(self.handle, payload_bytes, lib.RQ_WAIT_SLICE_NS_MAX)
            if code == 1:
                return
            if code not in (0, -errno.EINTR):
                raise refusals.refusal(self, code, payload_bytes)

    def _result(self, code: int, payload_bytes: int, first_sequence: int = 0) -> int:
        """Returns the sequence that C returned, or raises what its error means."""
        if code > 0:
            return int(code)
        raise refusals.refusal(self, code, payload_bytes, first_sequence)
