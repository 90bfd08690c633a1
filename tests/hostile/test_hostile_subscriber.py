"""A node among peers that lie: it drops them, and serves the next one as if nothing had been."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import rdmaq
from rdmaq.shm import wire
from rdmaq.shm.runtime import socket_path
from tests.conformance.rig import eventually
from tests.hostile.rig import no_descriptor_leaks, open_descriptors, packet, send_raw
from tests.hostile.test_hostile_node import JSON


@pytest.fixture
def node() -> Iterator[rdmaq.Node]:
    with rdmaq.Node("local:true") as made:
        made.publish("s", np.dtype("<u4"))
        yield made


@pytest.fixture
def at_rest(node: rdmaq.Node) -> int:
    """How many descriptors are open while the node has no connection."""
    return open_descriptors()


def dial_raw() -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.settimeout(20)
    sock.connect(os.fspath(socket_path("true")))
    return sock


def settle(node: rdmaq.Node) -> None:
    """Returns when the node has closed every connection: it does so after the peer has."""
    eventually(lambda: not node._listener._connections, "the node to hang up on everybody")


def serves(peer: rdmaq.Peer) -> bool:
    return [stream.name for stream in peer.streams()] == ["s"]


REQUEST = st.fixed_dictionaries(
    {"want": st.sampled_from(["streams", "subscribe"]) | JSON},
    optional={
        "stream": st.just("s") | JSON,
        "schema": JSON
        | st.text(alphabet='"[](),<>|u4i8VS0 ', max_size=12)
        | JSON.map(lambda value: json.dumps(value)),
        "start": st.integers(-1, 5) | JSON,
        "start_value": st.integers() | JSON,
    },
).map(packet)


@given(st.binary(max_size=80) | JSON.map(lambda v: json.dumps(v).encode()) | REQUEST, st.booleans())
@example(packet({"want": "subscribe", "stream": "s", "schema": '"( )i4"', "start": 0}), False)
@example(
    packet({"want": "subscribe", "stream": "s", "schema": '"(,)i4"', "start": 0, "start_value": 0}),
    False,
)
@example(
    packet({"want": "subscribe", "stream": "\ud800", "start": 0, "start_value": 0}),
    True,
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_request_ends_the_node(
    node: rdmaq.Node, at_rest: int, request_bytes: bytes, has_gift: bool
) -> None:
    """Each packet comes alone or with unwanted descriptors; afterwards the node still answers."""
    peer = rdmaq.connect(node.address)
    with dial_raw() as sock:
        if request_bytes:
            send_raw(sock, request_bytes, [0, 1, 2] if has_gift else [])
            try:
                _, descriptors = wire.receive_packet(sock)
            except (OSError, rdmaq.HandoverError):
                pass
            else:
                wire.close_all(descriptors)
    assert serves(peer)
    eventually(lambda: open_descriptors() == at_rest, "the node to close what it was given")


def test_subscriber_that_talks_after_the_grant_is_dropped(node: rdmaq.Node) -> None:
    with no_descriptor_leaks():
        with dial_raw() as sock:
            request = {"want": "subscribe", "stream": "s", "start": 0, "start_value": 0}
            wire.send_packet(sock, request, [])
            _, descriptors = wire.receive_packet(sock)
            wire.close_all(descriptors)
            before = open_descriptors()
            send_raw(sock, b"and another thing", [0])
            eventually(lambda: open_descriptors() < before, "the node to hang up")
        assert serves(rdmaq.connect(node.address))
        settle(node)
        assert node._offer.streams["s"].reader_count == 0


FLOOD = """
import resource, sys, time
import rdmaq
from rdmaq.shm.runtime import socket_path

resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
with rdmaq.Node("local:small") as node, node.publish("s") as publisher:
    print(socket_path("small"), flush=True)
    sys.stdin.readline()  # the flood is over
    deadline = time.monotonic() + 30
    while publisher.reader_count and time.monotonic() < deadline:
        time.sleep(0.01)
    with rdmaq.connect("local:small").subscribe("s") as subscription:
        publisher.send(b"still here")
        print(publisher.reader_count, subscription.poll(10).messages[0].decode(), flush=True)
"""


def test_node_out_of_descriptors_refuses_and_recovers(runtime_dir: Any) -> None:
    """More subscribers than its descriptors allow: no slot is lost, and it serves afterwards."""
    child = subprocess.Popen(
        [sys.executable, "-c", FLOOD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with child:
        assert child.stdin is not None
        assert child.stdout is not None
        path = child.stdout.readline().strip()
        socks = []
        for _ in range(90):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            sock.settimeout(0.02)
            socks.append(sock)
            try:
                sock.connect(path)
                request = {"want": "subscribe", "stream": "s", "start": 0, "start_value": 0}
                wire.send_packet(sock, request, [])
                wire.close_all(wire.receive_packet(sock)[1])
            except (OSError, rdmaq.HandoverError):
                continue
        for sock in socks:
            sock.close()
        said, _ = child.communicate("\n", timeout=60)
    assert said == "1 still here\n"
