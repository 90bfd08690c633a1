"""What may be tuned about the links of streams, in one place; each bound is checked."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field, replace
from pathlib import Path

from rdmaq import arguments
from rdmaq._fast import lib
from rdmaq.errors import PairError
from rdmaq.verbs.settings import PairSettings

TAILS = ("auto", "write", "imm")
_FOLDER = Path("/sys/class/infiniband")
# Where a WRITE that was posted later is seen later: these drivers, on this CPU, as long as their
# relaxed ordering is not asked for (design: visibility is a platform property).
_ORDERED_DRIVERS = ("mlx5_core",)
_ORDERED_MACHINE = "x86_64"
_INLINE_BYTES = 64  # a heartbeat


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """How a link behaves: the queue pairs by which a publisher's NIC writes a subscriber's ring.

    Both sides may have settings (`Node`, `Node.publish`; `connect`, `Peer.subscribe`). Where both
    have a say the lesser counts; `Subscription.negotiated()` and `Publisher.links()` tell it.

    Attributes:
        tail: how the subscriber learns how far his ring is written: "write" (a WRITE behind the
            data, for devices that keep their order), "imm" (his CPU stores it after a completion,
            for any), or "auto": "write" for devices known to keep the order, else "imm". The
            subscriber's device decides; "imm" of either side counts.
        depth: chains that the publisher may have in flight, 1 to 64; the lesser of both sides.
        credits: receives for "imm", a power of two up to 256; the lesser of both sides.
        timers: each side's own queue pair: its time-outs, retries, MTU, classes, hops and
            partition; no depths, nor READs in flight. Without an MTU a subscriber's has that of the
            `pair_settings` of `connect`.
        silent_seconds: the subscriber's: without a heartbeat for so long the stream is silent.

    Raises:
        ValueError: one of them is out of range.
        PairError: `timers` are none.
    """

    tail: str = "auto"
    depth: int = 16
    credits: int = 64
    timers: PairSettings = field(default_factory=PairSettings)
    silent_seconds: float = 1.0

    def __post_init__(self) -> None:
        """Refuses what no link can have."""
        arguments.choice("tail", self.tail, TAILS)
        cure = "16 chains fill any wire"
        arguments.whole("depth", self.depth, 1, lib.RQ_LINK_DEPTH_MAX, cure)
        cure = "64 are two a chain in flight"
        arguments.whole("credits", self.credits, 1, lib.RQ_LINK_CREDITS_MAX, cure)
        if self.credits & (self.credits - 1):
            raise ValueError(
                f"credits={self.credits}: their count must be a power of two; use "
                f"{1 << (self.credits - 1).bit_length()}"
            )
        silent = arguments.seconds("silent_seconds", self.silent_seconds)
        if not 0.2 <= silent <= 3600:
            raise ValueError(
                f"silent_seconds={silent}: heartbeats come every tenth of a second; use 0.2 to 3600"
            )
        if not isinstance(self.timers, PairSettings):
            raise PairError(
                f"timers={arguments.shown(self.timers)} are none: use rdmaq.verbs.PairSettings(...)"
            )

    def sending(self) -> PairSettings:
        """Of the publisher's pair."""
        # Data, data behind the wrap, tail, for each chain; a READ, a heartbeat, the origin.
        return self._pair(3 * self.depth + 3, 0)

    def receiving(self, mtu_bytes: int | None = None) -> PairSettings:
        """Of the subscriber's pair, which sends nothing; its publisher may insist on "imm".

        Args:
            mtu_bytes: of the session, whose packets get through; None: whatever the ports can.
        """
        pair = self._pair(4, self.credits)
        return replace(pair, mtu_bytes=pair.mtu_bytes or mtu_bytes)

    def _pair(self, send_depth: int, receive_depth: int) -> PairSettings:
        return replace(
            self.timers,
            max_rd_atomic=PairSettings().max_rd_atomic,
            inline_bytes=_INLINE_BYTES,
            send_depth=send_depth,
            receive_depth=receive_depth,
        )

    def tail_mode(self, device: str) -> str:
        """Says "write" or "imm", for memory that this device writes.

        Args:
            device: its name, "mlx5_0".
        """
        if self.tail != "auto":
            return self.tail
        return "write" if keeps_order(_FOLDER / device, platform.machine()) else "imm"


def keeps_order(folder: Path, machine: str) -> bool:
    """Whether WRITEs of a device become visible to the CPU in the order of their posting.

    Args:
        folder: the device's in sysfs.
        machine: the CPU's kind, as `platform.machine()` says it.
    """
    if machine != _ORDERED_MACHINE:
        return False
    if (folder / "parent").exists():  # rdma_rxe: a CPU copies, packet after packet
        return True
    driver = folder / "device" / "driver"
    return driver.is_symlink() and driver.readlink().name in _ORDERED_DRIVERS
