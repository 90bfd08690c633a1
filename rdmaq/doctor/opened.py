"""Opens each RDMA device for a look at what it grants; needs pyverbs, and says what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address

from rdmaq import verbs
from rdmaq.doctor.finding import BAD, Finding, Symptom, fine
from rdmaq.doctor.kernel import check_devices
from rdmaq.doctor.machine import Machine
from rdmaq.errors import RdmaqError, VerbsUnavailable
from rdmaq.verbs.devices import Port
from rdmaq.verbs.gids import INFINIBAND, Gid

_INLINE_BYTES = (1024, 512, 256, 128, 64, 32)

DEVICE_REFUSES = Symptom(
    name="device-refuses",
    check="open",
    level=BAD,
    words="a device does not open: {what}",
    cure="{cure} (see also `ibv_devinfo` and dmesg)",
)
SYMPTOMS = (DEVICE_REFUSES,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What one port's device grants.

    Attributes:
        limits: None where the device cannot be opened.
        inline_bytes_max: the most that travels within a request, as far as was tried (1 KiB).
        why_not: why there are no limits, "what: cause; cure".
        is_software_missing: pyverbs is, or the extension's part: no fault of the device.
    """

    limits: verbs.DeviceLimits | None = None
    inline_bytes_max: int = 0
    why_not: str = ""
    is_software_missing: bool = False


def look(machine: Machine, port: Port, *, with_inline: bool = False) -> Opened:
    """Opens a port's device, asks, and closes it.

    Args:
        machine: where; another than the real one has devices that nobody can open.
        port: whichever; it need not be active.
        with_inline: whether to find out how much a request holds, by making queue pairs.
    """
    if not machine.is_real:
        return Opened(
            why_not="devices of another root: they are not opened", is_software_missing=True
        )
    anything = Gid(index=0, value=IPv6Address(0), kind=INFINIBAND)
    try:
        with verbs.Device(port, port.gids[0] if port.gids else anything) as device:
            inline_bytes = _inline_bytes_max(device) if with_inline and port.is_active else 0
            return Opened(limits=device.limits, inline_bytes_max=inline_bytes)
    except VerbsUnavailable as error:
        return Opened(why_not=str(error), is_software_missing=True)
    except RdmaqError as error:
        return Opened(why_not=str(error))


def _inline_bytes_max(device: verbs.Device) -> int:
    with device.domain() as domain:
        for size_bytes in _INLINE_BYTES:
            try:
                with domain.pair(verbs.PairSettings(inline_bytes=size_bytes)) as pair:
                    return pair.attributes.inline_bytes
            except RdmaqError:
                continue
    return 0


def check_open(machine: Machine) -> Iterator[Finding]:
    """Whether each device opens, where nothing that has findings of its own prevents it."""
    if any(finding.symptom for finding in check_devices(machine)):
        return
    opened = set()
    for port in machine.ports:
        if port.device in opened:
            continue
        opened.add(port.device)
        seen = look(machine, port)
        if seen.limits is not None:
            yield fine("open", f"{port.device} can be opened")
        elif not seen.is_software_missing:
            what, _, cure = seen.why_not.partition("; ")
            yield DEVICE_REFUSES.found(what=what, cure=cure or "load its driver anew")
