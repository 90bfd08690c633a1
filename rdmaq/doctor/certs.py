"""The command `rdmaq certs`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from rdmaq import certs as certificates
from rdmaq.command_line import FiniteRange


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
