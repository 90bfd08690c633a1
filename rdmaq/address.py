"""Addresses: `local:NAME` for one host; `HOST:PORT` for others, which begin by gRPC."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rdmaq.errors import AddressError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.]{2,64}\]|[A-Za-z0-9._-]{1,253}):([0-9]{1,5})")
_NAME_BYTES_MAX = 192


@dataclass(frozen=True, slots=True)
class HostPort:
    """Where a node listens for other hosts."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def local_name(self) -> str:
        """Under which the same node is found by processes of its own host."""
        return re.sub(r"[^A-Za-z0-9.-]", "_", f"net-{self.host}-{self.port}")[-64:].lstrip("._-")


def parse_address(address: str) -> str | HostPort:
    """The NAME of a `local:NAME` address, or the host and port.

    Raises:
        AddressError: it is neither.
    """
    shown = repr(address)[:200]
    if not isinstance(address, str):
        raise AddressError(f"address {shown} is no text: write for example 'local:feed'")
    scheme, colon, name = address.partition(":")
    if colon and scheme == "local":
        if _NAME.fullmatch(name):
            return name
        raise AddressError(
            f"address {shown}: a local name is 1 to 64 letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit; write for example 'local:feed'"
        )
    if match := _HOST_AND_PORT.fullmatch(address):
        if int(match[2]) < 1 << 16:
            return HostPort(match[1], int(match[2]))
        raise AddressError(
            f"address {shown}: a port is at most 65535, not {match[2]}; write for example "
            f"'{match[1]}:7471'"
        )
    raise AddressError(
        f"address {shown} cannot be read: it has no known form; write 'local:NAME' for this host, "
        "or 'HOST:PORT' ('[::1]:7471' for IPv6) for others"
    )


def local_name(address: str) -> str:
    """The NAME under which an address is found on its own host.

    Raises:
        AddressError: it has no known form.
    """
    where = parse_address(address)
    return where.local_name if isinstance(where, HostPort) else where


def check_name(name: str, what: str) -> str:
    """Returns `name` if a stream, region or table can be called so.

    Args:
        name: to be checked.
        what: which of the three, for the error.

    Raises:
        AddressError: it is no such name.
    """
    # What is not printable would be refused by peers on other hosts, whose terminals show it.
    is_text = isinstance(name, str) and name != "" and name.isprintable()
    if is_text and len(name.encode()) <= _NAME_BYTES_MAX:
        return name
    raise AddressError(
        f"{what} name {repr(name)[:400]}: it must be printable text of 1 to {_NAME_BYTES_MAX} "
        "bytes in UTF-8; give a shorter or plainer one"
    )
