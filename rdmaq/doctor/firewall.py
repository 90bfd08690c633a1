"""The local firewall: whether its rules let RoCE v2 (4791/udp) come and go.

Only software devices (rdma_rxe) send through the kernel: an adapter's packets meet no rule of the
host's.
"""

from __future__ import annotations

from collections.abc import Iterator

from rdmaq.doctor import iptables, nft
from rdmaq.doctor.finding import BAD, NOTE, Finding, Symptom, fine, unseen
from rdmaq.doctor.machine import Machine
from rdmaq.doctor.verdicts import Address, Chain, Packet, drop_of

_CURE = (
    "let 4791/udp through: {opening} (where firewalld rules: firewall-cmd --add-port=4791/udp; "
    "ufw: ufw allow 4791/udp)"
)
DROPS = Symptom(
    name="firewall-drops",
    check="firewall",
    level=BAD,
    words="the firewall drops what {way} {interface} by RoCE v2 (4791/udp): {rule}",
    cure=_CURE,
)
MAY_DROP = Symptom(
    name="firewall-may-drop",
    check="firewall",
    level=NOTE,
    words="the firewall may drop what {way} {interface} by RoCE v2 (4791/udp), depending on what "
    "cannot be told from here (who sends it, how long it is): {rule}",
    cure=_CURE,
)
SYMPTOMS = (DROPS, MAY_DROP)


def check_firewall(machine: Machine, peer: Address | None = None) -> Iterator[Finding]:
    """Walks a packet each way, of each software port, through the rules.

    Args:
        machine: whose rules.
        peer: who sends and receives; None: anybody.
    """
    ends = list(_software_ends(machine))
    if not ends:
        if machine.ports:
            yield fine("firewall", "packets of hardware devices meet no rule of this host")
        return
    chains, why_not = _rules(machine)
    if why_not:
        yield unseen("firewall", why_not)
        return
    told = set()
    for interface, own in ends:
        if peer is not None and peer.version != own.version:
            continue
        for is_incoming in (True, False):
            packet = Packet(is_incoming=is_incoming, interface=interface, own=own, peer=peer)
            drop = drop_of(chains, packet)
            if drop is None or (drop.label, interface, is_incoming) in told:
                continue
            told.add((drop.label, interface, is_incoming))
            yield (DROPS if drop.is_sure else MAY_DROP).found(
                way="comes in by" if is_incoming else "leaves by",
                interface=interface,
                rule=drop.label,
                opening=drop.chain.opening,
            )
    if not told:
        yield fine("firewall", "no rule of this host drops 4791/udp")


def _software_ends(machine: Machine) -> Iterator[tuple[str, Address]]:
    """Interface and address of each GID of a software device, as rdma_rxe makes them."""
    for port in machine.ports:
        # Such a device says which interface it was made on; an adapter has no such file.
        if port.is_active and machine.text(f"sys/class/infiniband/{port.device}/parent"):
            for gid in port.gids:
                if not gid.is_link_local:
                    yield gid.interface, gid.address


def _rules(machine: Machine) -> tuple[list[Chain], str]:
    """All rules, and why they are not known, if so."""
    loaded = machine.modules()
    found: list[Chain] = []
    if "nf_tables" in loaded:
        text = machine.output(["nft", "-j", "list", "ruleset"])
        if text is None:
            return [], _unread(machine, "nft")
        found += nft.chains(text)
    for module, names, words, family in (
        ("ip_tables", "ip_tables_names", ("iptables-legacy-save", "iptables-save"), "ip"),
        ("ip6_tables", "ip6_tables_names", ("ip6tables-legacy-save", "ip6tables-save"), "ip6"),
    ):
        # Without a table in use there is no rule; who may not read that may read no rule, either.
        if module not in loaded or not (
            machine.text(f"proc/net/{names}") or not machine.may_read(f"proc/net/{names}")
        ):
            continue
        text = next((t for word in words if (t := machine.output([word])) is not None), None)
        if text is None:
            return [], _unread(machine, words[-1])
        found += iptables.chains(text, family)
    return found, ""


def _unread(machine: Machine, program: str) -> str:
    if machine.has_program(program):
        return "the firewall's rules were not looked at: reading them takes root"
    return f"the firewall's rules were not looked at: the program {program} is not installed"
