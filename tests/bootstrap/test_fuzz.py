"""Bootstrap messages at random: bounded here, so that CI runs them every time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from rdmaq.bootstrap import bootstrap_pb2 as pb
from rdmaq.bootstrap import wire
from rdmaq.bootstrap.messages import (
    GID_KINDS,
    LINK_LAYERS,
    PROBE_BYTES,
    STARTS,
    TAIL_MODES,
    ConnectAsk,
    ConnectGrant,
    Description,
    LinkAsk,
    PairAttributes,
    Probed,
    RingKeys,
)
from rdmaq.bootstrap.server import Server
from rdmaq.bootstrap.wire_link import begin_in, begin_request
from rdmaq.errors import BootstrapError
from rdmaq.sessions import attributes
from tests.bootstrap import rig
from tests.bootstrap.rig import (
    ASK,
    HELD_ASK,
    LINK_ASK,
    OWN_PROOF,
    PAIR,
    PROOF,
    Backend,
    serving,
)
from tests.bootstrap.test_security import check_serves

METHODS = ("Describe", "Connect", "Confirm", "Begin", "Disconnect")
REFUSED = {"INVALID_ARGUMENT", "FAILED_PRECONDITION"}


class Begun(NamedTuple):
    """What a Begin says."""

    position: int
    cursor: int


def seeds() -> list[bytes]:
    """Messages in order, for mutations to begin with."""
    backend = Backend()
    version = wire.version("1.2.3")
    grant = backend.connect(b"s" * 16, ASK, "somebody")
    good = Probed(write_arrived=True, read_arrived=True)
    messages: list[Any] = [
        pb.DescribeRequest(version=version),
        wire.connect_request(ASK, bytes(64), "1.2.3"),
        wire.connect_request(LINK_ASK, bytes(64), "1.2.3"),
        wire.connect_request(HELD_ASK, bytes(64), "1.2.3"),
        wire.confirm_request(bytes(16), good, PROOF),
        begin_request(bytes(16), 1 << 20, 1 << 19),
        pb.DisconnectRequest(session=bytes(16)),
        wire.describe_reply(backend.describe(), bytes(64)),
        wire.connect_reply(grant, bytes(16), 10.0),
        wire.connect_reply(backend.connect(b"t" * 16, LINK_ASK, "somebody"), bytes(16), 10.0),
        wire.connect_reply(backend.connect(b"u" * 16, HELD_ASK, "somebody"), bytes(16), 10.0),
        pb.BeginReply(has_begun=True),
        wire.confirm_reply(good, OWN_PROOF),
    ]
    return [message.SerializeToString() for message in messages]


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    """Random bytes, or a message in order with some bytes changed, cut out or put in."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=200))
    packet = bytearray(draw(st.sampled_from(seeds())))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, max(0, len(packet) - 1)))
        how = draw(st.integers(0, 2))
        if how == 0 and packet:
            packet[at] = draw(st.integers(0, 255))
        elif how == 1:
            del packet[at : at + draw(st.integers(1, 8))]
        else:
            packet[at:at] = draw(st.binary(max_size=8))
    return bytes(packet)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Server, Backend]]:
    with serving() as made:
        yield made


@settings(max_examples=600)
@given(method=st.sampled_from(METHODS), packet=packets())
def test_server_answers_or_refuses_any_packet(
    served: tuple[Server, Backend], method: str, packet: bytes
) -> None:
    """Never INTERNAL, never a session: no random packet has a challenge of ours."""
    server, backend = served
    status = ""
    try:
        rig.raw_call(server.port, method, packet)
    except grpc.RpcError as error:
        status = error.code().name
    # Nothing else can be answered without a challenge of ours.
    assert status in REFUSED or (not status and method == "Describe")
    assert backend.connected == set()


def test_server_serves_after_all_of_it(served: tuple[Server, Backend]) -> None:
    """The same server, and nothing is kept for anybody."""
    server, _ = served
    check_serves(server.port)
    assert server.sessions.counts()[:2] == (0, 0)


def check_pair(pair: PairAttributes) -> None:
    """What no later code looks at again."""
    assert 1 < pair.qp_num < 1 << 24
    assert pair.psn < 1 << 24
    assert len(pair.gid) == 16
    assert pair.gid_kind in GID_KINDS
    assert pair.link_layer in LINK_LAYERS
    assert (pair.link_layer == "Ethernet") == (pair.gid_kind != "InfiniBand")
    assert any(pair.gid) or pair.lid
    assert max(pair.initiator_depth, pair.responder_depth) <= 255
    assert pair.receives <= 1 << 24
    assert attributes.to_address(pair).gid.packed == pair.gid


def check_ring(ring: RingKeys) -> None:
    """Its bytes and its live words end within the address space."""
    assert 0 < ring.data_address < (1 << 64) - (1 << 40)
    assert 0 < ring.live_address < (1 << 64) - (1 << 36)


