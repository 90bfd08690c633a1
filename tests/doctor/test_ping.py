"""`rdmaq ping`: a node that is there, by either kind of address, and one that is not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rdmaq
from rdmaq import certs
from rdmaq.cli import run
from rdmaq.doctor.ping import security_of


@pytest.mark.parametrize("address", ["local:feed", "127.0.0.1:0"])
def test_node_that_is_there_answers_as_often_as_it_is_asked(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In words and as JSON: the transport, what is on offer, and so many round trips."""
    with rdmaq.Node(address) as node:
        node.publish("s", capacity="64KiB")
        node.table("t", "<u8", rows=1)
        assert run(["ping", node.address, "--count", "3", "--timeout", "20"]) == 0
        words = capsys.readouterr().out
        assert "transport shm; 1 streams, 1 regions and tables" in words
        assert re.search(r"3 round trips: min \d+ us, median \d+ us, max \d+ us", words)
        assert ("same host" in words) == (address == "local:feed")
        assert run(["ping", node.address, "--count", "3", "--timeout", "20", "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert facts["transport"] == "shm"
        assert len(facts["round_trips_us"]) == 3
        assert facts["negotiated"]["transport"] == "shm"
        assert 0 < facts["min_us"] <= facts["median_us"] <= facts["max_us"]
        assert set(facts) == {
            "format", "address", "transport", "security", "found_ms", "streams", "regions",
            "negotiated", "round_trips_us", "min_us", "median_us", "max_us",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "no TLS, which loopback may do without"),
        ({"RDMAQ_INSECURE": "1"}, "insecure: no TLS"),
        ({"RDMAQ_TLS_CA": "ca.pem"}, "TLS, the node's certificate only"),
        (
            {
                "RDMAQ_TLS_CA": "ca.pem",
                "RDMAQ_TLS_CERTIFICATE": "peer.pem",
                "RDMAQ_TLS_KEY": "peer.key",
                "RDMAQ_TOKEN": "sixteen-characters-or-more",
            },
            "mutual TLS, and a token",
        ),
    ],
)
def test_security_is_told_as_the_environment_sets_it(
    variables: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that RDMA's own packets have none."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert security_of("127.0.0.1:7471", "shm") == words
    assert security_of("127.0.0.1:7471", "verbs").startswith(f"{words}; RDMA's own packets are")
    assert security_of("local:feed", "shm").startswith("same host")


@pytest.mark.parametrize("address", ["local:nobody", "127.0.0.1:1", "nonsense"])
def test_node_that_is_not_there_is_told_in_one_line(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, what happened and what to do."""
    assert run(["ping", address]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("command", ["ping", "streams"])
def test_time_that_was_waited_is_not_advised(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who gave --timeout is told to wait longer; who did not, that there is such an option."""
    assert run([command, "local:nobody"]) == 2
    assert "pass --timeout SECONDS to wait" in capsys.readouterr().err
    for words in (["--timeout", "0.1"], ["--timeout=0.1"]):
        assert run([command, "local:nobody", *words]) == 2
        assert "wait longer (--timeout)" in capsys.readouterr().err


def test_node_that_is_not_reached_is_told_in_one_line_of_ours(tmp_path: Path) -> None:
    """Nobody there, and a certificate of another name: gRPC writes nothing beside it."""
    certs.make(tmp_path / "pki", [])
    shown = rdmaq.Credentials(
        certificate_file=tmp_path / "pki" / "node.pem", key_file=tmp_path / "pki" / "node.key"
    )
    with rdmaq.Node("127.0.0.1:0", credentials=shown) as node:
        lines = {
            "127.0.0.1:1": "error: no node at 127.0.0.1:1: Connection refused; start the node .+",
            node.address: "error: TLS with .+ failed: .*Hostname Verification Check failed.*; .+",
        }
        for address, line in lines.items():
            done = subprocess.run(
                [str(Path(sys.executable).parent / "rdmaq"), "ping", address],
                env={
                    **os.environ,
                    "RDMAQ_TLS_CA": str(tmp_path / "pki" / "ca.pem") if "TLS" in line else "",
                    "RDMAQ_TLS_SERVER_NAME": "elsewhere",
                },
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 2
            assert re.fullmatch(line + "\n", done.stderr), done.stderr
