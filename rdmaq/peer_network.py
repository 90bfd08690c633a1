"""Finding the node behind a host and port, and how its bytes are to be reached."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from rdmaq import errors
from rdmaq.address import HostPort
from rdmaq.bootstrap.credentials import Credentials
from rdmaq.bootstrap.messages import Description
from rdmaq.node_network import release
from rdmaq.peer_local import LocalLink
from rdmaq.sessions.choice import DeviceChoice
from rdmaq.sessions.described import Described
from rdmaq.shm.segment import host_id

if TYPE_CHECKING:
    from rdmaq.bootstrap.client import Client
    from rdmaq.peer_verbs import VerbsLink
    from rdmaq.sessions.calling import Caller
    from rdmaq.verbs.link_settings import LinkSettings
    from rdmaq.verbs.settings import PairSettings

Transport = Literal["auto", "shm", "verbs"]
TRANSPORTS = ("auto", "shm", "verbs")


def describe(where: HostPort, credentials: Credentials | None, *, timeout: float) -> Description:
    """Asks the node what it is and offers, waiting `timeout` seconds for it to appear.

    Raises:
        PeerNotFound, AuthenticationError, VersionMismatch, BootstrapError, CredentialsError,
        UnsupportedTransport: see there.
    """
    chosen = Credentials.from_environment() if credentials is None else credentials
    with _client(where, chosen) as client:
        return client.describe(timeout=timeout)[0]


def _client(where: HostPort, credentials: Credentials) -> Client:
    from rdmaq.bootstrap.extra import grpc

    grpc()  # says what to install, before anything of it is imported
    from rdmaq.bootstrap.client import Client

    return Client(where.host, where.port, credentials, release=release())


def find(
    where: HostPort,
    credentials: Credentials | None,
    transport: Transport,
    choice: DeviceChoice,
    pair_settings: PairSettings | None,
    allow_uids: frozenset[int],
    *,
    timeout: float,
    links: LinkSettings | None = None,
) -> LocalLink | VerbsLink:
    """Returns how the node is reached: shared memory if it hands over, else verbs.

    Args:
        where: the node's host and port.
        credentials: None: those of the environment.
        transport: which one is wanted.
        choice: what the user says of the RDMA device.
        pair_settings: of queue pairs; None: the defaults.
        allow_uids: users who may run a node of this host.
        timeout: seconds to wait for the node.
        links: settings of the links of streams; None: the defaults.

    Raises:
        UnsupportedTransport: it is reached by none that may be used; the text says why not, each.
        PeerNotFound, AuthenticationError, ...: as `describe`.
    """
    deadline = time.monotonic() + timeout
    chosen = Credentials.from_environment() if credentials is None else credentials
    reasons = []
    cause: BaseException | None = None
    with _client(where, chosen) as client:
        description, challenge = client.describe(timeout=timeout)
        if transport != "verbs":
            link = LocalLink(str(where), description.identity.local_name, allow_uids)
            reason = _no_shm(description, link)
            if not reason:
                return link
            reasons.append(f"not by shared memory, since {reason}")
        if transport != "shm":
            asked = Described(client, description, challenge)
            try:
                _check_verbs(description)
                settings = pair_settings, links
                return _by_verbs(where, chosen, choice, settings, asked, deadline)
            except errors.UnsupportedTransport as error:
                cause = error.__cause__ or error
                reasons.append(f"not by verbs, since {error}")
    raise errors.UnsupportedTransport(
        f"the node at {where} was found, and cannot be reached: {'; '.join(reasons)}; for "
        "shared memory run both on one host, as one user, with one RDMAQ_RUNTIME_DIR; for verbs "
        f"see `rdmaq doctor {where}` here, and `rdmaq doctor` on the node's host"
    ) from cause


def _no_shm(description: Description, link: LocalLink) -> str:
    """Why the node is not reached by shared memory; "" where it is."""
    if description.identity.boot_id != host_id():
        return f"it runs on another host ({description.identity.hostname[:64]!r})"
    try:
        # No waiting: a node listens for its own host before it answers others. And cloned virtual
        # machines bear one boot id, so that a node of another host may be looked for in vain.
        link.check_is(description.identity.instance)
    except (errors.PeerNotFound, errors.AccessDenied, errors.HandoverError) as error:
        return f"it runs on this host, and its hand-over failed ({error})"
    return ""


def _check_verbs(description: Description) -> None:
    if "verbs" not in description.transports:
        said = description.verbs_missing or "it does not say why"
        raise errors.UnsupportedTransport(f"the node has none ({said})")


def _by_verbs(
    where: HostPort,
    credentials: Credentials,
    choice: DeviceChoice,
    settings: tuple[PairSettings | None, LinkSettings | None],
    client: Caller,
    deadline: float,
) -> VerbsLink:
    from rdmaq.peer_verbs import VerbsLink  # not before it is needed: verbs are much code

    patience = max(0.0, deadline - time.monotonic())
    try:
        return VerbsLink(where, credentials, choice, *settings, client=client, timeout=patience)
    except (errors.VerbsUnavailable, errors.DeviceNotFound) as error:
        raise errors.UnsupportedTransport(f"this side has none ({error})") from error
    except (errors.BootstrapError, errors.PairError, errors.RegistrationError) as error:
        raise errors.UnsupportedTransport(f"the connection failed ({error})") from error
