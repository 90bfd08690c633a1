"""Between plain messages and protobuf. What arrives is a stranger's: each field is checked here."""

from __future__ import annotations

from typing import Any

from rdmaq.bootstrap import bootstrap_pb2 as pb
from rdmaq.bootstrap.messages import (
    GID_KINDS,
    LINK_LAYERS,
    MAJOR,
    MINOR,
    NONCE_BYTES,
    PROBE_BYTES,
    TRANSPORTS,
    ConnectAsk,
    ConnectGrant,
    Description,
    Identity,
    Limits,
    PairAttributes,
    Probed,
    ProbeTarget,
    Proof,
    RegionKey,
    RegionOffer,
    StreamOffer,
)
from rdmaq.errors import BootstrapError

MESSAGE_BYTES_MAX = 4 << 20  # a description of some thousand streams; requests are far smaller
REQUEST_BYTES_MAX = 64 << 10
CHALLENGE_BYTES, SESSION_BYTES = 64, 16
NAME_BYTES_MAX = 192
REGIONS_ASKED_MAX = 256
_SCHEMA_BYTES_MAX = 32 << 10
_OFFERS_MAX = 20_000
_DIMENSIONS_MAX = 32
_MTU_BYTES = (256, 512, 1024, 2048, 4096)
_QP_NUM_MAX = _PSN_MAX = (1 << 24) - 1
_DEPTH_MAX = 255
_RECEIVES_MAX = 1 << 24
_REASON_CHARS_MAX = 1000


def version(release: str) -> pb.Version:
    """This side's."""
    return pb.Version(major=MAJOR, minor=MINOR, release=release)


def _need(is_good: bool, what: str) -> None:
    if not is_good:
        raise BootstrapError(
            f"the peer's message is not in order: {what}; run the same release on both sides"
        )


