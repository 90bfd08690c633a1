"""The subscriber's end of the hand-over: connects, checks who listens, asks."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from rdmaq import errors
from rdmaq.shm import wire
from rdmaq.shm.runtime import socket_path

_ANSWER_SECONDS_MAX = 10.0
_RETRY_SECONDS = 0.02


def dial(
    name: str,
    *,
    timeout: float,
    allow_uids: Collection[int],
    patience: float | None = None,
    check_wanted: Callable[[], None] = lambda: None,
) -> socket.socket:
    """Connects to the node called `name`, trying again until `timeout` seconds have passed.

    Each step with a node that is there (a place in its queue, an answer) takes at most `patience`
    seconds; None: as long as a healthy node may take. `check_wanted` is called before each try and
    ends the trying by raising.

    Raises:
        PeerNotFound: nobody listens there.
        AccessDenied: the listener runs as another user, or the socket may not be opened.
        HandoverError: it is there and does not accept.
    """
    patience = _ANSWER_SECONDS_MAX if patience is None else patience
    deadline = time.monotonic() + timeout
    busy_deadline = time.monotonic() + patience
    path = socket_path(name)
    while True:
        check_wanted()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.settimeout(patience)
            sock.connect(os.fspath(path))
            _check_listener(sock, name, allow_uids)
        except BlockingIOError as error:  # it is there, and has a queue at the door
            sock.close()
            if time.monotonic() >= max(deadline, busy_deadline):
                raise errors.HandoverError(
                    f"the node at 'local:{name}' accepts no connection: its queue of callers is "
                    "full; is its process stopped?"
                ) from error
            time.sleep(_RETRY_SECONDS)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            sock.close()
            if time.monotonic() >= deadline:
                raise errors.PeerNotFound(
                    f"no node at 'local:{name}': nobody listens at {path}; start the node "
                    "first, or pass timeout= seconds to wait for it (both sides need the same "
                    "RDMAQ_RUNTIME_DIR)"
                ) from error
            time.sleep(_RETRY_SECONDS)
        except PermissionError as error:
            sock.close()
            raise errors.AccessDenied(
                f"{path} may not be opened: it belongs to another user; run as that user, or "
                "start the node with allow_uids= in a folder that both may enter"
            ) from error
        except BaseException:
            sock.close()
            raise
        else:
            return sock


def _check_listener(sock: socket.socket, name: str, allow_uids: Collection[int]) -> None:
    _, uid = wire.peer_credentials(sock)
    if uid != os.geteuid() and uid not in allow_uids:
        raise errors.AccessDenied(
            f"the node at 'local:{name}' runs as user {uid}, this process as {os.geteuid()}: "
            f"pass allow_uids=[{uid}] if you trust that user"
        )


def ask(sock: socket.socket, request: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    """Sends a request and returns the answer with its descriptors (the caller's to close).

    Raises:
        RdmaqError: what the node answered, as the class that it named.
        HandoverError: it did not answer, or not in the protocol.
    """
    with suppress(OSError):  # a refusal may be waiting: it explains more than EPIPE does
        wire.send_packet(sock, request, [])
    try:
        try:
            answer, descriptors = wire.receive_packet(sock)
        except ConnectionResetError:
            # It hung up without reading what we asked; its refusal stands behind that error.
            answer, descriptors = wire.receive_packet(sock)
    except OSError as error:
        raise errors.HandoverError(
            f"the node did not answer: {error}; is its process stopped?"
        ) from error
    if "error" not in answer:
        return answer, descriptors
    wire.close_all(descriptors)
    raise _refusal(answer)


def _refusal(answer: dict[str, Any]) -> errors.RdmaqError:
    text = str(answer.get("text", ""))[:4096] or "the node refused without a reason"
    kind = str(answer["error"])
    if kind in ("StreamNotFound", "RegionNotFound"):
        available = answer.get("available")
        names = [str(n) for n in available] if isinstance(available, list) else []
        if kind == "RegionNotFound":
            return errors.RegionNotFound(text, available=names)
        return errors.StreamNotFound(text, available=names)
    if kind == "SchemaMismatch":
        return errors.SchemaMismatch(
            text, expected=str(answer.get("expected", "")), actual=str(answer.get("actual", ""))
        )
    refusals: dict[str, type[errors.RdmaqError]] = {
        "AccessDenied": errors.AccessDenied,
        "TooManyReaders": errors.TooManyReaders,
        "RegionAccessError": errors.RegionAccessError,
    }
    return refusals.get(str(kind), errors.HandoverError)(text)
