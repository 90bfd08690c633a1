"""Software: what Python packages are here, and whether the extension was built with verbs."""

from __future__ import annotations

from collections.abc import Iterator

from rdmaq.doctor.finding import BAD, NOTE, OK, Finding, Symptom, fine
from rdmaq.doctor.machine import PACKAGES, Machine
from rdmaq.errors import RdmaqError
from rdmaq.verbs import library

NET_PACKAGES = PACKAGES[2:]

NET_MISSING = Symptom(
    name="net-missing",
    check="packages",
    level=NOTE,
    words="not installed: {names}: no addresses with a host and port",
    cure="pip install 'rdmaq[net]'",
)
PYVERBS_MISSING = Symptom(
    name="pyverbs-missing",
    check="pyverbs",
    level=NOTE,
    words="not installed: pyverbs: RDMA devices cannot be opened",
    cure="apt install python3-pyverbs ibverbs-providers (Debian, Ubuntu), or your distribution's",
)
PYVERBS_UNLOADABLE = Symptom(
    name="pyverbs-unloadable",
    check="pyverbs",
    level=NOTE,
    words="pyverbs is here and does not load: {why}",
    cure="run the distribution's own Python with its python3-pyverbs and libibverbs1, all of one "
    "version (pyverbs from a package index does not load)",
)
BUILT_WITHOUT = Symptom(
    name="built-without-verbs",
    check="extension",
    level=NOTE,
    words="RDMA verbs cannot be used: there were no libibverbs headers when rdmaq was built",
    cure="apt-get install libibverbs-dev, and install rdmaq again from its source",
)
SYMPTOMS = (NET_MISSING, PYVERBS_MISSING, PYVERBS_UNLOADABLE, BUILT_WITHOUT)


def _level(machine: Machine) -> str:
    """With a device here, what keeps it from being used is bad."""
    return BAD if machine.names("sys/class/infiniband") else NOTE


def check_net(machine: Machine) -> Iterator[Finding]:
    """Python packages that addresses with a host and port need."""
    missing = [name for name in NET_PACKAGES if not machine.package(name)]
    if missing:
        yield NET_MISSING.found(names=", ".join(missing))
    else:
        yield fine("packages", "the extra rdmaq[net] is installed")


def check_extension(machine: Machine) -> Iterator[Finding]:
    """Whether the C part knows verbs."""
    try:
        library.check_built()
    except RdmaqError:
        yield BUILT_WITHOUT.found(level=_level(machine))
    else:
        yield fine("extension", "the extension was built with verbs")


def check_pyverbs(machine: Machine) -> Iterator[Finding]:
    """rdma-core's Python package, and whether it loads here."""
    if not machine.has_pyverbs():
        yield PYVERBS_MISSING.found(level=_level(machine))
        return
    if machine.is_real and next(check_extension(machine)).level == OK:
        try:
            library.load()
        except RdmaqError as error:
            why = str(error).partition(": ")[2].rpartition("; ")[0]
            yield PYVERBS_UNLOADABLE.found(level=_level(machine), why=why)
            return
    yield fine("pyverbs", "pyverbs is installed")
