"""Between plain messages and protobuf. What arrives is a stranger's: each field is checked here."""

from __future__ import annotations

import re
from typing import Any

from rdmaq.bootstrap import bootstrap_pb2 as pb
from rdmaq.bootstrap.messages import (
    MAJOR,
    MINOR,
    NONCE_BYTES,
    PROBE_BYTES,
    TRANSPORTS,
    ConnectAsk,
    ConnectGrant,
    Description,
    Identity,
    Probed,
    ProbeTarget,
    Proof,
    RegionKey,
    RegionOffer,
    StreamOffer,
)
from rdmaq.bootstrap.wire_link import link_grant_in, link_grant_out, link_in, link_out
from rdmaq.bootstrap.wire_pair import limits_in, limits_out, name_in, need, pair_in, pair_out

MESSAGE_BYTES_MAX = 4 << 20  # a description of some thousand streams; requests are far smaller
REQUEST_BYTES_MAX = 64 << 10
CHALLENGE_BYTES, SESSION_BYTES = 64, 16
REGIONS_ASKED_MAX = 256
_SCHEMA_BYTES_MAX = 32 << 10
OFFERS_MAX = 20_000
_DIMENSIONS_MAX = 32
_REASON_CHARS_MAX = 1000
_LOCAL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def version(release: str) -> pb.Version:
    """This side's."""
    return pb.Version(major=MAJOR, minor=MINOR, release=release)


def describe_reply(description: Description, challenge: bytes) -> pb.DescribeReply:
    """The node's answer."""
    identity = description.identity
    return pb.DescribeReply(
        version=version(description.release),
        identity=pb.Identity(
            boot_id=identity.boot_id,
            pid=identity.pid,
            hostname=identity.hostname,
            local_name=identity.local_name,
            instance=identity.instance,
        ),
        streams=[
            pb.Stream(
                name=s.name,
                schema=s.schema,
                capacity_bytes=s.capacity_bytes,
                is_reliable=s.is_reliable,
                epoch=s.epoch,
                next_sequence=s.next_sequence,
                guard_bytes=s.guard_bytes,
            )
            for s in description.streams
        ],
        regions=[_region_out(region) for region in description.regions],
        transports=description.transports,
        challenge=challenge,
        verbs_missing=description.verbs_missing[:_REASON_CHARS_MAX],
    )


def description_from(reply: pb.DescribeReply) -> tuple[Description, bytes]:
    """What a node says of itself, checked, and its challenge."""
    identity = reply.identity
    need(len(identity.boot_id) == 16, "its boot id has not 16 bytes")
    need(len(identity.instance) in (0, 16), "what tells it from other nodes has not 16 bytes")
    need(len(reply.challenge) == CHALLENGE_BYTES, "its challenge has another length")
    need(len(identity.hostname) <= 255, "a name is too long")
    # It becomes a file's name in the runtime folder.
    need(_LOCAL_NAME.fullmatch(identity.local_name) is not None, "its local name is none")
    need(len(reply.streams) + len(reply.regions) <= OFFERS_MAX, "it offers too much to list")
    need(all(len(s.schema) <= _SCHEMA_BYTES_MAX for s in reply.streams), "a schema is too long")
    return Description(
        release=text(reply.version.release, 64),
        identity=Identity(
            boot_id=identity.boot_id,
            pid=identity.pid,
            hostname=text(identity.hostname),
            local_name=identity.local_name,
            instance=identity.instance,
        ),
        streams=tuple(
            StreamOffer(
                name=name_in(s.name),
                schema=s.schema,
                capacity_bytes=s.capacity_bytes,
                is_reliable=s.is_reliable,
                epoch=s.epoch,
                next_sequence=s.next_sequence,
                guard_bytes=s.guard_bytes,
            )
            for s in reply.streams
        ),
        regions=tuple(_region_in(region) for region in reply.regions),
        transports=tuple(t for t in reply.transports if t in TRANSPORTS),
        verbs_missing=text(reply.verbs_missing),
    ), reply.challenge


def text(words: str, chars_max: int = _REASON_CHARS_MAX) -> str:
    """A stranger's words for people: nothing that a terminal would obey, and not too many."""
    return "".join(c if c.isprintable() else " " for c in words[:chars_max])


def _region_out(region: RegionOffer) -> pb.Region:
    return pb.Region(
        name=region.name,
        kind=region.kind,
        format=region.format,
        schema=region.schema,
        shape=region.shape,
        access=region.access,
    )


