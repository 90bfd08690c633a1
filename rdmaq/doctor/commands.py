"""The commands `rdmaq info` and `rdmaq doctor`."""

from __future__ import annotations

import json
from typing import Any

import click

from rdmaq.address import HostPort, parse_address
from rdmaq.command_line import json_option, network_options, timeout_option
from rdmaq.doctor.checks import examine
from rdmaq.doctor.facts import as_json as findings_as_json
from rdmaq.doctor.facts import gather, is_healthy
from rdmaq.doctor.finding import BAD, NOTE, OK, UNSEEN
from rdmaq.doctor.machine import Machine
from rdmaq.doctor.memory import limit_text
from rdmaq.doctor.way import address_of, examine_way
from rdmaq.errors import AddressError

_MARKS = {OK: "ok  ", NOTE: "note", BAD: "BAD ", UNSEEN: "?   "}


@click.command()
@json_option("object")
def info(as_json: bool) -> None:
    """Tells what rdmaq finds on this machine: devices, limits, transports, settings."""
    facts = gather(Machine())
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for title in ("rdmaq", "python", "kernel", "machine", "cpus", "clock"):
        click.echo(f"{title:<12}{facts[title]}")
    memlock, pages = facts["memlock_bytes"], facts["hugepages"]
    click.echo(
        f"{'memlock':<12}{limit_text(memlock['soft'])} (soft), {limit_text(memlock['hard'])} (hard)"
    )
    click.echo(f"{'hugepages':<12}{pages['free']} of {pages['total']} reserved ones free")
    packages = [f"{name} {version or '-'}" for name, version in facts["packages"].items()]
    click.echo(f"{'packages':<12}{', '.join(packages)}")
    click.echo("\ntransports")
    for name, state in facts["transports"].items():
        click.echo(f"  {name:<10}{'usable' if state['usable'] else state['why_not']}")
    click.echo("\nports" if facts["ports"] else "\nports       none")
    for port in facts["ports"]:
        _tell_port(port)
    click.echo("\nsettings (an argument wins over the environment, and that over the default)")
    for setting in facts["settings"]:
        argument = "" if setting["argument"] == "(none)" else f"  {setting['argument']}"
        click.echo(
            f"  {setting['variable']:<24}{setting['value']}  [{setting['source']}]{argument}"
        )


def _tell_port(port: dict[str, Any]) -> None:
    mtu = f"MTU {port['mtu_bytes'] or '?'} of {port['mtu_bytes_max'] or '?'}"
    click.echo(
        f"  {port['device']} port {port['port']}  {port['state']}  {port['link_layer']}  {mtu}"
    )
    for interface in port["interfaces"]:
        state = "up" if interface["is_up"] else "down"
        click.echo(f"    interface {interface['name']}  {state}  MTU {interface['mtu_bytes']}")
    for gid in port["gids"]:
        where = f"  {gid['interface']}" if gid["interface"] else ""
        click.echo(f"    GID {gid['index']}  {gid['address']}  {gid['kind']}{where}")
    if not port["gids"]:
        click.echo("    no GID")
    if port["limits"] is None:
        click.echo(f"    limits unknown: {port['limits_unknown']}")
        return
    limits = port["limits"]
    inline = limits["inline_bytes_max"]
    among = "the whole machine" if limits["atomics_are_global"] else "this device"
    atomics = f"among all of {among}" if limits["has_atomics"] else "none"
    windows = ", ".join(limits["window_types"])
    for title, value in (
        ("queue pairs", f"{limits['queue_pairs_max']:,} of depth {limits['send_depth_max']:,}"),
        ("completions", f"{limits['cq_entries_max']:,} a queue"),
        ("memory", f"{limits['regions_max']:,} regions of {limits['region_bytes_max']:,} bytes"),
        ("operations", f"of {limits['message_bytes_max']:,} bytes; inline {inline or '?'}"),
        (
            "READs",
            f"{limits['initiator_depth_max']} in flight (max_rd_atomic), "
            f"{limits['responder_depth_max']} answered",
        ),
        ("atomics", atomics),
        ("windows", f"{limits['windows_max']:,} of type {windows}" if windows else "none"),
    ):
        click.echo(f"    {title:<12}{value}")


@click.command()
@click.argument("node", required=False, metavar="[HOST:PORT]")
@timeout_option
@network_options
@json_option("object")
def doctor(node: str | None, timeout: float, as_json: bool) -> int:
    """Looks for what ails rdmaq on this machine, and on the way to the node at HOST:PORT if given.

    Each finding has its cure. The exit code is 1 if something that should work does not.
    """
    where = None if node is None else _host_and_port(node)
    machine = Machine()
    findings = examine(machine, None if where is None else address_of(where))
    if where is not None:
        findings += examine_way(machine, where, timeout=timeout)
    if as_json:
        click.echo(json.dumps(findings_as_json(findings, node), indent=2))
    else:
        for finding in findings:
            name = f"  [{finding.symptom}]" if finding.symptom else ""
            click.echo(f"{_MARKS[finding.level]}  {finding.what}{name}")
            if finding.cure:
                click.echo(f"      cure: {finding.cure}")
    return int(not is_healthy(findings))


def _host_and_port(node: str) -> HostPort:
    where = parse_address(node)
    if isinstance(where, HostPort):
        return where
    raise AddressError(
        f"there is no way to look at to {node!r}: it is on this host; give the HOST:PORT of a "
        "node, or nothing"
    )
