"""Messages in order whose fields are impossible: refused with the reason, and nothing used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import rdmaq
from rdmaq.bootstrap import bootstrap_pb2 as pb
from rdmaq.bootstrap import wire, wire_link
from rdmaq.bootstrap.messages import Refusal
from tests.bootstrap import rig
from tests.bootstrap.rig import ASK, HELD, HELD_ASK, LINK, LINK_ASK, Backend, serving
from tests.bootstrap.test_security import check_serves, client_of


def test_node_that_answers_nonsense_is_refused_by_the_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fields out of bounds in a description and in a grant: BootstrapError, nothing used."""
    with serving() as (server, _), client_of(server.port) as client:
        describe, connect = wire.describe_reply, wire.connect_reply
        spoilers: list[Callable[[pb.DescribeReply], object]] = [
            lambda reply: setattr(reply.identity, "boot_id", b"short"),
            lambda reply: setattr(reply.identity, "instance", b"short"),
            lambda reply: setattr(reply.identity, "local_name", "../../somebody"),
            lambda reply: setattr(reply.identity, "local_name", ""),
            lambda reply: setattr(reply, "challenge", b""),
            lambda reply: setattr(reply.streams[0], "name", ""),
            lambda reply: setattr(reply.streams[0], "schema", "x" * 40_000),
            lambda reply: setattr(reply.regions[0], "kind", "pointer"),
            lambda reply: setattr(reply.regions[0], "access", "all"),
            lambda reply: reply.regions[0].shape.append(0),
            lambda reply: reply.regions[0].shape.extend([1] * 40),
        ]
        for spoil in spoilers:

            def spoilt(*arguments: Any, spoil: Any = spoil) -> pb.DescribeReply:
                reply = describe(*arguments)
                spoil(reply)
                return reply

            monkeypatch.setattr(wire, "describe_reply", spoilt)
            with pytest.raises(rdmaq.BootstrapError, match="not in order"):
                client.describe()
        monkeypatch.setattr(wire, "describe_reply", describe)
        grants: list[Callable[[pb.ConnectReply], object]] = [
            lambda reply: setattr(reply, "session", b""),
            lambda reply: setattr(reply.pair, "qp_num", 1 << 24),
            lambda reply: setattr(reply.pair, "gid", b""),
            lambda reply: setattr(reply.pair, "link_layer", 0),
            lambda reply: setattr(reply, "probe_address", 0),
            lambda reply: setattr(reply.agreed, "mtu_bytes", 4096),
            lambda reply: setattr(reply.agreed, "mtu_bytes", 1000),
            lambda reply: setattr(reply.keys[0], "length_bytes", 0),
            lambda reply: setattr(reply.keys[0], "address", 2**64 - 1),
            lambda reply: setattr(reply.keys[0].region, "name", "other"),
            lambda reply: reply.keys.pop(),
        ]
        for spoil_grant in grants:

            def spoilt_grant(*arguments: Any, spoil: Any = spoil_grant) -> pb.ConnectReply:
                reply = connect(*arguments)
                spoil(reply)
                return reply

            monkeypatch.setattr(wire, "connect_reply", spoilt_grant)
            with pytest.raises(rdmaq.BootstrapError, match="not in order"):
                client.connect(ASK, client.describe()[1])