def check_link(link: LinkAsk) -> None:
    """What C takes as it is."""
    check_pair(link.pair)
    check_ring(link.replica)
    assert 0 < len(link.stream.encode()) <= 192
    assert len(link.subscription) == 16
    assert link.generation > 0
    assert link.cursor <= link.position < 1 << 62
    assert link.cursor % 32 == link.position % 32 == 0
    assert link.tail_mode in TAIL_MODES
    assert (link.credit_count == 0) == (link.tail_mode == "write")
    assert link.credit_count in {0, *(1 << n for n in range(9))}
    assert link.start in STARTS
    assert link.start_value < 1 << 63
    assert link.is_held or link.start == "live"


@settings(max_examples=3000)
@given(packet=packets())
def test_reading_a_message_gives_values_in_bounds_or_our_error(packet: bytes) -> None:
    """What a caller or a node may be told, by the readers of both sides."""
    readers: list[tuple[Any, Any]] = [
        (pb.ConnectRequest, wire.ask_from),
        (pb.DescribeReply, lambda reply: wire.description_from(reply)[0]),
        (pb.ConnectReply, lambda reply: wire.grant_from(reply, ASK)[0]),
        (pb.ConnectReply, lambda reply: wire.grant_from(reply, LINK_ASK)[0]),
        (pb.ConnectReply, lambda reply: wire.grant_from(reply, HELD_ASK)[0]),
        (pb.BeginRequest, lambda request: Begun(*begin_in(request))),
        (pb.ConfirmRequest, wire.proof_from),
        (pb.ConfirmReply, wire.proof_from),
    ]
    for kind, read in readers:
        try:
            message = kind.FromString(packet)
        except DecodeError:
            continue
        try:
            value = read(message)
        except BootstrapError:
            continue
        if isinstance(value, ConnectAsk):
            check_pair(value.pair)
            assert len(set(value.regions)) == len(value.regions) <= wire.REGIONS_ASKED_MAX
            assert 0 < value.probe.address < (1 << 64) - PROBE_BYTES
            if value.link is not None:
                check_link(value.link)
        elif isinstance(value, Description):
            assert len(value.identity.boot_id) == 16
            assert all(0 < len(s.name.encode()) <= 192 for s in value.streams)
            assert value.verbs_missing.isprintable()
            assert len(value.verbs_missing) <= 1000
        elif isinstance(value, Begun):
            assert 0 < value.cursor <= value.position < 1 << 62
            assert value.cursor % 32 == value.position % 32 == 0
        elif isinstance(value, tuple):
            probed, proof = value
            assert len(proof.written) == len(proof.read)
            assert len(proof.read) == 16 or not (probed.is_good or proof.read)
        else:
            assert isinstance(value, ConnectGrant)
            check_pair(value.pair)
            assert value.agreed == ASK.pair.limits.common(value.pair.limits)
            assert all(0 < key.length_bytes <= 1 << 40 for key in value.keys)
            if value.link is not None:
                check_pair(value.link.pair)
                assert 0 < value.link.start < 1 << 62
                assert value.link.start % 32 == 0
                assert value.link.sequence < 1 << 62
                assert max(value.link.deliver_sequence, value.link.origin_sequence) < 1 << 62
                if value.link.ring is not None:
                    check_ring(value.link.ring)


NUMBERS = st.sampled_from([0, 1, 2, 3, 4, 16, 255, 256, 1024, 4096, 1 << 16, 1 << 24, 2**32 - 1])
GIDS = st.sampled_from([b"", bytes(15), bytes(16), b"\xff" * 16, PAIR.gid, bytes(17)])
PLACES = st.sampled_from(
    [0, 1, 4096, 2**63, 2**64 - PROBE_BYTES - 1, 2**64 - PROBE_BYTES, 2**64 - 1]
)
NAMES = st.sampled_from(["", "n", "book", "x" * 192, "x" * 193, "a\nb"])


@settings(max_examples=2000)
@given(
    pair=st.builds(
        pb.PairAttributes,
        qp_num=NUMBERS,
        psn=NUMBERS,
        gid=GIDS,
        lid=NUMBERS,
        link_layer=st.integers(-1, 3),
        gid_kind=st.integers(-1, 4),
        initiator_depth=NUMBERS,
        responder_depth=NUMBERS,
        receives=NUMBERS,
        limits=st.just(rig.wire_limits()),
    ),
    regions=st.lists(NAMES, max_size=4),
    address=PLACES,
    key=NUMBERS,
)
def test_any_numbers_in_a_well_formed_connect_are_bounded_or_refused(
    pair: pb.PairAttributes, regions: list[str], address: int, key: int
) -> None:
    """Random bytes seldom get so far: these are messages in order with numbers at their edges."""
    request = pb.ConnectRequest(
        version=wire.version("1"),
        challenge=bytes(64),
        pair=pair,
        regions=regions,
        probe_address=address,
        probe_key=key,
    )
    try:
        ask = wire.ask_from(pb.ConnectRequest.FromString(request.SerializeToString()))
    except BootstrapError:
        return
    check_pair(ask.pair)
    assert all(0 < len(name.encode()) <= 192 for name in ask.regions)
    assert 0 < ask.probe.address < (1 << 64) - PROBE_BYTES
