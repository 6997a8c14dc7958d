"""A certificate authority of the test's own, and a server certificate for this machine, good or expired."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SERVER_NAME = "kube-apiserver.example"
"""The other name in the server's certificate, beside the address 127.0.0.1."""


@dataclass(frozen=True)
class Certificates:
    """Files: what clients have to trust, and what the server shows."""

    authority: Path
    server: Path

    def context(self) -> ssl.SSLContext:
        """For the server's side."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server)
        return context


def make(folder: Path, *, expired: bool = False) -> Certificates:
    """Write an authority and a certificate for 127.0.0.1; good for a day, or ``expired``."""
    folder.mkdir(parents=True, exist_ok=True)
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fake-ca")]), datetime.now(UTC)

    def builder(
        key: ec.EllipticCurvePrivateKey, subject: x509.Name, begin: int, end: int
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=begin))
            .not_valid_after(now + timedelta(days=end))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
        )

    root = builder(authority_key, name, -3, 3).add_extension(x509.BasicConstraints(True, None), critical=True)
    root = root.add_extension(_usage(signs=True), critical=True)
    address = x509.SubjectAlternativeName(
        [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName(SERVER_NAME)]
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
    leaf = builder(server_key, subject, *((-3, -1) if expired else (-1, 1))).add_extension(
        address, critical=False
    )
    leaf = leaf.add_extension(x509.BasicConstraints(False, None), critical=True)
    files = Certificates(folder / "ca.pem", folder / "server.pem")
    pem = serialization.Encoding.PEM
    files.authority.write_bytes(root.sign(authority_key, hashes.SHA256()).public_bytes(pem))
    secret = server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files.server.write_bytes(leaf.sign(authority_key, hashes.SHA256()).public_bytes(pem) + secret)
    return files


def make_client(name: str, *, days: float = 1) -> tuple[str, str]:
    """A client's certificate, signed by itself, and its key, in PEM; it ends so many days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.public_bytes(pem).decode(), secret.decode()


def _usage(*, signs: bool) -> x509.KeyUsage:
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    nothing = dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(digital_signature=True, key_cert_sign=signs, crl_sign=signs, **nothing)
