"""The hand-over's messages: one JSON object per SOCK_SEQPACKET packet, descriptors beside it.

Whatever arrives is a stranger's: sizes are bounded, descriptors are closed unless they are wanted,
and every field is checked by who uses it.
"""

from __future__ import annotations

import array
import json
import os
import socket
import struct
from contextlib import suppress
from typing import Any

from rdmaq.errors import HandoverError

PROTOCOL = 1
PACKET_BYTES_MAX = 96 << 10
DESCRIPTORS_MAX = 4
_UCRED = struct.Struct("3i")  # pid, uid, gid: struct ucred of unix(7)


def peer_credentials(sock: socket.socket) -> tuple[int, int]:
    """(pid, uid) of the process at the other end, by SO_PEERCRED; pid 0: not visible from here."""
    pid, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return pid, uid


def open_pidfd(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None where there is none."""
    if pid <= 0:
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def send_packet(sock: socket.socket, message: dict[str, Any], descriptors: list[int]) -> None:
    """Sends one message. Raises OSError when the peer is gone or does not read."""
    packet = json.dumps({"rdmaq": PROTOCOL, **message}).encode()
    rights = array.array("i", descriptors)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
    sock.sendmsg([packet], ancillary, socket.MSG_NOSIGNAL)


def receive_packet(sock: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Receives one message and its descriptors, which are the caller's to close.

    Raises:
        HandoverError: the peer hung up, or sent what is no message; nothing is left open.
        OSError: from the socket, a time-out among them.
    """
    packet, ancillary, flags, _ = sock.recvmsg(
        PACKET_BYTES_MAX, socket.CMSG_SPACE(DESCRIPTORS_MAX * 4), socket.MSG_CMSG_CLOEXEC
    )
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    try:
        return _parse(packet, flags), descriptors.tolist()
    except HandoverError:
        close_all(descriptors.tolist())
        raise


def close_all(descriptors: list[int]) -> None:
    """Closes descriptors that nobody wants."""
    for fd in descriptors:
        with suppress(OSError):
            os.close(fd)


def _parse(packet: bytes, flags: int) -> dict[str, Any]:
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        raise HandoverError("the peer sent an oversized packet: it speaks another protocol")
    if not packet:
        raise HandoverError("the peer hung up during the hand-over: look at its own log")
    try:
        message = json.loads(packet)
    except (ValueError, RecursionError) as error:
        raise HandoverError(f"the peer sent no hand-over message: {error}") from error
    if not isinstance(message, dict):
        raise HandoverError("the peer sent no hand-over message: it is no JSON object")
    if message.get("rdmaq") != PROTOCOL:
        raise HandoverError(
            f"the peer speaks hand-over protocol {message.get('rdmaq')!r}, this side {PROTOCOL}: "
            "run the same release on both sides"
        )
    return message
