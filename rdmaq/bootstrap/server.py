"""The node's end of the bootstrap: checks who calls, then answers."""

from __future__ import annotations

import errno
import logging
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rdmaq.bootstrap import bootstrap_pb2 as pb
from rdmaq.bootstrap import extra, wire
from rdmaq.bootstrap.arrivals import Arrivals
from rdmaq.bootstrap.credentials import Credentials, check_allowed
from rdmaq.bootstrap.health import Health
from rdmaq.bootstrap.messages import (
    MAJOR,
    AbsenceRefusal,
    AccessRefusal,
    Backend,
    FullRefusal,
    OutrunRefusal,
    Refusal,
)
from rdmaq.bootstrap.sessions import SessionLimits, Sessions
from rdmaq.bootstrap.wire_link import begin_in
from rdmaq.errors import AddressInUse, BootstrapError

_log = logging.getLogger("rdmaq")

# A caller that does not confirm holds 16 at worst, as long as its probes take (`SessionLimits`).
_THREADS = 64
_CALLS_AT_ONCE_MAX = 256
_HANDSHAKE_MS_MAX = 5000
# Callers hang up when they are connected, or refused: who stays has another purpose.
_IDLE_MS_MAX, _AGE_MS_MAX, _AGE_GRACE_MS = 20_000, 120_000, 60_000
_CLOSE_SECONDS = 2.0
_LATE_SECONDS = 0.1
_TEXT_CHARS_MAX = 1000

_OPTIONS = (
    *extra.COMMON_OPTIONS,
    ("grpc.so_reuseport", 0),  # else two nodes could share a port, and each get half the calls
    ("grpc.max_receive_message_length", wire.REQUEST_BYTES_MAX),
    ("grpc.max_send_message_length", wire.MESSAGE_BYTES_MAX),
    ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS_MAX),
    ("grpc.max_connection_idle_ms", _IDLE_MS_MAX),
    ("grpc.max_connection_age_ms", _AGE_MS_MAX),
    ("grpc.max_connection_age_grace_ms", _AGE_GRACE_MS),
    ("grpc.max_concurrent_streams", 16),
)


