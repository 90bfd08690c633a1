"""The way to a node: name, route, the node's answer, RoCE's packets, and how large they may be."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

from rdmaq import errors
from rdmaq.address import HostPort
from rdmaq.doctor import software
from rdmaq.doctor.facts import transports
from rdmaq.doctor.finding import BAD, NOTE, Finding, Symptom, fine, unseen
from rdmaq.doctor.machine import Machine
from rdmaq.doctor.mtu import HEADER_BYTES_MAX, MTU_BYTES
from rdmaq.doctor.opened import look
from rdmaq.peer_network import describe
from rdmaq.sessions.choice import DeviceChoice
from rdmaq.sessions.probe import LOST
from rdmaq.verbs.choice import local_address_towards
from rdmaq.verbs.constants import Status
from rdmaq.verbs.states import GIDS_DIFFER

# IP (20 or 40 bytes), UDP, base transport header, RETH, checksum: the largest packet of a WRITE.
_HEADER_BYTES = {4: 60, 6: HEADER_BYTES_MAX}

# Where a rule of our own drops what leaves, rxe says that it flushed the probe.
_UNANSWERED = {Status.RETRY_EXC_ERR, Status.RESP_TIMEOUT_ERR, Status.WR_FLUSH_ERR}

ROUTE_NONE = Symptom(
    name="route-none",
    check="route",
    level=BAD,
    words="there is no way to {host}: {why}",
    cure="check the name and `ip route get {host}`",
)
ROUTE_ELSEWHERE = Symptom(
    name="route-elsewhere",
    check="route",
    level=NOTE,
    words="the kernel goes to {host} from {own}, and RDMA by another way: {port}, GID {gid}",
    cure="if that does not reach the node, name the port that does by RDMAQ_DEVICE, "
    "RDMAQ_INTERFACE or RDMAQ_GID_INDEX (`rdmaq info` lists them)",
)
NODE_ABSENT = Symptom(
    name="node-absent",
    check="node",
    level=BAD,
    words="no node answers at {address}: {why}",
    cure="start it there, and let TCP to port {port} through the firewalls on the way",
)
NODE_REFUSES = Symptom(
    name="node-refuses",
    check="node",
    level=BAD,
    words="the node at {address} and this side do not come together: {why}",
    cure="{cure}",
)
NODE_WITHOUT_VERBS = Symptom(
    name="node-without-verbs",
    check="node",
    level=NOTE,
    words="the node at {address} offers no verbs: {why}",
    cure="run `rdmaq doctor` on its host",
)
GID_KINDS = Symptom(
    name="gid-kinds-differ",
    check="path",
    level=BAD,
    words="the two ends use GIDs of different kinds: {why}",
    cure="choose GIDs of one kind and one family at both ends: RDMAQ_GID_INDEX or RDMAQ_INTERFACE "
    "(`rdmaq info` lists them)",
)
ROCE_BLOCKED = Symptom(
    name="roce-blocked",
    check="path",
    level=BAD,
    words="packets of RoCE (4791/udp) do not pass between this host and {host}, though TCP does: "
    "{why}",
    cure="let 4791/udp through, both ways, in the firewalls of both hosts (`rdmaq doctor` there) "
    "and on the way; check the port's link and VLAN there",
)
PATH_REFUSED = Symptom(
    name="path-refused",
    check="path",
    level=BAD,
    words="no queue pair could be connected to the node at {address}: {why}",
    cure="{cure}",
)
PATH_NARROW = Symptom(
    name="path-mtu",
    check="path",
    level=BAD,
    words="packets of RDMA's MTU of {mtu} bytes ({needed} with their headers) get lost between "
    "{own} and {peer}; those of {fitting} pass",
    cure="give every interface, switch and tunnel on the way an MTU of {needed}; or lower both "
    "hosts' interfaces (ip link set NAME mtu {lowered}), so that RDMA's is {fitting}",
)
ENDS_DIFFER = Symptom(
    name="mtu-ends-differ",
    check="path",
    level=NOTE,
    words="{port} sends packets of {own} bytes, the node's port of {theirs}: the lesser is used",
    cure="raise the MTU of the interface at the node's end, or leave it",
)
SYMPTOMS = (
    ROUTE_NONE, ROUTE_ELSEWHERE, NODE_ABSENT, NODE_REFUSES, NODE_WITHOUT_VERBS, GID_KINDS,
    ROCE_BLOCKED, PATH_REFUSED, PATH_NARROW, ENDS_DIFFER,
)  # fmt: skip


def examine_way(machine: Machine, where: HostPort, *, timeout: float) -> Iterator[Finding]:
    """Looks along the way, as far as it goes.

    Args:
        machine: this one.
        where: the node.
        timeout: seconds to wait for it to appear.
    """
    try:
        own = local_address_towards(where.host.strip("[]"))
    except errors.DeviceNotFound as error:
        why = str(error.__cause__ or error)
        yield ROUTE_NONE.found(host=where.host, why=why)
        return
    try:
        there = describe(where, None, timeout=timeout)
    except errors.RdmaqError as error:
        yield _no_answer(machine, where, error)
        return
    yield fine(
        "node", f"the node at {where} answers: rdmaq {there.release}, {there.identity.hostname}"
    )
    if "verbs" not in there.transports:
        why = there.verbs_missing or "it does not say why"
        yield NODE_WITHOUT_VERBS.found(address=where, why=why)
        return
    if not transports(machine)["verbs"]["usable"]:
        yield unseen("path", "the way of RDMA was not looked at: this side has no verbs")
        return
    yield from _route(where, own)
    yield from _path(machine, where)


def address_of(where: HostPort) -> IPv4Address | IPv6Address | None:
    """The node's address, as far as its name can be resolved; the first of several."""
    try:
        found = socket.getaddrinfo(where.host.strip("[]"), where.port, type=socket.SOCK_DGRAM)
        return ip_address(str(found[0][4][0]).partition("%")[0])
    except (OSError, ValueError, UnicodeError):
        return None


