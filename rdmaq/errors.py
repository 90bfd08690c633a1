"""What can go wrong, one class per decision that the caller can take.

Every message has the form "what happened: cause; cure". All classes derive from `RdmaqError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdmaq.stream.batch import Gap


class RdmaqError(Exception):
    """The root: catch it to catch everything that rdmaq raises by itself."""


# ---- your call is wrong: mend it ----


class AddressError(RdmaqError, ValueError):
    """An address that cannot be read; the text shows what one looks like."""


class UnsupportedTransport(RdmaqError):
    """A well-formed address whose transport this version does not have."""


class CapacityError(RdmaqError, ValueError):
    """A capacity or guard that no ring can have, or that there is no memory for."""


class SchemaError(RdmaqError, TypeError):
    """A dtype that cannot be shared, or a message that is not of the stream's dtype."""


class SchemaMismatch(SchemaError):
    """The subscriber expects one dtype and the stream carries another; nothing was subscribed.

    Attributes:
        expected: the dtype that the subscriber named, as text.
        actual: the dtype of the stream, as text.
    """

    def __init__(self, text: str, *, expected: str = "", actual: str = "") -> None:
        super().__init__(text)
        self.expected = expected
        self.actual = actual


class RegionError(RdmaqError, ValueError):
    """An array, a table or an access that cannot be exported; nothing was."""


class RegionBoundsError(RdmaqError, IndexError):
    """An index, row, field or offset outside of the region, or not aligned; nothing was done."""


class RegionAccessError(RdmaqError):
    """An operation that the region was not exported for; nothing was done."""


class CredentialsError(RdmaqError, ValueError):
    """Certificates, keys or a token that cannot be used, or none where there must be some."""


class MessageTooLarge(RdmaqError, ValueError):
    """A message (or claim) longer than the stream's largest; nothing was published."""


class SequenceError(RdmaqError, ValueError):
    """A sequence that does not follow the last one; nothing was published."""


class ConcurrentUse(RdmaqError):
    """A second thread entered a handle, or a claim or view was still open; nothing happened."""


class ClosedError(RdmaqError):
    """The handle was closed, or belongs to the process from which this one was forked."""


# ---- the other side is not there, or not as expected: retry or reconnect ----


class AddressInUse(RdmaqError):
    """Another living node has this address."""


class StreamExists(RdmaqError):
    """The node offers a stream of this name already."""


class RegionExists(RdmaqError):
    """The node exports a region or table of this name already."""


class PeerNotFound(RdmaqError):
    """No node listens at the address (yet)."""


class StreamNotFound(RdmaqError):
    """The node offers no stream of this name (yet).

    Attributes:
        available: the names that it does offer.
    """

    def __init__(self, text: str, *, available: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.available = tuple(available)


class RegionNotFound(RdmaqError):
    """The node exports no region or table of this name (yet).

    Attributes:
        available: the names that it does export.
    """

    def __init__(self, text: str, *, available: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.available = tuple(available)


class RegionRevoked(RdmaqError):
    """The owner takes no more operations on the region; this one was not done.

    Over RDMA what stood before it in the same batch may have been.
    """


class PeerGone(RdmaqError):
    """The process at the other side is gone, or the way to it.

    Over shared memory the operation was not done; over RDMA it may have been.
    """


class RowBusy(RdmaqError, TimeoutError):
    """A row of a table was in motion at every try; nothing of it is given out."""


class AuthenticationError(RdmaqError):
    """One side does not accept the other's certificate or token; nothing was told or granted."""


class VersionMismatch(RdmaqError):
    """The other side speaks another major version of the bootstrap."""


class BootstrapError(RdmaqError):
    """The other side refused a step of the bootstrap, or spoke nonsense; nothing was connected."""


class AccessDenied(RdmaqError):
    """One side runs as a user that the other does not accept, or a file is another user's."""


class HandoverError(RdmaqError):
    """The other side did not answer, or did not speak the hand-over protocol."""


class SegmentError(RdmaqError):
    """A segment that failed its checks: seals, size, descriptor or frames; it is not used."""


class TooManyReaders(RdmaqError):
    """The stream has as many subscribers as it can have: 128."""


class NotEnoughReaders(RdmaqError, TimeoutError):
    """A reliable stream had too few subscribers for longer than its timeout.

    Attributes:
        sent: how many messages of the call were published before; the rest were not.
    """

    def __init__(self, text: str, *, sent: int = 0) -> None:
        super().__init__(text)
        self.sent = sent


# ---- what a subscription may end in, or meet ----


class EndOfStream(RdmaqError):
    """The publisher closed the stream and everything was delivered."""


class PublisherGone(RdmaqError):
    """The publisher vanished without an end; everything it had published was delivered."""


class CutOff(RdmaqError):
    """A reliable publisher stopped waiting for this subscriber.

    What stood in the ring and was not delivered yet is not delivered to this subscription any more.

    Attributes:
        sequence: the next sequence that was not delivered: resubscribe with `start=sequence`.
    """

    def __init__(self, text: str, *, sequence: int = 0) -> None:
        super().__init__(text)
        self.sequence = sequence


class GapError(RdmaqError):
    """Messages are missing and the subscription was made with `on_gap="raise"`.

    The subscription stays usable and goes on behind the gap.

    Attributes:
        gap: which sequences, and why.
    """

    def __init__(self, text: str, gap: Gap) -> None:
        super().__init__(text)
        self.gap = gap


class ViewOverrun(RdmaqError):
    """The publisher wrote over borrowed bytes before they were given back.

    What was computed from the view must be thrown away. The messages are declared as a gap by
    the next poll.
    """


# ---- RDMA verbs ----


class VerbsUnavailable(RdmaqError):
    """RDMA was asked for where its software is not installed; the text says what to install."""


class DeviceNotFound(RdmaqError):
    """No RDMA device, port or GID here is what was asked for; the text lists what there is."""


class RegistrationError(RdmaqError):
    """Memory could not be registered with the NIC; nothing was pinned."""


class PairError(RdmaqError):
    """A queue pair cannot be made, connected or used as asked; the text says in which state it is.

    Close the pair and make a new one: a queue pair that failed to connect is never used again.
    """


class OperationFailed(RdmaqError):
    """A one-sided operation ended in an error completion: its effect is *unknown*, not *none*.

    The queue pair is in the error state, and every later operation of it fails, too: close it and
    connect a new one. The text names queue pair, GIDs, MTU and timers, the likely cause and a cure.

    Attributes:
        status: why, as the device says it (`rdmaq.verbs.Status`).
        vendor_error: the device's own number for it; its maker's manual tells more.
        opcode: "WRITE", "READ" and so on.
        token: which operation: what posting it returned.
    """

    def __init__(
        self,
        text: str,
        *,
        status: int = 0,
        vendor_error: int = 0,
        opcode: str = "",
        token: int = 0,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.vendor_error = vendor_error
        self.opcode = opcode
        self.token = token


class OperationPending(RdmaqError, TimeoutError):
    """A wait ended before the operation did: it is still in flight, and its memory still lent."""
