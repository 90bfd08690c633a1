"""What cannot be used is refused in one line with cause and cure, status 2, without a traceback."""

from __future__ import annotations

import gzip
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rdmaq_services.market_data.capture_write import write_capture
from rdmaq_services.market_data.cli import main
from rdmaq_services.market_data.datagrams import Datagram
from rdmaq_services.market_data.moldudp64 import pack

import rdmaq

LINE = "239.1.1.1:5000"
HEADER = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs `rdmaq-md`, sees that it is refused as it should be, and gives the line."""

    def run(*arguments: object) -> str:
        assert main([str(argument) for argument in arguments]) == 2
        output, errors = capsys.readouterr()
        assert output == ""
        assert re.fullmatch(r"error: .+: .+; .+\n", errors), "what happened: cause; cure"
        assert "Traceback" not in errors
        return errors

    return run


@pytest.fixture
def small_capture(tmp_path: Path) -> Path:
    path = tmp_path / "small.pcap"
    write_capture(path, [Datagram(10**18, LINE, pack("A", 1, [b"S"]))])
    return path


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"neither of the two formats", "not a capture"),
        (gzip.compress(b"nor is this, in gzip"), "not a capture"),
        (HEADER[:10], "cut short"),
        (HEADER, "no packets"),
        (HEADER + b"\0" * 7, "cut short"),
        (HEADER[:20] + struct.pack("<I", 147) + struct.pack("<IIII", 1, 1, 4, 4) + b"abcd", "147"),
        (HEADER + struct.pack("<IIII", 1, 1, 4, 4) + b"abcd", "no MoldUDP64"),
    ],
    ids=["empty", "text", "gzip text", "in the header", "no packets", "in the first packet",
         "link type", "no feed"],
)  # fmt: skip
@pytest.mark.parametrize("command", ["replay", "publish"])
def test_capture_that_cannot_be_used(
    refused: Callable[..., str], tmp_path: Path, content: bytes, words: str, command: str
) -> None:
    path = tmp_path / "capture.pcap"
    path.write_bytes(content)
    extra = ["--address", "local:bad-input"] if command == "publish" else []
    said = refused(command, path, *extra)
    assert words in said
    assert str(path) in said


def test_absent_file_and_directory(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "does not exist" in refused("replay", tmp_path / "nowhere.pcap")
    assert "is a directory" in refused("replay", tmp_path)


def test_file_that_cannot_be_read(refused: Callable[..., str]) -> None:
    """A process's memory may be opened; its first page is not there."""
    assert "cannot be read" in refused("replay", "/proc/self/mem")


