"""Who is connected, who is half connected and until when, and which challenges are used up.

A challenge needs no memory until it is used: it bears its own expiry and the caller it is for,
under a key that only this process has. So any number of callers may ask for one, and a Connect
that is sent again is recognised.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rdmaq.bootstrap.wire import CHALLENGE_BYTES, SESSION_BYTES
from rdmaq.errors import BootstrapError

_log = logging.getLogger("rdmaq")

_NONCE_BYTES, _EXPIRY_BYTES, _MAC_BYTES = 24, 8, 32
assert _NONCE_BYTES + _EXPIRY_BYTES + _MAC_BYTES == CHALLENGE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """How much a node gives to callers that have not confirmed, and to all.

    Attributes:
        challenge_seconds: how long a challenge is good.
        connect_seconds: how long making a session's queue pair and keys may take.
        confirm_seconds: how long a session may wait for its Confirm then.
        half_open_per_caller_max: unconfirmed sessions of one caller (certificate, else address).
        half_open_max: unconfirmed sessions in all.
        sessions_max: sessions in all.
    """

    challenge_seconds: float = 30.0
    connect_seconds: float = 60.0
    confirm_seconds: float = 10.0
    half_open_per_caller_max: int = 16
    half_open_max: int = 1024
    sessions_max: int = 4096


@dataclass(slots=True)
class _Session:
    caller: str
    deadline: float | None  # until confirmed


class Sessions:
    """The sessions of one server; any thread may call.

    Args:
        limits: see there.
        on_end: called once for each session that ends, whatever the reason, without the lock.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        limits: SessionLimits,
        on_end: Callable[[bytes], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._on_end = on_end
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._sessions: dict[bytes, _Session] = {}
        self._used: dict[bytes, float] = {}  # challenges, until they expire

    def challenge(self, caller: str) -> bytes:
        """A new one for this caller."""
        expiry = int((self._clock() + self._limits.challenge_seconds) * 1000)
        head = secrets.token_bytes(_NONCE_BYTES) + expiry.to_bytes(_EXPIRY_BYTES, "big")
        return head + self._mac(head, caller)

    def _mac(self, head: bytes, caller: str) -> bytes:
        return hmac.digest(self._key, head + caller.encode(), hashlib.sha256)

    def open(self, challenge: bytes, caller: str) -> bytes:
        """Uses a challenge up and begins a half-open session; returns its name.

        Raises:
            BootstrapError: the challenge is not of this node for this caller, expired or used; or
                there are too many sessions.
        """
        self.expire()
        head, mac = challenge[:-_MAC_BYTES], challenge[-_MAC_BYTES:]
        if len(challenge) != CHALLENGE_BYTES or not hmac.compare_digest(
            mac, self._mac(head, caller)
        ):
            raise BootstrapError(
                "the challenge is not one that this node gave to this caller: describe again, then "
                "connect"
            )
        now = self._clock()
        expiry = int.from_bytes(head[_NONCE_BYTES:], "big") / 1000
        if expiry <= now:
            raise BootstrapError("the challenge has expired: describe again, then connect")
        with self._lock:
            if challenge in self._used:
                raise BootstrapError(
                    "the challenge was used before: this is a replay; describe again, then connect"
                )
            self._check_room(caller)
            self._used[challenge] = expiry
            session = secrets.token_bytes(SESSION_BYTES)
            self._sessions[session] = _Session(caller, now + self._limits.connect_seconds)
        return session

    def _check_room(self, caller: str) -> None:
        half_open = [s for s in self._sessions.values() if s.deadline is not None]
        own = sum(s.caller == caller for s in half_open)
        limits = self._limits
        if own >= limits.half_open_per_caller_max:
            raise BootstrapError(
                f"this caller has {own} connections that it did not confirm: that is the limit; "
                f"confirm them, or wait {limits.confirm_seconds:g} s until they expire"
            )
        if len(half_open) >= limits.half_open_max or len(self._sessions) >= limits.sessions_max:
            raise BootstrapError(
                f"the node has {len(self._sessions)} connections, {len(half_open)} of them not "
                "confirmed: that is its limit; try again later"
            )

    def granted(self, session: bytes) -> None:
        """The session has its queue pair and keys, and must be confirmed in time from now on.

        Raises:
            BootstrapError: it expired meanwhile.
        """
        with self._lock:
            found = self._sessions.get(session)
            if found is None:
                raise BootstrapError(
                    "the connection took too long to make: it expired meanwhile; connect again, "
                    "and export less memory if that was what took long"
                )
            found.deadline = self._clock() + self._limits.confirm_seconds

    def check(self, session: bytes, caller: str, *, half_open: bool) -> None:
        """Raises BootstrapError unless the session is the caller's, and in that state."""
        self.expire()
        with self._lock:
            found = self._sessions.get(session)
            if found is None or found.caller != caller:
                raise BootstrapError(
                    "there is no such session of this caller: it ended, expired, or never was; "
                    "connect again"
                )
            if half_open and found.deadline is None:
                raise BootstrapError("the session is confirmed already: confirm each one once")

    def confirm(self, session: bytes) -> None:
        """The session lives until it is disconnected."""
        with self._lock:
            found = self._sessions.get(session)
            if found is None:
                raise BootstrapError("the session expired during its probe: connect again")
            found.deadline = None

    def end(self, session: bytes) -> None:
        """Ends a session; idempotent."""
        with self._lock:
            found = self._sessions.pop(session, None)
        if found is not None:
            self._on_end(session)

    def end_all(self) -> None:
        """Ends every session; never raises."""
        with self._lock:
            sessions = list(self._sessions)
        self._end_each(sessions)

    def _end_each(self, sessions: Sequence[bytes]) -> None:
        for session in sessions:
            try:
                self.end(session)
            except Exception:  # whoever called is not to pay for another's session
                _log.exception("a session could not be ended in order")

    def expire(self) -> None:
        """Ends what was not confirmed in time, forgets challenges that expired; never raises."""
        now = self._clock()
        with self._lock:
            late = [
                name
                for name, session in self._sessions.items()
                if session.deadline is not None and session.deadline <= now
            ]
            for challenge in [c for c, expiry in self._used.items() if expiry <= now]:
                del self._used[challenge]
        self._end_each(late)

    def counts(self) -> tuple[int, int, int]:
        """Sessions, those of them that are half open, and challenges remembered."""
        with self._lock:
            half_open = sum(s.deadline is not None for s in self._sessions.values())
            return len(self._sessions), half_open, len(self._used)
