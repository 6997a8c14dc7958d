"""The wire's server to the letter of the protocol, and with clients that break it."""

from __future__ import annotations

import struct
import threading
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oneoff.databases.postgres.seal import PostgresSeal
from oneoff.databases.postgres.wire.messages import fields, frame
from oneoff.databases.postgres.wire.server import Address
from oneoff.databases.together import Together
from tests.integration.databases.raw_client import (
    FLUSH,
    SYNC,
    TERMINATE,
    Raw,
    admitted,
    bind,
    execute,
    parse,
    query,
    start,
)
from tests.postgres import Server


@dataclass(frozen=True, kw_only=True)
class Wire:
    """A sealed database whose server a test talks to."""

    seal: PostgresSeal
    server: Server
    database: str
    address: Address

    def count(self) -> int:
        """The rows that another client sees."""
        with admitted(self.address) as other:
            other.send(query("SELECT count(*) FROM item"))
            return int(other.until_ready()[1][1][6:])

    def attempts(self) -> str:
        return "\n".join(self.seal.report().attempts)


def _seal(url: str) -> PostgresSeal:
    return PostgresSeal(connect=lambda: psycopg.connect(url), dispose=lambda: None)


@pytest.fixture
def wire(postgres: Server) -> Iterator[Wire]:
    with postgres.database() as name:
        postgres.execute(
            "CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL)",
            "INSERT INTO item SELECT g, g FROM generate_series(1, 5) g",
            database=name,
        )
        seal = _seal(postgres.url(name))
        with Together([seal]):
            yield Wire(seal=seal, server=postgres, database=name, address=seal.loopback())
        assert postgres.execute("SELECT count(*), sum(n) FROM item", database=name) == [(5, 15)]


def test_encryption_is_declined_and_a_client_starts_in_the_clear(wire: Wire) -> None:
    """SSLRequest and GSSENCRequest are answered with N."""
    client = Raw(wire.address)
    for request in (80877103, 80877104):
        client.send(struct.pack("!ii", 8, request))
        assert client.socket.recv(1) == b"N"
    client.admitted()
    said = {body.split(b"\0")[0]: body.split(b"\0")[1] for kind, body in client.greeting if kind == b"S"}
    assert said[b"client_encoding"] == b"UTF8"
    assert said[b"default_transaction_read_only"] == b"off"
    assert client.greeting[-1] == (b"Z", b"I")
    client.close()


def test_a_newer_minor_version_is_negotiated_down(wire: Wire) -> None:
    """A client of version 3.2 with an option of its own is told that it is 3.0, without the option."""
    client = Raw(wire.address)
    client.send(start(wire.address.user, wire.address.database, (3 << 16) + 2, **{"_pq_.new": "1"}))
    assert client.message() == (b"v", struct.pack("!ii", 3 << 16, 1) + b"_pq_.new\0")
    client.close()


@pytest.mark.parametrize("password", ["", "wrong", "x" * 9_000])
def test_a_stranger_is_sent_away(wire: Wire, password: str) -> None:
    """Without this dry run's password nobody comes in, and the dry run does not mind."""
    client = Raw(wire.address)
    client.send(start(wire.address.user, wire.address.database), frame(b"p", password.encode() + b"\0"))
    assert client.message() == (b"R", struct.pack("!i", 3))
    kind, body = client.message() or (b"", b"")
    assert (kind, fields(body)["C"]) == (b"E", "28P01")
    assert client.message() is None
    client.close()
    assert wire.attempts() == ""


@pytest.mark.parametrize(
    ("user", "database", "more"),
    [("postgres", "other", {}), ("somebody", "", {}), ("", "", {"replication": "database"})],
    ids=["database", "user", "replication"],
)
def test_who_asks_for_something_else_is_named(
    wire: Wire, user: str, database: str, more: dict[str, Any]
) -> None:
    """Another database, another role or a replication connection is an attempt."""
    client = Raw(wire.address)
    client.send(
        start(user or wire.address.user, database or wire.address.database, **more),
        frame(b"p", wire.address.password.encode() + b"\0"),
    )
    client.message()
    kind, body = client.message() or (b"", b"")
    assert (kind, fields(body)["S"]) == (b"E", "FATAL")
    client.close()
    assert fields(body)["M"] in wire.attempts()


