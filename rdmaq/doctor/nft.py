"""Reads `nft -j list ruleset` (libnftables-json(5)) into chains of rules."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from rdmaq.doctor.verdicts import PROTOCOL, PROTOCOL_NUMBER, ROCE_PORT, Chain, Packet, Rule

_FINAL = {"accept": "accept", "drop": "drop", "reject": "drop", "return": "return"}
_JUMPS = ("jump", "goto")
_UNKNOWN: Any = None
_NEVER: Any = object()  # a packet of RoCE has no such place: neither == nor != is met
_RANGED = {"<": lambda a, b: a < b, ">": lambda a, b: a > b,
           "<=": lambda a, b: a <= b, ">=": lambda a, b: a >= b}  # fmt: skip
_Sets = Mapping[tuple[str, str, str], list[Any]]


def chains(text: str) -> list[Chain]:
    """Every chain that a packet may come by; what cannot be read is left out."""
    try:
        items = json.loads(text)["nftables"]
    except (ValueError, KeyError, TypeError):
        return []
    sets = {
        (one["family"], one["table"], one["name"]): one.get("elem", [])
        for item in items
        for kind in ("set", "map")
        if (one := item.get(kind)) is not None
    }
    tables: dict[tuple[str, str], dict[str, Chain]] = {}
    for item in items:
        if (one := item.get("chain")) is not None:
            kin = tables.setdefault((one["family"], one["table"]), {})
            kin[one["name"]] = _chain(one, kin)
    for item in items:
        if (one := item.get("rule")) is not None:
            chain = tables.get((one["family"], one["table"]), {}).get(one["chain"])
            if chain is not None:
                chain.rules += _rules(one, sets)
    return [chain for kin in tables.values() for chain in kin.values()]


def _chain(one: Mapping[str, Any], kin: dict[str, Chain]) -> Chain:
    device = one.get("dev", "")
    name = f"{one['family']} {one['table']} {one['name']}"
    return Chain(
        name=name,
        family=one["family"],
        hook=one.get("hook", ""),
        priority=one["prio"] if isinstance(one.get("prio"), int) else 0,
        policy=one.get("policy", "accept"),
        interface=device[0] if isinstance(device, list) else device,
        opening=f"nft insert rule {name} udp dport 4791 accept",
        kin=kin,
    )


def _rules(one: Mapping[str, Any], sets: _Sets) -> Iterator[Rule]:
    """A rule; one with a verdict map is one for each of its verdicts."""
    where = (one["family"], one["table"])
    label = f"rule {one.get('handle', '?')} of {one['family']} {one['table']} {one['chain']}"
    conditions: list[Any] = []
    for statement in one.get("expr", []):
        kind, body = next(iter(statement.items()))
        if kind == "match":
            conditions.append(
                _Match(body.get("op", "=="), body["left"], body["right"], where, sets)
            )
        elif kind in ("xt", "limit"):
            conditions.append(lambda _: None)
        elif kind in _FINAL:
            yield Rule(conditions=tuple(conditions), action=_FINAL[kind], label=label)
        elif kind in _JUMPS:
            yield Rule(
                conditions=tuple(conditions), action=kind, target=body["target"], label=label
            )
        elif kind == "vmap":
            for value, verdict in _verdicts(body, where, sets):
                match = _Match("==", body["key"], value, where, sets)
                action, detail = next(iter(verdict.items()))
                yield Rule(
                    conditions=(*conditions, match),
                    action=_FINAL.get(action, action),
                    target=(detail or {}).get("target", ""),
                    label=label,
                )


def _verdicts(body: Mapping[str, Any], where: tuple[str, str], sets: _Sets) -> list[Any]:
    data = body["data"]
    if isinstance(data, str):
        return sets.get((*where, data.removeprefix("@")), [])
    found: list[Any] = data.get("set", [])
    return found


class _Match:
    """One condition: does what the packet has there fit?"""

    def __init__(self, op: str, left: Any, right: Any, where: tuple[str, str], sets: _Sets) -> None:
        self._op, self._left, self._right = op, left, right
        self._where, self._sets = where, sets

    def __call__(self, packet: Packet) -> bool | None:
        """True, False, or None for what is not known."""
        value = _value(self._left, packet)
        if value is _NEVER:
            return False
        if value is _UNKNOWN:
            return None
        if self._op in _RANGED:
            try:
                return bool(_RANGED[self._op](value, self._right))
            except TypeError:
                return None
        fits = self._fits(value, self._right)
        return fits if fits is None or self._op != "!=" else not fits

    def _fits(self, value: Any, right: Any) -> bool | None:
        if isinstance(right, str) and right.startswith("@"):
            name = (*self._where, right[1:])
            return self._any(value, self._sets[name]) if name in self._sets else None
        if isinstance(right, list):
            return self._any(value, right)
        if isinstance(right, dict):
            if "set" in right:
                return self._any(value, right["set"])
            if "elem" in right:
                return self._fits(value, right["elem"]["val"])
            if "range" in right:
                low, high = (_like(value, end) for end in right["range"])
                return None if None in (low, high) else bool(low <= value <= high)
            if "prefix" in right:
                network = f"{right['prefix']['addr']}/{right['prefix']['len']}"
                return None if isinstance(value, (str, int)) else value in ip_network(network)
            return None
        if isinstance(value, str) and isinstance(right, str) and right.endswith("*"):
            return value.startswith(right[:-1])
        other = _like(value, right)
        return None if other is None else bool(value == other)

    def _any(self, value: Any, several: list[Any]) -> bool | None:
        answers = [self._fits(value, one) for one in several]
        if True in answers:
            return True
        return None if None in answers else False


def _like(value: Any, text: Any) -> Any:
    """A rule's value in the type of a packet's; None where it cannot be."""
    if isinstance(value, str):
        return PROTOCOL if text == PROTOCOL_NUMBER else str(text)
    if isinstance(value, int):
        return text if isinstance(text, int) else None
    try:
        return ip_address(text)
    except ValueError:
        return None


def _value(left: Any, packet: Packet) -> Any:
    """What a packet has at a place: None where it is not known, `_NEVER` where it has no such."""
    if not isinstance(left, dict):
        return _UNKNOWN
    kind, body = next(iter(left.items()))
    if kind == "payload" and isinstance(body, dict) and "protocol" in body:
        return _payload(body["protocol"], body["field"], packet)
    if kind == "meta":
        return _meta(body["key"], packet)
    if kind == "ct":
        # Each direction is a flow of its own to the kernel (other ports), and never answered.
        return {"state": "new", "status": "confirmed"}.get(body["key"])
    return _UNKNOWN


def _payload(protocol: str, field: str, packet: Packet) -> Any:
    if protocol in ("udp", "th"):
        return ROCE_PORT if field == "dport" else _UNKNOWN
    if protocol in ("ip", "ip6"):
        if (protocol == "ip") != (packet.own.version == 4):
            return _NEVER
        known = {
            "saddr": packet.source, "daddr": packet.destination, "protocol": PROTOCOL,
            "nexthdr": PROTOCOL,
        }  # fmt: skip
        return known.get(field)
    return _UNKNOWN if protocol in ("ether", "vlan") else _NEVER


def _meta(key: str, packet: Packet) -> Any:
    is_v4, name = packet.own.version == 4, packet.interface
    return {
        "l4proto": PROTOCOL,
        "nfproto": "ipv4" if is_v4 else "ipv6",
        "protocol": "ip" if is_v4 else "ip6",
        "iifname": name if packet.is_incoming else "",
        "iif": name if packet.is_incoming else "",
        "oifname": "" if packet.is_incoming else name,
        "oif": "" if packet.is_incoming else name,
    }.get(key)
