"""Rules of nft and iptables against packets of RoCE v2: which pass, which do not, which may not."""

from __future__ import annotations

import json
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from rdmaq.doctor import iptables, nft
from rdmaq.doctor.checks import examine
from rdmaq.doctor.finding import OK, UNSEEN
from rdmaq.doctor.firewall import check_firewall
from rdmaq.doctor.verdicts import Drop, Packet, drop_of
from tests.doctor.machines import machine

OWN, PEER = ip_address("192.0.2.7"), ip_address("192.0.2.9")
IN = Packet(is_incoming=True, interface="eth0", own=OWN)
OUT = Packet(is_incoming=False, interface="eth0", own=OWN)
UDP_DPORT = {"payload": {"protocol": "udp", "field": "dport"}}
SADDR = {"payload": {"protocol": "ip", "field": "saddr"}}
STATE = {"ct": {"key": "state"}}
DROP, ACCEPT = {"drop": None}, {"accept": None}


def equal(left: Any, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def ruleset(
    *rules: list[Any], hook: str = "input", policy: str = "accept", family: str = "inet",
    more: tuple[dict[str, Any], ...] = (),
) -> str:  # fmt: skip
    """A table with one base chain of these rules, one called `other`, and what else there is."""
    chain = {"family": family, "table": "t", "name": "c"}
    base = {"type": "filter", "hook": hook, "prio": 0, "policy": policy}
    items: list[dict[str, Any]] = [{"chain": {**chain, **base}}]
    items.append({"chain": {**chain, "name": "other"}})
    items += [
        {"rule": {**chain, "chain": "c", "handle": n, "expr": expr}}
        for n, expr in enumerate(rules, 1)
    ]
    return json.dumps({"nftables": [{"metainfo": {}}, *items, *more]})


def in_other(*expr: Any) -> dict[str, Any]:
    rule = {"family": "inet", "table": "t", "chain": "other", "handle": 9, "expr": list(expr)}
    return {"rule": rule}


def judged(text: str, packet: Packet = IN) -> str:
    return _word(drop_of(nft.chains(text), packet))


def _word(drop: Drop | None) -> str:
    return "pass" if drop is None else "drop" if drop.is_sure else "maybe"


@pytest.mark.parametrize(
    ("expr", "word"),
    [
        ([equal(UDP_DPORT, 4791), {"counter": {}}, DROP], "drop"),
        ([equal(UDP_DPORT, 4791), {"reject": {"type": "icmp"}}], "drop"),
        ([equal(UDP_DPORT, 4790), DROP], "pass"),
        ([equal(UDP_DPORT, 4791, "!="), DROP], "pass"),
        ([equal(UDP_DPORT, {"set": [22, {"range": [4000, 5000]}]}), DROP], "drop"),
        ([equal(UDP_DPORT, {"range": [1, 1023]}), DROP], "pass"),
        ([equal(UDP_DPORT, 1024, "<"), DROP], "pass"),
        ([equal(UDP_DPORT, 1024, ">="), DROP], "drop"),
        ([equal(UDP_DPORT, "@ports"), DROP], "drop"),
        ([equal(UDP_DPORT, "@unheard-of"), DROP], "maybe"),
        ([equal({"payload": {"protocol": "tcp", "field": "dport"}}, 4791), DROP], "pass"),
        ([equal({"payload": {"protocol": "tcp", "field": "dport"}}, 22, "!="), DROP], "pass"),
        ([equal({"payload": {"protocol": "udp", "field": "sport"}}, 53), DROP], "maybe"),
        ([equal({"meta": {"key": "l4proto"}}, {"set": ["tcp", "udp"]}), DROP], "drop"),
        ([equal({"meta": {"key": "l4proto"}}, 17), DROP], "drop"),
        ([equal({"meta": {"key": "iifname"}}, "eth*"), DROP], "drop"),
        ([equal({"meta": {"key": "iifname"}}, "lo"), DROP], "pass"),
        ([equal({"meta": {"key": "oifname"}}, "eth0"), DROP], "pass"),
        ([equal({"meta": {"key": "nfproto"}}, "ipv6"), DROP], "pass"),
        ([equal({"meta": {"key": "length"}}, 1500, ">"), DROP], "maybe"),
        ([equal(SADDR, {"prefix": {"addr": "192.0.2.0", "len": 24}}), DROP], "maybe"),
        ([equal(STATE, ["established", "related"], "in"), DROP], "pass"),
        ([equal(STATE, "new"), DROP], "drop"),
        ([{"vmap": {"key": STATE, "data": {"set": [["new", DROP], ["invalid", DROP]]}}}], "drop"),
        ([{"vmap": {"key": STATE, "data": {"set": [["invalid", DROP]]}}}], "pass"),
        ([{"limit": {"rate": 10}}, DROP], "maybe"),
        ([{"xt": None}, DROP], "maybe"),
        ([equal({"&": [{"meta": {"key": "mark"}}, 1]}, 1), DROP], "maybe"),
        ([{"jump": {"target": "other"}}], "drop"),
        ([equal(UDP_DPORT, 22), {"jump": {"target": "other"}}], "pass"),
        ([{"jump": {"target": "nowhere"}}], "pass"),
        ([{"return": None}], "pass"),
    ],
)  # fmt: skip
def test_rule_of_nft_is_judged_as_the_kernel_would(expr: list[Any], word: str) -> None:
    """One rule in a chain that lets everything else through."""
    ports = {"set": {"family": "inet", "table": "t", "name": "ports", "elem": [22, 4791]}}
    assert judged(ruleset(expr, more=(ports, in_other(DROP)))) == word


@pytest.mark.parametrize(
    ("rules", "word"),
    [
        ([], "drop"),
        ([[equal(UDP_DPORT, 4791), ACCEPT]], "pass"),
        ([[equal(UDP_DPORT, 4791), DROP], [ACCEPT]], "drop"),
        ([[equal(SADDR, "192.0.2.9"), ACCEPT]], "maybe"),
        ([[{"jump": {"target": "other"}}]], "pass"),
        ([[{"return": None}], [ACCEPT]], "drop"),
    ],
)
def test_policy_decides_what_no_rule_did(rules: list[list[Any]], word: str) -> None:
    assert judged(ruleset(*rules, policy="drop", more=(in_other(ACCEPT),))) == word


def test_known_peer_turns_maybe_into_an_answer() -> None:
    text = ruleset([equal(SADDR, {"prefix": {"addr": "192.0.2.8", "len": 30}}), DROP])
    assert judged(text) == "maybe"
    assert judged(text, Packet(is_incoming=True, interface="eth0", own=OWN, peer=PEER)) == "drop"
    far = ip_address("198.51.100.1")
    assert judged(text, Packet(is_incoming=True, interface="eth0", own=OWN, peer=far)) == "pass"


@pytest.mark.parametrize(
    ("hook", "family", "words"),
    [
        ("input", "inet", ("drop", "pass")),
        ("prerouting", "ip", ("drop", "pass")),
        ("output", "ip", ("pass", "drop")),
        ("postrouting", "inet", ("pass", "drop")),
        ("forward", "inet", ("pass", "pass")),
        ("input", "ip6", ("pass", "pass")),
    ],
)
def test_hook_decides_which_way_is_blocked(hook: str, family: str, words: tuple[str, str]) -> None:
    text = ruleset([equal(UDP_DPORT, 4791), DROP], hook=hook, family=family)
    assert (judged(text, IN), judged(text, OUT)) == words


@pytest.mark.parametrize("text", ["", "{", "[]", '{"nftables": [{"metainfo": {}}]}'])
def test_listing_that_cannot_be_read_holds_no_rule(text: str) -> None:
    assert nft.chains(text) == []


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        ("-p udp -m udp --dport 4791 -j DROP", "drop"),
        ("-p udp -m udp --dport 4791 -j REJECT --reject-with icmp-port-unreachable", "drop"),
        ("-p tcp -m tcp --dport 4791 -j DROP", "pass"),
        ("-p udp -m udp ! --dport 4791 -j DROP", "pass"),
        ("-p udp -m multiport --dports 22,4000:5000 -j DROP", "drop"),
        ("-p udp -m udp --dport 5000: -j DROP", "pass"),
        ("-i eth+ -j DROP", "drop"),
        ("! -i lo -j DROP", "drop"),
        ("-i lo -j DROP", "pass"),
        ("-o eth0 -j DROP", "pass"),
        ("-s 192.0.2.0/24 -j DROP", "maybe"),
        ("-d 192.0.2.7/32 -j DROP", "drop"),
        ("-m conntrack --ctstate RELATED,ESTABLISHED -j DROP", "pass"),
        ("-m conntrack --ctstate NEW,INVALID -j DROP", "drop"),
        ("-m length --length 1500:65535 -j DROP", "maybe"),
        ('-p udp -m comment --comment "no -j DROP" -j LOG --log-prefix "x "', "pass"),
        ("-j OTHER", "drop"),
        ("-g OTHER", "drop"),
        ("-p icmp -j OTHER", "pass"),
    ],
)
def test_rule_of_iptables_is_judged_as_the_kernel_would(rule: str, word: str) -> None:
    text = (
        "# Generated by iptables-save\n*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
        f":OTHER - [0:0]\n-A INPUT {rule}\n-A OTHER -j DROP\nCOMMIT\n"
    )
    assert _word(drop_of(iptables.chains(text, "ip"), IN)) == word


