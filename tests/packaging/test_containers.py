"""Two containers that share only the folder of sockets; and users who are let in, or not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

import rdmaq
from tests.conformance.rig import eventually

NOBODY = 65534

PUBLISHER = """
import os, sys
import rdmaq
uid, *allowed = map(int, sys.argv[1:])
os.setgroups([]), os.setresgid(uid, uid, uid), os.setresuid(uid, uid, uid)
with rdmaq.Node("local:apart", allow_uids=allowed) as node, node.publish("s") as publisher:
    print("ready", os.getpid(), flush=True)
    for line in sys.stdin:
        publisher.send(line.strip().encode())
"""

SUBSCRIBER = """
import os, sys
import rdmaq
from rdmaq.shm import wire
uid, *allowed = map(int, sys.argv[1:])
os.setgroups([]), os.setresgid(uid, uid, uid), os.setresuid(uid, uid, uid)
with rdmaq.connect("local:apart", allow_uids=allowed).subscribe("s") as subscription:
    cursor = subscription._cursor
    seen_pid = wire.peer_credentials(cursor.sock)[0]
    print("ready", os.getpid(), seen_pid, cursor.pidfd is not None, flush=True)
    try:
        for batch in subscription:
            print(*(message.decode() for message in batch), flush=True)
    except rdmaq.PublisherGone:
        print("gone", flush=True)
    else:
        print("ended", flush=True)
"""


def container() -> list[str]:
    """Mount, process, network and System V namespaces of its own; /dev/shm and /tmp are empty.

    unshare's child is the container's first process: it dies when unshare dies.
    """
    # A checkout that lies in /tmp must stay visible.
    empty_tmp = "" if Path(__file__).is_relative_to("/tmp") else "mount -t tmpfs none /tmp && "
    inside = (
        "mount -t tmpfs none /dev/shm && mount --bind $RDMAQ_RUNTIME_DIR /mnt && "
        f'{empty_tmp}export RDMAQ_RUNTIME_DIR=/mnt && exec "$@"'
    )
    namespaces = ["--mount", "--pid", "--ipc", "--net", "--uts", "--fork", "--kill-child"]
    return ["unshare", *namespaces, "--mount-proc", "sh", "-c", inside, "sh"]


@contextmanager
def start(
    program: str, *allowed: int, uid: int = 0, prefix: Sequence[str] = ()
) -> Iterator[subprocess.Popen[str]]:
    """Runs a program that becomes user `uid` once it has imported rdmaq; ends it with the block."""
    child = subprocess.Popen(
        [*prefix, sys.executable, "-c", program, str(uid), *map(str, allowed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        yield child
        child.kill()


def say(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdin is not None
    child.stdin.write(f"{line}\n")
    child.stdin.flush()


def hear(child: subprocess.Popen[str]) -> list[str]:
    assert child.stdout is not None
    assert child.stderr is not None
    line = child.stdout.readline()
    assert line, child.stderr.read()
    return line.split()


def needs_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("namespaces and other users need root")


@pytest.fixture
def shared_folder(runtime_dir: Path) -> Path:
    """A runtime folder that other users may enter, as one prepares it for `allow_uids`."""
    runtime_dir.chmod(0o777)
    return runtime_dir


@pytest.mark.parametrize("ending", ["close", "kill"])
def test_containers_that_share_only_the_socket_folder_share_a_stream(ending: str) -> None:
    """Neither sees the other's processes, so there is no pidfd: the socket tells of the end."""
    needs_root()
    with start(PUBLISHER, prefix=container()) as publisher:
        assert hear(publisher)[0] == "ready"
        with start(SUBSCRIBER, prefix=container()) as subscriber:
            assert hear(subscriber)[1:] == ["1", "0", "False"]
            say(publisher, "across")
            assert hear(subscriber) == ["across"]
            if ending == "kill":
                publisher.kill()
                assert hear(subscriber) == ["gone"]
            else:
                assert publisher.stdin is not None
                publisher.stdin.close()
                assert hear(subscriber) == ["ended"]
            assert subscriber.wait(timeout=30) == 0


def test_a_killed_subscriber_in_a_container_frees_its_slot(shared_folder: Path) -> None:
    needs_root()
    with rdmaq.Node("local:apart") as node, node.publish("s") as publisher:
        with start(SUBSCRIBER, prefix=container()) as subscriber:
            assert hear(subscriber)[0] == "ready"
            assert publisher.reader_count == 1
        eventually(lambda: publisher.reader_count == 0, "the slot of a dead subscriber")


@pytest.mark.parametrize(("publisher_uid", "subscriber_uid"), [(0, NOBODY), (NOBODY, 0)])
def test_users_who_allow_each_other_share_a_stream(
    shared_folder: Path, publisher_uid: int, subscriber_uid: int
) -> None:
    """Root publishes to nobody, and nobody to root: each names the other."""
    needs_root()
    with start(PUBLISHER, subscriber_uid, uid=publisher_uid) as publisher:
        assert hear(publisher)[0] == "ready"
        with start(SUBSCRIBER, publisher_uid, uid=subscriber_uid) as subscriber:
            assert hear(subscriber)[0] == "ready"
            say(publisher, "trusted")
            assert hear(subscriber) == ["trusted"]


def test_name_whose_lock_another_user_left_behind_is_refused_with_the_cure(
    shared_folder: Path,
) -> None:
    needs_root()
    (shared_folder / "apart.lock").touch(mode=0o600)
    with start(PUBLISHER, uid=NOBODY) as publisher:
        assert publisher.stderr is not None
        said = publisher.stderr.read()
    assert "rdmaq.errors.AccessDenied" in said
    assert "apart.lock" in said


@pytest.mark.parametrize(
    ("publisher_uid", "publisher_allows", "subscriber_uid", "subscriber_allows"),
    [
        (0, [], NOBODY, [0]),
        (0, [NOBODY], NOBODY, []),
        (NOBODY, [], 0, [NOBODY]),
        (NOBODY, [0], 0, []),
    ],
)
def test_one_side_that_does_not_allow_the_other_is_enough_to_refuse(
    shared_folder: Path,
    publisher_uid: int,
    publisher_allows: list[int],
    subscriber_uid: int,
    subscriber_allows: list[int],
) -> None:
    needs_root()
    with start(PUBLISHER, *publisher_allows, uid=publisher_uid) as publisher:
        assert hear(publisher)[0] == "ready"
        with start(SUBSCRIBER, *subscriber_allows, uid=subscriber_uid) as subscriber:
            assert subscriber.stderr is not None
            said = subscriber.stderr.read()
            subscriber.wait(timeout=30)
    assert subscriber.returncode == 1
    assert "AccessDenied" in said
    assert "allow_uids" in said