def test_after_an_error_everything_up_to_sync_is_skipped(wire: Wire) -> None:
    """And an implicit transaction is undone as a whole."""
    with admitted(wire.address) as client:
        client.send(
            parse("DELETE FROM item WHERE id = 1"), bind(), execute(),
            parse("SELECT 1/(id-id) FROM item"), bind(), execute(),
            parse("DELETE FROM item"), bind(), execute(), SYNC,
        )  # fmt: skip
        assert client.kinds() == "12C12EZ"
        client.send(parse("SELECT 1"), bind(), execute(), SYNC)
        assert client.kinds() == "12DCZ"
    assert wire.count() == 5


def test_flush_gives_answers_before_sync(wire: Wire) -> None:
    """A client that waits for an answer in the middle of a group gets it, and the group goes on."""
    with admitted(wire.address) as client:
        client.send(parse("DELETE FROM item WHERE id = $1", "s"), frame(b"D", b"Ss\0"), FLUSH)
        assert [client.message()[0] for _ in range(3)] == [b"1", b"t", b"n"]  # type: ignore[index]
        client.send(bind("", "s", "1"), execute(), FLUSH)
        assert [client.message()[0] for _ in range(2)] == [b"2", b"C"]  # type: ignore[index]
        assert wire.count() == 4
        client.send(bind("", "s", "x"), execute(), SYNC)
        assert client.kinds() == "EZ"
    assert wire.count() == 5


def test_a_portal_is_read_in_pieces(wire: Wire) -> None:
    """A row limit suspends a portal; it goes on where it stopped, also when others were at work meanwhile."""
    with admitted(wire.address) as client:
        client.send(
            query("BEGIN"), parse("SELECT id FROM item ORDER BY id"), bind("p"), execute("p", 2), SYNC
        )
        assert client.kinds() == "CZ"
        assert client.kinds() == "12DDsZ"
        assert wire.count() == 5
        client.send(execute("p", 2), execute("p"), SYNC)
        assert client.kinds() == "DDsDCZ"
        client.send(query("COMMIT"), execute("p"), SYNC)
        assert client.kinds() == "CZ"
        assert client.kinds() == "EZ"


def test_each_column_has_its_own_format(wire: Wire) -> None:
    """Text beside binary in one row."""
    with admitted(wire.address) as client:
        client.send(parse("SELECT 258, 258"), bind(formats=(0, 1)), execute(), SYNC)
        row = next(body for kind, body in client.until_ready() if kind == b"D")
    assert row == struct.pack("!hi3si4s", 2, 3, b"258", 4, b"\0\0\1\2")


def test_the_status_says_where_the_transaction_is(wire: Wire) -> None:
    """I, T and E as a server of one's own would say; a commit of a failed transaction is a ROLLBACK."""
    with admitted(wire.address) as client:
        seen = []
        for text in ("SELECT 1/0", "BEGIN", "SAVEPOINT a", "SELECT 1/0", "SELECT 1", "ROLLBACK TO a",
                     "SELECT 1/0", "COMMIT", "RELEASE a", "", "START TRANSACTION; SELECT 1"):  # fmt: skip
            client.send(query(text))
            messages = client.until_ready()
            seen.append((messages[-2][0] + messages[-1][1]).decode())
    assert seen == ["EI", "CT", "CT", "EE", "EE", "CT", "EE", "CI", "EI", "II", "CI"]


def test_a_commit_among_several_statements_meets_the_seal(wire: Wire) -> None:
    """The server refuses it, the client is sent away and the attempt is named."""
    with admitted(wire.address) as client:
        client.send(query("DELETE FROM item; COMMIT; SELECT 1"))
        kind, body = client.until_ready()[-1]
    assert (kind, fields(body)["S"], fields(body)["C"]) == (b"E", "FATAL", "OD001")
    assert "ended the transaction by itself (`DELETE FROM item; COMMIT; SELECT %s`)" in wire.attempts()


