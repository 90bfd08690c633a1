"""Links of streams between plain messages and protobuf; what arrives is checked."""

from __future__ import annotations

from rdmaq.bootstrap import bootstrap_pb2 as pb
from rdmaq.bootstrap.messages import (
    CREDITS_MAX,
    DEPTH_MAX,
    STARTS,
    SUBSCRIPTION_BYTES,
    TAIL_MODES,
    LinkAsk,
    LinkGrant,
    RingKeys,
)
from rdmaq.bootstrap.wire_pair import name_in, need, pair_in, pair_out

# Frames begin at multiples of so many bytes; positions and sequences stay below the last bits, so
# that no sum of them runs over.
_ALIGN_BYTES = 32
_POSITION_END = _SEQUENCE_END = 1 << 62
_START_VALUE_END = 1 << 63
_RING_BYTES_MAX = 1 << 40
_LIVE_BYTES_MAX = 1 << 36


def _ring_out(ring: RingKeys) -> pb.Ring:
    return pb.Ring(
        data_address=ring.data_address,
        data_key=ring.data_key,
        live_address=ring.live_address,
        live_key=ring.live_key,
    )


def _ring_in(ring: pb.Ring) -> RingKeys:
    for address, length in (
        (ring.data_address, _RING_BYTES_MAX),
        (ring.live_address, _LIVE_BYTES_MAX),
    ):
        need(0 < address < (1 << 64) - length, "a ring's memory is nowhere")
        need(address % _ALIGN_BYTES == 0, "a ring's memory is not aligned")
    return RingKeys(
        data_address=ring.data_address,
        live_address=ring.live_address,
        data_key=ring.data_key,
        live_key=ring.live_key,
    )


def _position(position: int) -> int:
    need(position < _POSITION_END and position % _ALIGN_BYTES == 0, "a position is no frame's")
    return position


def link_out(link: LinkAsk) -> pb.LinkRequest:
    """The subscriber's."""
    return pb.LinkRequest(
        stream=link.stream,
        subscription=link.subscription,
        generation=link.generation,
        epoch=link.epoch,
        position=link.position,
        cursor=link.cursor,
        tail_mode=TAIL_MODES.index(link.tail_mode) + 1,  # type: ignore[arg-type]
        credit_count=link.credit_count,
        replica=_ring_out(link.replica),
        pair=pair_out(link.pair),
        start=STARTS.index(link.start),  # type: ignore[arg-type]
        start_value=link.start_value,
        is_held=link.is_held,
        depth=link.depth,
        receive_count_max=link.receive_count_max,
    )


def _is_receives(count: int) -> bool:
    return 0 < count <= CREDITS_MAX and count & (count - 1) == 0


def link_in(link: pb.LinkRequest) -> LinkAsk:
    """A subscriber's, checked."""
    need(len(link.subscription) == SUBSCRIPTION_BYTES, "its subscription has another length")
    need(link.generation > 0, "its link has no generation")
    need(0 < link.tail_mode <= len(TAIL_MODES), "how its tail is to move is unknown")
    tail_mode = TAIL_MODES[link.tail_mode - 1]
    receives, receives_max = link.credit_count, link.receive_count_max
    need(
        receives == 0 if tail_mode == "write" else _is_receives(receives),
        "its receives for tails are impossible",
    )
    need(receives_max == 0 or _is_receives(receives_max), "its receives for tails are impossible")
    need(link.depth <= DEPTH_MAX, "its chains in flight are impossible")
    need(link.cursor <= link.position, "its readers are ahead of its tail")
    need(0 <= link.start < len(STARTS), "where it is to begin is unknown")
    need(link.start_value < _START_VALUE_END, "where it is to begin is impossible")
    need(link.is_held or link.start == 0, "it asks for what was before, and not to READ it")
    pair = pair_in(link.pair)
    need(pair.receives == 0, "it has receives posted that no tail is for")
    return LinkAsk(
        stream=name_in(link.stream),
        subscription=link.subscription,
        generation=link.generation,
        epoch=link.epoch,
        position=_position(link.position),
        cursor=_position(link.cursor),
        tail_mode=tail_mode,
        credit_count=receives,
        replica=_ring_in(link.replica),
        pair=pair,
        start=STARTS[link.start],
        start_value=link.start_value,
        is_held=link.is_held,
        depth=link.depth,
        receive_count_max=receives_max,
    )


def link_grant_out(link: LinkGrant) -> pb.LinkReply:
    """The node's answer."""
    return pb.LinkReply(
        pair=pair_out(link.pair),
        start=link.start,
        sequence=link.sequence,
        deliver_sequence=link.deliver_sequence,
        origin_sequence=link.origin_sequence,
        ring=None if link.ring is None else _ring_out(link.ring),
        tail_mode=("", *TAIL_MODES).index(link.tail_mode),  # type: ignore[arg-type]
        credit_count=link.credit_count,
        depth=link.depth,
        clock=pb.Clock(
            base_ticks=link.clock[0], base_wall_ns=link.clock[1], ns_per_tick_q32=link.clock[2]
        ),
    )


def _tail_granted(link: pb.LinkReply, ask: LinkAsk) -> str:
    """How its tails come: nothing that was not offered. "": as was asked."""
    need(0 <= link.tail_mode <= len(TAIL_MODES), "how its tail is to move is unknown")
    granted = TAIL_MODES[link.tail_mode - 1] if link.tail_mode else ""
    tail_mode = granted or ask.tail_mode
    if tail_mode == "write":
        need(ask.tail_mode == "write", "its tails come in an order that our CPU may not see")
        need(link.credit_count == 0, "its tails need no receives")
    else:
        receives = link.credit_count or ask.credit_count
        offered = ask.credit_count or ask.receive_count_max
        need(_is_receives(receives) and receives <= offered, "its tails need receives we have not")
    return granted


def link_grant_in(link: pb.LinkReply, ask: LinkAsk) -> LinkGrant:
    """A node's half, checked against what was asked."""
    need(link.start > 0, "its link begins nowhere")
    need(link.start >= ask.position, "its link begins below what is here already")
    for sequence in (link.sequence, link.deliver_sequence, link.origin_sequence):
        need(sequence < _SEQUENCE_END, "its sequence is impossible")
    need(
        link.HasField("ring") == ask.is_held,
        "it does not open its ring to READs: its release is older than this one, run the same on "
        "both sides"
        if ask.is_held
        else "it opens its ring, and nobody asked for that",
    )
    tail_mode = _tail_granted(link, ask)
    need(link.depth <= (ask.depth or DEPTH_MAX), "it would have more chains in flight than asked")
    return LinkGrant(
        tail_mode=tail_mode,
        credit_count=link.credit_count,
        depth=link.depth,
        pair=pair_in(link.pair),
        start=_position(link.start),
        sequence=link.sequence,
        deliver_sequence=link.deliver_sequence,
        origin_sequence=link.origin_sequence,
        ring=_ring_in(link.ring) if ask.is_held else None,
        clock=(link.clock.base_ticks, link.clock.base_wall_ns, link.clock.ns_per_tick_q32),
    )


def begin_request(session: bytes, position: int, cursor: int) -> pb.BeginRequest:
    """The subscriber's."""
    return pb.BeginRequest(session=session, position=position, cursor=cursor)


def begin_in(request: pb.BeginRequest) -> tuple[int, int]:
    """Position and cursor, checked. The session is the server's business."""
    need(0 < request.cursor <= request.position, "its readers are nowhere, or ahead of its tail")
    return _position(request.position), _position(request.cursor)
