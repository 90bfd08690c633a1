"""One entry of a port's GID table, and which of several to use."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

ROCE_V2 = "RoCE v2"
ROCE_V1 = "RoCE v1"
INFINIBAND = "InfiniBand"
KINDS = (INFINIBAND, ROCE_V1, ROCE_V2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gid:
    """A global identifier: for RoCE an IP address, by which a peer reaches the port.

    Attributes:
        index: its place in the port's table; the peer never sees it.
        value: the 128 bits, written as an IPv6 address.
        kind: "RoCE v2" (over UDP, may be routed), "RoCE v1" (one Ethernet segment) or "InfiniBand".
        interface: the network interface whose address it is, "" for InfiniBand.
    """

    index: int
    value: IPv6Address
    kind: str
    interface: str = ""

    @property
    def address(self) -> IPv4Address | IPv6Address:
        """The IP address that the GID stands for."""
        return self.value.ipv4_mapped or self.value

    @property
    def is_null(self) -> bool:
        """Whether nobody can be reached by it."""
        return self.value == IPv6Address(0)

    @property
    def is_link_local(self) -> bool:
        """Whether it means something on its own segment only, and not even there without doubt."""
        return self.address.is_link_local or self.address.is_loopback

    def __str__(self) -> str:
        return f"{self.address} ({self.kind}, index {self.index})"


def rank(gid: Gid) -> tuple[bool, bool, bool, bool, int]:
    """How far a GID stands back: the smallest is the one to use.

    Null and link-local ones come last, so they are taken only where there is nothing else; then
    RoCE v2 before all others, IPv4 before IPv6 (where both are set up, more networks route it),
    and the table's own order.
    """
    is_ipv6 = gid.value.ipv4_mapped is None
    return gid.is_null, gid.is_link_local, gid.kind != ROCE_V2, is_ipv6, gid.index


def full_text(value: IPv6Address) -> str:
    """All eight groups, as pyverbs takes a GID."""
    return value.exploded