def connections_max() -> int:
    """Half of the files that this process may open: strangers are not to stop a node's streams."""
    return max(16, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


class Server:
    """Listens at a host and port; answers after `start`, until `close`.

    Args:
        host: name or address to bind.
        port: to bind; 0: any free one.
        backend: what the node does; called on this server's threads.
        credentials: what it shows and asks for.
        release: of rdmaq; for people.
        limits: of sessions.

    Attributes:
        port: where it listens.

    Raises:
        CredentialsError: no TLS off this host, or files that are no certificates.
        AddressInUse: the port is taken, or the host is not this one's.
        UnsupportedTransport: gRPC is not installed.
    """

    def __init__(
        self,
        host: str,
        port: int,
        backend: Backend,
        credentials: Credentials,
        *,
        release: str,
        limits: SessionLimits | None = None,
    ) -> None:
        check_allowed(host, credentials, is_node=True)
        credentials.check_files()
        grpc = extra.grpc()
        self._grpc = grpc
        self._backend = backend
        self._credentials = credentials
        self._release = release
        self._limits = SessionLimits() if limits is None else limits
        self.sessions = Sessions(self._limits, backend.disconnect)
        self._arrivals = Arrivals(_THREADS)
        self._health = Health(grpc, self._arrivals)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="rdmaq-bootstrap")
        self._server = grpc.server(
            self._pool,
            handlers=[self._handlers(), self._health.handler],
            interceptors=[_token_check(grpc, credentials)],
            options=[*_OPTIONS, ("grpc.max_allowed_incoming_connections", connections_max())],
            maximum_concurrent_rpcs=_CALLS_AT_ONCE_MAX,
        )
        try:
            self.port = self._bind(f"{host}:{port}")
        except BaseException:
            self._pool.shutdown(wait=False)
            raise
        self._stopping = threading.Event()
        self._expiry = threading.Thread(
            target=self._expire, name="rdmaq-bootstrap-expiry", daemon=True
        )

    def _bind(self, address: str) -> int:
        grpc, credentials = self._grpc, self._credentials
        try:
            if not credentials.has_server_tls:
                port = self._server.add_insecure_port(address)
            else:
                ca = credentials.read("ca_file")
                pair = (credentials.read("key_file"), credentials.read("certificate_file"))
                secure = grpc.ssl_server_credentials(
                    [pair], root_certificates=ca, require_client_auth=ca is not None
                )
                port = self._server.add_secure_port(address, secure)
        except (RuntimeError, ValueError) as error:
            raise AddressInUse(f"{address!r} cannot be listened at: {_why(address)}") from error
        return int(port)

    @property
    def waiting_count(self) -> int:
        """Calls whose request has not arrived yet."""
        return self._arrivals.count

    def start(self) -> None:
        """Begins to answer."""
        self._server.start()
        self._expiry.start()
        self._health.begin()

    def close(self) -> None:
        """Stops answering, ends every session; idempotent."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._health.end()
        stopped = self._server.stop(_CLOSE_SECONDS)
        self._arrivals.hang_up(on_all=True)
        stopped.wait()
        self._pool.shutdown(wait=True)
        if self._expiry.ident is not None:
            self._expiry.join()
        self.sessions.end_all()

    def _expire(self) -> None:
        # Callers that vanish leave their sessions to the clock, also when nobody else calls.
        every_seconds = min(1.0, self._limits.confirm_seconds / 4)
        while not self._stopping.wait(
            min(every_seconds, _LATE_SECONDS if self._arrivals.count else every_seconds)
        ):
            try:
                self._arrivals.hang_up()
                self.sessions.expire()
            except Exception:
                _log.exception("what was late could not be ended")

    def _handlers(self) -> Any:
        grpc = self._grpc
        methods: dict[str, tuple[Any, Callable[[Any, str], Any]]] = {
            "Describe": (pb.DescribeRequest, self._describe),
            "Connect": (pb.ConnectRequest, self._connect),
            "Confirm": (pb.ConfirmRequest, self._confirm),
            "Begin": (pb.BeginRequest, self._begin),
            "Disconnect": (pb.DisconnectRequest, self._disconnect),
        }
        return grpc.method_handlers_generic_handler(
            extra.SERVICE,
            {
                # One request, but the handler waits for it, since it must not do so for ever.
                name: grpc.stream_unary_rpc_method_handler(
                    self._guarded(kind, handler),
                    response_serializer=lambda reply: reply.SerializeToString(),
                )
                for name, (kind, handler) in methods.items()
            },
        )

    def _guarded(
        self, kind: Any, handler: Callable[[Any, str], Any]
    ) -> Callable[[Iterator[bytes], Any], Any]:
        """Parses what arrived, and turns what goes wrong into a status with its reason."""
        code = self._grpc.StatusCode

        def answer(requests: Iterator[bytes], context: Any) -> Any:
            try:
                packet = self._arrivals.take(requests, context)
            except BootstrapError as error:
                context.abort(code.INVALID_ARGUMENT, str(error))
            try:
                request = kind.FromString(packet)
            except Exception:  # protobuf's own classes differ between its releases
                context.abort(code.INVALID_ARGUMENT, "this is no message of rdmaq's bootstrap")
            version = getattr(request, "version", None)
            if version is not None and version.major != MAJOR:
                context.abort(
                    code.FAILED_PRECONDITION,
                    f"the caller speaks bootstrap version {version.major}, the node {MAJOR} "
                    f"(rdmaq {self._release}); run the same release on both sides",
                )
            try:
                return handler(request, _caller(context))
            except BootstrapError as error:
                context.abort(code.INVALID_ARGUMENT, str(error)[:_TEXT_CHARS_MAX])
            except Refusal as error:
                context.abort(_status_of(error, code), str(error)[:_TEXT_CHARS_MAX])
            except Exception:  # a bug of ours costs this call, not the server
                _log.exception("a bootstrap call could not be answered")
                context.abort(code.INTERNAL, "the node failed to answer: look at its own log")

        return answer

    def _describe(self, _: pb.DescribeRequest, caller: str) -> pb.DescribeReply:
        reply = wire.describe_reply(self._backend.describe(), self.sessions.challenge(caller))
        count, size_bytes = len(reply.streams) + len(reply.regions), reply.ByteSize()
        if count > wire.OFFERS_MAX or size_bytes > wire.MESSAGE_BYTES_MAX:
            raise Refusal(
                f"the node cannot list what it offers: {count:,} streams and regions take "
                f"{size_bytes:,} bytes, of {wire.OFFERS_MAX:,} and {wire.MESSAGE_BYTES_MAX:,} that "
                "can be told; offer less, or by several nodes"
            )
        return reply

    def _connect(self, request: pb.ConnectRequest, caller: str) -> pb.ConnectReply:
        ask = wire.ask_from(request)
        session = self.sessions.open(request.challenge, caller)
        try:
            grant = self._backend.connect(session, ask, caller)
            self.sessions.granted(session)
        except BaseException:
            self.sessions.end(session)
            self._backend.disconnect(session)  # it may have expired before the backend knew it
            raise
        return wire.connect_reply(grant, session, self._limits.confirm_seconds)

    def _confirm(self, request: pb.ConfirmRequest, caller: str) -> pb.ConfirmReply:
        self.sessions.check(request.session, caller, half_open=True)
        claimed, proof = wire.proof_from(request)
        if not claimed.is_good:
            self.sessions.end(request.session)
            raise BootstrapError(
                "the caller's probe did not arrive: the connection was given up; look at the route "
                "between the two GIDs and at 4791/udp"
            )
        try:
            probed, own_proof = self._backend.probe(request.session, proof)
        except BaseException:
            self.sessions.end(request.session)
            raise
        if probed.is_good:
            self.sessions.confirm(request.session)
        else:
            self.sessions.end(request.session)
        return wire.confirm_reply(probed, own_proof)

    def _begin(self, request: pb.BeginRequest, caller: str) -> pb.BeginReply:
        position, cursor = begin_in(request)
        self.sessions.check(request.session, caller, half_open=False)
        has_begun = self._backend.begin(request.session, position, cursor)
        return pb.BeginReply(has_begun=has_begun)

    def _disconnect(self, request: pb.DisconnectRequest, caller: str) -> pb.DisconnectReply:
        self.sessions.check(request.session, caller, half_open=False)
        self.sessions.end(request.session)
        return pb.DisconnectReply()


def _why(address: str) -> str:
    """Why nobody can listen there, which gRPC does not tell, and what to do."""
    host, _, port = address.rpartition(":")
    try:
        found = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, where in found:
            with socket.socket(family, kind, protocol) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(where)
                sock.listen()
    except OSError as error:
        cures = {
            errno.EADDRINUSE: "choose another port, or 0 for any that is free",
            errno.EACCES: "choose a port from 1024 on",
        }
        cure = cures.get(error.errno or 0, "name an address of this host, or 0.0.0.0 for all")
        return f"{error.strerror}; {cure}"
    return "the port was taken a moment ago; try again, or choose another"


def _status_of(refusal: Refusal, code: Any) -> Any:
    """Told apart at the other end by these."""
    if isinstance(refusal, AccessRefusal):
        return code.PERMISSION_DENIED
    if isinstance(refusal, FullRefusal):
        return code.OUT_OF_RANGE  # gRPC itself says RESOURCE_EXHAUSTED when a message is too long
    if isinstance(refusal, OutrunRefusal):
        return code.DATA_LOSS
    return code.NOT_FOUND if isinstance(refusal, AbsenceRefusal) else code.ABORTED


def _caller(context: Any) -> str:
    """Who calls: the names in the certificate, else the address without its port."""
    names = context.peer_identities()
    if names:  # each shown as a literal: a name with a blank in it is not two
        return "certificate " + " ".join(sorted(map(repr, names)))
    return str(context.peer()).rpartition(":")[0]


def _token_check(grpc: Any, credentials: Credentials) -> Any:
    def refuse(_: Any, context: Any) -> None:
        context.abort(
            grpc.StatusCode.UNAUTHENTICATED,
            "the node asks for a token and got none, or another: give its token (RDMAQ_TOKEN or "
            "credentials=)",
        )

    # Of whatever kind the call is: who has no token is refused without a look at what he asks.
    refusal = grpc.stream_stream_rpc_method_handler(refuse)

    class TokenCheck(grpc.ServerInterceptor):  # type: ignore[misc]
        """Nothing but a health check is answered to who does not show the token."""

        def intercept_service(self, proceed: Callable[[Any], Any], details: Any) -> Any:
            if details.method == extra.HEALTH_CHECK:
                return proceed(details)
            shown = next(
                (v for k, v in details.invocation_metadata or () if k == "authorization"), ""
            )
            if isinstance(shown, bytes) or not credentials.accepts_token(
                shown.removeprefix("Bearer ")
            ):
                return refusal
            return proceed(details)

    return TokenCheck()