def _no_answer(machine: Machine, where: HostPort, error: errors.RdmaqError) -> Finding:
    if isinstance(error, errors.UnsupportedTransport):
        missing = [name for name in software.NET_PACKAGES if not machine.package(name)]
        return software.NET_MISSING.found(level=BAD, names=", ".join(missing))
    what, cure = _split(error)
    if isinstance(error, errors.PeerNotFound):
        return NODE_ABSENT.found(address=where, port=where.port, why=what.partition(": ")[2])
    return NODE_REFUSES.found(address=where, why=what, cure=cure)


def _split(error: BaseException) -> tuple[str, str]:
    """What happened, and the cure."""
    what, found, cure = str(error).rpartition("; ")
    return (what, cure) if found else (str(error), "run `rdmaq doctor` on both hosts")


def _route(where: HostPort, own: IPv4Address | IPv6Address) -> Iterator[Finding]:
    try:
        port, gid = DeviceChoice.of(None, None, None).find(where.host)
    except errors.DeviceNotFound:
        return  # why not is told by whoever dials
    if gid.address == own:
        yield fine("route", f"{where.host} is reached from {own}, by {port}")
    else:
        yield ROUTE_ELSEWHERE.found(host=where.host, own=own, port=port, gid=gid)


def _path(machine: Machine, where: HostPort) -> Iterator[Finding]:
    try:
        told, lost_mtu = _negotiated(where)
    except errors.RdmaqError as error:
        yield _not_connected(where, error)
        return
    mtu, port = int(told["mtu_bytes"]), str(told["device"])
    own, peer = str(told["gid"]).partition(" ")[0], str(told["peer_gid"])
    yield fine("path", f"RDMA passes both ways by packets of {mtu} bytes: {told['gid']} to {peer}")
    if lost_mtu:
        headers = _HEADER_BYTES[ip_address(own).version]
        yield PATH_NARROW.found(
            mtu=lost_mtu,
            needed=lost_mtu + headers,
            own=own,
            peer=peer,
            fitting=mtu,
            lowered=mtu + HEADER_BYTES_MAX,
        )
    for one in machine.ports:
        limits = look(machine, one).limits if str(one) == port else None
        if limits is not None and limits.mtu_bytes > (lost_mtu or mtu):
            yield ENDS_DIFFER.found(port=port, own=limits.mtu_bytes, theirs=lost_mtu or mtu)


def _negotiated(where: HostPort) -> tuple[dict[str, str | int], int]:
    """What a connection agrees on; and the MTU that did not pass, 0 if it did.

    A connection is believed only after a packet of its MTU went each way. Where that is lost,
    smaller ones are tried, down to the first that passes.
    """
    from rdmaq import Credentials
    from rdmaq.peer_verbs import VerbsLink
    from rdmaq.sessions.calling import PathTooNarrow
    from rdmaq.verbs.settings import PairSettings

    credentials, choice = Credentials.from_environment(), DeviceChoice.of(None, None, None)
    lost_mtu = 0
    for size in (None, *sorted(MTU_BYTES, reverse=True)):
        if size is not None and size >= lost_mtu:
            continue
        settings = None if size is None else PairSettings(mtu_bytes=size)
        try:
            link = VerbsLink(where, credentials, choice, settings)
        except PathTooNarrow as error:
            lost_mtu = lost_mtu or error.mtu_bytes
            if size == min(MTU_BYTES):
                raise
            continue
        try:
            return link.negotiated(), lost_mtu
        finally:
            link.close()
    raise AssertionError("the smallest size passes or raises")


def _not_connected(where: HostPort, error: errors.RdmaqError) -> Finding:
    what, cure = _split(error)
    if GIDS_DIFFER in str(error):
        return GID_KINDS.found(why=what)
    cause = error.__cause__
    if isinstance(cause, errors.OperationFailed):
        if cause.status in _UNANSWERED:
            return ROCE_BLOCKED.found(host=where.host, why="our probe got no answer")
    elif LOST in str(error):
        return ROCE_BLOCKED.found(host=where.host, why="the node's probe got no answer")
    return PATH_REFUSED.found(address=where, why=what, cure=cure)