def test_words_of_a_node_cannot_command_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it calls itself, its reasons and its refusals: control characters are blanks."""
    evil = "\x1b[2Jall is well\x07\r\n"
    with serving() as (server, backend), client_of(server.port) as client:
        there = backend.describe()
        named = replace(there.identity, hostname=evil)
        said = replace(there, release=evil, identity=named, verbs_missing=evil)
        monkeypatch.setattr(backend, "describe", lambda: said)
        told, challenge = client.describe()
        for words in (told.release, told.identity.hostname, told.verbs_missing):
            assert words == " [2Jall is well   "

        def refuse(*_: object) -> None:
            raise Refusal(evil + "x" * 2000)

        monkeypatch.setattr(backend, "connect", refuse)
        with pytest.raises(rdmaq.BootstrapError, match="all is well") as caught:
            client.connect(ASK, challenge)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 1200


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("qp_num", 0, "queue pair number is none"),
        ("psn", 1 << 24, "packet sequence number is none"),
        ("gid", bytes(15), "GID has not 16 bytes"),
        ("gid", bytes(16), "neither GID nor LID says where it is"),
        ("gid", b"\xff" + bytes(15), "many ports' at once"),
        ("gid_kind", 0, "the kind of its GID is unknown"),
        ("gid_kind", 9, "the kind of its GID is unknown"),
        ("gid_kind", 1, "Ethernet has no GIDs of the kind InfiniBand"),
        ("link_layer", 0, "its link layer is unknown"),
        ("link_layer", 3, "its link layer is unknown"),
        ("link_layer", 1, "InfiniBand has no GIDs of the kind RoCE v2"),
        ("lid", 1, "a LID on Ethernet"),
        ("lid", 1 << 16, "its LID is none"),
        ("initiator_depth", 0, "READs in flight are impossible"),
        ("responder_depth", 0, "READs to be answered are impossible"),
        ("initiator_depth", 256, "READs in flight are impossible"),
        ("responder_depth", 256, "READs to be answered are impossible"),
        ("receives", (1 << 24) + 1, "receives are impossible"),
    ],
)
def test_impossible_queue_pair_is_refused_with_its_reason(
    field: str, value: Any, reason: str
) -> None:
    """One field each: INVALID_ARGUMENT, and the backend is not asked."""
    with serving() as (server, backend), client_of(server.port) as client:
        request = wire.connect_request(ASK, client.describe()[1], "1.2.3")
        setattr(request.pair, field, value)
        status, told = rig.refusal(server.port, "Connect", request.SerializeToString())
        assert status == "INVALID_ARGUMENT"
        assert reason in told
        assert backend.callers == []
        check_serves(server.port)


@pytest.mark.parametrize("address", [0, 2**64 - 8192, 2**64 - 1])
def test_probe_memory_that_is_nowhere_and_regions_asked_twice_are_refused(address: int) -> None:
    with serving() as (server, backend), client_of(server.port) as client:
        request = wire.connect_request(ASK, client.describe()[1], "1.2.3")
        request.probe_address = address
        assert "nowhere" in rig.refusal(server.port, "Connect", request.SerializeToString())[1]
        request.probe_address = 4096
        request.regions.append(request.regions[0])
        assert "twice" in rig.refusal(server.port, "Connect", request.SerializeToString())[1]
        assert backend.callers == []


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("stream", "", "a name is no name"),
        ("stream", "x" * 193, "a name is no name"),
        ("subscription", bytes(15), "subscription has another length"),
        ("generation", 0, "no generation"),
        ("position", 65537, "a position is no frame's"),
        ("position", 1 << 62, "a position is no frame's"),
        ("cursor", 65568, "readers are ahead"),
        ("cursor", 65503, "a position is no frame's"),
        ("tail_mode", 0, "how its tail is to move"),
        ("tail_mode", 3, "how its tail is to move"),
        ("tail_mode", 1, "receives for tails are impossible"),
        ("credit_count", 0, "receives for tails are impossible"),
        ("credit_count", 48, "receives for tails are impossible"),
        ("credit_count", 512, "receives for tails are impossible"),
        ("receive_count_max", 24, "receives for tails are impossible"),
        ("receive_count_max", 512, "receives for tails are impossible"),
        ("depth", 65, "chains in flight are impossible"),
        ("replica.data_address", 0, "memory is nowhere"),
        ("replica.data_address", 2**64 - 32, "memory is nowhere"),
        ("replica.live_address", 0, "memory is nowhere"),
        ("replica.live_address", 65537, "memory is not aligned"),
        ("start", 4, "where it is to begin is unknown"),
        ("start", -1, "where it is to begin is unknown"),
        ("start_value", 1 << 63, "where it is to begin is impossible"),
        ("start", 1, "and not to READ it"),
        ("pair.receives", 1, "receives posted that no tail is for"),
        ("pair.qp_num", 0, "queue pair number is none"),
    ],
)
def test_impossible_link_is_refused_with_its_reason(field: str, value: Any, reason: str) -> None:
    """One field each: INVALID_ARGUMENT, and the backend is not asked."""
    with serving() as (server, backend), client_of(server.port) as client:
        request = wire.connect_request(LINK_ASK, client.describe()[1], "1.2.3")
        *path, name = field.split(".")
        setattr(getattr(request.link, path[0]) if path else request.link, name, value)
        status, told = rig.refusal(server.port, "Connect", request.SerializeToString())
        assert status == "INVALID_ARGUMENT"
        assert reason in told
        assert backend.callers == []


def test_link_arrives_over_the_wire_as_it_was_both_ways() -> None:
    with serving() as (server, backend), client_of(server.port) as client:
        description, challenge = client.describe()
        assert description.streams[0].guard_bytes == 8192
        packet = wire.connect_request(LINK_ASK, challenge, "1.2.3").SerializeToString()
        assert wire.ask_from(pb.ConnectRequest.FromString(packet)) == LINK_ASK
        assert client.connect(LINK_ASK, challenge)[0].link == backend.link(LINK)
        packet = wire.connect_request(HELD_ASK, challenge, "1.2.3").SerializeToString()
        assert wire.ask_from(pb.ConnectRequest.FromString(packet)) == HELD_ASK
        held, session = client.connect(HELD_ASK, client.describe()[1])
        assert held.link == backend.link(HELD)
        assert client.begin(session, 1 << 20, 1 << 19)
        assert not client.begin(session, 1 << 41, 1 << 41)
        assert backend.begun == [(session, 1 << 20, 1 << 19), (session, 1 << 41, 1 << 41)]


@pytest.mark.parametrize(
    ("position", "cursor", "reason"),
    [
        (0, 0, "its readers are nowhere"),
        (64, 0, "its readers are nowhere"),
        (64, 96, "ahead of its tail"),
        (65, 64, "a position is no frame's"),
        (64, 33, "a position is no frame's"),
        (1 << 62, 64, "a position is no frame's"),
        (64, 64, "no such session"),
    ],
)
def test_impossible_begin_is_refused_with_its_reason(
    position: int, cursor: int, reason: str
) -> None:
    """Also one of a session that is not there: the backend is not asked."""
    with serving() as (server, backend):
        request = pb.BeginRequest(session=bytes(16), position=position, cursor=cursor)
        status, told = rig.refusal(server.port, "Begin", request.SerializeToString())
        assert status == "INVALID_ARGUMENT"
        assert reason in told
        assert backend.begun == []


def test_link_granted_out_of_bounds_or_unasked_is_refused_by_the_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect = wire.connect_reply
    spoilers: list[Callable[[pb.ConnectReply], object]] = [
        lambda reply: reply.ClearField("link"),
        lambda reply: setattr(reply.link, "start", 0),
        lambda reply: setattr(reply.link, "start", LINK.position - 32),
        lambda reply: setattr(reply.link, "start", LINK.position + 1),
        lambda reply: setattr(reply.link, "start", 1 << 62),
        lambda reply: setattr(reply.link, "sequence", 1 << 62),
        lambda reply: setattr(reply.link, "deliver_sequence", 1 << 62),
        lambda reply: setattr(reply.link, "origin_sequence", 1 << 62),
        lambda reply: setattr(reply.link.ring, "data_address", 64),
        lambda reply: setattr(reply.link.pair, "psn", 1 << 24),
    ]
    with serving() as (server, _), client_of(server.port) as client:
        for spoil in spoilers:

            def spoilt(*arguments: Any, spoil: Any = spoil) -> pb.ConnectReply:
                reply = connect(*arguments)
                spoil(reply)
                return reply

            monkeypatch.setattr(wire, "connect_reply", spoilt)
            with pytest.raises(rdmaq.BootstrapError, match="not in order"):
                client.connect(LINK_ASK, client.describe()[1])

        ringless = lambda *arguments: _without_ring(connect(*arguments))  # noqa: E731
        monkeypatch.setattr(wire, "connect_reply", ringless)
        with pytest.raises(rdmaq.BootstrapError, match="its release is older"):
            client.connect(HELD_ASK, client.describe()[1])

        def gave_more(*arguments: Any) -> pb.ConnectReply:
            reply = connect(*arguments)
            reply.link.start = 65536
            return reply

        monkeypatch.setattr(wire, "connect_reply", gave_more)
        with pytest.raises(rdmaq.BootstrapError, match="not what was asked for"):
            client.connect(ASK, client.describe()[1])


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("tail_mode", 1, "an order that our CPU may not see"),  # nobody asked for tails by WRITE
        ("tail_mode", 3, "how its tail is to move is unknown"),
        ("credit_count", 32, "receives we have not"),
        ("credit_count", 3, "receives we have not"),
        ("depth", 9, "more chains in flight than asked"),
    ],
)
def test_link_granted_beyond_what_was_offered_is_refused(
    field: str, value: int, reason: str
) -> None:
    """What both sides' settings come to is never more than one of them has."""
    reply = wire_link.link_grant_out(Backend.link(LINK))
    assert wire_link.link_grant_in(reply, LINK) == Backend.link(LINK)
    setattr(reply, field, value)
    with pytest.raises(rdmaq.BootstrapError, match=reason):
        wire_link.link_grant_in(reply, LINK)


def _without_ring(reply: pb.ConnectReply) -> pb.ConnectReply:
    """As a release answers that knows of no links that are held."""
    reply.link.ClearField("ring")
    return reply


def test_messages_have_no_room_for_a_payload() -> None:
    """All fields of bytes, by message: each is bounded where it is read, and is no data."""
    found = {
        f"{name}.{field.name}"
        for name, kind in pb.DescribeRequest.DESCRIPTOR.file.message_types_by_name.items()
        for field in kind.fields
        if field.type == field.TYPE_BYTES
    }
    assert found == {
        "BeginRequest.session",
        "Identity.boot_id",
        "Identity.instance",
        "DescribeReply.challenge",
        "PairAttributes.gid",
        "ConnectRequest.challenge",
        "ConnectReply.session",
        "ConfirmRequest.session",
        "ConfirmRequest.written",
        "ConfirmRequest.read",
        "ConfirmReply.written",
        "ConfirmReply.read",
        "DisconnectRequest.session",
        "LinkRequest.subscription",
    }
