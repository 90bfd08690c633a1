"""The commands `rdmaq info`, `rdmaq doctor` and `rdmaq certs`."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path

import click

from rdmaq import certs as certificates
from rdmaq.command_line import FiniteRange
from rdmaq.doctor.facts import gather
from rdmaq.doctor.findings import BAD, NOTE, OK, examine
from rdmaq.doctor.machine import Machine

_MARKS = {OK: "ok  ", NOTE: "note", BAD: "BAD "}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(as_json: bool) -> None:
    """Tells what rdmaq finds on this machine: devices, limits, transports, settings."""
    facts = gather(Machine())
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for title in ("rdmaq", "python", "kernel", "machine", "cpus", "clock"):
        click.echo(f"{title:<12}{facts[title]}")
    click.echo(
        f"{'memlock':<12}{_limit(facts['memlock_bytes']['soft'])} (soft), "
        f"{_limit(facts['memlock_bytes']['hard'])} (hard)"
    )
    pages = facts["hugepages"]
    click.echo(f"{'hugepages':<12}{pages['free']} of {pages['total']} reserved ones free")
    packages = [f"{name} {version or '-'}" for name, version in facts["packages"].items()]
    click.echo(f"{'packages':<12}{', '.join(packages)}")
    click.echo("\ntransports")
    for name, state in facts["transports"].items():
        click.echo(f"  {name:<10}{state}")
    click.echo("\nports" if facts["ports"] else "\nports       none")
    for port in facts["ports"]:
        click.echo(
            f"  {port['device']} port {port['port']}  {port['state']}  "
            f"{port['link_layer']}  {', '.join(port['interfaces'])}"
        )
        for gid in port["gids"]:
            click.echo(f"    {gid}")
    click.echo("\nsettings (an argument wins over the environment, and that over the default)")
    for setting in facts["settings"]:
        click.echo(f"  {setting['variable']:<24}{setting['value']}  [{setting['source']}]")


def _limit(size_bytes: int) -> str:
    return "no limit" if size_bytes < 0 else f"{size_bytes >> 10:,} KiB"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def doctor(as_json: bool) -> int:
    """Looks for what ails rdmaq on this machine, each with its cure; exit code 1 if that is bad."""
    findings = examine(Machine())
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            click.echo(f"{_MARKS[finding.level]}  {finding.what}")
            if finding.cure:
                click.echo(f"      cure: {finding.cure}")
    return int(any(finding.level == BAD for finding in findings))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--host", "hosts", multiple=True, help="Name or address of a host where nodes run.")
@click.option(
    "--peer",
    "peers",
    multiple=True,
    default=(certificates.PEER,),
    show_default=True,
    help="Name of a caller; a certificate each.",
)
@click.option(
    "--days",
    type=FiniteRange(0.01, 3650.0),
    default=30.0,
    show_default=True,
    help="How long they are good.",
)
def certs(folder: Path, hosts: tuple[str, ...], peers: tuple[str, ...], days: float) -> None:
    """Makes a development authority and certificates in FOLDER: for nodes, and for callers."""
    written = certificates.make(folder, hosts, days=days, peers=peers)
    for path in written:
        click.echo(str(path))
    click.echo(f"\non the node:    {_exports(folder, certificates.NODE)}")
    for peer in peers:
        click.echo(f"as {peer!r}:    {_exports(folder, peer)}")
    click.echo("for development: the authority's key was thrown away; keys lie unencrypted, 0600")


def _exports(folder: Path, name: str) -> str:
    """A line for the shell of who uses the certificate of that name."""
    files = {"CA": "ca.pem", "CERTIFICATE": f"{name}.pem", "KEY": f"{name}.key"}
    words = [f"RDMAQ_TLS_{what}={shlex.quote(str(folder / file))}" for what, file in files.items()]
    return f"export {' '.join(words)}"
