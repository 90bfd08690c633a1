"""Certificates, servers with a backend that keeps a book, and raw calls to them."""

from __future__ import annotations

import functools
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc

from rdmaq import Credentials, certs
from rdmaq.bootstrap import bootstrap_pb2 as pb
from rdmaq.bootstrap import wire
from rdmaq.bootstrap.extra import SERVICE
from rdmaq.bootstrap.messages import (
    ConnectAsk,
    ConnectGrant,
    Description,
    Identity,
    Limits,
    LinkAsk,
    LinkGrant,
    PairAttributes,
    Probed,
    ProbeTarget,
    Proof,
    Refusal,
    RegionKey,
    RegionOffer,
    RingKeys,
    StreamOffer,
)
from rdmaq.bootstrap.server import Server
from rdmaq.bootstrap.sessions import SessionLimits

REMOTE_KEY = 0x5EC2E7
TOKEN = "a token that is long enough".replace(" ", "-")
LIMITS = Limits(
    mtu_bytes=4096,
    max_rd_atomic=16,
    max_inline_bytes=220,
    max_send_requests=512,
    max_receive_requests=512,
)
SMALLER = Limits(
    mtu_bytes=1024,
    max_rd_atomic=128,
    max_inline_bytes=64,
    max_send_requests=1024,
    max_receive_requests=16,
)
PAIR = PairAttributes(
    qp_num=17,
    psn=3,
    gid=bytes(range(16)),
    gid_kind="RoCE v2",
    lid=0,
    link_layer="Ethernet",
    initiator_depth=16,
    responder_depth=4,
    receives=32,
    limits=LIMITS,
)
PROOF = Proof(written=b"w" * 16, read=b"r" * 16)
OWN_PROOF = Proof(written=b"W" * 16, read=b"R" * 16)
BOOK = RegionOffer(name="book", kind="array", format=1, schema='"<u8"', shape=(8, 2), access="read")
ASK = ConnectAsk(pair=PAIR, regions=("book",), probe=ProbeTarget(address=4096, remote_key=9))
REPLICA = RingKeys(data_address=1 << 21, live_address=1 << 16, data_key=11, live_key=12)
LINK = LinkAsk(
    stream="s",
    subscription=b"subscription-id!",
    generation=3,
    epoch=5,
    position=65536,
    cursor=65504,
    tail_mode="imm",
    credit_count=16,
    depth=8,
    receive_count_max=16,
    replica=REPLICA,
    pair=replace(PAIR, qp_num=18, receives=0),
)
LINK_ASK = replace(ASK, link=LINK)
HELD = replace(
    LINK, position=0, cursor=0, start="sequence", start_value=77, is_held=True, generation=1
)
HELD_ASK = replace(ASK, link=HELD)
RING = RingKeys(data_address=1 << 22, live_address=1 << 17, data_key=13, live_key=14)


