"""Addresses: `local:NAME` for one host; `host:port` is reserved for the transports to come."""

from __future__ import annotations

import re

from rdmaq.errors import AddressError, UnsupportedTransport

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}")
_STREAM = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,192}")  # a lone surrogate is no text


def local_name(address: str) -> str:
    """The NAME of a `local:NAME` address.

    Raises:
        UnsupportedTransport: a host and port; this version has shared memory only.
        AddressError: anything else.
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
    if _HOST_AND_PORT.fullmatch(address):
        raise UnsupportedTransport(
            f"address {shown} names a host: this version serves one host by shared memory "
            "only; use 'local:NAME' on that host"
        )
    raise AddressError(
        f"address {shown} names no transport: it has no known form; write 'local:NAME'"
    )


def check_stream_name(name: str) -> str:
    """Returns `name` if a stream can be called so, else raises AddressError."""
    if isinstance(name, str) and _STREAM.fullmatch(name) and len(name.encode()) <= 192:
        return name
    raise AddressError(
        f"stream name {repr(name)[:400]}: it must be text of 1 to 192 bytes in UTF-8, without "
        "control characters; give a shorter or plainer one"
    )
