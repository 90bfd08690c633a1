"""`rdmaq certs`: files that work, safe as they lie, and nothing overwritten."""

from __future__ import annotations

import re
import shlex
import stat
from pathlib import Path

import pytest
from cryptography import x509

import rdmaq
from rdmaq import certs
from rdmaq.cli import run
from tests.conformance.rig import PATIENCE_SECONDS


def test_one_command_makes_what_mutual_tls_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Node and caller find each other with the files as they are; keys are the user's alone."""
    folder = tmp_path / "pki"
    assert run(["certs", str(folder), "--host", "feed-1", "--host", "192.0.2.7"]) == 0
    output = capsys.readouterr().out
    names = ["ca.pem", "node.key", "node.pem", "peer.key", "peer.pem"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert all(str(folder / name) in output for name in names)
    for path in folder.glob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    shown = rdmaq.Credentials(
        ca_file=folder / "ca.pem",
        certificate_file=folder / "node.pem",
        key_file=folder / "node.key",
    )
    asked = rdmaq.Credentials(
        ca_file=folder / "ca.pem",
        certificate_file=folder / "peer.pem",
        key_file=folder / "peer.key",
        server_name="feed-1",
    )
    with (
        rdmaq.Node("127.0.0.1:0", credentials=shown) as node,
        rdmaq.connect(node.address, credentials=asked, timeout=PATIENCE_SECONDS) as peer,
    ):
        assert peer.streams() == []


def test_files_that_are_there_are_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of them is enough: error, exit code 2, and nothing else was written."""
    (tmp_path / "node.key").write_text("precious")
    assert run(["certs", str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["node.key"]
    assert (tmp_path / "node.key").read_text() == "precious"


@pytest.mark.parametrize(
    "arguments",
    [
        *(
            ["--host", host]
            for host in (
                "ü.example",
                "",
                "a b",
                "[::1]",
                "10.0.0.1:7471",
                "https://feed-1",
                "feed-1:7471",
                "a..b",
                "-a",
                ".a",
                "*",
                "a.*.b",
                "x" * 64,
                "a." * 127 + "a",
            )
        ),
        ["--days", "0"],
        ["--days", "x"],
        ["--days", "nan"],
    ],
)
def test_what_cannot_stand_in_a_certificate_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """In one line, and nothing is written."""
    assert run(["certs", str(tmp_path / "pki"), *arguments]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "pki").exists()


@pytest.mark.parametrize(
    "names",
    [["../outside"], ["a/b"], ["/tmp/x"], [".."], [""], ["x" * 65], ["ca"], ["node"], ["a", "a"]],
)
def test_peer_whose_files_would_be_elsewhere_or_anothers_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: list[str]
) -> None:
    """A name is a file's name, too: none outside the folder or over the node's own."""
    words = [word for name in names for word in ("--peer", name)]
    assert run(["certs", str(tmp_path / "pki"), *words]) == 2
    assert re.fullmatch(r"error: peer '.*' .+: .+; .+\n", capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_names_and_addresses_stand_in_the_nodes_certificate(tmp_path: Path) -> None:
    """With those of loopback, each as what it is."""
    hosts = ["feed-1", "feed_2.example", "*.rack.example", "10.0.0.1", "fd00::1"]
    certs.make(tmp_path / "pki", hosts)
    made = x509.load_pem_x509_certificate((tmp_path / "pki" / "node.pem").read_bytes())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", *hosts[:3]]
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    assert addresses == ["127.0.0.1", "::1", *hosts[3:]]


def test_what_it_prints_is_for_a_shell_whatever_the_folder_is_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my pki"
    assert run(["certs", str(folder), "--peer", "desk-a"]) == 0
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("as 'desk-a'"))
    assert shlex.split(line.partition(": ")[2]) == [
        "export",
        f"RDMAQ_TLS_CA={folder}/ca.pem",
        f"RDMAQ_TLS_CERTIFICATE={folder}/desk-a.pem",
        f"RDMAQ_TLS_KEY={folder}/desk-a.key",
    ]
