"""The links of one publisher, and who may have another."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from rdmaq.bootstrap.messages import AbsenceRefusal, LinkAsk, Refusal
from rdmaq.sessions.opened_ring import Ring
from rdmaq.sessions.served_link import ServedLink
from rdmaq.verbs.link_settings import LinkSettings

if TYPE_CHECKING:
    from rdmaq.stream.link_info import LinkInfo
    from rdmaq.stream.publisher import Publisher
    from rdmaq.verbs.domain import Domain
    from rdmaq.verbs.pair import Pair

_LOOK_SECONDS = 0.001
# A subscriber whose link failed asks for the next one within so long, or it has given up.
_EXPECTED_SECONDS = 5.0
# ... or within as many as the stream's end waits, up to this.
_EXPECTED_SECONDS_MAX = 60.0
# Subscriptions whose newest generation is remembered: those that are gone for long may come again
# with any.
_REMEMBERED_MAX = 4096


_making = threading.Lock()


def links_of(publisher: Publisher) -> Links:
    """A publisher's; made when the first link is asked for."""
    with _making:
        links = publisher.linked
        if not isinstance(links, Links):
            links = publisher.linked = Links()
        return links


class Links:
    """Opens links, ends older ones of the same subscription, and ends all with the stream."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._links: dict[bytes, ServedLink] = {}
        self._newest: OrderedDict[bytes, int] = OrderedDict()
        self._rings: dict[Domain, Ring] = {}
        self._expected: dict[bytes, float] = {}  # whose link failed of late, and when
        self._ending: set[ServedLink] = set()  # by other threads: their memory is in use yet
        self._opening_count = 0  # asked for, and not among the links yet
        self._is_closed = False

    def open(
        self, publisher: Publisher, session_pair: Pair, ask: LinkAsk, tell: Callable[[], bool]
    ) -> ServedLink:
        """Makes the link that a subscriber asks for; `tell` tells him that it has failed.

        What the subscriber READs before, it reads by the session's pair.

        Raises:
            Refusal: the stream is another incarnation, or a newer link was asked for before.
            PairError, RegistrationError: the device refuses; nothing is left.
        """
        subscription = ask.subscription
        with self._lock:
            self._check(publisher, ask, self._newest.get(subscription, 0) + 1)
            self._newest[subscription] = ask.generation
            self._newest.move_to_end(subscription)
            while len(self._newest) > _REMEMBERED_MAX:
                self._newest.popitem(last=False)
            self._expected.pop(subscription, None)
            older = self._links.pop(subscription, None)
            if older is not None:
                self._ending.add(older)
            self._opening_count += 1
        try:
            if older is not None:
                self._close(older)
            with self._lock:  # flushing the older one took seconds, perhaps
                self._check(publisher, ask, self._newest.get(subscription, 0))
                if subscription in self._links:  # of a newer one, whose number was forgotten
                    raise _too_late(publisher, ask)
                ring = self._ring(publisher, session_pair.domain)
                settings = publisher.link_settings or LinkSettings()
                link = ServedLink(publisher, session_pair, ring, ask, settings, tell)
                self._links[subscription] = link
                return link
        finally:
            with self._lock:
                self._opening_count -= 1

    def _check(self, publisher: Publisher, ask: LinkAsk, generation_min: int) -> None:
        """Refuses what cannot be, or not any more; under the lock."""
        if self._is_closed or publisher.closed:
            raise AbsenceRefusal(
                f"stream {publisher.name!r} was closed meanwhile: list the streams again"
            )
        if ask.epoch != publisher.epoch:
            raise AbsenceRefusal(
                f"stream {publisher.name!r} is another incarnation by now: list the streams "
                "again, and begin with a new replica"
            )
        if ask.generation < generation_min:
            raise _too_late(publisher, ask)

    def _ring(self, publisher: Publisher, domain: Domain) -> Ring:
        self._rings = {where: ring for where, ring in self._rings.items() if not ring.closed}
        ring = self._rings.get(domain)
        if ring is None:
            ring = self._rings[domain] = Ring(publisher, domain)
        return ring

    def end(self, link: ServedLink) -> None:
        """Ends one; idempotent."""
        with self._lock:
            subscription = link.ask.subscription
            if self._links.get(subscription) is link:
                del self._links[subscription]
                if link.has_failed:
                    self._expect()[subscription] = time.monotonic()
            self._ending.add(link)
        self._close(link)

    def _close(self, link: ServedLink) -> None:
        """Of `_ending`; not under the lock, since it takes as long as its device does."""
        try:
            link.close()
        finally:
            with self._lock:
                self._ending.discard(link)

    def _expect(self) -> dict[bytes, float]:
        """Without those who had time enough; under the lock."""
        since = time.monotonic() - _EXPECTED_SECONDS_MAX
        self._expected = {who: at for who, at in self._expected.items() if at > since}
        return self._expected

    def facts(self) -> list[LinkInfo]:
        """What there is to know of each."""
        with self._lock:
            links = list(self._links.values())
        return [facts for link in links if (facts := link.facts()) is not None]

    def drain(self, tail_bytes: int, seconds: float, *, also_failed: bool) -> None:
        """Waits until the links have sent all below `tail_bytes`, so long at most.

        Args:
            tail_bytes: of the ring.
            seconds: to wait.
            also_failed: also for those that failed within as many seconds, or of late: their
                subscribers ask for the next.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with self._lock:
                since = time.monotonic() - max(_EXPECTED_SECONDS, seconds)
                links, expected = list(self._links.values()), self._expect().values()
                is_expected = any(at > since for at in expected)
                is_opening = self._opening_count > 0
            if not is_opening and all(link.has_sent(tail_bytes) for link in links):
                is_failed = is_expected or any(link.has_failed for link in links)
                if not (also_failed and is_failed):
                    return
            time.sleep(_LOOK_SECONDS)

    def close(self) -> None:
        """Ends all of them, then deregisters the ring. Idempotent."""
        with self._lock:
            self._is_closed = True
            links, self._links = list(self._links.values()), {}
            ending = list(self._ending)
        with ExitStack() as last:  # one that cannot be ended in order keeps the others from nothing
            last.callback(self._close_rings)
            for link in ending:
                last.callback(link.close)  # waits until the other thread is done
            for link in links:
                last.callback(link.tell)  # who has not got the stream's end shall not wait for it
                last.callback(link.close)

    def _close_rings(self) -> None:
        with self._lock:
            rings, self._rings = list(self._rings.values()), {}
        for ring in rings:
            ring.close()


def _too_late(publisher: Publisher, ask: LinkAsk) -> Refusal:
    return Refusal(
        f"link {ask.generation} to a replica of {publisher.name!r} comes too late: a newer one was "
        "asked for; let the newer one be"
    )
