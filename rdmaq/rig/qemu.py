"""The command line of one guest, and what of it a snapshot depends on."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rdmaq.rig.image import Image

QEMU = "qemu-system-x86_64"
COMMAND_PORT = 1022  # the agent's (guest/agent.h)
MEMORY_MIB = 1024

_MACHINE = "q35,hpet=off"
_CPU_TCG = "max,-la57,-smap,-smep,-pku,-pks,-umip"
_KERNEL_WORDS = (
    "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off tsc=reliable no_timer_check nokaslr "
    "audit=0 apparmor=0 nowatchdog rcupdate.rcu_cpu_stall_suppress=1 cryptomgr.notests "
    "init_on_alloc=0 net.ifnames=0"
)


@cache
def qemu_version() -> str:
    """Return QEMU's own version text: a snapshot of one is not read by another."""
    path = shutil.which(QEMU)
    if path is None:
        return ""
    return subprocess.run([path, "--version"], capture_output=True, text=True).stdout.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """What one QEMU process is made of.

    Attributes:
        folder: where its sockets, log and pid file are; made before, removed after.
        checkout: mounted read-write in the guest at the same path.
        memory: the file that backs its memory, or None for memory of its own.
        memory_is_shared: writes go to that file (saving a snapshot), else stay private.
        resume_from: a saved device state to resume from.
        wires: `-netdev dgram` back ends of the wire between nodes; empty = nobody at the other end.
    """

    image: Image
    folder: Path
    node: int
    node_count: int
    use_kvm: bool
    checkout: Path
    memory: Path | None = None
    memory_is_shared: bool = False
    resume_from: Path | None = None
    wire: str = ""


def machine_words(image: Image, node_count: int, use_kvm: bool) -> list[str]:
    """Return the options that decide what a guest is: a snapshot's key is made of them."""
    # Two guests with two processors each on two cores: ten times the latency.
    processors = 2 if node_count == 1 else 1
    accelerator = ["-accel", "kvm"] if use_kvm else ["-accel", "tcg,thread=multi,tb-size=512"]
    return [
        "-M", _MACHINE, *accelerator, "-cpu", "host" if use_kvm else _CPU_TCG,
        "-smp", str(processors), "-m", f"{MEMORY_MIB}M",
        "-nodefaults", "-display", "none", "-no-reboot", "-no-user-config",
        "-kernel", str(image.kernel), "-initrd", str(image.initramfs), "-append", _KERNEL_WORDS,
    ]  # fmt: skip


def command_line(guest: Guest) -> list[str]:
    """Return QEMU's command line; all its paths lie in the guest's folder or the cache."""
    folder = guest.folder
    checkout = str(guest.checkout).replace(",", ",,")
    words = [
        QEMU, *machine_words(guest.image, guest.node_count, guest.use_kvm),
        "-name", f"rdmaq-rig-{guest.node}", "-pidfile", f"{folder}/pid",
        "-qmp", f"unix:{folder}/qmp,server=on,wait=off",
        "-chardev", f"file,id=console,path={folder}/console.log,append=on",
        "-serial", "chardev:console",
        "-device", "virtio-serial-pci",
        "-chardev", f"socket,id=control,path={folder}/control,server=on,wait=off",
        "-device", "virtserialport,chardev=control,name=rdmaq.control",
        "-netdev", f"user,id=commands,hostfwd=tcp:127.0.0.1:0-:{COMMAND_PORT}",
        "-device", "virtio-net-pci,netdev=commands,romfile=",
        "-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap",
        "-device", "virtio-9p-pci,fsdev=root,mount_tag=root",
        "-fsdev", f"local,id=checkout,path={checkout},security_model=none,multidevs=remap",
        "-device", "virtio-9p-pci,fsdev=checkout,mount_tag=checkout",
    ]  # fmt: skip
    if guest.node_count > 1:
        words += ["-netdev", f"dgram,id=wire,{guest.wire}"]
        words += ["-device", "virtio-net-pci,netdev=wire,id=wire-nic,romfile="]
    if guest.memory is not None:
        share = "on" if guest.memory_is_shared else "off"
        words += [
            "-object", f"memory-backend-file,id=memory,size={MEMORY_MIB}M,share={share},"
            f"mem-path={guest.memory}",
            "-machine", "memory-backend=memory",
        ]  # fmt: skip
    if guest.resume_from is not None:
        words += ["-incoming", "defer"]
    return words
