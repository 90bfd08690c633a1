"""The hand-over's packets: whatever arrives is a message or a HandoverError, and nothing leaks."""

from __future__ import annotations

import socket

from hypothesis import example, given
from hypothesis import strategies as st

from rdmaq.errors import HandoverError
from rdmaq.shm import wire
from tests.hostile.rig import no_descriptor_leaks, send_raw


@given(
    st.binary(min_size=1, max_size=200)
    | st.text(min_size=1).map(lambda text: text.encode("utf-8")),
    st.integers(0, 9),
)
@example(b'{"rdmaq":1}', 5)
@example(b"[" * 90_000, 1)
@example(b'{"rdmaq":' + b"1" * 9000 + b"}", 1)
@example(b"x" * (wire.PACKET_BYTES_MAX + 1), 2)
@example(b"\xff\xfe\x00", 0)
def test_random_packet_is_a_message_or_a_handover_error(packet: bytes, gift_count: int) -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right, no_descriptor_leaks():
        send_raw(left, packet, [0] * gift_count)
        try:
            message, descriptors = wire.receive_packet(right)
        except HandoverError:
            return
        assert message["rdmaq"] == wire.PROTOCOL
        assert len(descriptors) == gift_count <= wire.DESCRIPTORS_MAX
        wire.close_all(descriptors)
