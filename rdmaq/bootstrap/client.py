"""The caller's end of the bootstrap."""

from __future__ import annotations

import re
import time
from typing import Any

from rdmaq.bootstrap import bootstrap_pb2 as pb
from rdmaq.bootstrap import extra, wire
from rdmaq.bootstrap.credentials import Credentials, check_allowed
from rdmaq.bootstrap.messages import (
    MAJOR,
    ConnectAsk,
    ConnectGrant,
    Description,
    LinkOutrun,
    Probed,
    Proof,
)
from rdmaq.bootstrap.wire_link import begin_request
from rdmaq.errors import (
    AuthenticationError,
    BootstrapError,
    PeerNotFound,
    RdmaqError,
    RegionAccessError,
    RegionNotFound,
    TooManyReaders,
    VersionMismatch,
)

CALL_SECONDS_MAX = 10.0
# A node pins memory while it connects (20 ms per MiB on rxe), and probes while it confirms.
_CONNECT_SECONDS_MAX = 60.0
_RETRY_SECONDS = 0.1
# What gRPC puts before a cause, the address once more included.
_GRPC_WORDS = re.compile(
    r"\Afailed to connect to all addresses; last error: [A-Z_]+: (ipv[46]:\S+: )?"
    r"(Failed to connect to remote host: )?"
)
# How gRPC tells that TLS failed: by words only (its core's security handshaker and OpenSSL).
_TLS_WORDS = ("handshake", "certificate", "ssl", "tls", "verification")
# A node that does not like our certificate hangs up after its half of the handshake.
_HANG_UP_WORDS = ("socket closed", "connection reset", "broken pipe", "end of tcp stream")
_UNKNOWN_NAME = re.compile(r"errors resolving .*address lookup failed for \S+: ([^\]]*)")


