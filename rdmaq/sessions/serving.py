"""The node's half of one session: a queue pair, probe memory, and the keys given to its peer."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from rdmaq.bootstrap.messages import (
    ConnectAsk,
    LinkAsk,
    LinkGrant,
    PairAttributes,
    Probed,
    ProbeTarget,
    Proof,
    Refusal,
)
from rdmaq.errors import ConcurrentUse, OperationPending, RdmaqError
from rdmaq.sessions import attributes, probe
from rdmaq.sessions.links import Links, links_of
from rdmaq.sessions.probe import Farewell, ProbeMemory
from rdmaq.sessions.trust import remote_access
from rdmaq.verbs.constants import Access
from rdmaq.verbs.settings import PairSettings

if TYPE_CHECKING:
    from rdmaq.region.exported import Exported
    from rdmaq.sessions.served_link import ServedLink
    from rdmaq.sessions.trust import Circle
    from rdmaq.stream.publisher import Publisher
    from rdmaq.verbs.memory import RemoteMemory
    from rdmaq.verbs.operation import Operation
    from rdmaq.verbs.window import Window

#: A node's own operations are probes, beats and farewells; it is the peer that works.
SETTINGS = PairSettings(send_depth=8, receive_depth=0, wait="sleep")
_REMOTE = Access.REMOTE_READ | Access.REMOTE_WRITE | Access.REMOTE_ATOMIC


class ServedSession:
    """One caller's connection; made by Connect, proved by Confirm, ended by whoever comes first.

    Attributes:
        pair: of this side.
        is_confirmed: both probes arrived.
    """

    def __init__(self, circle: Circle, ask: ConnectAsk) -> None:
        self._circle = circle
        self._windows: list[tuple[Exported, Window | None]] = []
        self._lock = threading.Lock()  # one thread at a time has operations in flight
        self._beat: Operation | None = None
        self._beat_seconds = 0.0
        self._link: tuple[Links, ServedLink] | None = None
        self._is_ended = False
        self.is_confirmed = False
        self._target = probe.remote(ask.probe)
        self.pair = circle.domain.pair(SETTINGS, remote=_REMOTE)
        try:
            self.pair.connect(attributes.to_address(ask.pair))
            self._probe = ProbeMemory(
                circle.domain, Access.WINDOWS if circle.has_windows else probe.OPEN
            )
            self._probe_target = self._probe.target
            if circle.has_windows:
                opened = self.pair.window(self._probe.memory, probe.OPEN).remote
                self._probe_target = ProbeTarget(address=opened.address, remote_key=opened.rkey)
            with circle.lock:
                circle.sessions.add(self)
        except BaseException:
            self._let_go()
            raise

    @property
    def attributes(self) -> PairAttributes:
        """What the caller must know of the pair."""
        return attributes.to_message(self.pair)

    @property
    def probe_target(self) -> ProbeTarget:
        """Where the caller's probe goes."""
        return self._probe_target

    @property
    def has_atomics(self) -> bool:
        """Whether the device carries out fetch-and-add and compare-and-swap."""
        return self._circle.device.limits.has_atomics

    def open(self, exported: Exported) -> RemoteMemory:
        """Gives the peer a key to an export, for as long as the session lives or it is revoked.

        Raises:
            ClosedError: it was revoked.
            RegistrationError: it cannot be registered.
            RegionAccessError: it is counted in by CPUs of this host.
        """
        circle = self._circle
        with circle.lock:
            memory = circle.registered(exported)
            access = remote_access(exported, has_atomics=self.has_atomics)
            if access & Access.REMOTE_ATOMIC:
                circle.owners.let_nic_count(exported)
            if not circle.has_windows:
                self._windows.append((exported, None))
                return memory.remote
            window = self.pair.window(memory, access)
            self._windows.append((exported, window))
            return window.remote

    def open_link(self, publisher: Publisher, ask: LinkAsk) -> LinkGrant:
        """Makes the link that the caller's subscription asks for; nothing goes before `prove`.

        Raises:
            Refusal: why not.
            PairError, RegistrationError: the device refuses.
        """
        links = links_of(publisher)

        def tell() -> bool:
            ours = self._link
            link = None if ours is None else ours[1]
            was_cut_off = link is not None and link.was_cut_off
            why = Farewell.CUT_OFF if was_cut_off else Farewell.LINK_ENDED
            return self.say(why, 0 if link is None else link.failure) is not None

        link = links.open(publisher, self.pair, ask, tell)
        with self._circle.lock:
            self._link = None if self._is_ended else (links, link)
        if self._link is None:  # it took so long that the session expired meanwhile
            links.end(link)
            raise Refusal("the session has ended meanwhile: connect again")
        return link.grant

    def begin_link(self, position: int, cursor: int) -> bool:
        """Starts the link, which is held, where its replica's tail stands.

        False: that is too far behind.

        Raises:
            Refusal: there is none, it has ended, or its subscriber has not proved that it is there.
        """
        ours = self._link  # the session may end meanwhile
        if ours is None or not self.is_confirmed:
            raise Refusal("the session has no link that could begin: subscribe again")
        return ours[1].begin(position, cursor)

    def revoke(self, exported: Exported) -> None:
        """Takes the keys to one export back; must be called under the circle's lock.

        A session that has none left is told so.
        """
        kept = []
        for own, window in self._windows:
            if own is not exported:
                kept.append((own, window))
            elif window is not None:
                self._take_back(window)
        had_it = len(kept) < len(self._windows)
        self._windows = kept
        if had_it and not kept:
            self.say(Farewell.REVOKED)

    def _take_back(self, window: Window) -> None:
        try:
            window.close()
        except RdmaqError:  # a device that keeps a key loses the pair which alone can use it
            self.pair.close()

    def prove(self, proof: Proof) -> tuple[Probed, Proof]:
        """Compares the caller's proof with what arrived here, then probes the other way.

        Raises:
            RdmaqError: our probe did not get through; the text says why.
        """
        with self._lock:
            probed = self._probe.bears_out(proof)
            if not probed.is_good:
                return probed, Proof()
            own = self._probe.exchange(self.pair, self._target)
            self.is_confirmed = True
            ours = self._link
            if ours is not None:
                ours[1].start()
            return probed, own

    def beat(self, now: float, every_seconds: float) -> bool:
        """Sees whether the peer's NIC still answers; never waits. False: it does not.

        Args:
            now: `time.monotonic()`.
            every_seconds: begin a READ when the last one ended so long ago.
        """
        if not self.is_confirmed or not self._lock.acquire(blocking=False):
            return True
        try:
            if self._beat is None:
                if self._beat_seconds and now - self._beat_seconds < every_seconds:
                    return True
                self._beat_seconds = now
                self._beat = self._probe.beat(self.pair, self._target)
            self._beat.wait(0.0)
            self._beat, self._beat_seconds = None, now
        except (OperationPending, ConcurrentUse):
            return True
        except RdmaqError:
            return False
        finally:
            self._lock.release()
        return True

    def say(self, why: Farewell, cause: int = 0) -> Operation | None:
        """Begins to tell the peer that the session ends; None where that cannot be.

        Args:
            why: in general.
            cause: of a link's end, packed.
        """
        if not self.is_confirmed or not self._lock.acquire(timeout=0.1):
            return None
        try:
            return self._probe.say(self.pair, self._target, why, cause)
        except RdmaqError:  # the pair is broken: there is nobody to tell
            return None
        finally:
            self._lock.release()

    def close(self) -> None:
        """Ends it: when this returns, none of its keys opens anything any more."""
        with self._circle.lock:
            self._is_ended = True
        try:
            if self._link is not None:
                links, link = self._link
                links.end(link)
        finally:
            with self._circle.lock:
                self._link = None  # else the ring stays for as long as the node's own circle does
                self._circle.sessions.discard(self)
                for _, window in self._windows:
                    if window is not None:
                        with suppress(RdmaqError):  # the pair goes, which alone can use it
                            window.close()
                self._windows = []
            self._let_go()

    def _let_go(self) -> None:
        self.pair.close()  # its windows before it
        made = getattr(self, "_probe", None)
        if made is not None:
            made.memory.close()
