"""Streams, signals and time of `rdmaq rig exec`, where one side does not do its part."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from rdmaq.rig import breaking, lifecycle, running
from rdmaq.rig.errors import NoRig
from rdmaq.rig.session import TIMED_OUT
from rdmaq.rig.state import State
from tests.rig.support import COMMAND, ROOT, Cli

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def client(rig: State, *words: str, **streams: object) -> subprocess.Popen[bytes]:
    command = [*COMMAND, "exec", "--name", rig.name, *words]
    process: subprocess.Popen[bytes]
    process = subprocess.Popen(command, cwd=ROOT, **streams)  # type: ignore[call-overload]
    return process


def test_twenty_megabytes_of_input_arrive_intact(rig: State, tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(os.urandom(20_000_000))
    with (
        path.open("rb") as file,
        client(rig, "sha256sum", stdin=file, stdout=subprocess.PIPE) as it,
    ):
        output, _ = it.communicate(timeout=200)
    assert output.split()[0].decode() == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("how", ["timeout", "signal"])
def test_input_that_nobody_reads_holds_up_neither_time_nor_signals(rig: State, how: str) -> None:
    time_out = ["--timeout", "2"] if how == "timeout" else []
    with open("/dev/zero", "rb") as zeros:  # noqa: PTH123  (a device)
        process = client(
            rig, *time_out, "sh", "-c", "echo on; exec sleep 4713", stdin=zeros,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"on\n"
            if how == "signal":
                process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == (TIMED_OUT if how == "timeout" else 143)
    assert running.run(rig, ["pgrep", "-f", "[s]leep 4713"]).status == 1


def test_output_that_nobody_reads_does_not_hold_up_time(rig: State) -> None:
    """The pipe is full for good: nobody ever reads of it, and it is not closed either."""
    with client(
        rig, "--timeout", "2", "yes",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.wait(timeout=60) == TIMED_OUT


def test_third_interrupt_ends_what_does_not_end(rig: State) -> None:
    script = "trap 'echo no' INT; echo on; while :; do sleep 0.1; done"
    with client(
        rig, "sh", "-c", script, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"on\n"
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == b"no\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 128 + signal.SIGKILL


def test_reader_that_leaves_ends_the_command_as_a_broken_pipe_does(rig: State) -> None:
    with client(rig, "yes", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"y\n"
        process.stdout.close()
        assert process.wait(timeout=60) == 128 + signal.SIGPIPE


def test_closed_streams_are_no_obstacle(rig: State) -> None:
    words = " ".join([f"'{COMMAND[0]}'", "-c", f"'{COMMAND[2]}'", "rig exec --name", rig.name])
    shell = f"{words} cat <&- && {words} echo hidden >&- && {words} echo seen 2>&-"
    done = subprocess.run(["sh", "-c", shell], cwd=ROOT, capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"seen\n")


def test_what_follows_the_command_is_the_commands_own(cli: Cli) -> None:
    assert cli("exec", "echo", "--timeout", "-n", "--name", "x").stdout == (
        b"--timeout -n --name x\n"
    )
    assert cli("exec", "--no-such-option", "true").returncode == 2


def test_folder_may_be_relative_to_ours(cli: Cli) -> None:
    assert cli("exec", "--folder", "tests/rig", "pwd").stdout.decode() == f"{ROOT}/tests/rig\n"


def test_settings_of_the_host_alone_stay_there(rig: State) -> None:
    environment = {"TMPDIR": "/no/such", "PATH": "/usr/bin:/bin", "KEPT": "yes"}
    done = running.run(
        rig, ["sh", "-c", "echo ${TMPDIR-none} $KEPT; command -v tc"], environment=environment
    )
    assert done.stdout.decode().split() == ["none", "yes", "/usr/sbin/tc"]


def test_paused_node_is_told_and_one_that_does_not_answer_ends_with_the_time(
    rig: State, cli: Cli
) -> None:
    breaking.break_node(rig, 0, "pause")
    try:
        with pytest.raises(NoRig, match="is paused and would not answer"):
            running.run(rig, ["true"])
        assert b"node 0: paused" in cli("status").stdout
        rig.pause_mark(0).unlink()  # as if somebody else had stopped it
        assert cli("exec", "--timeout", "1", "true").returncode == TIMED_OUT
    finally:
        breaking.heal(rig, 0)
    assert lifecycle.wait_until_dead(rig, 0, seconds=0) is False
    assert running.run(rig, ["true"]).status == 0
