"""The command `rdmaq ping`: finds a node, tells how, and times round trips."""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

import click

import rdmaq
from rdmaq.address import HostPort, parse_address
from rdmaq.command_line import json_option, network_options, timeout_option

_TITLES = {
    "device": "device",
    "gid": "our GID",
    "peer_gid": "its GID",
    "mtu_bytes": "MTU",
    "reads_in_flight": "READs in flight",
    "reads_answered": "READs answered",
    "timers": "timers",
}


@click.command()
@click.argument("address")
@click.option(
    "--transport",
    type=click.Choice(["auto", "shm", "verbs"]),
    default="auto",
    show_default=True,
    help="How to go there.",
)
@click.option("--count", type=click.IntRange(1, 1_000_000), default=10, show_default=True)
@timeout_option
@network_options
@json_option("object")
def ping(address: str, transport: Any, count: int, timeout: float, as_json: bool) -> None:
    """Finds the node at ADDRESS, tells what was negotiated with it, and times round trips.

    Over verbs a round trip is a WRITE to the node's memory and a READ of it: its network card
    answers, none of its threads. Over shared memory it is a new connection, a question and an
    answer by the node's own thread: what subscribing costs, not what a message costs (`rdmaq bench
    latency`).
    """
    begin = time.perf_counter()
    with rdmaq.connect(address, timeout=timeout, transport=transport) as peer:
        found_ms = (time.perf_counter() - begin) * 1e3
        stream_count, region_count = len(peer.streams()), len(peer.regions())
        negotiated = peer.negotiated()
        round_trips_us = [peer.ping() * 1e6 for _ in range(count)]
    facts: dict[str, Any] = {
        "format": 1,
        "address": address,
        "transport": peer.transport,
        "security": security_of(address, peer.transport),
        "found_ms": round(found_ms, 3),
        "streams": stream_count,
        "regions": region_count,
        "negotiated": negotiated,
        "round_trips_us": [round(us, 1) for us in round_trips_us],
        "min_us": round(min(round_trips_us), 1),
        "median_us": round(statistics.median(round_trips_us), 1),
        "max_us": round(max(round_trips_us), 1),
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        _tell(facts)


def _tell(facts: dict[str, Any]) -> None:
    click.echo(
        f"{facts['address']}: found in {facts['found_ms']:.1f} ms, transport "
        f"{facts['transport']}; {facts['streams']} streams, {facts['regions']} regions and tables"
    )
    click.echo(f"  {'security':<16}{facts['security']}")
    for name, title in _TITLES.items():
        if name in facts["negotiated"]:
            click.echo(f"  {title:<16}{facts['negotiated'][name]}")
    count = len(facts["round_trips_us"])
    click.echo(
        f"{count} round trip{'s' if count > 1 else ''}: min {facts['min_us']:.0f} us, median "
        f"{facts['median_us']:.0f} us, max {facts['max_us']:.0f} us"
    )


def security_of(address: str, transport: str) -> str:
    """How the two sides know each other, in words.

    Args:
        address: of the node.
        transport: by which it was reached.
    """
    if not isinstance(parse_address(address), HostPort):
        return "same host: the kernel tells each side the other's user"
    credentials = rdmaq.Credentials.from_environment()
    how = "insecure: no TLS" if credentials.insecure else "no TLS, which loopback may do without"
    if credentials.has_client_tls:
        how = "mutual TLS" if credentials.has_server_tls else "TLS, the node's certificate only"
    if credentials.token is not None:
        how += ", and a token"
    if transport == "verbs":
        how += "; RDMA's own packets are neither encrypted nor authenticated"
    return how
