"""Brings a rig up and takes it down."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rdmaq.rig import cache, hosts, machine, native, needs, snapshot, state, wires
from rdmaq.rig.errors import GuestFailed, RigError
from rdmaq.rig.image import Image, cached_image, prepare_image
from rdmaq.rig.paths import (
    cache_folder,
    cache_lock,
    locked,
    private_folder,
    rig_locked,
    runtime_folder,
)
from rdmaq.rig.qemu import Guest
from rdmaq.rig.state import Node, State

NODES_MAX = 4
IDLE_SECONDS = 3600
KVM_TRIAL_SECONDS = 15.0

Progress = Callable[[str], None]


def kvm_refused() -> Path:
    """Return where it is noted that KVM was tried in vain."""
    return cache_folder() / "kvm-refused"


def _silent(text: str) -> None:
    del text


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a rig should be.

    Attributes:
        kernel: a version, a file (any text with a slash), or None for the default.
        cold: boot instead of resuming from a snapshot, and save none.
        idle_seconds: guests without a command for so long power off; 0 = never.
        shadows: folders to show in the guests as the host has them (virtual environments).
    """

    name: str
    checkout: Path
    node_count: int = 1
    cold: bool = False
    kernel: str | None = None
    idle_seconds: int = IDLE_SECONDS
    shadows: Sequence[Path] = ()


def up(wish: Wish, progress: Progress = _silent) -> State:
    """Return the rig, started if it was not up; what a dead one left is removed first.

    Raises:
        MissingPrerequisite: something is not there; nothing was started.
        RigError: a rig of that name is up but differs, or the guests did not start; then none of
            them is left.
    """
    if not 1 <= wish.node_count <= NODES_MAX:
        raise RigError(f"a rig has 1 to {NODES_MAX} nodes, not {wish.node_count}")
    if "\n" in f"{wish.checkout}{wish.shadows}":
        raise RigError("a path with a line break cannot be mounted in a guest; rename the folder")
    with rig_locked(wish.name):
        running = state.read(wish.name)
        if running is not None and running.is_whole:
            _must_be_as(running, wish)
            return running
        if running is not None or state.folder_of(wish.name).exists():
            progress("an earlier rig of this name died: removing what it left")
            state.sweep(wish.name)
        image = cached_image(wish.kernel)
        use_kvm = hosts.kvm_may_work(kvm_refused())
        saves = not (wish.cold or use_kvm)
        needs.check(
            cache=cache_folder(),
            runtime=runtime_folder(),
            node_count=wish.node_count,
            must_prepare=image is None,
            must_save=saves and not snapshot.is_saved(image, wish.node_count),
            kernel=wish.kernel,
        )
        if image is None:
            cache.prune()
        with locked(cache_lock(), shared=True):
            return _start(wish, use_kvm, progress)


def build(kernel: str | None, progress: Progress = _silent) -> Image:
    """Return what a rig boots from, fetched and prepared if it is not in the cache.

    Raises:
        MissingPrerequisite: something is not there; nothing was started.
        RigError: something could not be fetched, compiled or found.
    """
    must_prepare = cached_image(kernel) is None
    needs.check(
        cache=cache_folder(),
        runtime=runtime_folder(),
        node_count=0,
        must_prepare=must_prepare,
        must_save=False,
        kernel=kernel,
    )
    if must_prepare:
        cache.prune()
    with locked(cache_lock(), shared=True):
        return prepare_image(kernel, progress)


def _must_be_as(running: State, wish: Wish) -> None:
    if running.native:
        raise RigError(
            f"rig {wish.name!r} is up already, native, with device {running.native}; "
            "run `rdmaq rig down` first, or give this one a name of its own (--name)"
        )
    differs = [
        f"{what} {is_} instead of {wanted}"
        for what, is_, wanted in (
            ("nodes", running.node_count, wish.node_count),
            ("kernel", running.kernel, wish.kernel),
            ("checkout", running.checkout, str(wish.checkout)),
        )
        if is_ != wanted
    ]
    if differs:
        raise RigError(
            f"rig {wish.name!r} is up already, with {', '.join(differs)}; "
            "run `rdmaq rig down` first, or give this one a name of its own (--name)"
        )


def _start(wish: Wish, use_kvm: bool, progress: Progress) -> State:
    image = prepare_image(wish.kernel, progress)
    private_folder(runtime_folder())
    rig = State(
        name=wish.name,
        checkout=str(wish.checkout),
        kernel=wish.kernel,
        node_count=wish.node_count,
        cold=wish.cold,
        idle_seconds=wish.idle_seconds,
        rig_id=secrets.randbits(16),
        token=secrets.token_hex(16),
        shadows=[str(path) for path in wish.shadows],
        use_kvm=use_kvm,
    )
    try:
        for node in range(wish.node_count):
            rig.nodes.append(start_node(rig, image, node, progress))
        rig.write()
    except BaseException:
        state.sweep(wish.name)
        raise
    return rig


