"""A session whose connection is encrypted is shared like any other."""

from __future__ import annotations

import asyncio
import datetime
import io
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import asyncpg
import psycopg2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from oneoff.databases.handles import Databases
from tests.integration.databases.postgres_shop import Shop

_SSL_REQUEST = bytes([0, 0, 0, 8, 4, 210, 22, 47])
_BLOCK = 1 << 16


def _context(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def _carry(client: ssl.SSLSocket, server: socket.socket) -> None:
    """In one thread: an object of OpenSSL is not for two."""
    while True:
        readable = [client] if client.pending() else select.select([client, server], [], [])[0]
        for source, target in ((client, server), (server, client)):
            if source in readable:
                block = source.recv(_BLOCK)
                if not block:
                    return
                target.sendall(block)


def _serve(raw: socket.socket, context: ssl.SSLContext, to: str) -> None:
    with raw, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
        assert raw.recv(8) == _SSL_REQUEST
        raw.sendall(b"S")
        with context.wrap_socket(raw, server_side=True) as client:
            server.connect(to)
            _carry(client, server)


@pytest.fixture
def encrypted(shop: Shop, tmp_path: Path) -> Iterator[str]:
    """The URL of the shop's database behind TLS; the wheel's own server was built without it."""
    context = _context(tmp_path)
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                args = (connection, context, f"{shop.server.socket}/.s.PGSQL.5432")
                threads.append(threading.Thread(target=_serve, args=args))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    yield f"postgresql://postgres@127.0.0.1:{listener.getsockname()[1]}/{shop.database}?sslmode=require"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    accepting.join()
    for thread in threads:
        thread.join()


def test_other_drivers_share_it(shop: Shop, encrypted: str) -> None:
    """Much goes in and much comes out, by psycopg2 and asyncpg, through the one encrypted connection."""
    before = shop.fingerprint()
    rows = "".join(f"{number}\t{'x' * 500}\n" for number in range(100, 10_100))

    async def read() -> int:
        connection = await asyncpg.connect(encrypted)
        try:
            found = await connection.fetch("SELECT name, repeat(name, 2) FROM account WHERE id > $1", 20)
            return sum(len(row[0]) + len(row[1]) for row in found)
        finally:
            await connection.close()

    seal = Databases().seal(encrypted)
    with seal:
        with closing(psycopg2.connect(encrypted)) as connection, connection.cursor() as cursor:
            cursor.copy_expert("COPY account (id, name) FROM STDIN", io.StringIO(rows))
            connection.commit()
        assert asyncio.run(read()) == 10_000 * 1_500
    report = seal.report()
    assert report.attempts == ()
    assert [(table.table, table.inserted) for table in report.tables] == [("account", 10_000)]
    assert shop.fingerprint() == before
