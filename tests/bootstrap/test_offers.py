"""What a node offers can be listed by every peer, or is refused where it is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rdmaq
from rdmaq.bootstrap import wire

WIDE = np.dtype([(f"a field with a long name, number {n}", "<i4") for n in range(1200)])
UNLISTED: dict[str, tuple[Callable[[rdmaq.Node], object], type[Exception]]] = {
    "rows that are a bool": (lambda node: node.table("t", "<i4", True), rdmaq.RegionError),
    "too many axes": (lambda node: node.export("r", np.zeros((1,) * 33)), rdmaq.RegionError),
    "a schema too long": (lambda node: node.export("r", np.zeros(1, WIDE)), rdmaq.SchemaError),
    "rows too wide to tell": (lambda node: node.table("t", WIDE, 1), rdmaq.SchemaError),
    "a blank that is none": (lambda node: node.table("a\xa0b", "<i4", 1), rdmaq.AddressError),
    "a stream's word joiner": (lambda node: node.publish("a\u2060b"), rdmaq.AddressError),
    "a region's control": (lambda node: node.export("a\x9bb", [1]), rdmaq.AddressError),
    "an access that is a list": (
        lambda node: node.export("r", [1], access=["read"]),  # type: ignore[arg-type]
        rdmaq.RegionError,
    ),
}


@pytest.mark.parametrize("what", UNLISTED)
def test_what_peers_would_refuse_is_refused_where_it_is_made(what: str) -> None:
    """Or one of them would make all that the node offers unreachable for who comes by network."""
    make, kind = UNLISTED[what]
    with rdmaq.Node("127.0.0.1:0") as node:
        node.table("good", "<i4", np.int64(3))  # type: ignore[arg-type]
        with pytest.raises(kind, match=r".+: .+; .+"):
            make(node)
        with rdmaq.connect(node.address) as peer:
            assert [region.name for region in peer.regions()] == ["good"]
            assert peer.table("good").read().tolist() == [0, 0, 0]


@pytest.mark.parametrize(("limit", "value"), [("OFFERS_MAX", 2), ("MESSAGE_BYTES_MAX", 300)])
def test_more_than_can_be_told_is_said_so(
    limit: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To who asks, with what to do; gRPC's words are about sizes of messages."""
    with rdmaq.Node("127.0.0.1:0") as node:
        for name in ("a", "b"):
            node.export(name, [1])
        node.publish("s", capacity="64KiB")
        rdmaq.connect(node.address).close()
        monkeypatch.setattr(wire, limit, value)
        with pytest.raises(rdmaq.BootstrapError, match=r"cannot list what it offers: 3 .+; offer"):
            rdmaq.connect(node.address)


@pytest.mark.parametrize("attempt", [rdmaq.Node, rdmaq.connect])
def test_credentials_that_are_none_are_refused_in_words(attempt: Any) -> None:
    with pytest.raises(TypeError, match=r"credentials= are none: it is a str; give .+"):
        attempt("127.0.0.1:0", credentials="secret")
    with pytest.raises(rdmaq.CredentialsError, match=r"ca_file= is no path: it is a int; give .+"):
        rdmaq.Credentials(ca_file=5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("192.0.2.77", "Cannot assign requested address; name an address of this host"),
        ("no-such-host.invalid", "known; name an address of this host"),
    ],
)
def test_address_that_nobody_here_can_listen_at_says_why(host: str, words: str) -> None:
    insecure = rdmaq.Credentials(insecure=True)
    with pytest.raises(rdmaq.AddressInUse, match=f"cannot be listened at: .*{words}"):
        rdmaq.Node(f"{host}:0", credentials=insecure)


def test_port_that_is_taken_says_so() -> None:
    taken = "Address already in use; choose another port"
    with rdmaq.Node("127.0.0.1:0") as node, pytest.raises(rdmaq.AddressInUse, match=taken):
        rdmaq.Node(node.address)


def test_host_whose_name_is_not_known_is_told_so() -> None:
    insecure = rdmaq.Credentials(insecure=True)
    with pytest.raises(rdmaq.PeerNotFound, match=r"its name is not known here \(.+\); start"):
        rdmaq.connect("no-such-host.invalid:7471", credentials=insecure)


def test_field_that_is_not_there_is_named_with_those_that_are() -> None:
    with rdmaq.Node("127.0.0.1:0") as node, rdmaq.connect(node.address) as peer:
        node.export("r", np.zeros(2, [("bid", "<i4"), ("ask", "<i4")]))
        node.export("plain", [1, 2])
        with pytest.raises(rdmaq.RegionBoundsError, match=r"'mid' is not there: .+'bid', 'ask'; "):
            peer.region("r").read(field="mid")
        with pytest.raises(rdmaq.RegionBoundsError, match=r"'mid' is not there: .+no fields; "):
            peer.region("plain").read(field="mid")
