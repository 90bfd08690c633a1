"""From a link that is held to one that carries: READs fill the replica, then the link begins."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from rdmaq._fast import lib
from rdmaq.errors import (
    AuthenticationError,
    BootstrapError,
    ClosedError,
    PeerNotFound,
    RdmaqError,
)
from rdmaq.sessions.backfill import Backfill, Counts
from rdmaq.sessions.probe import Farewell

if TYPE_CHECKING:
    from rdmaq.bootstrap.messages import RingKeys
    from rdmaq.sessions.calling import Caller, CallingSession
    from rdmaq.sessions.replica import Replica

_PACE_SECONDS = 0.002
_BEGIN_SECONDS = 2.0  # a publisher that is stopped is asked again, as long as its NIC answers
_PAUSE_SECONDS = 0.05
_UNANSWERED_SECONDS = 5.0  # ... and then its reader is told why nothing comes
_REFUSED_SECONDS = 60.0


class Replay:
    """One backfill, and the request that the link begin behind it. One thread runs it.

    Args:
        session: confirmed; its pair READs.
        replica: detached.
        ring: the keys to the publisher's.
        attach: attaches the replica: the link may write it from then on.
        counts: of the subscription.
        tell: is told of changes: kind and words.

    Raises:
        RdmaqError: as `Backfill`.
    """

    def __init__(
        self,
        session: CallingSession,
        replica: Replica,
        ring: RingKeys,
        *,
        attach: Callable[[], None],
        counts: Counts,
        tell: Callable[[str, str], None],
    ) -> None:
        self._session, self._replica = session, replica
        self._attach, self._tell = attach, tell
        self._backfill = Backfill(session, replica, ring, counts)
        self._client: Caller | None = None
        self._is_cancelled = False
        self._begin_position = self._backfill.position

    def run(self) -> None:
        """Returns when the link carries, or the end of the stream was read.

        Raises:
            ClosedError: it was cancelled.
            OperationFailed, PeerNotFound: the node's NIC does not answer any more.
            BootstrapError, SegmentError: the link has ended, or no stream is there.
        """
        backfill, goal = self._backfill, 0
        self._tell("replaying", f"what was published before is read from {backfill.position:,} on")
        while True:
            self._check()
            code = backfill.step()
            goal = self._look(goal)
            if code == lib.RQ_BACKFILL_PACED:
                time.sleep(_PACE_SECONDS)
            has_ended = self._replica.state() == lib.RQ_REPLICA_ENDED
            if has_ended or (code == lib.RQ_BACKFILL_REACHED and self._begin()):
                self.close()
                return

    @property
    def has_progressed(self) -> bool:
        """Something was read."""
        return self._backfill.position != self._begin_position

    def _look(self, goal: int) -> int:
        """Tells when all is here that was published when it began."""
        backfill = self._backfill
        if goal == 0 and backfill.publisher_tail != 0:
            goal = backfill.publisher_tail
        if 0 < goal <= backfill.position:
            self._tell("catching_up", f"as far as {goal:,}; the link is asked for")
            return -1
        return goal

    def _check(self) -> None:
        if self._is_cancelled:
            raise ClosedError("the subscription was closed")
        if self._session.farewell != Farewell.NONE:
            raise BootstrapError("the node ended the link before it began")

    def _begin(self) -> bool:
        """False: the publisher is too far ahead, and the replica detached again."""
        session, replica = self._session, self._replica
        position = self._backfill.position
        begin_seconds, is_told = time.monotonic(), False
        self._attach()
        while True:
            self._check()
            try:
                if self._asked().begin(session.name, position, replica.cursor_bytes):
                    return True
                break
            except ValueError as error:  # gRPC's word for a client that was closed meanwhile
                raise ClosedError("the subscription was closed") from error
            # Whether it began is unknown: the same question once more. A stopped node breaks
            # handshakes off, which sounds like a refusal.
            except (PeerNotFound, AuthenticationError) as error:
                self._drop_client()
                waited_seconds = time.monotonic() - begin_seconds
                is_refused = isinstance(error, AuthenticationError)
                if (is_refused and waited_seconds > _REFUSED_SECONDS) or not session.beat():
                    raise
                if waited_seconds > _UNANSWERED_SECONDS and not is_told:
                    is_told = True
                    self._tell(
                        "catching_up",
                        f"the link has been asked for for {waited_seconds:.0f} s, and only the "
                        f"node's NIC answers: {error}; it goes on when the node does",
                    )
            time.sleep(_PAUSE_SECONDS)
        session.rest()
        replica.detach()
        return False

    def _asked(self) -> Caller:
        if self._client is None:
            self._client = self._session.caller(_BEGIN_SECONDS)
            if self._is_cancelled:
                raise ClosedError("the subscription was closed")
        return self._client

    def _drop_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(RdmaqError):
                client.close()

    def cancel(self) -> None:
        """Has `run` raise soon; from any thread."""
        self._is_cancelled = True
        client = self._client
        if client is not None:
            with suppress(RdmaqError):
                client.close()

    def close(self) -> None:
        """When it has ended well, or its session was closed. Idempotent."""
        self._drop_client()
        self._backfill.close()
