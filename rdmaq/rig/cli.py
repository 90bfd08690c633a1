"""The commands `rdmaq rig …`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from rdmaq.rig import breaking, cache, lifecycle, running, state
from rdmaq.rig import native as native_rig
from rdmaq.rig.errors import CommandNotRun, GuestDied, RigError
from rdmaq.rig.faults import KINDS, Fault
from rdmaq.rig.lifecycle import Wish
from rdmaq.rig.paths import cache_folder, checkout_of, rig_name
from rdmaq.rig.session import TIMED_OUT
from rdmaq.rig.shadows import shadows_of

LOG_SECONDS_MAX = 20.0
NOT_RUN = 125  # the rig failed, not the command: as env(1) and timeout(1) say it


def _say(text: str) -> None:
    click.echo(f"rdmaq rig: {text}", err=True)


def _checkout(folder: Path | None) -> Path:
    return folder.resolve() if folder else checkout_of(Path.cwd())


def name_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --name, whose default is the checkout's own rig."""
    return click.option(
        "--name", help="The rig's name [default: $RDMAQ_RIG_NAME, else the checkout's own]."
    )(command)


def wish_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what a rig should be."""
    for option in (
        click.option("--nodes", type=click.IntRange(1, 4), default=1, show_default=True,
                     help="Guests; with more than one, each has one more device on a shared wire."),
        click.option("--cold", is_flag=True, help="Boot instead of resuming from a snapshot."),
        click.option("--kernel", metavar="VERSION|FILE",
                     help="A version of your package sources (6.1), or a vmlinuz file's path."),
        click.option("--checkout", type=click.Path(exists=True, file_okay=False, path_type=Path),
                     help="What guests may write to [default: the git checkout you are in]."),
        click.option("--idle", type=click.IntRange(0), default=lifecycle.IDLE_SECONDS,
                     show_default=True, help="Seconds without a command until it ends; 0: never."),
    ):  # fmt: skip
        command = option(command)
    return name_option(command)


@click.group(invoke_without_command=True)
@click.pass_context
def rig(context: click.Context) -> None:
    """Real RDMA on any machine: SoftRoCE devices in a small virtual machine, without root."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _kernel_path(kernel: str | None) -> str | None:
    is_file = kernel is not None and os.sep in kernel
    return str(Path(kernel).resolve()) if kernel is not None and is_file else kernel


def _bring_up(
    name: str | None, nodes: int, cold: bool, kernel: str | None, checkout: Path | None, idle: int
) -> state.State:
    root = _checkout(checkout)
    wish = Wish(
        name=rig_name(root, name),
        checkout=root,
        node_count=nodes,
        cold=cold,
        kernel=_kernel_path(kernel),
        idle_seconds=idle,
        shadows=shadows_of(root),
    )
    return lifecycle.up(wish, _say)


@rig.command()
@wish_options
@click.option("--native", is_flag=True, help="Use this machine's own RDMA devices, no guest.")
@click.option("--interface", help="With --native, as root: make an rxe device on it.")
def up(native: bool, interface: str | None, **options: Any) -> None:
    """Starts the rig; does nothing if it is up."""
    if interface and not native:
        raise click.UsageError("--interface goes with --native")
    if native:
        root = _checkout(options["checkout"])
        found = native_rig.up(rig_name(root, options["name"]), root, interface)
    else:
        found = _bring_up(**options)
    click.echo(_describe(found))


def _describe(rig_state: state.State) -> str:
    if rig_state.native:
        return f"rig {rig_state.name}: native, device {rig_state.native}"
    lines = [f"rig {rig_state.name}: {rig_state.node_count} node(s), checkout {rig_state.checkout}"]
    for number, node in enumerate(rig_state.nodes):
        life = "up" if node.process.is_alive else "dead"
        if life == "up" and rig_state.is_paused(number):
            life = "paused"
        how = "resumed" if node.resumed else "booted"
        by = "KVM" if rig_state.use_kvm else "emulated"
        lines.append(f"  node {number}: {life}, {how}, {by}, process {node.process.pid}")
    return "\n".join(lines)