class Backend:
    """Grants what is asked for, and writes down which sessions have keys, and of whom."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.connected: set[bytes] = set()
        self.ended: list[bytes] = []
        self.callers: list[str] = []
        self.proofs: list[Proof] = []
        self.begun: list[tuple[bytes, int, int]] = []
        self.probed = Probed(write_arrived=True, read_arrived=True)

    def describe(self) -> Description:
        return Description(
            release="1.2.3",
            identity=Identity(
                boot_id=b"b" * 16,
                pid=7,
                hostname="host",
                local_name="feed",
                instance=b"i" * 16,
            ),
            streams=(
                StreamOffer(
                    name="s",
                    schema="",
                    capacity_bytes=65536,
                    is_reliable=True,
                    epoch=5,
                    next_sequence=9,
                    guard_bytes=8192,
                ),
            ),
            regions=(BOOK,),
            transports=("shm",),
            verbs_missing="there is no RDMA device here: none; bring one",
        )

    def connect(self, session: bytes, ask: ConnectAsk, caller: str) -> ConnectGrant:
        if ask.regions != ("book",):
            raise Refusal("no such region: ask for 'book'")
        with self.lock:
            self.connected.add(session)
            self.callers.append(caller)
        pair = replace(PAIR, qp_num=99, psn=4, limits=SMALLER)
        key = RegionKey(region=BOOK, address=8192, length_bytes=128, remote_key=REMOTE_KEY)
        return ConnectGrant(
            pair=pair,
            agreed=SMALLER.common(ask.pair.limits),
            keys=(key,),
            probe=ProbeTarget(address=12288, remote_key=10),
            link=None if ask.link is None else self.link(ask.link),
        )

    @staticmethod
    def link(ask: LinkAsk) -> LinkGrant:
        pair = replace(PAIR, qp_num=100, receives=0)
        return LinkGrant(
            pair=pair,
            start=ask.position or 65536,
            sequence=9,
            deliver_sequence=8,
            origin_sequence=2,
            ring=RING if ask.is_held else None,
            tail_mode="imm",
            credit_count=4,
            depth=7,
            clock=(1, 2, 3),
        )

    def begin(self, session: bytes, position: int, cursor: int) -> bool:
        self.begun.append((session, position, cursor))
        return position < 1 << 40

    def probe(self, _session: bytes, proof: Proof) -> tuple[Probed, Proof]:
        self.proofs.append(proof)
        return self.probed, OWN_PROOF if self.probed.is_good else Proof()

    def disconnect(self, session: bytes) -> None:
        with self.lock:
            self.connected.discard(session)
            self.ended.append(session)


@functools.cache
def certificates(days: float = 30.0) -> Path:
    """A folder of an authority of its own; good for so many days (expired when below 0)."""
    folder = Path(tempfile.mkdtemp(prefix="rq-certs-"))
    certs.make(folder / "pki", [], days=days, peers=("peer", "other"))
    return folder / "pki"


@functools.cache
def certificates_with_expired_peer() -> Path:
    """A folder where `expired` was signed by the authority, and is of yesterday."""
    folder = Path(tempfile.mkdtemp(prefix="rq-certs-"))
    certs.make(folder / "pki", [], peers=("peer", "expired"), days_of={"expired": -1.0})
    return folder / "pki"


def node_credentials(folder: Path, *, mutual: bool = True, token: str | None = None) -> Credentials:
    return Credentials(
        ca_file=folder / "ca.pem" if mutual else None,
        certificate_file=folder / "node.pem",
        key_file=folder / "node.key",
        token=token,
    )


def peer_credentials(
    folder: Path, *, name: str | None = "peer", ca: Path | None = None, token: str | None = None
) -> Credentials:
    return Credentials(
        ca_file=(ca or folder) / "ca.pem",
        certificate_file=folder / f"{name}.pem" if name else None,
        key_file=folder / f"{name}.key" if name else None,
        token=token,
    )


@contextmanager
def serving(
    credentials: Credentials | None = None, limits: SessionLimits | None = None
) -> Iterator[tuple[Server, Backend]]:
    backend = Backend()
    chosen = Credentials() if credentials is None else credentials
    server = Server("127.0.0.1", 0, backend, chosen, release="1.2.3", limits=limits)
    server.start()
    try:
        yield server, backend
    finally:
        server.close()


def raw_call(port: int, method: str, packet: bytes, **options: Any) -> bytes:
    """One call with bytes of the test's own. Raises grpc.RpcError."""
    channel = grpc.insecure_channel(
        f"127.0.0.1:{port}", [("grpc.max_send_message_length", -1), ("grpc.enable_http_proxy", 0)]
    )
    with channel:
        path = method if method.startswith("/") else f"/{SERVICE}/{method}"
        call: Any = channel.unary_unary(path)
        return bytes(call(packet, timeout=20, **options))


def refusal(port: int, method: str, packet: bytes, **options: Any) -> tuple[str, str]:
    """The status and the reason with which a raw call is refused."""
    try:
        raw_call(port, method, packet, **options)
    except grpc.RpcError as error:
        return error.code().name, str(error.details())
    raise AssertionError("it was answered")


def wire_limits() -> pb.Limits:
    """`LIMITS` as they travel."""
    return wire.connect_request(ASK, bytes(64), "1").pair.limits
