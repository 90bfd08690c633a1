"""Finding the node behind a host and port, and how its bytes are to be reached."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from rdmaq import errors
from rdmaq.address import HostPort
from rdmaq.bootstrap.credentials import Credentials
from rdmaq.bootstrap.messages import Description
from rdmaq.node_network import release
from rdmaq.shm.segment import host_id

Transport = Literal["auto", "shm", "verbs"]
TRANSPORTS = ("auto", "shm", "verbs")


def describe(where: HostPort, credentials: Credentials | None, *, timeout: float) -> Description:
    """Asks the node what it is and offers, waiting `timeout` seconds for it to appear.

    Raises:
        PeerNotFound, AuthenticationError, VersionMismatch, BootstrapError, CredentialsError,
        UnsupportedTransport: see there.
    """
    chosen = Credentials.from_environment() if credentials is None else credentials
    from rdmaq.bootstrap.extra import grpc

    grpc()  # says what to install, before anything of it is imported
    from rdmaq.bootstrap.client import Client

    with Client(where.host, where.port, chosen, release=release()) as client:
        return client.describe(timeout=timeout)[0]


def find(
    where: HostPort,
    credentials: Credentials | None,
    transport: Transport,
    say_hello: Callable[[str, float], object],
    *,
    timeout: float,
) -> str:
    """Returns the local name under which the node handed over its hello.

    Args:
        where: the node's host and port.
        credentials: None: those of the environment.
        transport: which one is wanted.
        say_hello: dials a local name, with a time to wait, and raises what went wrong.
        timeout: seconds to wait for the node.

    Raises:
        UnsupportedTransport: it is not of this host, or did not hand over, or verbs are wanted.
        PeerNotFound, AuthenticationError, ...: as `describe`.
    """
    deadline = time.monotonic() + timeout
    description = describe(where, credentials, timeout=timeout)
    if transport == "verbs":
        raise errors.UnsupportedTransport(
            f"the node at {where} was found, and transport verbs is not yet negotiated by this "
            "release: it can be reached from processes of its own host; leave transport= out there"
        )
    name = description.identity.local_name
    if description.identity.boot_id != host_id():
        reason = f"it runs on another host ({description.identity.hostname[:64]!r})"
    else:
        try:
            say_hello(name, max(0.0, deadline - time.monotonic()))
        except (errors.PeerNotFound, errors.AccessDenied, errors.HandoverError) as error:
            reason = f"it runs on this host, and its hand-over failed ({error})"
        else:
            return name
    raise errors.UnsupportedTransport(
        f"the node at {where} was found, but {reason}: shared memory cannot reach it, and "
        "transport verbs is not yet negotiated by this release; run both on one host, as one user, "
        "with one RDMAQ_RUNTIME_DIR"
    )