# What stands after COMMAND is the command's own, `--` or not.
@rig.command(context_settings={"allow_interspersed_args": False})
@name_option
@click.option("--node", type=click.IntRange(0, 3), default=0, show_default=True)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    help="Seconds; then SIGTERM, SIGKILL two seconds later, and exit status 124.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="The working directory in the guest [default: yours].",
)
@click.option("--root", "as_root", is_flag=True, help="As root in the guest, not as yourself.")
@click.option(
    "--fresh",
    is_flag=True,
    help="Read the host's files outside the checkout anew: guests cache them for long.",
)
@click.option("-n", "--no-stdin", is_flag=True, help="Nothing on its standard input.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec(  # noqa: A001  (the command's name)
    name: str | None,
    node: int,
    timeout: float | None,
    folder: Path | None,
    as_root: bool,
    fresh: bool,
    no_stdin: bool,
    command: tuple[str, ...],
) -> None:
    """Runs COMMAND in a guest, with your streams, folder and environment; starts a rig if none is.

    The exit status is the command's own: 128 + N after signal N, 124 when its time was over, 127
    when there is no such command, 126 when it cannot be executed, 125 when the rig itself failed.
    """
    _open_missing_streams()
    try:
        rig_state = _running_or_started(name)
        if rig_state.native:
            sys.exit(_run_native(command, node, as_root, timeout, folder))
        if fresh:
            running.forget_host_files(rig_state, node=node)
        session = running.open_session(
            rig_state, command, node=node, folder=folder, as_root=as_root
        )
        status = running.stream(session, stdin=not no_stdin, timeout=timeout)
    except CommandNotRun as error:
        _say(str(error))
        sys.exit(error.status)
    except (GuestDied, RigError) as error:
        _say(str(error))
        sys.exit(NOT_RUN)
    if session.timed_out:
        _say(f"{command[0]} was ended after {timeout:g} s (--timeout)")
    sys.exit(status)


def _run_native(
    command: tuple[str, ...], node: int, as_root: bool, timeout: float | None, folder: Path | None
) -> int:
    if node or as_root:
        raise RigError("a native rig is this machine alone: leave --node and --root out")
    status = native_rig.run(command, timeout=timeout, folder=folder)
    if status == TIMED_OUT:
        _say(f"{command[0]} was ended after {timeout:g} s (--timeout)")
    return status


def _open_missing_streams() -> None:
    """Keep 0, 1 and 2 from being taken by a socket where the caller has closed one of them."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _running_or_started(name: str | None) -> state.State:
    found = state.read(rig_name(_checkout(None), name))
    if found is not None and (found.nodes or found.native):
        return found if found.is_whole else _restarted(found)
    return _bring_up(name, 1, False, None, None, lifecycle.IDLE_SECONDS)


def _restarted(dead: state.State) -> state.State:
    return _bring_up(
        dead.name, dead.node_count, dead.cold, dead.kernel, Path(dead.checkout), dead.idle_seconds
    )


@rig.command()
@name_option
@click.option("--node", type=click.IntRange(0, 3), default=0, show_default=True)
@click.option("--root", "as_root", is_flag=True, help="As root in the guest, not as yourself.")
def shell(name: str | None, node: int, as_root: bool) -> None:
    """Opens your shell in a guest."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise RigError("a shell needs a terminal; to run one command: rdmaq rig exec -- COMMAND")
    rig_state = _running_or_started(name)
    if rig_state.native:
        sys.exit(native_rig.run([os.environ.get("SHELL", "/bin/sh")]))
    session = running.open_session(
        rig_state,
        [os.environ.get("SHELL", "/bin/sh")],
        node=node,
        as_root=as_root,
        terminal=running.terminal_size(),
    )
    sys.exit(running.stream_terminal(session))


@rig.command()
@name_option
@click.option("--all", "show_all", is_flag=True, help="All rigs of this user.")
def status(name: str | None, show_all: bool) -> None:
    """Tells which nodes are up; exits with 1 when the rig is not up as a whole."""
    names = state.names() if show_all else [rig_name(_checkout(None), name)]
    whole = True
    for one in names:
        found = state.read(one)
        whole = whole and found is not None and found.is_whole
        click.echo(_describe(found) if found else f"rig {one}: not up")
    sys.exit(0 if whole else 1)