def test_a_copy_among_several_statements_is_named(wire: Wire) -> None:
    """It would keep the session waiting for a client."""
    with admitted(wire.address) as client:
        client.send(query("SELECT 1; COPY item FROM STDIN"))
        client.until_ready()
    assert "COPY … FROM STDIN among other statements" in wire.attempts()
    assert wire.count() == 5


def test_copies_end_as_the_client_says(wire: Wire) -> None:
    """CopyDone keeps the rows, CopyFail undoes them, and what is left of a failed one is ignored."""
    with admitted(wire.address) as client:
        client.send(query("COPY item FROM STDIN"), frame(b"d", b"10\t1\n"), frame(b"c"))
        assert client.kinds() == "GCZ"
        client.send(
            query("COPY item FROM STDIN (DELIMITER ';')"), frame(b"d", b"11;1\n"), frame(b"f", b"no\0")
        )
        assert client.kinds() == "GEZ"
        client.send(query("COPY missing FROM STDIN"), frame(b"d", b"1\t1\n"), frame(b"c"), query("SELECT 1"))
        assert client.kinds() == "EZ"
        assert client.kinds() == "TDCZ"
        client.send(parse("COPY item FROM STDIN"), bind(), execute(), SYNC)
        client.send(frame(b"d", b"12\t1\n"), frame(b"c"), SYNC)
        assert client.kinds() == "12GCZ"
        client.send(query("COPY item TO STDOUT"))
        assert client.kinds() == "HdddddddcCZ"


def test_a_cancel_request_stops_that_clients_statement_only(wire: Wire) -> None:
    """The key is each client's own; with a wrong one nothing happens."""
    with admitted(wire.address) as client:
        number, secret = struct.unpack("!ii", next(body for kind, body in client.greeting if kind == b"K"))
        client.send(query("SELECT pg_sleep(20)"))
        time.sleep(0.2)
        began = time.monotonic()
        for key in (secret ^ 1, secret):
            other = Raw(wire.address)
            other.send(struct.pack("!iiii", 16, 80877102, number, key))
            assert other.socket.recv(1) == b""
            other.close()
        [failure] = [body for kind, body in client.until_ready() if kind == b"E"]
        assert fields(failure)["C"] == "57014"
        assert time.monotonic() - began < 10
        client.send(query("SELECT 1"))
        assert client.kinds() == "TDCZ"