def _name(name: str) -> str:
    _need(0 < len(name.encode()) <= NAME_BYTES_MAX and name.isprintable(), "a name is no name")
    return name


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
        ),
        streams=[
            pb.Stream(
                name=s.name,
                schema=s.schema,
                capacity_bytes=s.capacity_bytes,
                is_reliable=s.is_reliable,
                epoch=s.epoch,
                next_sequence=s.next_sequence,
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
    _need(len(identity.boot_id) == 16, "its boot id has not 16 bytes")
    _need(len(reply.challenge) == CHALLENGE_BYTES, "its challenge has another length")
    _need(len(identity.hostname) <= 255 and len(identity.local_name) <= 64, "a name is too long")
    _need(len(reply.streams) + len(reply.regions) <= _OFFERS_MAX, "it offers too much to list")
    _need(all(len(s.schema) <= _SCHEMA_BYTES_MAX for s in reply.streams), "a schema is too long")
    return Description(
        release=reply.version.release[:64],
        identity=Identity(
            boot_id=identity.boot_id,
            pid=identity.pid,
            hostname=identity.hostname,
            local_name=identity.local_name,
        ),
        streams=tuple(
            StreamOffer(
                name=_name(s.name),
                schema=s.schema,
                capacity_bytes=s.capacity_bytes,
                is_reliable=s.is_reliable,
                epoch=s.epoch,
                next_sequence=s.next_sequence,
            )
            for s in reply.streams
        ),
        regions=tuple(_region_in(region) for region in reply.regions),
        transports=tuple(t for t in reply.transports if t in TRANSPORTS),
        verbs_missing=_text(reply.verbs_missing),
    ), reply.challenge


def _text(words: str) -> str:
    """A stranger's words for people: no control characters, and not too many."""
    return "".join(c if c.isprintable() else " " for c in words[:_REASON_CHARS_MAX])


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
    _need(region.kind in ("array", "table"), "a region is neither array nor table")
    _need(region.access in ("read", "write", "atomic"), "a region's access is unknown")
    _need(len(region.schema) <= _SCHEMA_BYTES_MAX, "a schema is too long")
    _need(len(region.shape) <= _DIMENSIONS_MAX, "a region has too many axes")
    _need(all(0 < extent < 1 << 40 for extent in region.shape), "a region's shape is impossible")
    return RegionOffer(
        name=_name(region.name),
        kind=region.kind,
        format=region.format,
        schema=region.schema,
        shape=tuple(region.shape),
        access=region.access,
    )


def _limits_out(limits: Limits) -> pb.Limits:
    return pb.Limits(
        mtu_bytes=limits.mtu_bytes,
        max_rd_atomic=limits.max_rd_atomic,
        max_inline_bytes=limits.max_inline_bytes,
        max_send_requests=limits.max_send_requests,
        max_receive_requests=limits.max_receive_requests,
    )


def _limits_in(limits: pb.Limits) -> Limits:
    _need(limits.mtu_bytes in _MTU_BYTES, "its path MTU is none")
    _need(limits.max_rd_atomic <= 255, "its READ depth is impossible")
    _need(0 < limits.max_send_requests <= 1 << 20, "its send queue is impossible")
    _need(limits.max_receive_requests <= 1 << 20, "its receive queue is impossible")
    _need(limits.max_inline_bytes <= 1 << 16, "its inline limit is impossible")
    return Limits(
        mtu_bytes=limits.mtu_bytes,
        max_rd_atomic=limits.max_rd_atomic,
        max_inline_bytes=limits.max_inline_bytes,
        max_send_requests=limits.max_send_requests,
        max_receive_requests=limits.max_receive_requests,
    )


def _pair_out(pair: PairAttributes) -> pb.PairAttributes:
    return pb.PairAttributes(
        qp_num=pair.qp_num,
        psn=pair.psn,
        gid=pair.gid,
        lid=pair.lid,
        limits=_limits_out(pair.limits),
        link_layer=LINK_LAYERS.index(pair.link_layer) + 1,  # type: ignore[arg-type]
        gid_kind=GID_KINDS.index(pair.gid_kind) + 1,  # type: ignore[arg-type]
        initiator_depth=pair.initiator_depth,
        responder_depth=pair.responder_depth,
        receives=pair.receives,
    )


def _pair_in(pair: pb.PairAttributes) -> PairAttributes:
    _need(1 < pair.qp_num <= _QP_NUM_MAX, "its queue pair number is none")
    _need(pair.psn <= _PSN_MAX, "its packet sequence number is none")
    _need(len(pair.gid) == 16, "its GID has not 16 bytes")
    _need(pair.lid < 1 << 16, "its LID is none")
    _need(0 < pair.link_layer <= len(LINK_LAYERS), "its link layer is unknown")
    _need(0 < pair.gid_kind <= len(GID_KINDS), "the kind of its GID is unknown")
    link_layer, gid_kind = LINK_LAYERS[pair.link_layer - 1], GID_KINDS[pair.gid_kind - 1]
    is_infiniband = link_layer == "InfiniBand"
    _need(
        is_infiniband == (gid_kind == "InfiniBand"),
        f"{link_layer} has no GIDs of the kind {gid_kind}",
    )
    _need(
        any(pair.gid) or (is_infiniband and pair.lid != 0), "neither GID nor LID says where it is"
    )
    _need(pair.gid[0] != 0xFF, "its GID is many ports' at once, not one's")
    _need(is_infiniband or pair.lid == 0, "it has a LID on Ethernet")
    _need(0 < pair.initiator_depth <= _DEPTH_MAX, "its READs in flight are impossible")
    _need(0 < pair.responder_depth <= _DEPTH_MAX, "its READs to be answered are impossible")
    _need(pair.receives <= _RECEIVES_MAX, "its receives are impossible")
    return PairAttributes(
        qp_num=pair.qp_num,
        psn=pair.psn,
        gid=pair.gid,
        gid_kind=gid_kind,
        lid=pair.lid,
        link_layer=link_layer,
        initiator_depth=pair.initiator_depth,
        responder_depth=pair.responder_depth,
        receives=pair.receives,
        limits=_limits_in(pair.limits),
    )


def connect_request(ask: ConnectAsk, challenge: bytes, release: str) -> pb.ConnectRequest:
    """The caller's."""
    return pb.ConnectRequest(
        version=version(release),
        challenge=challenge,
        pair=_pair_out(ask.pair),
        regions=ask.regions,
        probe_address=ask.probe.address,
        probe_key=ask.probe.remote_key,
    )


def ask_from(request: pb.ConnectRequest) -> ConnectAsk:
    """A caller's half, checked. The challenge is the server's business."""
    _need(len(request.regions) <= REGIONS_ASKED_MAX, "it asks for too many regions at once")
    _need(len(set(request.regions)) == len(request.regions), "it asks for a region twice")
    return ConnectAsk(
        pair=_pair_in(request.pair),
        regions=tuple(_name(name) for name in request.regions),
        probe=_probe_in(request.probe_address, request.probe_key),
    )


def _probe_in(address: int, remote_key: int) -> ProbeTarget:
    _need(0 < address < (1 << 64) - PROBE_BYTES, "its probe memory is nowhere")
    return ProbeTarget(address=address, remote_key=remote_key)


def connect_reply(grant: ConnectGrant, session: bytes, within_seconds: float) -> pb.ConnectReply:
    """The node's answer."""
    return pb.ConnectReply(
        session=session,
        pair=_pair_out(grant.pair),
        agreed=_limits_out(grant.agreed),
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
    )


def grant_from(reply: pb.ConnectReply, ask: ConnectAsk) -> tuple[ConnectGrant, bytes]:
    """A node's half, checked against what was asked, and the session."""
    _need(len(reply.session) == SESSION_BYTES, "its session has another length")
    keys = tuple(_key_in(key) for key in reply.keys)
    _need(tuple(key.region.name for key in keys) == ask.regions, "it grants other regions")
    pair = _pair_in(reply.pair)
    agreed = _limits_in(reply.agreed)
    _need(agreed == ask.pair.limits.common(pair.limits), "its limits are not the lesser of both")
    return ConnectGrant(
        pair=pair,
        agreed=agreed,
        keys=keys,
        probe=_probe_in(reply.probe_address, reply.probe_key),
    ), reply.session


def _key_in(key: Any) -> RegionKey:
    _need(0 < key.length_bytes <= 1 << 40, "a region's length is impossible")
    _need(key.address < (1 << 64) - key.length_bytes, "a region ends beyond all memory")
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
    _need(lengths in ((NONCE_BYTES, NONCE_BYTES), (0, 0)), "its proof has another length")
    _need(not probed.is_good or lengths[0] > 0, "its probe arrived, and it does not prove that")
    return probed, Proof(written=message.written, read=message.read)
