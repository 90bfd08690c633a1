"""The caller's half of one session: dialled, proved, used by one handle, and ended."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from rdmaq._handle import Handle
from rdmaq.bootstrap.messages import (
    ConnectAsk,
    ConnectGrant,
    Description,
    LinkAsk,
    LinkGrant,
    Probed,
    Proof,
    RegionKey,
)
from rdmaq.errors import (
    BootstrapError,
    ConcurrentUse,
    OperationFailed,
    OperationPending,
    RdmaqError,
    RegionRevoked,
)
from rdmaq.region.lost import lost
from rdmaq.sessions import attributes, probe
from rdmaq.sessions.outlet import Outlet
from rdmaq.sessions.probe import Farewell, ProbeMemory
from rdmaq.verbs.constants import Status
from rdmaq.verbs.memory import RemoteMemory
from rdmaq.verbs.settings import PairSettings

if TYPE_CHECKING:
    from rdmaq.verbs.operation import Operation
    from rdmaq.verbs.pair import Pair

SETTINGS = PairSettings(receive_depth=0)
_TELL_SECONDS_MAX = 2.0
_GOOD = Probed(write_arrived=True, read_arrived=True)


class PathTooNarrow(BootstrapError):
    """Small packets pass between two ports, and those of the agreed MTU do not.

    Attributes:
        mtu_bytes: that was agreed on.
    """

    def __init__(self, text: str, *, mtu_bytes: int) -> None:
        super().__init__(text)
        self.mtu_bytes = mtu_bytes


class Caller(Protocol):
    """The bootstrap as a session needs it; `bootstrap.client.Client` is one."""

    def describe(self, *, timeout: float = 0.0) -> tuple[Description, bytes]:
        """What the node offers, and a challenge."""

    def connect(self, ask: ConnectAsk, challenge: bytes) -> tuple[ConnectGrant, bytes]:
        """The node's half, and the session's name."""

    def confirm(self, session: bytes, probed: Probed, proof: Proof) -> tuple[Probed, Proof]:
        """The node's probe."""

    def begin(self, session: bytes, position: int, cursor: int) -> bool:
        """Starts a link that is held."""

    def disconnect(self, session: bytes) -> None:
        """Ends it at the node."""

    def close(self) -> None:
        """Hangs up."""


class Rider(Protocol):
    """What else is connected along with a session: the link of a stream."""

    def ask(self, description: Description) -> LinkAsk:
        """Our half; raises to go no further."""

    def granted(self, grant: LinkGrant) -> None:
        """The node's half: when this returns, all is ready for what the node will write."""


class CallingSession(Handle):
    """One confirmed connection to a node; `dial` makes it. It is a `rdmaq.region.session.Session`.

    Attributes:
        pair: ours, connected; its operations are the session's owner's alone.
        domain: the pair's.
        keys: to the regions that it was opened for.
    """

    __slots__ = (
        "_beat", "_call", "_lock", "_name", "_outlet", "_probe", "_target", "_what", "domain",
        "keys", "pair",
    )  # fmt: skip

    def __init__(
        self,
        outlet: Outlet,
        pair: Pair,
        own_probe: ProbeMemory,
        call: Callable[[float | None], Caller],
        name: bytes,
        grant: ConnectGrant,
    ) -> None:
        super().__init__()
        self._outlet, self._call, self._name = outlet, call, name
        self._lock = threading.Lock()
        self.pair, self.domain = pair, outlet.domain
        self._probe, self._target = own_probe, probe.remote(grant.probe)
        self._beat: Operation | None = None
        self.keys: tuple[RegionKey, ...] = grant.keys
        kinds = {"table": "table", "array": "region"}
        self._what = (
            " and ".join(f"{kinds[key.region.kind]} {key.region.name!r}" for key in grant.keys)
            or "the connection"
        )

    def key(self) -> RemoteMemory:
        """The first region's memory at its owner, and the key that opens it."""
        key = self.keys[0]
        return RemoteMemory(address=key.address, length=key.length_bytes, rkey=key.remote_key)

    def ended(self) -> RdmaqError | None:
        """What the node said when it ended the session; None: nothing. A load of eight bytes."""
        why = self._probe.farewell
        if why == Farewell.NONE:
            return None
        cause = "its owner takes no more operations"
        if why == Farewell.CLOSED:
            cause = "its node was closed"
        return RegionRevoked(
            f"{self._what} was revoked: {cause}; nothing was done; ask the peer for it again, if "
            "it is offered again"
        )

    @property
    def farewell(self) -> int:
        """One of `Farewell`: what the node said when it ended the session. A load of 8 bytes."""
        return self._probe.farewell

    @property
    def farewell_cause(self) -> int:
        """Why a link ended, as `link_facts.unpacked` takes it; 0: the node did not say."""
        return self._probe.farewell_cause

    def failure(self, error: OperationFailed) -> RdmaqError:
        """What an operation's failure means to the user; may ask the node, so it may wait."""
        if self.ended() is not None:
            return lost(self._what, error, is_offered=False)
        if error.status == Status.REM_ACCESS_ERR:
            return lost(self._what, error)
        try:
            offered = {region.name for region in self._ask_again().regions}
        except RdmaqError:
            return lost(self._what, error)
        return lost(
            self._what, error, is_offered=all(key.region.name in offered for key in self.keys)
        )

    def _ask_again(self) -> Description:
        client = self._call(_TELL_SECONDS_MAX)
        try:
            return client.describe()[0]
        finally:
            client.close()

    def beat(self) -> bool:
        """Sees whether the node's NIC still answers; never waits. False: it does not.

        For one thread; nothing else may use the pair.
        """
        try:
            if self._beat is None:
                self._beat = self._probe.beat(self.pair, self._target)
            self._beat.wait(0.0)
            self._beat = None
        except (OperationPending, ConcurrentUse):
            return True
        except RdmaqError:
            return False
        return True

    def rest(self) -> None:
        """Waits until nothing of `beat` is in flight any more.

        Raises:
            OperationFailed: the node's NIC does not answer.
        """
        beat, self._beat = self._beat, None
        if beat is not None:
            beat.wait()

    def caller(self, seconds: float) -> Caller:
        """A client of the node's bootstrap, whose calls take so long at most; to be closed."""
        return self._call(seconds)

    @property
    def name(self) -> bytes:
        """What the node knows it by."""
        return self._name

    def ping(self) -> float:
        """A WRITE to the node's memory and a READ of it; returns the seconds of both together.

        Raises:
            OperationFailed: they do not get through.
        """
        begin = time.perf_counter()
        self._probe.exchange(self.pair, self._target)
        return time.perf_counter() - begin

    def close(self) -> None:
        """Ends the queue pair here, then tells the node. Idempotent.

        When it returns no operation of the pair touches memory any more.
        """
        with self._lock:
            if self.closed:
                return
            self._is_closed = True
        try:
            self.pair.close()
            self._probe.memory.close()
        finally:
            self._tell_and_let_go()

    def _tell_and_let_go(self) -> None:
        # In a thread: a garbage collector may have called us, inside of anything that holds a lock.
        # At the interpreter's end no thread begins any more, and start() would wait for ever:
        # the node finds out by itself.
        if not sys.is_finalizing():
            telling = threading.Thread(target=self._tell, name="rdmaq-disconnect", daemon=True)
            with suppress(RuntimeError):
                telling.start()
                telling.join(_TELL_SECONDS_MAX)
        self._outlet.let_go()

    def _tell(self) -> None:
        with suppress(RdmaqError):  # it is gone, or ended the session by itself
            client = self._call(_TELL_SECONDS_MAX)
            try:
                client.disconnect(self._name)
            finally:
                client.close()

    def __enter__(self) -> CallingSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def forget(self) -> None:
        """In a forked child: the parent's objects are kept by their own handles."""


