"""What an opened device can do, as it says itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rdmaq.verbs.constants import (
    ATOMIC_GLOBAL,
    ATOMIC_NONE,
    DEVICE_MEM_WINDOW_TYPE_2B,
    MTU_BYTES,
)

# enum ibv_device_cap_flags of infiniband/verbs.h.
_WINDOW_TYPES = {1 << 17: "1", 1 << 23: "2A", DEVICE_MEM_WINDOW_TYPE_2B: "2B"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLimits:
    """The device's bounds and its port's.

    Attributes:
        mtu_bytes: the largest packet that the port carries now; 0 where it does not say (a port
            that is down).
        mtu_bytes_max: the largest that it can carry, if the network can.
        message_bytes_max: the largest single operation.
        send_depth_max: the deepest send or receive queue.
        cq_entries_max: the largest completion queue.
        responder_depth_max: READs and atomics of a peer that a queue pair answers at once.
        initiator_depth_max: READs and atomics that a queue pair may have in flight.
        has_atomics: whether fetch-and-add and compare-and-swap work at all.
        atomics_are_global: whether they are one step to the host's CPUs and other devices, too; if
            not, among the atomics of this device alone.
        has_windows: whether a key can be bound to one queue pair (`Pair.window`).
        queue_pairs_max: queue pairs of the device.
        regions_max: registered memories of the device.
        region_bytes_max: the largest one.
        windows_max: memory windows; 0: the device has none.
        window_types: "1" (bound by whoever has the domain), "2A", "2B" (of one queue pair), of
            these what it has.
        lid: the port's identifier on InfiniBand, else 0.
        link_layer: 1 for InfiniBand, 2 for Ethernet.
    """

    mtu_bytes: int
    mtu_bytes_max: int
    message_bytes_max: int
    send_depth_max: int
    cq_entries_max: int
    responder_depth_max: int
    initiator_depth_max: int
    has_atomics: bool
    atomics_are_global: bool
    has_windows: bool
    queue_pairs_max: int
    regions_max: int
    region_bytes_max: int
    windows_max: int
    window_types: tuple[str, ...]
    lid: int
    link_layer: int

    @classmethod
    def of(cls, device: Any, port: Any) -> DeviceLimits:
        """From pyverbs' DeviceAttr and PortAttr."""
        return cls(
            mtu_bytes=MTU_BYTES.get(port.active_mtu, 0),
            mtu_bytes_max=MTU_BYTES.get(port.max_mtu, 0),
            message_bytes_max=port.max_msg_sz,
            send_depth_max=device.max_qp_wr,
            cq_entries_max=device.max_cqe,
            # A field of 8 bits in the request that carries it.
            responder_depth_max=min(device.max_qp_rd_atom, 255),
            initiator_depth_max=min(device.max_qp_init_rd_atom, 255),
            has_atomics=device.atomic_caps != ATOMIC_NONE,
            atomics_are_global=device.atomic_caps == ATOMIC_GLOBAL,
            has_windows=bool(device.device_cap_flags & DEVICE_MEM_WINDOW_TYPE_2B),
            queue_pairs_max=device.max_qp,
            regions_max=device.max_mr,
            region_bytes_max=device.max_mr_size,
            windows_max=device.max_mw,
            window_types=tuple(
                name for bit, name in _WINDOW_TYPES.items() if device.device_cap_flags & bit
            ),
            lid=port.lid,
            link_layer=port.link_layer,
        )
