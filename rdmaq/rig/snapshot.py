"""Saves a guest that has booted and waits to be configured; a later rig resumes from it.

Nothing of a rig is in it: no mount, no address, no token. Its key names everything that made it, so
a snapshot is never outdated, only unused. The memory is a file that guests map privately (they
share what they do not write); the rest of the state is what QEMU would send to another host.
"""

from __future__ import annotations

import contextlib
import hashlib
import shlex
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from rdmaq.rig import machine, qemu
from rdmaq.rig.errors import RigError
from rdmaq.rig.image import Image
from rdmaq.rig.paths import cache_folder, locked, note_use
from rdmaq.rig.qemu import Guest

RESUME_SECONDS_MAX = 20.0
_CAPABILITIES = {"capabilities": [{"capability": "x-ignore-shared", "state": True}]}


def folder_of(guest: Guest) -> Path:
    """Return where the snapshot for such a guest is, or would be."""
    return _folder(guest.image, guest.node_count, guest.use_kvm)


def _folder(image: Image, node_count: int, use_kvm: bool) -> Path:
    words = qemu.machine_words(image, node_count, use_kvm)
    # The devices are in command_line(), which is not called here: its source stands for them.
    text = "\0".join([*words, qemu.qemu_version(), Path(qemu.__file__).read_text("utf-8")])
    text += str(node_count > 1)  # the wire between nodes is a device more
    key = hashlib.sha256(text.encode()).hexdigest()[:12]
    return cache_folder() / f"snapshot-{image.key}-{key}"


def is_saved(image: Image | None, node_count: int) -> bool:
    """Whether a guest of that image would resume."""
    return image is not None and _folder(image, node_count, use_kvm=False).is_dir()


def ensure(guest: Guest) -> Path:
    """Return the snapshot for such a guest; boots one and saves it if there is none.

    Raises:
        RigError: the boot or the saving failed; nothing is left of it.
    """
    folder = folder_of(guest)
    if folder.is_dir():
        note_use(folder)
        return folder
    with locked(cache_folder() / "snapshot.lock"):
        for stale in cache_folder().glob("saving-*"):
            shutil.rmtree(stale, ignore_errors=True)
        if not folder.is_dir():
            _save(guest, folder)
    return folder


def _save(guest: Guest, folder: Path) -> None:
    work = Path(tempfile.mkdtemp(prefix="saving-", dir=cache_folder()))
    saved = replace(
        guest, folder=guest.folder / "saving", memory=work / "memory", memory_is_shared=True
    )
    process = machine.start(saved)
    try:
        machine.await_ready(saved, process)
        with machine.control(saved, process) as qmp:
            qmp.execute("stop")
            qmp.execute("migrate-set-capabilities", _CAPABILITIES)
            state = shlex.quote(str(work / "state"))
            qmp.execute("migrate", {"uri": f"exec:cat > {state}"})
            qmp.await_migration(timeout=60)
            with contextlib.suppress(RigError):
                qmp.execute("quit")
        work.rename(folder)
    finally:
        process.end()
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(saved.folder, ignore_errors=True)


def resumed(guest: Guest, folder: Path) -> Guest:
    """Return the same guest, resuming from a snapshot instead of booting."""
    return replace(
        guest, memory=folder / "memory", memory_is_shared=False, resume_from=folder / "state"
    )


def resume(guest: Guest, process: machine.Process) -> None:
    """Let a guest started with `resumed()` run; it then waits to be configured.

    Raises:
        RigError: the state could not be read.
    """
    with machine.control(guest, process) as qmp:
        qmp.execute("migrate-set-capabilities", _CAPABILITIES)
        state = shlex.quote(str(guest.resume_from))
        qmp.execute("migrate-incoming", {"uri": f"exec:cat {state}"})
        qmp.await_migration(timeout=RESUME_SECONDS_MAX)
        qmp.execute("cont")
