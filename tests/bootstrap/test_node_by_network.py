"""`Node("HOST:PORT")` and `connect("HOST:PORT")`: found by gRPC, served by shared memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rdmaq
from rdmaq import node_network, node_verbs, verbs
from rdmaq.address import local_name
from rdmaq.verbs import devices
from tests.bootstrap import rig
from tests.conformance.child import Child
from tests.conformance.rig import PATIENCE_SECONDS, take_messages


def test_stream_region_and_table_reach_a_peer_of_the_same_host_over_shm() -> None:
    """Mutual TLS and a token; then descriptors are handed over, and everything works as locally."""
    folder = rig.certificates()
    shown = rig.node_credentials(folder, token=rig.TOKEN)
    asked = rig.peer_credentials(folder, token=rig.TOKEN)
    with rdmaq.Node("127.0.0.1:0", credentials=shown) as node:
        pub = node.publish("s", capacity="64KiB")
        node.export("n", np.arange(4))
        node.table("t", "<u8", rows=2).update(0, 7)
        with rdmaq.connect(node.address, credentials=asked, timeout=PATIENCE_SECONDS) as peer:
            assert peer.address == node.address
            assert [stream.name for stream in peer.streams()] == ["s"]
            assert [region.name for region in peer.regions()] == ["n", "t"]
            with peer.subscribe("s") as sub:
                assert sub.transport == "shm"
                pub.send(b"hello")
                assert take_messages(sub, 1) == [b"hello"]
            with peer.region("n") as region, peer.table("t") as table:
                assert region.read().tolist() == [0, 1, 2, 3]
                assert table.read().tolist() == [7, 0]


def test_credentials_come_from_the_environment(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sides by RDMAQ_TLS_* and RDMAQ_TOKEN alone; without the token, refused."""
    folder = rig.certificates()
    for name, path in (("CA", "ca.pem"), ("CERTIFICATE", "peer.pem"), ("KEY", "peer.key")):
        monkeypatch.setenv(f"RDMAQ_TLS_{name}", str(folder / path))
    monkeypatch.setenv("RDMAQ_TOKEN", rig.TOKEN)
    with rdmaq.Node(
        "127.0.0.1:0", credentials=rig.node_credentials(folder, token=rig.TOKEN)
    ) as node:
        with rdmaq.connect(node.address, timeout=PATIENCE_SECONDS) as peer:
            assert peer.streams() == []
        monkeypatch.delenv("RDMAQ_TOKEN")
        with pytest.raises(rdmaq.AuthenticationError, match="token"):
            rdmaq.connect(node.address)


def test_peer_in_another_process_is_served(child: Child) -> None:
    """The node there, the peer here; its death frees port and name."""
    address = child.run("(node := rdmaq.Node('127.0.0.1:0')).address")
    child.run("export = node.export('n', __import__('numpy').arange(3))")
    with rdmaq.connect(address, timeout=PATIENCE_SECONDS) as peer, peer.region("n") as region:
        assert region.read().tolist() == [0, 1, 2]
    child.kill()
    with pytest.raises(rdmaq.PeerNotFound, match="start the node first"):
        rdmaq.connect(address)
    with rdmaq.Node(address) as node:
        assert node.address == address
        with rdmaq.connect(address, timeout=PATIENCE_SECONDS):
            pass


def why_not(address: str, **wishes: Any) -> str:
    with pytest.raises(rdmaq.UnsupportedTransport, match=r".+: .+; .+") as caught:
        rdmaq.connect(address, timeout=PATIENCE_SECONDS, **wishes)
    return str(caught.value)


def test_node_that_no_transport_reaches_is_found_and_each_reason_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another boot id, another runtime folder, no RDMA device at the node; each transport alone."""
    monkeypatch.setattr(devices, "ports", list)
    with rdmaq.Node("127.0.0.1:0") as node:
        text = why_not(node.address, transport="verbs")
        assert "not by verbs, since the node has none (there is no RDMA device here" in text
        assert "not by shared memory" not in text
        with monkeypatch.context() as patch:
            patch.setenv("RDMAQ_RUNTIME_DIR", "/tmp/rq-elsewhere")
            text = why_not(node.address)
            assert "not by shared memory, since it runs on this host, and its hand-over" in text
            assert "not by verbs, since the node has none" in text
        monkeypatch.setattr(node_network, "host_id", lambda: b"x" * 16)
        text = why_not(node.address)
        assert "not by shared memory, since it runs on another host" in text
        assert "not by verbs, since the node has none" in text
        assert "not by verbs" not in why_not(node.address, transport="shm")


def test_node_of_this_host_is_not_taken_for_one_that_is_called_alike(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Containers of one kernel, clones of one machine: one boot id, one port, a node in each.

    Who asks for the other's would be handed the memory of its own host's.
    """
    for name in ("there", "here"):
        (tmp_path / name).mkdir(mode=0o700)
    monkeypatch.setenv("RDMAQ_RUNTIME_DIR", str(tmp_path / "there"))
    with rdmaq.Node("127.0.0.1:0") as there:
        there.export("theirs", [1])
        monkeypatch.setenv("RDMAQ_RUNTIME_DIR", str(tmp_path / "here"))
        with rdmaq.Node(f"local:{local_name(there.address)}") as here:
            here.export("ours", [1])
            with pytest.raises(rdmaq.UnsupportedTransport, match="is another node here"):
                rdmaq.connect(there.address)
        monkeypatch.setenv("RDMAQ_RUNTIME_DIR", str(tmp_path / "there"))
        assert [region.name for region in rdmaq.connect(there.address).regions()] == ["theirs"]


