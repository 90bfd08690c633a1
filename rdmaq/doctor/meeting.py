"""The runtime folder, where processes of one host meet."""

from __future__ import annotations

from collections.abc import Iterator

from rdmaq.doctor.finding import BAD, Finding, Symptom, fine
from rdmaq.doctor.machine import Machine
from rdmaq.errors import RdmaqError
from rdmaq.shm.runtime import make_folder, try_folder

RUNTIME_FOLDER = Symptom(
    name="runtime-folder",
    check="shm",
    level=BAD,
    words="processes of this host cannot meet: {why}",
    cure="set RDMAQ_RUNTIME_DIR to a folder of yours",
)
SYMPTOMS = (RUNTIME_FOLDER,)


def check_shm(_machine: Machine) -> Iterator[Finding]:
    """Whether it can be made, is ours alone, and takes sockets."""
    try:
        folder = make_folder()
        try_folder(folder)
    except RdmaqError as error:
        yield RUNTIME_FOLDER.found(why=str(error).partition("; ")[0])
        return
    yield fine("shm", f"shared memory: processes meet in {folder}")