def dial(
    call: Callable[[float | None], Caller],
    outlet: Outlet,
    names: Sequence[str] = (),
    *,
    check: Callable[[Description], None] | None = None,
    settings: PairSettings = SETTINGS,
    rider: Rider | None = None,
    client: Caller | None = None,
    timeout: float = 0.0,
) -> CallingSession:
    """Connects a queue pair of its own for the regions of these names, and proves that it works.

    Args:
        call: makes a client of the bootstrap, with a bound for plain calls in seconds.
        outlet: the device; held by the session until its end.
        names: of regions and tables; none: a connection for its own sake.
        check: looks at what the node says of itself, and raises to go no further.
        settings: of our queue pair.
        rider: what is connected along with it; its own parts stay its own, also when this raises.
        client: to be used for it, and closed; None: one of `call`.
        timeout: seconds to wait for the node to answer.

    Raises:
        BootstrapError: the node refuses, or a probe does not get through; the text says why.
        PairError, RegistrationError: this side cannot.
        PeerNotFound, AuthenticationError, VersionMismatch: as the bootstrap says.
    """
    client = call(None) if client is None else client
    try:
        outlet.hold()
    except BaseException:
        client.close()
        raise
    pair: Pair | None = None
    own_probe: ProbeMemory | None = None
    name = b""
    try:
        description, challenge = client.describe(timeout=timeout)
        if check is not None:
            check(description)
        pair = outlet.domain.pair(settings, remote=probe.OPEN)
        own_probe = ProbeMemory(outlet.domain, probe.OPEN)
        ask = ConnectAsk(
            pair=attributes.to_message(pair),
            regions=tuple(names),
            probe=own_probe.target,
            link=None if rider is None else rider.ask(description),
        )
        grant, name = client.connect(ask, challenge)
        pair.connect(attributes.to_address(grant.pair))
        if rider is not None and grant.link is not None:
            rider.granted(grant.link)
        _prove(client, name, pair, own_probe, grant)
        return CallingSession(outlet, pair, own_probe, call, name, grant)
    except BaseException:
        if pair is not None:
            pair.close()
        if own_probe is not None:
            own_probe.memory.close()
        if name:
            with suppress(RdmaqError):
                client.disconnect(name)
        outlet.let_go()
        raise
    finally:
        client.close()


def _prove(
    client: Caller, name: bytes, pair: Pair, own_probe: ProbeMemory, grant: ConnectGrant
) -> None:
    try:
        proof = own_probe.exchange(pair, probe.remote(grant.probe))
    except OperationFailed as error:
        raise BootstrapError(f"our {probe.LOST}: {error}") from error
    try:
        own_probe.exchange_packet(pair, probe.remote(grant.probe))
    except OperationFailed as error:
        raise PathTooNarrow(
            f"packets of {pair.attributes.mtu_bytes} bytes do not get through, and small ones do: "
            f"{error}; raise the MTU of what is on the way (RoCE's headers need a good 80 bytes "
            "more), or connect with pair_settings=verbs.PairSettings(mtu_bytes=...) of less",
            mtu_bytes=pair.attributes.mtu_bytes,
        ) from error
    probed, theirs = client.confirm(name, _GOOD, proof)
    if not (probed.is_good and own_probe.bears_out(theirs).is_good):
        raise BootstrapError(
            f"the node's probe is not what arrived on {pair.facts}: its proof does not fit; is "
            "something between the two answering for it, or its release another?"
        )