def test_feed_of_another_protocol(refused: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "other.pcap"
    write_capture(path, [Datagram(10**18, LINE, bytes(60))] * 3)
    assert "3 x session is not ASCII" in refused("replay", path)


@pytest.mark.parametrize(
    "options",
    [
        ("--subscribers", "0"),
        ("--subscribers", "-1"),
        ("--subscribers", "65"),
        ("--subscribers", "some"),
        ("--messages", "0"),
        ("--messages", "-5"),
        ("--seed", "-1"),
        ("--loss", "1.5"),
        ("--lines", "0"),
        ("--speed", "0"),
        ("--speed", "-2"),
        ("--speed", "fast"),
        ("--slow-subscriber", "-1"),
        ("--window-ms", "-1"),
        ("--window-messages", "0"),
        ("--timeout", "0"),
        ("--capacity", "3MiB"),
        ("--capacity", "1KiB"),
        ("--capacity", "-1"),
        ("--capacity", "much"),
        ("--wait", "never"),
        ("--start", "middle"),
        ("--line", "239.1.1.1:5000"),
        ("--bogus", "1"),
    ],
    ids=" ".join,
)
def test_option_that_means_nothing(refused: Callable[..., str], options: tuple[str, str]) -> None:
    refused("replay", *options)


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e400"])
@pytest.mark.parametrize(
    "option", ["--window-ms", "--loss", "--reorder", "--duplicates", "--timeout", "--speed"]
)
def test_number_that_is_none_or_has_no_end(
    refused: Callable[..., str], option: str, number: str
) -> None:
    assert option in refused("replay", option, number)
    if option == "--timeout":
        refused("subscribe", "local:nobody", option, number)


def test_line_that_is_not_in_the_capture(refused: Callable[..., str], small_capture: Path) -> None:
    assert "another line" in refused("replay", small_capture, "--line", "239.9.9.9:1")


def test_unknown_command_and_missing_option(refused: Callable[..., str]) -> None:
    assert "No such command" in refused("relay")
    assert "--address" in refused("publish")
    assert "ADDRESS" in refused("subscribe")


def test_message_too_large_for_the_ring(refused: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "large.pcap"
    write_capture(path, [Datagram(10**18, LINE, pack("A", 1, [bytes(30_000)]))])
    assert "limit" in refused("replay", path, "--capacity", "64KiB", "--subscribers", "1")


def test_unknown_node_and_stream(refused: Callable[..., str]) -> None:
    said = refused("subscribe", "local:nobody")
    assert "no node" in said
    assert "--timeout" in said
    assert "timeout=" not in said, "that is the API's word"
    address = f"local:bad-{os.getpid()}"
    with rdmaq.Node(address) as node, node.publish("other"):
        assert "'other'" in refused("subscribe", address, "--stream", "itch")


def test_stream_of_another_schema(refused: Callable[..., str]) -> None:
    address = f"local:typed-{os.getpid()}"
    with rdmaq.Node(address) as node, node.publish("itch", np.dtype([("x", "<u8")])):
        assert "not market data" in refused("subscribe", address)


def test_address_of_another_host_and_of_no_form(
    refused: Callable[..., str], small_capture: Path
) -> None:
    refused("subscribe", "exchange:7471")
    refused("publish", small_capture, "--address", "nonsense")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("subscribe", "10.255.0.1"), "--tls-ca"),
        (("subscribe", "10.255.0.1:7471", "--subscribers", "2"), "--tls-ca"),
        (("subscribe", "local:x", "--subscribers", "0"), "--subscribers"),
        (("subscribe", "local:x", "--subscribers", "65"), "--subscribers"),
        (("subscribe", "local:x", "--transport", "carrier"), "--transport"),
        (("subscribe", "local:x", "--on-gap", "skip"), "--on-gap"),
        (("subscribe", "local:x", "--transport", "verbs"), "shared memory only"),
        (("subscribe", "feed-1:99999"), "at most 65535"),
        (("subscribe", "[::1", "--insecure"), "cannot be read"),
        (("subscribe", "127.0.0.1", "--tls-ca", "/nowhere"), "does not exist"),
        (("subscribe", "127.0.0.1", "--tls-ca", "/dev/null"), "--tls-ca cannot be used"),
        (("subscribe", "127.0.0.1", "--tls-certificate", "/dev/null"), "without its key"),
        (("subscribe", "127.0.0.1", "--token-file", "/dev/null"), "no token"),
        (("publish", "--address", "0.0.0.0"), "--tls-certificate and --tls-key"),
        (("publish", "--address", "10.255.0.1", "--tls-key", "/dev/null"), "without its key"),
        (("publish", "--address", "127.0.0.1", "--token-file", "{short}"), "16 to 1,024"),
        (("publish", "--address", "10.255.0.1", "--insecure"), "10.255.0.1"),
        (("publish", "--address", "local:x", "--coalesce", "-1"), "--coalesce"),
        (("publish", "--address", "local:x", "--drain", "nan"), "--drain"),
        (("publish", "--address", "local:x", "--coalesce", "9", "--speed", "2"), "at a pace"),
        (("demo", "--nodes", "2"), "--rdma"),
        (("demo", "--rdma", "--nodes", "3"), "--nodes"),
        (("demo", "--messages", "5"), "--messages"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_other_host_that_cannot_be(
    refused: Callable[..., str], tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    """Addresses, credentials and what goes with them; each in the words of its options."""
    short = tmp_path / "short"
    short.write_text("short\n", encoding="ascii")
    said = refused(*(option.format(short=short) for option in options))
    assert words in said
    assert not re.search(r"[a-z]_file\b|timeout=|credentials=", said), "those are the API's words"


def test_stream_name_and_socket_path_that_cannot_be(
    refused: Callable[..., str], small_capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"local:names-{os.getpid()}"
    assert "stream name" in refused("publish", small_capture, "--address", address, "--stream", "")
    monkeypatch.setenv("RDMAQ_RUNTIME_DIR", "/tmp/" + "x" * 100)
    assert "socket path" in refused("publish", small_capture, "--address", address)


def test_address_in_use(refused: Callable[..., str], small_capture: Path) -> None:
    address = f"local:used-{os.getpid()}"
    with rdmaq.Node(address):
        refused("publish", small_capture, "--address", address)


def test_synthetic_day_that_cannot_be_written(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "No such file" in refused("synth", tmp_path / "no" / "x.pcap", "--messages", "10")
    assert "No space left" in refused("synth", "/dev/full", "--messages", "10")


def test_help_needs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--help"], ["replay", "-h"], ["synth", "--help"]):
        assert main(arguments) == 0
        assert "Usage: rdmaq-md" in capsys.readouterr().out
