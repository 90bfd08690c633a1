"""Why nothing comes any more over a session, in words."""

from __future__ import annotations

from rdmaq.sessions.probe import Farewell

CLOSED = "its node was closed, or ended the connection"
CUT_OFF = "it stood in the way of a reliable publisher for too long"
UNREACHABLE = "its node's NIC does not answer any more: the host, its port or the way there is down"

#: After these farewells nobody asks for another link.
OVER: dict[int, str] = {
    Farewell.CLOSED: CLOSED,
    Farewell.REVOKED: CLOSED,
    Farewell.CUT_OFF: CUT_OFF,
}
