"""Addresses: `local:NAME` for one host; `host:port` is reserved for the transports to come."""

from __future__ import annotations

import re

from rdmaq.errors import AddressError, UnsupportedTransport

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}")
_STREAM = re.compile(r"[^\x00-\x1f\x7f]{1,192}")


def local_name(address: str) -> str:
    """The NAME of a `local:NAME` address.

    Raises:
        UnsupportedTransport: a host and port; this version has shared memory only.
        AddressError: anything else.
    """
    if not isinstance(address, str):
        raise AddressError(f"address {address!r} is no text: write for example 'local:feed'")
    scheme, colon, name = address.partition(":")
    if colon and scheme == "local":
        if _NAME.fullmatch(name):
            return name
        raise AddressError(
            f"address {address!r}: a local name is 1 to 64 letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit; write for example 'local:feed'"
        )
    if _HOST_AND_PORT.fullmatch(address):
        raise UnsupportedTransport(
            f"address {address!r} names a host: this version serves one host by shared memory "
            "only; use 'local:NAME' on that host"
        )
    raise AddressError(
        f"address {address!r} names no transport: it has no known form; write 'local:NAME'"
    )


def check_stream_name(name: str) -> str:
    """Returns `name` if a stream can be called so, else raises AddressError."""
    if isinstance(name, str) and _STREAM.fullmatch(name) and len(name.encode()) <= 192:
        return name
    raise AddressError(
        f"stream name {name!r}: it must be 1 to 192 bytes of text without control characters"
    )