def _region_in(region: pb.Region) -> RegionOffer:
    need(region.kind in ("array", "table"), "a region is neither array nor table")
    need(region.access in ("read", "write", "atomic"), "a region's access is unknown")
    need(len(region.schema) <= _SCHEMA_BYTES_MAX, "a schema is too long")
    need(len(region.shape) <= _DIMENSIONS_MAX, "a region has too many axes")
    need(all(0 < extent < 1 << 40 for extent in region.shape), "a region's shape is impossible")
    return RegionOffer(
        name=name_in(region.name),
        kind=region.kind,
        format=region.format,
        schema=region.schema,
        shape=tuple(region.shape),
        access=region.access,
    )


def connect_request(ask: ConnectAsk, challenge: bytes, release: str) -> pb.ConnectRequest:
    """The caller's."""
    return pb.ConnectRequest(
        version=version(release),
        challenge=challenge,
        pair=pair_out(ask.pair),
        regions=ask.regions,
        probe_address=ask.probe.address,
        probe_key=ask.probe.remote_key,
        link=None if ask.link is None else link_out(ask.link),
    )


def ask_from(request: pb.ConnectRequest) -> ConnectAsk:
    """A caller's half, checked. The challenge is the server's business."""
    need(len(request.regions) <= REGIONS_ASKED_MAX, "it asks for too many regions at once")
    need(len(set(request.regions)) == len(request.regions), "it asks for a region twice")
    return ConnectAsk(
        pair=pair_in(request.pair),
        regions=tuple(name_in(name) for name in request.regions),
        probe=_probe_in(request.probe_address, request.probe_key),
        link=link_in(request.link) if request.HasField("link") else None,
    )


def _probe_in(address: int, remote_key: int) -> ProbeTarget:
    need(0 < address < (1 << 64) - PROBE_BYTES, "its probe memory is nowhere")
    return ProbeTarget(address=address, remote_key=remote_key)


def connect_reply(grant: ConnectGrant, session: bytes, within_seconds: float) -> pb.ConnectReply:
    """The node's answer."""
    return pb.ConnectReply(
        session=session,
        pair=pair_out(grant.pair),
        agreed=limits_out(grant.agreed),
        keys=[
            pb.RegionKey(
                region=_region_out(key.region),
                address=key.address,
                length_bytes=key.length_bytes,
                remote_key=key.remote_key,
            )
            for key in grant.keys
        ],
        probe_address=grant.probe.address,
        probe_key=grant.probe.remote_key,
        confirm_within_ms=int(within_seconds * 1000),
        link=None if grant.link is None else link_grant_out(grant.link),
    )


def grant_from(reply: pb.ConnectReply, ask: ConnectAsk) -> tuple[ConnectGrant, bytes]:
    """A node's half, checked against what was asked, and the session."""
    need(len(reply.session) == SESSION_BYTES, "its session has another length")
    keys = tuple(_key_in(key) for key in reply.keys)
    need(tuple(key.region.name for key in keys) == ask.regions, "it grants other regions")
    pair = pair_in(reply.pair)
    agreed = limits_in(reply.agreed)
    need(agreed == ask.pair.limits.common(pair.limits), "its limits are not the lesser of both")
    need(reply.HasField("link") == (ask.link is not None), "its link is not what was asked for")
    return ConnectGrant(
        pair=pair,
        agreed=agreed,
        keys=keys,
        probe=_probe_in(reply.probe_address, reply.probe_key),
        link=None if ask.link is None else link_grant_in(reply.link, ask.link),
    ), reply.session


def _key_in(key: Any) -> RegionKey:
    need(0 < key.length_bytes <= 1 << 40, "a region's length is impossible")
    need(key.address < (1 << 64) - key.length_bytes, "a region ends beyond all memory")
    return RegionKey(
        region=_region_in(key.region),
        address=key.address,
        length_bytes=key.length_bytes,
        remote_key=key.remote_key,
    )


def confirm_request(session: bytes, probed: Probed, proof: Proof) -> pb.ConfirmRequest:
    """The caller's."""
    return pb.ConfirmRequest(
        session=session,
        write_arrived=probed.write_arrived,
        read_arrived=probed.read_arrived,
        written=proof.written,
        read=proof.read,
    )


def confirm_reply(probed: Probed, proof: Proof) -> pb.ConfirmReply:
    """The node's answer."""
    return pb.ConfirmReply(
        write_arrived=probed.write_arrived,
        read_arrived=probed.read_arrived,
        written=proof.written,
        read=proof.read,
    )


def proof_from(message: pb.ConfirmRequest | pb.ConfirmReply) -> tuple[Probed, Proof]:
    """What the other side says of its probe; a claim, until our own memory bears it out."""
    probed = Probed(write_arrived=message.write_arrived, read_arrived=message.read_arrived)
    lengths = (len(message.written), len(message.read))
    need(lengths in ((NONCE_BYTES, NONCE_BYTES), (0, 0)), "its proof has another length")
    need(not probed.is_good or lengths[0] > 0, "its probe arrived, and it does not prove that")
    return probed, Proof(written=message.written, read=message.read)
