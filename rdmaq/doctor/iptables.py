"""Reads what `iptables-save` prints (iptables(8)) into chains of rules."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network

from rdmaq.doctor.verdicts import (
    PROTOCOL,
    PROTOCOL_NUMBER,
    ROCE_PORT,
    Chain,
    Condition,
    Packet,
    Rule,
)

_HOOKS = ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")
_PRIORITY = {"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50}
_FINAL = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "drop", "RETURN": "return"}
_GO_ON = {"LOG", "NFLOG", "MARK", "CONNMARK", "TCPMSS", "TOS", "DSCP", "CT", "NOTRACK", "SET", ""}
_UDP = {PROTOCOL, str(PROTOCOL_NUMBER), "all", "0"}


def chains(text: str, family: str) -> list[Chain]:
    """Every chain of every table; what cannot be read counts as a condition that is not known.

    Args:
        text: of iptables-save, or of ip6tables-save.
        family: "ip" or "ip6".
    """
    found: list[Chain] = []
    table, kin = "", dict[str, Chain]()
    for line in text.splitlines():
        if line.startswith("*"):
            table, kin = line[1:].strip(), {}
        elif line.startswith(":"):
            name, policy, *_ = line[1:].split()
            chain = Chain(
                name=f"{family}tables {table} {name}",
                family=family,
                hook=name.lower() if name in _HOOKS else "",
                priority=_PRIORITY.get(table, 0),
                policy="drop" if policy == "DROP" else "accept",
                opening=f"{family}tables -t {table} -I {name} -p udp --dport 4791 -j ACCEPT",
                kin=kin,
            )
            kin[name] = chain
            found.append(chain)
        elif line.startswith("-A "):
            words = shlex.split(line)
            if words[1] in kin:
                kin[words[1]].rules.append(_rule(words[2:], label=f"`{line}`"))
    return found


def _rule(words: list[str], *, label: str) -> Rule:
    conditions: list[Condition] = []
    action, target = "", ""
    for option, values, is_not in _options(words):
        value = values[0] if values else ""
        if option in ("-j", "-g"):
            if value in _FINAL:
                action = _FINAL[value]
            elif value not in _GO_ON:
                action, target = "jump" if option == "-j" else "goto", value
        elif option in _CONDITIONS:
            conditions.append(_negated(_CONDITIONS[option](value), is_not))
        elif option not in _WITHOUT_EFFECT:
            conditions.append(lambda _: None)
    return Rule(conditions=tuple(conditions), action=action, target=target, label=label)


def _options(words: list[str]) -> Iterator[tuple[str, list[str], bool]]:
    """Options with their values, and whether `!` stands before."""
    place = 0
    while place < len(words):
        is_not = words[place] == "!"
        place += is_not
        option, values = words[place] if place < len(words) else "", []
        place += 1
        while place < len(words) and words[place] != "!" and not words[place].startswith("-"):
            values.append(words[place])
            place += 1
        yield option, values, is_not


def _negated(condition: Condition, is_not: bool) -> Condition:
    def other(packet: Packet) -> bool | None:
        answer = condition(packet)
        return answer if answer is None else not answer

    return other if is_not else condition


def _protocol(value: str) -> Condition:
    return lambda _: value in _UDP


def _port(value: str) -> Condition:
    ranges = [part.split(":") for part in value.split(",")]

    def fits(_: Packet) -> bool | None:
        try:
            return any(int(ends[0] or 0) <= ROCE_PORT <= int(ends[-1] or 65535) for ends in ranges)
        except ValueError:
            return None

    return fits


def _interface(value: str, *, is_in: bool) -> Condition:
    def fits(packet: Packet) -> bool:
        if packet.is_incoming != is_in:
            return False
        name = packet.interface
        return name.startswith(value[:-1]) if value.endswith("+") else name == value

    return fits


def _address(value: str, *, is_source: bool) -> Condition:
    def fits(packet: Packet) -> bool | None:
        known = packet.source if is_source else packet.destination
        try:
            network = ip_network(value, strict=False)
        except ValueError:
            return None
        return None if known is None else ip_address(str(known)) in network

    return fits


def _state(value: str) -> Condition:
    # Each direction is a flow of its own to the kernel (other ports), and never answered.
    return lambda _: "NEW" in value.split(",")


_CONDITIONS: dict[str, Callable[[str], Condition]] = {
    "-p": _protocol,
    "--dport": _port,
    "--dports": _port,
    "-i": lambda value: _interface(value, is_in=True),
    "-o": lambda value: _interface(value, is_in=False),
    "-s": lambda value: _address(value, is_source=True),
    "-d": lambda value: _address(value, is_source=False),
    "--state": _state,
    "--ctstate": _state,
}
# Names of matches, whose options count; and the options of targets.
_WITHOUT_EFFECT = {"-m", "--comment", "--reject-with", "--log-prefix", "--log-level", "--set-mark"}
