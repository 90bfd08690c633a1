"""The memory by which each side proves to the other that its WRITEs and READs arrive.

8 KiB of each side's, open to the other side of one connection:

      0  16 outbox    random; the other side READs it, and tells what it read
     64  16 inbox     the other side WRITEs random bytes here, and tells what they were
    128  16 farewell  the node WRITEs here why it ends the session, little-endian; 0: it does not;
                      and from byte 136 the cause of a link's end (link_facts.packed), or 0
    192  80 scratch   where our own operations begin and end
   4096  4 K packet    the caller WRITEs and READs here as many bytes as the MTU has

The other side can write all of it. That proves nothing to it but what it proves anyhow: that its
operations get through. What is compared is kept apart from it.
"""

from __future__ import annotations

import hmac
import secrets
from enum import IntEnum
from typing import TYPE_CHECKING

from rdmaq.bootstrap.messages import NONCE_BYTES, PROBE_BYTES, Probed, ProbeTarget, Proof
from rdmaq.errors import OperationFailed
from rdmaq.verbs.constants import Access, Status
from rdmaq.verbs.memory import RemoteMemory

if TYPE_CHECKING:
    from rdmaq.verbs.domain import Domain
    from rdmaq.verbs.operation import Operation
    from rdmaq.verbs.pair import Pair

#: What the text of a failed connection says where a probe got no answer.
LOST = "probe did not get through"
OPEN = Access.REMOTE_READ | Access.REMOTE_WRITE
_OUTBOX = slice(0, NONCE_BYTES)
_INBOX = slice(64, 64 + NONCE_BYTES)
_FAREWELL, _CAUSE = slice(128, 136), slice(136, 144)
_WRITTEN = slice(192, 192 + NONCE_BYTES)
_READ_BACK = slice(208, 208 + NONCE_BYTES)
_READ = slice(224, 224 + NONCE_BYTES)
_BEAT = slice(248, 256)
_WORDS = slice(256, 272)
_PACKET_AT = 4096


class Farewell(IntEnum):
    """Why a node ended a session."""

    NONE = 0
    CLOSED = 1  # the node was closed
    REVOKED = 2  # what the session was for is not exported any more
    LINK_ENDED = 3  # its stream's link failed, or its stream was closed
    CUT_OFF = 4  # its reader stood in a reliable publisher's way for too long


class ProbeMemory:
    """One side's probe memory, registered.

    Args:
        domain: whose pair's peer is to reach it.
        access: `OPEN`, or `Access.WINDOWS` where a window opens it.
    """

    __slots__ = ("_nonce", "memory")

    def __init__(self, domain: Domain, access: Access) -> None:
        self._nonce = secrets.token_bytes(NONCE_BYTES)
        buffer = bytearray(PROBE_BYTES)
        buffer[_OUTBOX] = self._nonce
        self.memory = domain.register(buffer, access)

    def exchange(self, pair: Pair, target: RemoteMemory) -> Proof:
        """WRITEs to and READs from the other side's; returns what only who did so can know.

        Raises:
            OperationFailed: they do not get through; the pair's timers bound how long that takes.
        """
        written = secrets.token_bytes(NONCE_BYTES)
        self.memory.buffer[_WRITTEN] = written
        chain = pair.batch().write(self.memory[_WRITTEN], target[_INBOX])
        chain.read(self.memory[_READ_BACK], target[_INBOX])
        chain.read(self.memory[_READ], target[_OUTBOX]).post().wait()
        if bytes(self.memory.buffer[_READ_BACK]) != written:
            raise _other_bytes(pair)
        return Proof(written=written, read=bytes(self.memory.buffer[_READ]))

    def exchange_packet(self, pair: Pair, target: RemoteMemory) -> None:
        """WRITEs and READs one packet as large as the MTU: so both directions carry one.

        Raises:
            OperationFailed: they do not get through.
        """
        part = slice(_PACKET_AT, _PACKET_AT + pair.attributes.mtu_bytes)
        written = secrets.token_bytes(pair.attributes.mtu_bytes)
        self.memory.buffer[part] = written
        own, their = self.memory[part], target[part]
        pair.write(own, their).wait()
        self.memory.buffer[part] = bytes(len(written))
        pair.read(own, their).wait()
        if bytes(self.memory.buffer[part]) != written:
            raise _other_bytes(pair)

    def bears_out(self, proof: Proof) -> Probed:
        """What of the other side's proof our own memory bears out."""
        inbox = bytes(self.memory.buffer[_INBOX])
        return Probed(
            write_arrived=hmac.compare_digest(inbox, proof.written),
            read_arrived=hmac.compare_digest(self._nonce, proof.read),
        )

    @property
    def target(self) -> ProbeTarget:
        """What to tell the other side, where no window opens the memory."""
        return ProbeTarget(address=self.memory.address, remote_key=self.memory.rkey)

    # ---- later in the session's life ----

    def beat(self, pair: Pair, target: RemoteMemory) -> Operation:
        """Begins a READ of eight bytes: it ends well as long as the other side's pair is there."""
        return pair.read(self.memory[_BEAT], target[_OUTBOX][0:8])

    def say(self, pair: Pair, target: RemoteMemory, why: Farewell, cause: int = 0) -> Operation:
        """Begins to tell the other side that the session ends, and of what cause a link did."""
        buffer = self.memory.buffer
        if buffer is None:  # it has ended by itself meanwhile
            raise self.memory.closed_error()
        buffer[_WORDS] = int(why).to_bytes(8, "little") + cause.to_bytes(8, "little")
        return pair.write(self.memory[_WORDS], target[_FAREWELL.start : _CAUSE.stop])

    @property
    def farewell(self) -> int:
        """What the other side wrote there; a load of eight bytes."""
        return self._number_at(_FAREWELL)

    @property
    def farewell_cause(self) -> int:
        """Of a link's end, packed; 0 where none was told."""
        return self._number_at(_CAUSE)

    def _number_at(self, where: slice) -> int:
        buffer = self.memory.buffer
        return 0 if buffer is None else int.from_bytes(buffer[where], "little")


def _other_bytes(pair: Pair) -> OperationFailed:
    return OperationFailed(
        f"a probe on {pair.facts} read back other bytes than it wrote: something between the two "
        "memories is broken; look at the kernel's logs of both sides",
        status=Status.GENERAL_ERR,
        opcode="READ",
    )


def remote(target: ProbeTarget) -> RemoteMemory:
    """The other side's probe memory, as it told of it."""
    return RemoteMemory(address=target.address, length=PROBE_BYTES, rkey=target.remote_key)
