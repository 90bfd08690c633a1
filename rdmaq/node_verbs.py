"""A node's side of connections over verbs: its devices, and a session for each that connects."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

from rdmaq.bootstrap.messages import (
    AbsenceRefusal,
    AccessRefusal,
    ConnectAsk,
    ConnectGrant,
    PairAttributes,
    Probed,
    Proof,
    Refusal,
    RegionKey,
    RegionOffer,
)
from rdmaq.errors import RdmaqError, RegionAccessError
from rdmaq.sessions.choice import DeviceChoice
from rdmaq.sessions.probe import LOST, Farewell
from rdmaq.sessions.pulse import EVERY_SECONDS, Pulse
from rdmaq.sessions.serving import ServedSession
from rdmaq.sessions.trust import EVERYBODY, Circle, Owners
from rdmaq.verbs.device import Device
from rdmaq.verbs.gids import Gid
from rdmaq.verbs.library import load

if TYPE_CHECKING:
    from rdmaq.region.exported import Exported
    from rdmaq.region.exports import Exports
    from rdmaq.stream.publisher import Publisher

_log = logging.getLogger("rdmaq")

_FAREWELL_SECONDS_MAX = 0.5  # for all peers together, of which some may be gone
_VERDICT_SECONDS = 1.0  # so long an answer holds to whether there are verbs at all


class VerbsDoor:
    """Opens devices when the first caller connects, and keeps every session until it ends.

    Args:
        host: where the node listens: its device is looked for there first.
        choice: what the user says of the device.
        exports: the node's regions and tables.
        find_stream: the node's stream of a name.
        end: ends a session by its name, wherever else it is known; calls `disconnect` in turn.
        beat_every_seconds: how often confirmed peers are asked whether they live.
    """

    def __init__(
        self,
        host: str,
        choice: DeviceChoice,
        exports: Exports,
        find_stream: Callable[[str], Publisher | None],
        end: Callable[[bytes], None],
        *,
        beat_every_seconds: float = EVERY_SECONDS,
    ) -> None:
        self._host, self._choice, self._exports, self._end = host, choice, exports, end
        self._beat_every_seconds = beat_every_seconds
        self._find_stream = find_stream
        self._lock = threading.Lock()
        self._devices: dict[tuple[str, int, Gid], Device] = {}
        self._owners: dict[Device, Owners] = {}
        self._circles: dict[tuple[Device, str], Circle] = {}
        self._sessions: dict[bytes, tuple[Circle, str, ServedSession]] = {}
        self._pulse: Pulse | None = None
        self._is_closed = False
        self._verdict, self._verdict_seconds = "", -_VERDICT_SECONDS
        exports.on_withdraw = self.revoke

    def missing(self) -> str:
        """Why verbs cannot be offered, in words; "" where they can."""
        now = time.monotonic()
        if now - self._verdict_seconds >= _VERDICT_SECONDS:
            try:
                self._choice.find(self._host)  # before pyverbs is loaded: mostly there is no device
                load()
                self._verdict = ""
            except RdmaqError as error:
                self._verdict = str(error)
            self._verdict_seconds = now
        return self._verdict

    # ---- the life of a session (on the server's threads) ----

    def connect(self, name: bytes, ask: ConnectAsk, caller: str) -> ConnectGrant:
        """Makes this side's pair, and keys to the regions asked for.

        Raises:
            Refusal: why not, for the caller.
        """
        publisher = None if ask.link is None else self._published(ask.link.stream)
        wanted = [self._wanted(region) for region in ask.regions]
        try:
            session = self._made(name, ask, caller)
            keys = tuple(_key(exported, session) for exported in wanted)
            link = None
            if publisher is not None and ask.link is not None:
                link = session.open_link(publisher, ask.link)
        except Refusal:
            self.disconnect(name)
            raise
        except RegionAccessError as error:
            self.disconnect(name)
            raise AccessRefusal(str(error)) from error
        except RdmaqError as error:
            self.disconnect(name)
            for exported in wanted:
                if exported.closed:  # between the look for it and the key to it
                    raise _absence(exported.name) from error
            raise Refusal(f"the node cannot connect: {error}") from error
        except BaseException:
            self.disconnect(name)
            raise
        own = session.attributes
        return ConnectGrant(
            pair=own,
            agreed=own.limits.common(ask.pair.limits),
            keys=keys,
            probe=session.probe_target,
            link=link,
        )

    def probe(self, name: bytes, proof: Proof) -> tuple[Probed, Proof]:
        """Sees that the caller's probe arrived, then sends ours.

        Raises:
            Refusal: one of them did not, and why.
        """
        session = self._session(name)
        try:
            probed, own = session.prove(proof)
        except RdmaqError as error:
            raise Refusal(f"the node's {LOST}: {error}") from error
        if not probed.is_good:
            raise Refusal(
                f"the caller's probe is not what arrived on {session.pair.facts}: its proof does "
                "not fit; is something between the two answering for the node?"
            )
        self._watch()
        return probed, own

    def begin(self, name: bytes, position: int, cursor: int) -> bool:
        """Starts a session's link, whose subscriber has read as far as `position`.

        False: that is too far behind.

        Raises:
            Refusal: there is no such link, or it has ended.
        """
        return self._session(name).begin_link(position, cursor)

    def disconnect(self, name: bytes) -> None:
        """Ends a session: its keys no longer work when this returns."""
        with self._lock:
            found = self._sessions.pop(name, None)
        if found is None:
            return
        found[2].close()
        self._leave(*found[:2])

    def revoke(self, exported: Exported) -> None:
        """Takes every key to an export back."""
        with self._lock:
            circles, owners = list(self._circles.values()), list(self._owners.values())
        for circle in circles:
            circle.revoke(exported)
        for own in owners:
            own.revoke(exported)

    def say_farewell(self) -> None:
        """Tells every peer that the node closes; waits for those who answer, a moment at most."""
        with self._lock:
            self._is_closed = True
            sessions = [found[2] for found in self._sessions.values()]
        said = [operation for session in sessions if (operation := session.say(Farewell.CLOSED))]
        deadline = time.monotonic() + _FAREWELL_SECONDS_MAX
        for operation in said:
            try:
                operation.wait(max(0.0, deadline - time.monotonic()))
            except RdmaqError:  # gone, or not in time: its own operations will tell it
                continue

    def close(self) -> None:
        """Ends what is left, and closes the devices; after the server's own end."""
        with self._lock:
            self._is_closed = True
            names, pulse, self._pulse = list(self._sessions), self._pulse, None
        with ExitStack() as rest:  # the last one first, and each whatever becomes of the others
            with self._lock:
                for device in self._devices.values():
                    rest.callback(device.close)
                self._devices.clear()
            for name in names:
                rest.callback(self.disconnect, name)
            if pulse is not None:
                pulse.close()
        with self._lock:
            self._circles.clear()
            self._owners.clear()

    # ---- inside ----

    def _session(self, name: bytes) -> ServedSession:
        with self._lock:
            found = self._sessions.get(name)
        if found is None:
            raise Refusal("the session has ended meanwhile: connect again")
        return found[2]

    def _wanted(self, name: str) -> Exported:
        exported = self._exports.find(name)
        if exported is None:
            raise _absence(name)
        return exported

    def _published(self, name: str) -> Publisher:
        publisher = self._find_stream(name)
        if publisher is None:
            raise AbsenceRefusal(f"no stream {name!r} is published here: list them, then ask again")
        return publisher

    def _made(self, name: bytes, ask: ConnectAsk, caller: str) -> ServedSession:
        circle, key = self._enter(ask.pair, caller)
        try:
            session = ServedSession(circle, ask)
        except BaseException:
            self._leave(circle, key)
            raise
        with self._lock:
            is_late = self._is_closed
            if not is_late:
                self._sessions[name] = (circle, key, session)
        if is_late:
            session.close()
            self._leave(circle, key)
            raise Refusal("the node is closed: it was closing meanwhile; connect to the next one")
        return session

    def _enter(self, caller_pair: PairAttributes, caller: str) -> tuple[Circle, str]:
        """The caller's circle of trust on the device that reaches it; made if need be."""
        self._retire_gone()
        gid = IPv6Address(caller_pair.gid)
        port, own_gid = self._choice.find(self._host, str(gid.ipv4_mapped or gid))
        with self._lock:
            if self._is_closed:
                raise Refusal("the node is closed: it takes no more callers; connect to the next")
            device = self._devices.get((port.device, port.number, own_gid))
            if device is None:
                device = Device(port, own_gid)
                self._devices[port.device, port.number, own_gid] = device
                self._owners[device] = Owners(device)
            key = EVERYBODY if device.limits.has_windows else caller
            circle = self._circles.get((device, key))
            if circle is None:
                circle = self._circles[device, key] = Circle(device, self._owners[device])
            circle.user_count += 1
            return circle, key

    def _leave(self, circle: Circle, key: str) -> None:
        with self._lock:
            circle.user_count -= 1
            is_unused = circle.user_count == 0 and key != EVERYBODY
            if is_unused:
                self._circles.pop((circle.device, key), None)
        if is_unused:  # what its caller alone could reach need not stay pinned
            circle.close()

    def _watch(self) -> None:
        with self._lock:
            if self._pulse is None and not self._is_closed:
                self._pulse = Pulse(
                    self._open_sessions,
                    self._end,
                    self._retire_gone,
                    every_seconds=self._beat_every_seconds,
                )

    def _retire_gone(self) -> None:
        """Closes devices that were removed or failed, with their sessions.

        The next caller finds what is there now. Some drivers do not let a device go before that.
        """
        with self._lock:
            gone = {key: device for key, device in self._devices.items() if device.is_gone}
            owners = [self._owners.pop(device) for device in gone.values()]
            for key in gone:
                del self._devices[key]
            for circle in [c for c in self._circles if c[0] in gone.values()]:
                del self._circles[circle]
            found = self._sessions.items()
            names = [name for name, own in found if own[0].device in gone.values()]
        for device in gone.values():
            _log.warning("%s is gone: what was connected by it is ended", device)
        endings: list[Callable[[], None]] = [partial(self._end, name) for name in names]
        endings += [own.retire for own in owners] + [device.close for device in gone.values()]
        for end in endings:
            try:
                end()
            except RdmaqError as error:  # it cannot even be closed in order
                _log.warning("of a device that is gone: %s", error)

    def _open_sessions(self) -> list[tuple[bytes, ServedSession]]:
        with self._lock:
            return [(name, found[2]) for name, found in self._sessions.items()]


def _absence(name: str) -> AbsenceRefusal:
    return AbsenceRefusal(
        f"no region or table {name!r} is exported here: list them, then ask again"
    )


def _key(exported: Exported, session: ServedSession) -> RegionKey:
    memory = session.open(exported)
    message = exported.info.to_message()
    if message["access"] == "atomic" and not session.has_atomics:
        message["access"] = "write"
    offer = RegionOffer(**{**message, "shape": tuple(message["shape"])})
    return RegionKey(
        region=offer, address=memory.address, length_bytes=memory.length, remote_key=memory.rkey
    )
