"""How the server is known, and how we are by a certificate of our own."""

from __future__ import annotations

import base64
import contextlib
import re
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from oneoff.errors import ClusterUnreachable
from oneoff.kube.api.connection.kubeconfig import Server

_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _VERSION, _UTC_TIME = 0x30, 0xA0, 0x17


@dataclass(frozen=True)
class Pair:
    """A client's certificate and its key, in PEM."""

    certificate: str
    key: str = field(repr=False)


def context(server: Server, pair: Pair | None) -> ssl.SSLContext:
    """What a connection to this server is made with.

    Raises:
        ClusterUnreachable: a certificate or a key is none.
    """
    made = _trusting(server)
    if pair is not None:
        _present(made, pair)
    return made


def of_proxy(server: Server) -> ssl.SSLContext:
    """How a proxy of HTTPS is known: by the system's authorities, or by the cluster's own."""
    made = ssl.create_default_context()
    if server.authority is not None:
        with contextlib.suppress(ssl.SSLError, ValueError):  # :func:`context` says so
            made.load_verify_locations(cadata=server.authority)
    return made


def _trusting(server: Server) -> ssl.SSLContext:
    if server.insecure:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
        return made
    if server.authority is None:
        return ssl.create_default_context()
    try:
        made = ssl.create_default_context(cadata=server.authority)
    except (ssl.SSLError, ValueError) as error:
        raise ClusterUnreachable(
            f"the certificate-authority of {server.url} is no certificate: {error}"
        ) from error
    # The authorities that EKS and MicroK8s made for themselves lack what Python wants from 3.13 on.
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an intermediate one may be all that was handed out
    return made


def _present(made: ssl.SSLContext, pair: Pair) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:  # Python reads them from files only
        certificate, key = Path(folder, "certificate"), Path(folder, "key")
        certificate.write_text(pair.certificate)
        key.write_text(pair.key)
        try:
            made.load_cert_chain(certificate, key, password="")  # an encrypted one would ask on the terminal
        except (ssl.SSLError, ValueError) as error:
            raise ClusterUnreachable(f"the client-certificate and its key do not fit: {error}") from error


def expires(pem: str) -> datetime | None:
    """When the first certificate ends; None where that cannot be read.

    The standard library tells it of a server's certificate only. RFC 5280, section 4.1: the end is the
    second time in ``validity``, after the version, the serial number, the algorithm and the issuer.
    """
    found = _PEM.search(pem)
    if found is None:
        return None
    try:
        _, certificate, _ = _element(base64.b64decode(found[1]))
        _, body, _ = _element(certificate)
        fields: list[bytes] = []
        while body and len(fields) < 5:
            tag, inside, body = _element(body)
            if tag != _VERSION:
                fields.append(inside)
        _, _, end = _element(fields[3])
        tag, text, _ = _element(end)
        form = "%y%m%d%H%M%SZ" if tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
        return datetime.strptime(text.decode("ascii"), form).replace(tzinfo=UTC)
    except (ValueError, IndexError):
        return None


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """The tag and the content of the first element in DER, and what comes after it."""
    tag, length, start = data[0], data[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
    return tag, data[start : start + length], data[start + length :]
