"""The kernel's part: drivers and devices, and the doors to them in /dev/infiniband."""

from __future__ import annotations

from collections.abc import Iterator

from rdmaq.doctor.finding import BAD, NOTE, Finding, Symptom, fine
from rdmaq.doctor.machine import Machine

_MODULES = {"ib_core", "ib_uverbs"}
_HARDWARE = {"mlx5_ib", "mlx4_ib", "bnxt_re", "irdma", "qedr", "hns_roce_hw_v2", "erdma", "efa"}
_SOFTWARE = "rdma_rxe"

_MAKE_RXE = "rdma link add rxe0 type rxe netdev INTERFACE (as root)"
_OR_RIG = "or `rdmaq rig up` for devices in a virtual machine"
MODULES_MISSING = Symptom(
    name="modules-missing",
    check="devices",
    level=NOTE,
    words="no RDMA device: kernel modules {names} are not loaded",
    cure="with an adapter: modprobe its driver (mlx5_ib, ...); without: modprobe rdma_rxe and "
    f"{_MAKE_RXE}; {_OR_RIG}",
)
DRIVER_MISSING = Symptom(
    name="driver-missing",
    check="devices",
    level=NOTE,
    words="no RDMA device: no driver of one is loaded",
    cure="with an adapter: modprobe its driver (mlx5_ib, ...); without: modprobe rdma_rxe and "
    f"{_MAKE_RXE}; {_OR_RIG}",
)
ADAPTER_MISSING = Symptom(
    name="adapter-missing",
    check="devices",
    level=NOTE,
    words="no RDMA device: {drivers} found none",
    cure="look for the adapter with lspci and in dmesg: it is absent, disabled, or its firmware "
    f"refuses; {_OR_RIG}",
)
RXE_UNUSED = Symptom(
    name="rxe-unused",
    check="devices",
    level=NOTE,
    words="no RDMA device: rdma_rxe is loaded and was given no network interface",
    cure=_MAKE_RXE,
)
UVERBS_MISSING = Symptom(
    name="uverbs-missing",
    check="devices",
    level=BAD,
    words="RDMA devices {names}, and programs cannot open them: ib_uverbs is not loaded",
    cure="modprobe ib_uverbs (as root)",
)
DOOR_MISSING = Symptom(
    name="uverbs-not-in-dev",
    check="devices",
    level=BAD,
    words="RDMA devices {names}, and programs cannot open them: /dev/infiniband has no uverbs*",
    cure="in a container: pass --device /dev/infiniband; else restart systemd-udevd, which makes "
    "them",
)
DOOR_CLOSED = Symptom(
    name="uverbs-permission",
    check="devices",
    level=BAD,
    words="this user may not open {paths}",
    cure="give them mode 0666, which is the rule of rdma-core's udev (chmod a+rw {paths}, as "
    "root), or join the group that owns them",
)
SYMPTOMS = (
    MODULES_MISSING, DRIVER_MISSING, ADAPTER_MISSING, RXE_UNUSED, UVERBS_MISSING, DOOR_MISSING,
    DOOR_CLOSED,
)  # fmt: skip


def check_devices(machine: Machine) -> Iterator[Finding]:
    """Core, user access, and a driver with some device."""
    devices = machine.names("sys/class/infiniband")
    yield _of_devices(machine, ", ".join(devices)) if devices else _of_none(machine)


def _of_devices(machine: Machine, names: str) -> Finding:
    doors = [name for name in machine.names("dev/infiniband") if name.startswith("uverbs")]
    if not doors:
        is_loaded = "ib_uverbs" in machine.modules()
        return (DOOR_MISSING if is_loaded else UVERBS_MISSING).found(names=names)
    closed = [name for name in doors if not machine.may_open(f"dev/infiniband/{name}")]
    if closed:
        return DOOR_CLOSED.found(paths=" ".join(f"/dev/infiniband/{name}" for name in closed))
    return fine("devices", f"RDMA devices: {names}")


def _of_none(machine: Machine) -> Finding:
    loaded = machine.modules()
    if missing := sorted(_MODULES - loaded):
        return MODULES_MISSING.found(names=", ".join(missing))
    if drivers := sorted(_HARDWARE & loaded):
        return ADAPTER_MISSING.found(drivers=", ".join(drivers))
    return (RXE_UNUSED if _SOFTWARE in loaded else DRIVER_MISSING).found()