def test_policy_of_iptables_counts_and_names_its_chain() -> None:
    text = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -j ACCEPT\nCOMMIT\n"
    drop = drop_of(iptables.chains(text, "ip"), IN)
    assert drop is not None
    assert drop.label == "the policy of iptables filter INPUT"
    assert drop.chain.opening == "iptables -t filter -I INPUT -p udp --dport 4791 -j ACCEPT"
    assert drop_of(iptables.chains(text, "ip6"), IN) is None


SOFT = {"sys/class/infiniband/mlx5_0/parent": "eth0", "sys/module/nf_tables/x": ""}


def test_software_device_behind_a_dropping_rule_is_told_each_way(tmp_path: Path) -> None:
    """With the command that lets it through."""
    text = ruleset([equal(UDP_DPORT, 4791), DROP])
    where = machine(tmp_path, answers={"nft": text}, files=SOFT)
    (finding,) = check_firewall(where)
    assert finding.symptom == "firewall-drops"
    assert "comes in by eth0" in finding.what
    assert "rule 1 of inet t c" in finding.what
    assert "nft insert rule inet t c udp dport 4791 accept" in finding.cure


def test_rules_that_may_not_be_read_are_unseen_and_no_symptom(tmp_path: Path) -> None:
    """Neither healthy nor ill: exit code and JSON say that it was not looked at."""
    (finding,) = check_firewall(machine(tmp_path, answers={}, files=SOFT))
    assert (finding.level, finding.symptom) == (UNSEEN, "")
    assert "nft is not installed" in finding.what


def test_software_device_without_any_rule_is_fine(tmp_path: Path) -> None:
    where = machine(tmp_path, answers={"nft": ruleset()}, files=SOFT)
    assert [f.level for f in examine(where) if f.check == "firewall"] == [OK]