DEATHS = {
    "in-a-transaction": [query("BEGIN"), query("DELETE FROM item")],
    "in-a-failed-one": [query("BEGIN"), query("DELETE FROM item"), query("SELECT 1/0")],
    "in-a-group": [parse("DELETE FROM item"), bind(), execute(), FLUSH],
    "in-a-copy": [
        query("BEGIN"),
        query("DELETE FROM item"),
        query("COPY item FROM STDIN"),
        frame(b"d", b"1"),
    ],
    "in-a-message": [query("BEGIN"), query("DELETE FROM item"), query("SELECT 1")[:7]],
    "in-a-result": [
        query("BEGIN"),
        query("DELETE FROM item"),
        query("SELECT g FROM generate_series(1, 500000) g"),
    ],
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_client_that_dies_is_rolled_back(wire: Wire, death: str) -> None:
    """Wherever its connection breaks, its work is undone, and the others go on."""
    client = Raw(wire.address).admitted()
    client.send(*DEATHS[death])
    time.sleep(0.2)
    client.close()
    deadline = time.monotonic() + 10
    while wire.count() != 5:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert wire.attempts() == ""


def test_a_client_that_reads_nothing_keeps_nobody_waiting(wire: Wire) -> None:
    """100,000 rows of a kilobyte wait for a client in bounded memory, and the session is free meanwhile."""
    with admitted(wire.address) as client:
        tracemalloc.start()
        try:
            client.send(query("SELECT repeat('x', 1000) FROM generate_series(1, 100000)"))
            assert wire.count() == 5
            rows = sum(kind == b"D" for kind, _ in iter(client.message, (b"Z", b"I")) if kind)  # type: ignore[misc]
            assert tracemalloc.get_traced_memory()[1] < 20_000_000
        finally:
            tracemalloc.stop()
    assert rows == 100_000


def test_a_server_that_goes_away_is_named(wire: Wire) -> None:
    """The backend is terminated in the middle: the client is told, and so is the report."""
    with admitted(wire.address) as client:
        wire.server.psql(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{wire.database}'",
            "postgres",
        )
        client.send(query("SELECT 1"))
        assert client.until_ready()[-1][0] == b"E"
    assert "lost in the middle" in wire.attempts()


def test_latecomers_are_refused(postgres: Server, database_url: str) -> None:
    """Who is still connected when the dry run has ended, or comes only then, can do nothing any more."""
    seal = _seal(database_url)
    stop = threading.Event()
    with Together([seal]):
        address = seal.loopback()
        client = Raw(address).admitted()
        late = Raw(address)
        thread = threading.Thread(target=stop.wait, name="left-behind")
        thread.start()
    client.send(query("CREATE TABLE late ()"))
    kind, body = client.message() or (b"", b"")
    assert (kind, fields(body)["S"]) == (b"E", "FATAL")
    assert "has ended" in fields(body)["M"]
    with pytest.raises(IndexError):
        late.admitted().greeting[3]
    stop.set()
    thread.join()
    client.close()
    late.close()


def test_garbage_harms_only_its_client(wire: Wire) -> None:
    """Whatever bytes come before or after the password, nobody hangs and the next client is served."""

    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        inside=st.booleans(),
        junk=st.one_of(
            st.binary(max_size=200),
            st.lists(
                st.builds(frame, st.integers(0, 255).map(lambda code: bytes([code])), st.binary(max_size=40)),
                max_size=6,
            ).map(b"".join),
            st.lists(
                st.sampled_from(
                    [parse("SELECT 1"), parse("BEGIN"), parse("COPY item FROM STDIN"), bind(), execute(),
                     SYNC, FLUSH, query("SELECT 1/0"), query("BEGIN"), query("ROLLBACK"),
                     query("SAVEPOINT a"), query("COMMIT"), query(""), frame(b"D", b"P\0"),
                     frame(b"D", b"S\0"),
                     frame(b"C", b"S\0"),
                     frame(b"C", b"P\0"), frame(b"c"), frame(b"d", b"x"), frame(b"B"), frame(b"F", b"\0" * 8)]
                ),
                max_size=12,
            ).map(b"".join),
        ),
    )  # fmt: skip
    def fuzz(inside: bool, junk: bytes) -> None:
        client = Raw(wire.address)
        if inside:
            client.admitted()
        client.send(junk)
        client.socket.shutdown(1)
        while client.message():
            pass
        client.close()
        assert wire.count() == 5

    fuzz()


def test_a_terminated_client_leaves_nothing(wire: Wire) -> None:
    """Terminate in the middle of a transaction rolls it back."""
    with admitted(wire.address) as client:
        client.send(query("BEGIN"), query("DELETE FROM item"), TERMINATE)
        while client.message():
            pass
    assert wire.count() == 5


def test_psycopg_3_beside_the_wire(wire: Wire) -> None:
    """Both kinds of tenants see each other's work, and psycopg's DEALLOCATE ALL takes nothing away."""
    with admitted(wire.address) as client, psycopg.connect(wire.server.url(wire.database)) as direct:
        client.send(parse("SELECT count(*) FROM item WHERE id > $1", "s"), SYNC)
        assert client.kinds() == "1Z"
        direct.execute("DELETE FROM item WHERE id = 1")
        direct.commit()
        with direct.lock:
            direct.wait(direct._exec_command(b"DEALLOCATE ALL"))
        client.send(bind("", "s", "0"), execute(), SYNC)
        assert [body for kind, body in client.until_ready() if kind == b"D"] == [b"\0\1\0\0\0\0014"]
