"""What a packet filter does with one packet, as far as its rules tell: passed, dropped, or maybe.

Rules come from nft (nft.py) or iptables (iptables.py) in one form. A condition is True, False or
None: it depends on what is not known of the packet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

ROCE_PORT = 4791  # RoCE v2 (IBTA annex A17)
PROTOCOL, PROTOCOL_NUMBER = "udp", 17
_DEPTH_MAX = 32

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """A packet of RoCE v2.

    Attributes:
        is_incoming: whether it comes or goes.
        interface: by which network interface.
        own: our address.
        peer: the other's; None: anybody's.
    """

    is_incoming: bool
    interface: str
    own: Address
    peer: Address | None = None

    @property
    def source(self) -> Address | None:
        """Where it is from."""
        return self.peer if self.is_incoming else self.own

    @property
    def destination(self) -> Address | None:
        """Where it goes."""
        return self.own if self.is_incoming else self.peer


Condition = Callable[[Packet], bool | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is done with a packet that meets all conditions.

    Attributes:
        action: "accept", "drop", "return", "jump", "goto", or "" to go on.
        target: the chain to jump to.
        label: how people find it.
    """

    conditions: tuple[Condition, ...]
    action: str
    label: str
    target: str = ""

    def applies(self, packet: Packet) -> bool | None:
        """Whether it is for that packet."""
        answers = [condition(packet) for condition in self.conditions]
        if False in answers:
            return False
        return None if None in answers else True


@dataclass(slots=True, kw_only=True)
class Chain:
    """Rules in their order.

    Attributes:
        name: how people find it.
        hook: "prerouting", "input", "output", "postrouting", "ingress", "egress", or "" for one
            that is only jumped to.
        priority: of chains of one hook the lowest comes first.
        policy: what befalls a packet that no rule decides on: "accept" or "drop".
        family: "ip", "ip6", "inet", "netdev".
        interface: whose packets only, for hooks of an interface; "" for all.
        opening: the command that lets RoCE v2 through.
        kin: the chains that its rules may jump to, by name.
    """

    name: str
    family: str
    hook: str = ""
    priority: int = 0
    policy: str = "accept"
    interface: str = ""
    opening: str = ""
    rules: list[Rule] = field(default_factory=list)
    kin: dict[str, Chain] = field(default_factory=dict)

    def meets(self, packet: Packet) -> bool:
        """Whether packets like this one come by."""
        hooks = (
            ("ingress", "prerouting", "input")
            if packet.is_incoming
            else ("output", "postrouting", "egress")
        )
        families = ("inet", "netdev", "ip" if packet.own.version == 4 else "ip6")
        return (
            self.hook in hooks
            and self.family in families
            and self.interface in ("", packet.interface)
        )


@dataclass(frozen=True, slots=True)
class Drop:
    """The packet does not pass, or may not.

    Attributes:
        chain: the base chain, by name.
        label: the rule or policy.
        is_sure: False: it depends on what is not known of the packet.
    """

    chain: Chain
    label: str
    is_sure: bool


def drop_of(chains: Sequence[Chain], packet: Packet) -> Drop | None:
    """Where a packet would be dropped first; None: it passes. A sure one before a doubtful one."""
    doubtful = None
    for chain in sorted((c for c in chains if c.meets(packet)), key=lambda c: c.priority):
        walk = _Walk(packet)
        action, label = walk.through(chain)
        if action == "":
            action, label = chain.policy, f"the policy of {chain.name}"
        if action == "drop" and not walk.may_be_accepted:
            return Drop(chain, label, is_sure=True)
        may_drop = label if action == "drop" else walk.may_be_dropped_by
        if may_drop and doubtful is None:
            doubtful = Drop(chain, may_drop, is_sure=False)
    return doubtful


class _Walk:
    """One packet's way through a base chain and those it jumps to."""

    def __init__(self, packet: Packet) -> None:
        self._packet = packet
        self.may_be_accepted = False
        self.may_be_dropped_by = ""

    def through(self, chain: Chain, depth: int = 0) -> tuple[str, str]:
        """The first final action, "" for none, and the rule's label."""
        for rule in chain.rules:
            applies = rule.applies(self._packet)
            if applies is False:
                continue
            action, label = rule.action, rule.label
            if action in ("jump", "goto"):
                target = chain.kin.get(rule.target)
                if target is None or depth == _DEPTH_MAX:
                    continue
                is_goto = action == "goto"
                action, label = self.through(target, depth + 1)
                if is_goto and applies and not action:
                    return "", ""
            if action == "return" and applies:
                return "", ""
            if action in ("accept", "drop"):
                if applies:
                    return action, label
                if action == "accept":
                    self.may_be_accepted = True
                else:
                    self.may_be_dropped_by = self.may_be_dropped_by or label
        return "", ""