class Client:
    """Calls the node at a host and port.

    Args:
        host: name or address.
        port: where it listens.
        credentials: what this side shows and asks for.
        release: of rdmaq; for people.
        call_seconds: how long a plain call may take.

    Raises:
        CredentialsError: no TLS off this host, or files that cannot be read.
        UnsupportedTransport: gRPC is not installed.
    """

    def __init__(
        self,
        host: str,
        port: int,
        credentials: Credentials,
        *,
        release: str,
        call_seconds: float = CALL_SECONDS_MAX,
    ) -> None:
        check_allowed(host, credentials, is_node=False)
        credentials.check_files()
        grpc = extra.grpc()
        self._grpc = grpc
        self._where = f"{host}:{port}"
        self._release = release
        self._call_seconds = call_seconds
        self._has_certificate = credentials.has_client_tls and credentials.has_server_tls
        self._metadata = (
            (("authorization", f"Bearer {credentials.token}"),) if credentials.token else ()
        )
        options: list[tuple[str, Any]] = [
            *extra.COMMON_OPTIONS,
            ("grpc.max_receive_message_length", wire.MESSAGE_BYTES_MAX),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 500),
        ]
        if not credentials.has_client_tls:
            self._channel = grpc.insecure_channel(self._where, options)
            return
        if credentials.server_name:
            options.append(("grpc.ssl_target_name_override", credentials.server_name))
        secure = grpc.ssl_channel_credentials(
            credentials.read("ca_file"),
            credentials.read("key_file"),
            credentials.read("certificate_file"),
        )
        self._channel = grpc.secure_channel(self._where, secure, options)

    def describe(self, *, timeout: float = 0.0) -> tuple[Description, bytes]:
        """What the node offers, and the challenge for one `connect`.

        Args:
            timeout: seconds to wait for the node to appear.

        Raises:
            PeerNotFound: nobody answers there.
            AuthenticationError: one side does not accept the other's certificate or token.
            VersionMismatch: it speaks another major version.
            BootstrapError: it answers nonsense.
        """
        deadline = time.monotonic() + timeout
        request = pb.DescribeRequest(version=wire.version(self._release))
        while True:
            try:
                reply = self._call("Describe", request, pb.DescribeReply)
            except PeerNotFound:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_RETRY_SECONDS)
                continue
            if reply.version.major != MAJOR:
                raise VersionMismatch(
                    f"the node at {self._where} speaks bootstrap version {reply.version.major}, "
                    f"this side {MAJOR}: run the same release on both sides"
                )
            return wire.description_from(reply)

    def connect(self, ask: ConnectAsk, challenge: bytes) -> tuple[ConnectGrant, bytes]:
        """Exchanges attributes and keys; returns the node's half and the session.

        Raises:
            BootstrapError: the node refuses; the text has its reason.
            RegionNotFound, RegionAccessError: a region is not there, or must not be reached so.
            TooManyReaders: the stream has as many subscribers as it can have.
        """
        request = wire.connect_request(ask, challenge, self._release)
        reply = self._call("Connect", request, pb.ConnectReply, _CONNECT_SECONDS_MAX)
        return wire.grant_from(reply, ask)

    def confirm(self, session: bytes, probed: Probed, proof: Proof) -> tuple[Probed, Proof]:
        """Tells what came of this side's probe, and proves it; returns the same of the node's.

        The node's proof is yet to be compared with what its probe left here.
        """
        reply = self._call(
            "Confirm",
            wire.confirm_request(session, probed, proof),
            pb.ConfirmReply,
            _CONNECT_SECONDS_MAX,
        )
        return wire.proof_from(reply)

    def begin(self, session: bytes, position: int, cursor: int) -> bool:
        """Has the session's link begin at `position`; may be called again until it is answered.

        False: that is too far behind, and nothing happened.

        Raises:
            BootstrapError: the link or the session has ended.
            PeerNotFound: no answer in time; whether it began is unknown.
        """
        request = begin_request(session, position, cursor)
        return bool(self._call("Begin", request, pb.BeginReply).has_begun)

    def disconnect(self, session: bytes) -> None:
        """Ends the session: its keys no longer work when this returns."""
        self._call("Disconnect", pb.DisconnectRequest(session=session), pb.DisconnectReply)

    def close(self) -> None:
        """Hangs up; idempotent. Sessions that were confirmed live on."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, method: str, request: Any, kind: Any, seconds: float | None = None) -> Any:
        patience = self._call_seconds if seconds is None else seconds
        call = self._channel.unary_unary(
            f"/{extra.SERVICE}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
        )
        try:
            packet = call(request, timeout=patience, metadata=self._metadata)
        except self._grpc.RpcError as error:
            raise self._explained(error.code(), error.details() or "", patience) from error
        try:
            return kind.FromString(packet)
        except Exception as error:  # protobuf's own classes differ between its releases
            raise BootstrapError(
                f"the node at {self._where} answered what is no bootstrap message: {error}; is it "
                "really an rdmaq node?"
            ) from error

    def _explained(self, code: Any, words: str, patience: float) -> RdmaqError:
        codes, details = self._grpc.StatusCode, _GRPC_WORDS.sub("", wire.text(words))
        if unknown := _UNKNOWN_NAME.search(details):
            details = f"its name is not known here ({unknown[1]})"
        lower = details.lower()
        refusals: dict[Any, type[RdmaqError]] = {
            codes.UNAUTHENTICATED: AuthenticationError,
            codes.FAILED_PRECONDITION: VersionMismatch,
            codes.PERMISSION_DENIED: RegionAccessError,
            codes.NOT_FOUND: RegionNotFound,
            codes.OUT_OF_RANGE: TooManyReaders,
            codes.DATA_LOSS: LinkOutrun,
        }
        if kind := refusals.get(code):
            return kind(f"the node at {self._where} refused: {details}")
        if code is codes.UNAVAILABLE and any(word in lower for word in _TLS_WORDS):
            return AuthenticationError(
                f"TLS with {self._where} failed: {details[:300]}; check that the node's "
                "certificate is of your ca_file's authority, bears this host's name and has not "
                "expired, and that both sides speak TLS"
            )
        if code is codes.UNAVAILABLE and any(word in lower for word in _HANG_UP_WORDS):
            shown = "does it accept this certificate (its authority, its dates)"
            if not self._has_certificate:
                shown = "does it ask for TLS, or for a certificate (certificate_file and key_file)"
            shown += ", or has it as many connections as it takes"
            return AuthenticationError(
                f"the node at {self._where} hung up during the handshake: {details[:300]}; {shown}?"
            )
        if code is codes.UNAVAILABLE:
            return PeerNotFound(
                f"no node at {self._where}: {details[:300]}; start the node first, pass timeout= "
                "seconds to wait for it, or look at the route and the firewall"
            )
        if code is codes.DEADLINE_EXCEEDED:
            return PeerNotFound(
                f"the node at {self._where} did not answer: {patience:.3g} s passed; is its "
                "process stopped, the port another program's, or a firewall dropping packets?"
            )
        if code is codes.UNIMPLEMENTED:
            return BootstrapError(
                f"what listens at {self._where} does not know the bootstrap: {details[:300]}; is "
                "it really an rdmaq node?"
            )
        if code is codes.RESOURCE_EXHAUSTED and "larger than max" not in lower:
            return BootstrapError(
                f"the node at {self._where} has too many calls at once: {details[:300]}; try again"
            )
        reason = details if ": " in details else f"{code.name.lower()}: {details}"
        return BootstrapError(f"the node at {self._where} refused: {reason}")
