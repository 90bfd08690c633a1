"""What the two sides tell each other, as plain values: no gRPC, no verbs, no shared memory."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Protocol

from rdmaq.errors import BootstrapError

MAJOR, MINOR = 1, 4
TRANSPORTS = ("shm", "verbs")
LINK_LAYERS = ("InfiniBand", "Ethernet")
GID_KINDS = ("InfiniBand", "RoCE v1", "RoCE v2")
#: Bytes that each side opens to the other's probe, and of each number that proves an arrival.
PROBE_BYTES, NONCE_BYTES = 8192, 16
#: How a replica's tail moves: by a WRITE of its own, or by its CPU after a WRITE_WITH_IMM.
TAIL_MODES = ("write", "imm")
#: Where a subscription begins.
STARTS = ("live", "oldest", "sequence", "time")
SUBSCRIPTION_BYTES = 16
CREDITS_MAX = 256
DEPTH_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a node is.

    Attributes:
        boot_id: 16 bytes that tell this boot of this kernel from any other.
        pid: of its process.
        hostname: as the host calls itself; for people.
        local_name: where its descriptor hand-over listens on that host.
        instance: 16 bytes of this node's alone, which its hand-over tells, too; b"" from releases
            that have none.
    """

    boot_id: bytes
    pid: int
    hostname: str
    local_name: str
    instance: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOffer:
    """One stream on offer; `schema` is "" for an untyped one.

    `guard_bytes` is 0 from releases whose streams do not leave their host.
    """

    name: str
    schema: str
    capacity_bytes: int
    is_reliable: bool
    epoch: int
    next_sequence: int
    guard_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionOffer:
    """One region or table on offer."""

    name: str
    kind: str
    format: int
    schema: str
    shape: tuple[int, ...]
    access: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a node says of itself.

    Attributes:
        release: of rdmaq; for people.
        transports: by which it can be reached.
        verbs_missing: why verbs is none of them, for people; "" where it is.
    """

    release: str
    identity: Identity
    streams: tuple[StreamOffer, ...] = ()
    regions: tuple[RegionOffer, ...] = ()
    transports: tuple[str, ...] = ()
    verbs_missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a queue pair can do; both sides use the lesser of each."""

    mtu_bytes: int
    max_rd_atomic: int
    max_inline_bytes: int
    max_send_requests: int
    max_receive_requests: int

    def common(self, other: Limits) -> Limits:
        """The lesser of both, each."""
        return Limits(
            **{f.name: min(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PairAttributes:
    """How a queue pair is reached.

    Attributes:
        qp_num: its number, 24 bits.
        psn: of the first packet that it sends, 24 bits.
        gid: 16 bytes.
        gid_kind: one of `GID_KINDS`.
        lid: on InfiniBand, else 0.
        link_layer: one of `LINK_LAYERS`.
        initiator_depth: READs and atomics that it may have in flight.
        responder_depth: READs and atomics that it answers at once.
        receives: posted before it is connected.
        limits: what it can do else.
    """

    qp_num: int
    psn: int
    gid: bytes
    gid_kind: str
    lid: int
    link_layer: str
    initiator_depth: int
    responder_depth: int
    receives: int
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionKey:
    """What one-sided access to a region needs."""

    region: RegionOffer
    address: int
    length_bytes: int
    remote_key: int = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeTarget:
    """Memory that the other side's probe WRITE and READ go to: `PROBE_BYTES` of it."""

    address: int
    remote_key: int = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What came of a probe."""

    write_arrived: bool
    read_arrived: bool

    @property
    def is_good(self) -> bool:
        """Both arrived."""
        return self.write_arrived and self.read_arrived


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a side did in the other's probe memory: only who could reach it can tell.

    Attributes:
        written: `NONCE_BYTES` bytes that it wrote there.
        read: `NONCE_BYTES` bytes that it read there; both b"" where nothing arrived.
    """

    written: bytes = field(default=b"", repr=False)
    read: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RingKeys:
    """A ring as registered at one side: its bytes, and its live words."""

    data_address: int
    live_address: int
    data_key: int = field(repr=False)
    live_key: int = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkAsk:
    """What a subscription asks for: a link from the stream's ring to a replica of it.

    Attributes:
        stream: its name.
        subscription: `SUBSCRIPTION_BYTES` bytes of the subscriber's choice, the same for all links
            to one replica.
        generation: of this link, 1 or more; higher than that of any earlier one.
        epoch: of the stream, as it was described.
        position: of the replica's tail; 0: it is new.
        cursor: the least of its readers, of a reliable stream; 0: its tail.
        tail_mode: one of `TAIL_MODES`.
        credit_count: receives that the subscriber posts before Confirm; 0 with "write".
        replica: open to WRITEs, its live words to READs, too.
        pair: the subscriber's, that the replica is written through.
        start: one of `STARTS`, for a new replica.
        start_value: the sequence, or the time in ns since 1970.
        is_held: what was published before is READ first; `Backend.begin` starts the link.
        depth: chains that may be in flight, at most; 0: it does not say.
        receive_count_max: receives that the subscriber would post, should the publisher insist on
            "imm"; 0: it would not.
    """

    stream: str
    subscription: bytes
    generation: int
    epoch: int
    position: int
    cursor: int
    tail_mode: str
    credit_count: int
    replica: RingKeys
    pair: PairAttributes
    start: str = "live"
    start_value: int = 0
    is_held: bool = False
    depth: int = 0
    receive_count_max: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkGrant:
    """The link; it writes nothing before Confirm, and if it is held nothing before Begin.

    Attributes:
        pair: the publisher's.
        start: where it begins: the replica's tail is put there before Confirm.
        sequence: of the message there; 0: the stream has none yet.
        deliver_sequence: of the first message that was asked for; 0: the stream's first.
        origin_sequence: of the stream's first message; 0: it has none yet.
        ring: the publisher's own, of a link that is held: open to READs by the session's pair.
        tail_mode: what both sides' settings come to; "": as asked for.
        credit_count: receives to post before Confirm, with "imm"; 0: as many as were asked for.
        depth: chains that may be in flight; 0: it does not say.
        clock: what explains the publisher's ticks: base in ticks, the same in ns since 1970, and ns
            per tick times 2^32; all 0: nothing does yet.
    """

    pair: PairAttributes
    start: int
    sequence: int
    deliver_sequence: int = 0
    origin_sequence: int = 0
    ring: RingKeys | None = None
    tail_mode: str = ""
    credit_count: int = 0
    depth: int = 0
    clock: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectAsk:
    """A caller's half of a connection."""

    pair: PairAttributes
    regions: tuple[str, ...]
    probe: ProbeTarget
    link: LinkAsk | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectGrant:
    """A node's half."""

    pair: PairAttributes
    agreed: Limits
    keys: tuple[RegionKey, ...]
    probe: ProbeTarget
    link: LinkGrant | None = None


class Refusal(Exception):
    """A backend does not want a connection; the text is for the peer."""


class AccessRefusal(Refusal):
    """... since what it asks for may not be done."""


class FullRefusal(Refusal):
    """A stream has as many subscribers as it can have."""


class AbsenceRefusal(Refusal):
    """... since what it asks for is not there (yet, or any more)."""


class OutrunRefusal(Refusal):
    """A link has ended before it began: its publisher outran who was connecting."""


class LinkOutrun(BootstrapError):
    """That, at the caller."""


class Backend(Protocol):
    """What a node does behind the service. Called on the server's threads."""

    def describe(self) -> Description:
        """What is on offer now."""

    def connect(self, session: bytes, ask: ConnectAsk, caller: str, /) -> ConnectGrant:
        """Makes this side's queue pair for a session. Raises `Refusal`.

        `caller` tells whom the session is for: the names in its certificate, else its address.
        """

    def probe(self, session: bytes, proof: Proof, /) -> tuple[Probed, Proof]:
        """Compares the caller's proof with what its probe left here, then probes the other way.

        Returns what arrived, the caller's and ours taken together, and our own proof.
        """

    def begin(self, session: bytes, position: int, cursor: int, /) -> bool:
        """Starts the session's link, that is held, at `position`, where its replica's tail stands.

        False: that is too far behind. Raises `Refusal`.
        """

    def disconnect(self, session: bytes, /) -> None:
        """Ends a session, confirmed or not: its keys no longer work when this returns."""
