"""`rdmaq rig exec` behaves as a shell user expects of a command."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from rdmaq.rig import lifecycle, running, session
from rdmaq.rig.errors import CommandNotRun, GuestDied
from rdmaq.rig.state import State
from tests.rig.support import COMMAND, ROOT, Cli, wish_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def shell(rig: State, script: str, **options: object) -> running.Completed:
    return running.run(rig, ["sh", "-c", script], folder=ROOT, **options)  # type: ignore[arg-type]


def test_both_outputs_and_the_status_come_apart(rig: State) -> None:
    done = shell(rig, "echo out; echo err >&2; exit 7")
    assert (done.status, done.stdout, done.stderr) == (7, b"out\n", b"err\n")


def test_death_by_signal_is_128_and_its_number(rig: State) -> None:
    assert shell(rig, "kill -SEGV $$").status == 128 + signal.SIGSEGV


def test_standard_input_arrives_whole_and_ends(rig: State) -> None:
    data = os.urandom(3_000_000)
    assert running.run(rig, ["sha256sum"], input=data).stdout.split()[0].decode() == (
        hashlib.sha256(data).hexdigest()
    )


def test_input_that_nobody_reads_does_not_hang(rig: State) -> None:
    done = shell(rig, "exec <&-; sleep 0.2; echo done", input=bytes(3_000_000))
    assert done.stdout == b"done\n"


def test_folder_and_environment_are_ours(rig: State) -> None:
    done = running.run(
        rig, ["sh", "-c", 'pwd; echo "$GREETING"; id -u'],
        folder=ROOT / "tests", environment={**os.environ, "GREETING": "good day; $HOME 'x'"},
    )  # fmt: skip
    expected = f"{ROOT}/tests\ngood day; $HOME 'x'\n{os.getuid()}\n"
    assert done.stdout.decode() == expected


def test_checkout_is_writable_and_the_rest_of_the_host_is_not(rig: State) -> None:
    mark = ROOT / ".build" / f"rig-mark-{os.getpid()}"
    try:
        assert shell(rig, f"echo guest > {mark}").status == 0
        assert mark.read_text() == "guest\n"
        mark.write_text("host\n")  # and what the host writes is seen at once
        assert shell(rig, f"cat {mark}").stdout == b"host\n"
    finally:
        mark.unlink(missing_ok=True)
    done = shell(rig, "touch /usr/rig-mark", as_root=True)
    assert done.status == 1
    assert b"Read-only" in done.stderr


def test_hundred_megabytes_of_output_arrive_intact(cli: Cli, tmp_path: Path) -> None:
    """The bytes, different in every block, are hashed on both sides."""
    path = tmp_path / "output"
    program = (
        "import sys, hashlib, os\n"
        "h = hashlib.sha256(); block = os.urandom(1 << 20)\n"
        "for i in range(100):\n"
        "    part = i.to_bytes(8, 'big') + block[8:1000000]; h.update(part)\n"
        "    sys.stdout.buffer.write(part)\n"
        "sys.stdout.flush(); sys.stderr.write(h.hexdigest())\n"
    )
    with path.open("wb") as file:
        done = cli("exec", "--", "/usr/bin/python3", "-c", program, stdout=file)
    assert done.returncode == 0
    assert path.stat().st_size == 100_000_000
    with path.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == done.stderr.decode()


def test_missing_command_is_127_and_unexecutable_126(cli: Cli) -> None:
    missing = cli("exec", "--", "no-such-command-here")
    assert missing.returncode == 127
    assert b"no-such-command-here: No such file or directory" in missing.stderr
    assert cli("exec", "--", f"{ROOT}/pyproject.toml").returncode == 126
    assert cli("exec", "--folder", "/no/such", "--", "true").returncode == 125


def test_time_out_is_124_and_ends_what_ignores_sigterm(cli: Cli, rig: State) -> None:
    done = cli("exec", "--timeout", "1", "--", "sh", "-c", "trap '' TERM; sleep 4711")
    assert done.returncode == session.TIMED_OUT
    assert b"--timeout" in done.stderr
    assert shell(rig, "pgrep -f '[s]leep 4711'").status == 1


def test_background_process_does_not_hold_the_command(rig: State) -> None:
    started = time.monotonic()
    assert shell(rig, "sleep 60 & echo on").stdout == b"on\n"
    assert time.monotonic() - started < 50  # not a bound on speed: the sleep's own length
    assert shell(rig, "pkill -f '[s]leep 60'").status == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_reaches_the_command(rig: State, number: int, status: int) -> None:
    client = subprocess.Popen(
        [*COMMAND, "exec", "--name", rig.name, "--", "sh", "-c", "echo on; exec sleep 60"],
        stdout=subprocess.PIPE, cwd=ROOT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    with client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"on\n"
        client.send_signal(number)
        assert client.wait(timeout=60) == status


def test_killed_client_takes_its_command_along_even_a_daemon(rig: State) -> None:
    client = subprocess.Popen(
        [*COMMAND, "exec", "--name", rig.name, "--", "sh", "-c",
         "setsid sleep 4712 & echo on; sleep 4712"],
        stdout=subprocess.PIPE, cwd=ROOT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    with client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"on\n"
        client.kill()
    deadline = time.monotonic() + 30
    while shell(rig, "pgrep -f '[s]leep 4712'").status == 0:
        assert time.monotonic() < deadline, "the command outlived its client"


def test_wrong_token_gets_nothing(rig: State) -> None:
    from dataclasses import replace

    stranger = replace(rig, token="0" * 32)
    with pytest.raises(GuestDied):
        running.run(stranger, ["true"], folder=Path("/"))


def test_dead_guest_is_told_and_the_next_up_recovers(rig: State) -> None:
    wish = wish_for("one")
    broken = running.open_session(rig, ["sleep", "60"], folder=Path("/"))
    os.kill(rig.nodes[0].process.pid, signal.SIGKILL)
    with pytest.raises(GuestDied, match="went away while sleep ran"):
        list(broken.events())
    broken.close()
    # Its sockets are closed before the kernel has taken its memory apart, and until then it lives.
    assert lifecycle.wait_until_dead(rig, 0, seconds=60)
    fresh = lifecycle.up(wish)
    assert fresh.nodes[0].process != rig.nodes[0].process
    rig.nodes, rig.token = fresh.nodes, fresh.token
    assert shell(rig, "echo again").stdout == b"again\n"


def test_too_long_a_command_line_is_refused_with_a_cure(rig: State) -> None:
    with pytest.raises(CommandNotRun, match="by a file") as caught:
        running.run(rig, ["echo", "x" * 2_000_000], folder=Path("/"))
    assert caught.value.status == 126


def test_command_not_run_carries_the_shell_status(rig: State) -> None:
    with pytest.raises(CommandNotRun) as caught:
        running.run(rig, ["no-such-command-here"], folder=Path("/"))
    assert caught.value.status == 127
