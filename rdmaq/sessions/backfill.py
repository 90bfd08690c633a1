"""READs out of a publisher's ring into a replica of it: the publisher's CPU has no part in it."""

from __future__ import annotations

import errno
import mmap
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rdmaq._fast import error_text, ffi, lib
from rdmaq.errors import (
    BootstrapError,
    ClosedError,
    OperationFailed,
    RdmaqError,
    SegmentError,
)
from rdmaq.verbs.failure import status_name

if TYPE_CHECKING:
    from rdmaq.bootstrap.messages import RingKeys
    from rdmaq.sessions.calling import CallingSession
    from rdmaq.sessions.replica import Replica

_WAIT_NS = 20_000_000


@dataclass(slots=True)
class Counts:
    """What was read so far, by all backfills of one subscription, and the links it had.

    Attributes:
        links: that began.
        replays: backfills.
        reads: READs posted.
        read_bytes: asked for by them.
        backfilled: messages that came by them.
    """

    links: int = 0
    replays: int = 0
    reads: int = 0
    read_bytes: int = 0
    backfilled: int = 0


class Backfill:
    """One backfill by one session, which nothing else uses meanwhile.

    It waits for readers here who would be lapped.

    Args:
        session: its pair READs.
        replica: detached; filled from its tail on.
        ring: the keys to the publisher's.
        counts: added to.

    Attributes:
        position: as far as the replica is filled.
        publisher_tail: as of the last READ.

    Raises:
        SegmentError: the ring cannot be read.
        PairError, RegistrationError: the device refuses.
    """

    def __init__(
        self,
        session: CallingSession,
        replica: Replica,
        ring: RingKeys,
        counts: Counts,
    ) -> None:
        self._session, self._counts = session, counts
        self._report = ffi.new("struct rq_backfill_report *")
        self._reads = self._read_bytes = 0
        self.position, self.publisher_tail = replica.tail_bytes, 0
        self._words = session.domain.register(mmap.mmap(-1, mmap.PAGESIZE))
        try:
            self._pair = session.pair.lend()  # the struct lives as long as we do
            self._handle = replica.backfill(self._pair, ring, self._words)
        except BaseException:
            self._words.close()
            raise
        counts.replays += 1

    def step(self) -> int:
        """Goes on for a moment. RQ_BACKFILL_*: what came of it; readers have it already.

        Raises:
            OperationFailed: a READ failed; the session is lost.
            SegmentError: what was read is no stream.
        BootstrapError: another link must be asked for, to learn where the stream began.
            ClosedError: the session was closed.
        """
        report = self._report
        code = int(lib.rq_backfill_run(self._handle, 0, lib.RQ_WAIT_SLEEP, _WAIT_NS, report))
        self._count()
        if code >= 0:
            return code
        raise self._error(code)

    def _count(self) -> None:
        report, counts = self._report, self._counts
        counts.reads += report.reads - self._reads
        counts.read_bytes += report.read_bytes - self._read_bytes
        counts.backfilled += report.messages
        self._reads, self._read_bytes = report.reads, report.read_bytes
        self.position, self.publisher_tail = report.end_position, report.publisher_tail

    def _error(self, code: int) -> RdmaqError:
        facts, report = self._session.pair.facts, self._report
        if code == -errno.EIO:
            status = status_name(report.status)
            return OperationFailed(
                f"a READ of the publisher's ring on {facts} failed with {status}: the stream was "
                "closed, its node ended, or the way there is down; it is asked for again",
                status=report.status,
                vendor_error=report.vendor_error,
                opcode="READ",
            )
        if code == -errno.ESHUTDOWN:
            return ClosedError("the backfill was closed: its subscription ends")
        if code == -errno.ENODATA:  # the next link's grant says it
            return BootstrapError(
                "the stream began while its link was asked for, and what it began with is written "
                "over: the link is asked for again, so that the loss can be told"
            )
        return SegmentError(
            f"what was read of the publisher's ring on {facts} cannot be a stream "
            f"({error_text(code)}): nothing of it was delivered; is the peer really an rdmaq node, "
            "of this release?"
        )

    def close(self) -> None:
        """When nothing is in flight: it has reached the tail, or the session was closed before."""
        if self._handle is None:
            return
        lib.rq_backfill_free(self._handle)
        self._handle = None
        with suppress(RdmaqError):
            self._words.close()
