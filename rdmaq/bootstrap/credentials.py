"""Who may talk to whom: certificates, tokens, and the word `insecure`."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from rdmaq.errors import CredentialsError

_VARIABLES = {
    "ca_file": "RDMAQ_TLS_CA",
    "certificate_file": "RDMAQ_TLS_CERTIFICATE",
    "key_file": "RDMAQ_TLS_KEY",
    "token": "RDMAQ_TOKEN",
    "server_name": "RDMAQ_TLS_SERVER_NAME",
    "insecure": "RDMAQ_INSECURE",
}
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")
_TOKEN_BYTES_MIN, _TOKEN_BYTES_MAX = 16, 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a node or a peer shows, and what it asks of the other side.

    `rdmaq certs FOLDER` makes files to begin with. What is not given comes from the environment
    when no `Credentials` is passed at all: RDMAQ_TLS_CA, RDMAQ_TLS_CERTIFICATE, RDMAQ_TLS_KEY,
    RDMAQ_TOKEN, RDMAQ_TLS_SERVER_NAME, RDMAQ_INSECURE.

    Attributes:
        ca_file: PEM of the authority whose certificates are accepted from the other side. A node
            with one asks its callers for certificates (mutual TLS); a caller needs one for TLS.
        certificate_file: PEM of one's own certificate, with its chain. A node needs one for TLS.
        key_file: PEM of its key.
        token: 16 to 1,024 printable characters that callers must show; of a node: that it asks for.
        server_name: which name a caller expects in the node's certificate; default: the host.
        insecure: talk without TLS to or from other hosts. Anybody on the way can then read and
            change what is said, tokens and keys included.
    """

    ca_file: str | os.PathLike[str] | None = None
    certificate_file: str | os.PathLike[str] | None = None
    key_file: str | os.PathLike[str] | None = None
    token: str | None = field(default=None, repr=False)
    server_name: str | None = None
    insecure: bool = False

    def __post_init__(self) -> None:
        for name in ("ca_file", "certificate_file", "key_file"):
            path = getattr(self, name)
            if path is not None and not isinstance(path, str | os.PathLike):
                raise CredentialsError(
                    f"{name}= is no path: it is a {type(path).__name__}; give the path of a PEM "
                    "file (`rdmaq certs FOLDER` makes some)"
                )
        if (self.certificate_file is None) != (self.key_file is None):
            raise CredentialsError(
                "a certificate without its key, or a key without its certificate: both are needed; "
                "give certificate_file and key_file (RDMAQ_TLS_CERTIFICATE and RDMAQ_TLS_KEY)"
            )
        if self.token is not None and not (
            isinstance(self.token, str)
            and _TOKEN_BYTES_MIN <= len(self.token) <= _TOKEN_BYTES_MAX
            and self.token.isascii()
            and self.token.isprintable()
            and " " not in self.token
        ):
            raise CredentialsError(
                "the token cannot be used: it must be 16 to 1,024 printable ASCII characters "
                "without blanks; make one by `python -c 'import secrets; "
                "print(secrets.token_urlsafe())'`"
            )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Credentials:
        """What RDMAQ_TLS_* and RDMAQ_TOKEN say."""
        found = os.environ if environment is None else environment
        values: dict[str, object] = {
            name: found[variable] for name, variable in _VARIABLES.items() if found.get(variable)
        }
        word = str(values.pop("insecure", "")).lower()
        if word not in _TRUE + _FALSE:
            raise CredentialsError(
                f"RDMAQ_INSECURE={word!r} is neither yes nor no: write 1, or leave it out"
            )
        return cls(insecure=word in _TRUE, **values)  # type: ignore[arg-type]

    @property
    def has_server_tls(self) -> bool:
        """A node can speak TLS with them."""
        return self.certificate_file is not None

    @property
    def has_client_tls(self) -> bool:
        """A caller can check a node's certificate with them."""
        return self.ca_file is not None

    def read(self, name: str) -> bytes | None:
        """The content of the file `name` ("ca_file", ...); None when it is not given.

        Raises:
            CredentialsError: it cannot be read.
        """
        path = getattr(self, name)
        if path is None:
            return None
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise CredentialsError(
                f"{name} {os.fspath(path)!r} cannot be read: {error.strerror}; give the path of a "
                "PEM file (`rdmaq certs FOLDER` makes some)"
            ) from error

    def check_files(self) -> None:
        """Tries the files, since gRPC tells of none by itself what is wrong with it.

        Raises:
            CredentialsError: one cannot be read, is not PEM, or certificate and key are no pair.
        """
        for name in ("ca_file", "certificate_file", "key_file"):
            self.read(name)
        what = "ca_file"
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            if self.ca_file is not None:
                context.load_verify_locations(self.ca_file)
            what = "certificate_file and key_file"
            if self.certificate_file is not None:
                # A key under a pass phrase would ask for it at the terminal.
                context.load_cert_chain(self.certificate_file, self.key_file, password=str)
        except (ssl.SSLError, OSError, ValueError) as error:
            raise CredentialsError(
                f"{what} cannot be used: {error}; give PEM files, a certificate with its own key, "
                "and that without a pass phrase (`rdmaq certs FOLDER` makes some)"
            ) from error

    def accepts_token(self, shown: str) -> bool:
        """Whether `shown`, a caller's token, is the one that this node asks for, in constant time.

        Raises:
            UnicodeEncodeError: UTF-8 cannot hold it.
        """
        return self.token is None or hmac.compare_digest(
            hashlib.sha256(self.token.encode()).digest(), hashlib.sha256(shown.encode()).digest()
        )


assert set(_VARIABLES) == {f.name for f in fields(Credentials)}


def check_credentials(given: object) -> None:
    """Raises TypeError unless it is a `Credentials`, or None for those of the environment."""
    if given is not None and not isinstance(given, Credentials):
        raise TypeError(
            f"credentials= are none: it is a {type(given).__name__}; give rdmaq.Credentials(...), "
            "or leave it out and set RDMAQ_TLS_* and RDMAQ_TOKEN"
        )


def check_allowed(host: str, credentials: Credentials, *, is_node: bool) -> None:
    """Refuses to leave this host without TLS, unless told `insecure`.

    Raises:
        CredentialsError: TLS is missing.
    """
    has_tls = credentials.has_server_tls if is_node else credentials.has_client_tls
    if has_tls or credentials.insecure or is_loopback(host):
        return
    what, variables = (
        ("certificate_file and key_file", "RDMAQ_TLS_CERTIFICATE and RDMAQ_TLS_KEY")
        if is_node
        else ("ca_file", "RDMAQ_TLS_CA")
    )
    raise CredentialsError(
        f"{host!r} is off this host: there is no TLS; pass credentials= with {what}, or set "
        f"{variables} (`rdmaq certs FOLDER` makes the files), or insecure=True, RDMAQ_INSECURE=1, "
        "if everybody on the way may read and change what is said"
    )


def is_loopback(host: str) -> bool:
    """Whether a host's name or address never leaves this host."""
    name = host.strip("[]")
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