def _guest(rig: State, image: Image, node: int) -> Guest:
    return Guest(
        image=image,
        folder=rig.node_folder(node),
        node=node,
        node_count=rig.node_count,
        use_kvm=rig.use_kvm,
        checkout=Path(rig.checkout),
        wire=_wire(rig, node),
    )


def _wire(rig: State, node: int) -> str:
    """Return the back end of the wire between nodes, in QEMU's words."""
    if rig.node_count == 1:
        return ""
    if rig.node_count == 2:
        own, other = (rig.folder / f"wire-{n}" for n in (node, 1 - node))
        return f"local.type=unix,local.path={own},remote.type=unix,remote.path={other}"
    # A group on loopback, drawn from 2^37: two rigs never meet.
    high, low, port = rig.rig_id >> 8, rig.rig_id & 0xFF, 20000 + int(rig.token[:4], 16) % 12000
    group = f"239.{int(rig.token[4:6], 16)}.{high}.{low}"
    return (
        f"remote.type=inet,remote.host={group},remote.port={port},"
        "local.type=inet,local.host=127.0.0.1,local.port=0"
    )


def start_node(rig: State, image: Image, node: int, progress: Progress) -> Node:
    """Start one node: KVM where it works, a snapshot where there is one, a cold boot else."""
    guest = _guest(rig, image, node)
    if rig.use_kvm:
        try:
            return _start_cold(rig, guest, node, seconds=KVM_TRIAL_SECONDS)
        except GuestFailed:
            progress(
                "KVM is offered but does not boot a guest: emulating, until this machine reboots"
            )
            hosts.note_kvm_refused(kvm_refused())
            rig.use_kvm = False
            guest = replace(guest, use_kvm=False)
    if rig.cold:
        return _start_cold(rig, guest, node)
    try:
        if not snapshot.folder_of(guest).is_dir():
            progress("booting once, to save a snapshot")
        return _start_from_snapshot(rig, guest, node)
    except RigError as error:
        progress(f"no resuming from a snapshot ({error}); booting")
        shutil.rmtree(snapshot.folder_of(guest), ignore_errors=True)
        return _start_cold(rig, guest, node)


def _start_from_snapshot(rig: State, guest: Guest, node: int) -> Node:
    guest = snapshot.resumed(guest, snapshot.ensure(guest))
    process = machine.start(guest)
    try:
        snapshot.resume(guest, process)
        return _introduce(rig, guest, process, node, resumed=True)
    except BaseException:
        process.end(patience=1.0)
        raise


def _start_cold(
    rig: State, guest: Guest, node: int, *, seconds: float = machine.BOOT_SECONDS_MAX
) -> Node:
    process = machine.start(guest)
    try:
        machine.await_ready(guest, process, seconds=seconds)
        return _introduce(rig, guest, process, node, resumed=False)
    except BaseException:
        process.end(patience=1.0)
        raise


def _introduce(
    rig: State, guest: Guest, process: machine.Process, node: int, *, resumed: bool
) -> Node:
    inside = [path for path in rig.shadows if Path(path).is_relative_to(rig.checkout)]
    lines = [
        f"token {rig.token}",
        f"idle {rig.idle_seconds}",
        "host",
        *(f"shadow {path}" for path in rig.shadows if path not in inside),
        f"checkout {rig.checkout}",
        *(f"shadow {path}" for path in inside),
        *wires.configuration(node, rig.node_count, rig.rig_id),
    ]
    machine.configure(guest, lines)
    with machine.control(guest, process) as qmp:
        return Node(process=process, port=machine.command_port(qmp), resumed=resumed)


def down(name: str) -> bool:
    """End a rig and remove all that it left but the cache; False when there was none."""
    with rig_locked(name):
        running = state.read(name)
        was_there = running is not None or state.folder_of(name).exists()
        if running is not None:
            if running.native:
                native.take_away(running)
            for node in running.nodes:
                node.process.end()
        state.sweep(name)
        with contextlib.suppress(OSError):
            runtime_folder().rmdir()  # the last one out
    return was_there


def remove_node_folder(rig: State, node: int) -> None:
    """Remove what a dead node left, its log included."""
    shutil.rmtree(rig.node_folder(node), ignore_errors=True)
    (rig.folder / f"wire-{node}").unlink(missing_ok=True)


def wait_until_dead(rig: State, node: int, *, seconds: float) -> bool:
    """Whether a node's process ended within some seconds."""
    deadline = time.monotonic() + seconds
    while rig.nodes[node].process.is_alive and time.monotonic() < deadline:
        time.sleep(0.01)
    return not rig.nodes[node].process.is_alive
