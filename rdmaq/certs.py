"""A development authority and certificates of it: what TLS needs to begin with, in one step.

For a trial and for tests. In production an authority of your own signs, and keys do not travel.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdmaq.errors import CredentialsError, UnsupportedTransport

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

AUTHORITY, NODE, PEER = "ca", "node", "peer"
_PEER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # also a file's name
# Labels of RFC 1123, and '_', which some networks have; the first may stand for any (RFC 6125).
_LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_HOST_CHARS_MAX = 253
_BACKDATED = datetime.timedelta(minutes=5)  # clocks of two hosts differ


def make(
    folder: Path,
    hosts: Sequence[str],
    *,
    days: float = 30.0,
    peers: Sequence[str] = (PEER,),
    days_of: Mapping[str, float] | None = None,
) -> list[Path]:
    """Writes ca.pem, node.pem, node.key, and a certificate and key for each of `peers`.

    The authority's own key is thrown away: nobody can make more certificates of it.

    Args:
        folder: made if it is not there; files of these names must not be there.
        hosts: names and addresses of the hosts where nodes run, besides localhost.
        days: how long the certificates are good.
        peers: names of callers, each once: of letters, digits, '.', '_' and '-', for they are the
            files' names, too; not "ca" or "node".
        days_of: other times for some of the names, below 0 for one that has expired.

    Returns:
        The files.

    Raises:
        CredentialsError: a file is there already, or a name cannot stand in a certificate or be a
            file's; nothing was written.
        UnsupportedTransport: the package `cryptography` is not installed (rdmaq[net]).
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise UnsupportedTransport(
            f"certificates need the package cryptography: {error}; install it: pip install "
            "'rdmaq[net]'"
        ) from error
    _check_peers(peers)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("rdmaq development authority", authority_key, None, days)
    files: dict[str, bytes] = {f"{AUTHORITY}.pem": _pem(authority)}
    for name in (NODE, *peers):
        key = ec.generate_private_key(ec.SECP256R1())
        names = _names(x509, ["localhost", "127.0.0.1", "::1", *hosts]) if name == NODE else []
        signer = (authority, authority_key)
        days_good = (days_of or {}).get(name, days)
        files[f"{name}.pem"] = _pem(_certificate(name, key, signer, days_good, names))
        files[f"{name}.key"] = _key_pem(key)
    return _write(folder, files)


def _check_peers(peers: Sequence[str]) -> None:
    """Each makes two files of its own within the folder, and none that is another's."""
    for name in peers:
        if not _PEER_NAME.fullmatch(name) or name in (AUTHORITY, NODE) or peers.count(name) > 1:
            raise CredentialsError(
                f"peer {name!r} cannot be a certificate's file: a name is 1 to 64 letters, digits, "
                "'.', '_' or '-', beginning with a letter or digit, given once, and not "
                f"{AUTHORITY!r} or {NODE!r}; choose another, such as 'desk-a'"
            )


def _names(x509: Any, hosts: Sequence[str]) -> list[Any]:
    names = []
    for host in dict.fromkeys(hosts):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            if not (_HOST_NAME.fullmatch(host) and len(host) <= _HOST_CHARS_MAX):
                raise CredentialsError(
                    f"host {host[:100]!r} cannot stand in a certificate: it is neither a DNS name "
                    "(in ASCII) nor an IP address; leave out scheme, port and brackets: "
                    "feed-1.example, 10.0.0.1, ::1"
                ) from None
            names.append(x509.DNSName(host))
    return names


def _certificate(
    name: str,
    key: EllipticCurvePrivateKey,
    signer: tuple[x509.Certificate, EllipticCurvePrivateKey] | None,
    days: float,
    names: Sequence[Any] = (),
) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    issuer, issuer_key = (None, key) if signer is None else signer
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    end = now + datetime.timedelta(days=days)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, end) - _BACKDATED)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_usage(x509, is_authority=issuer is None), critical=True)
    )
    if issuer is not None:
        # A caller's certificate is none of a node's: who has one cannot pose as the node.
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if names:
            uses.append(ExtendedKeyUsageOID.SERVER_AUTH)
        known_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        builder = builder.add_extension(known_by, critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _usage(x509: Any, *, is_authority: bool) -> Any:
    """What the key may do: sign certificates, or a handshake."""
    unused = ("key_encipherment", "content_commitment", "data_encipherment", "key_agreement")
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
        **dict.fromkeys(unused, False),
    )


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(folder: Path, files: dict[str, bytes]) -> list[Path]:
    paths = {folder / name: content for name, content in files.items()}
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in paths:
            if path.exists():
                raise CredentialsError(
                    f"{path} is there already: nothing was written; choose another folder, or "
                    "remove the old files"
                )
        for path, content in paths.items():
            mode = 0o600 if path.suffix == ".key" else 0o644
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
    except OSError as error:
        raise CredentialsError(
            f"the certificates cannot be written to {folder}: {error.strerror}; choose a folder of "
            "yours"
        ) from error
    return list(paths)