@rig.command()
@name_option
@click.option("--node", type=click.IntRange(0, 3), default=0, show_default=True)
def log(name: str | None, node: int) -> None:
    """Prints the guest's console, QEMU's own words, and the guest's kernel log."""
    found = _running_node(name, node)
    for part in ("qemu.log", "console.log"):
        path = found.node_folder(node) / part
        if path.exists():
            click.echo(f"==> {part} <==")
            click.echo(path.read_text(encoding="utf-8", errors="replace"))
    if found.nodes[node].process.is_alive and not found.is_paused(node):
        answer = running.run(
            found, ["dmesg"], node=node, as_root=True, folder=Path("/"), timeout=LOG_SECONDS_MAX
        )
        click.echo("==> kernel log <==")
        click.echo(answer.stdout.decode(errors="replace"))


@rig.command()
@name_option
@click.option("--all", "take_all", is_flag=True, help="All rigs of this user.")
def down(name: str | None, take_all: bool) -> None:
    """Ends the rig; nothing stays but the cache."""
    for one in state.names() if take_all else [rig_name(_checkout(None), name)]:
        if not lifecycle.down(one):
            _say(f"rig {one} is not up")


@rig.command()
@click.option("--kernel", metavar="VERSION|FILE", help="As for `up`.")
def build(kernel: str | None) -> None:
    """Fetches and prepares what a rig boots from, and starts nothing."""
    image = lifecycle.build(_kernel_path(kernel), _say)
    click.echo(f"kernel {image.kernel_version}, {image.kernel.parent}")


@rig.command()
def clean() -> None:
    """Removes the cache: kernels, tools, snapshots."""
    cache.clean()
    _say(f"removed {cache_folder()}")


@rig.command()
@name_option
@click.option("--node", type=click.IntRange(0, 3), default=0, show_default=True)
@click.option("--interface", help="One end only: wire0, wire1 or wire2 [default: all of the node].")
@click.argument("kind", type=click.Choice([*KINDS, *breaking.NODE_KINDS]))
@click.argument("amount", default="")
def fault(name: str | None, node: int, interface: str | None, kind: str, amount: str) -> None:
    """Breaks a wire or a node until `heal`.

    Wires: loss 2%, delay 5ms (or "5ms 1ms"), reorder 20%, duplicate 5%, corrupt 1%, rate 10mbit,
    down (the link). Nodes: unplug (the wire between nodes, from outside), pause, kill.
    """
    found = _running_node(name, node)
    if kind in breaking.NODE_KINDS:
        breaking.break_node(found, node, kind)
    else:
        where = [interface] if interface else breaking.interfaces_of(found, node)
        breaking.break_wires(found, node, Fault(kind, amount, where))
    click.echo(f"node {node}: {kind} {amount}".rstrip())


@rig.command()
@name_option
@click.option("--node", type=click.IntRange(0, 3), help="[default: every node]")
@click.option("--check", is_flag=True, help="Exit with 1 if a fault moved no counter.")
def heal(name: str | None, node: int | None, check: bool) -> None:
    """Undoes every fault, and tells what each did; a killed node is started again.

    A fault that moved no counter (dropped packets, the devices' own counters) met no packet, and
    whatever was tested meanwhile was tested without it: a script asks for that by --check.
    """
    found = _running_node(name, node or 0)
    idle = False
    for one in range(found.node_count) if node is None else [node]:
        for line in breaking.heal(found, one):
            idle = idle or line.endswith(breaking.NO_COUNTER)
            click.echo(line)
    sys.exit(1 if check and idle else 0)


def _running_node(name: str | None, node: int) -> state.State:
    found = state.read_running(rig_name(_checkout(None), name))
    if found.native:
        raise RigError(f"rig {found.name!r} is native: it has no guest, and no faults of a rig's")
    if not 0 <= node < len(found.nodes):
        raise RigError(f"rig {found.name!r} has {len(found.nodes)} guest(s), there is no {node}")
    return found