def test_caller_without_a_device_is_told_that_it_is_its_own_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The node has verbs (so it says), this side has none."""
    monkeypatch.setattr(devices, "ports", list)
    monkeypatch.setattr(node_verbs.VerbsDoor, "missing", lambda _: "")
    with rdmaq.Node("127.0.0.1:0") as node:
        text = why_not(node.address, transport="verbs")
        assert "not by verbs, since this side has none (there is no RDMA device here" in text


def test_device_is_of_no_use_with_a_local_address() -> None:
    """Refused, not ignored: on both sides."""
    for wishes in ({"device": "rxe0"}, {"interface": "eth0"}, {"gid_index": 1}):
        for attempt in (rdmaq.Node, rdmaq.connect):
            with pytest.raises(rdmaq.UnsupportedTransport, match="host and port"):
                attempt("local:x", **wishes)
    with pytest.raises(rdmaq.UnsupportedTransport, match="need the host and port"):
        rdmaq.connect("local:x", transport="verbs")
    with pytest.raises(rdmaq.UnsupportedTransport, match="need the host and port"):
        rdmaq.connect("local:x", pair_settings=verbs.PairSettings())
    wrong: Any = {"timeout": 3}
    with pytest.raises(TypeError, match=r"pair_settings=.* is none: .*; give"):
        rdmaq.connect("127.0.0.1:1", pair_settings=wrong)


@pytest.mark.parametrize("address", ["host:", ":7471", "ho st:1", "[::1]", "a" * 300])
def test_address_that_is_none_is_refused(address: str) -> None:
    """AddressError on both sides, with the forms that there are."""
    for attempt in (rdmaq.Node, rdmaq.connect):
        with pytest.raises(rdmaq.AddressError, match="HOST:PORT"):
            attempt(address)


def test_port_that_is_none_is_named() -> None:
    """The form is right there: it is the number that is told."""
    for attempt in (rdmaq.Node, rdmaq.connect):
        with pytest.raises(rdmaq.AddressError, match=r"at most 65535, not 70000; write .*:7471"):
            attempt("host:70000")


def test_grpc_is_not_imported_before_it_is_used() -> None:
    """`import rdmaq` and a local node load neither grpc, protobuf nor cryptography."""
    program = (
        "import sys, rdmaq\n"
        "with rdmaq.Node('local:x') as node, rdmaq.connect('local:x'): pass\n"
        "bad = {'grpc', 'google.protobuf', 'cryptography'} & set(sys.modules)\n"
        "assert not bad, bad\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(("given", "used"), [(None, "NONE"), ("INFO", "INFO")])
def test_grpc_keeps_its_log_to_itself_unless_it_is_asked_for(given: str | None, used: str) -> None:
    """Beside our error on stderr it would say the same in its own words, or alarm for nothing."""
    environment = {k: v for k, v in os.environ.items() if k != "GRPC_VERBOSITY"}
    if given is not None:
        environment["GRPC_VERBOSITY"] = given
    program = "import os, rdmaq; rdmaq.Node('127.0.0.1:0'); print(os.environ['GRPC_VERBOSITY'])"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == used


def test_absent_grpc_is_told_with_the_cure(tmp_path: Path) -> None:
    """A module of that name that cannot be imported: UnsupportedTransport names the extra."""
    (tmp_path / "grpc.py").write_text("raise ImportError('no grpc here')")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import rdmaq\n"
        "for attempt in (rdmaq.Node, rdmaq.connect):\n"
        "    try: attempt('127.0.0.1:7471')\n"
        "    except rdmaq.UnsupportedTransport as error: assert 'rdmaq[net]' in str(error)\n"
        "    else: raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_node_lets_everything_go_whatever_refuses_to_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name and port are free again, its threads gone; the error is told."""
    node = rdmaq.Node("127.0.0.1:0")
    stream, export = node.publish("s", capacity="64KiB"), node.export("n", [1])

    def refuse(_: object) -> None:
        raise rdmaq.PairError("cannot destroy it: Input/output error; see the log")

    with monkeypatch.context() as patch:
        patch.setattr(node_verbs.VerbsDoor, "close", refuse)
        with pytest.raises(rdmaq.PairError, match="cannot destroy it"):
            node.close()
    assert stream.closed
    assert export.closed
    with rdmaq.Node(node.address) as again:
        assert rdmaq.connect(again.address).regions() == []
