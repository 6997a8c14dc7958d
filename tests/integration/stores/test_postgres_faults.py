"""A PostgreSQL store whose server, connection or rights go away: clear words, and nothing lost or doubled."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from oneoff.audit.verify import verify
from oneoff.errors import OneoffError, StoreCorrupted, StoreUnavailable, StoreVersionMismatch
from oneoff.protocols import RunQuery, Store
from oneoff.runs.run import Actor, Progress
from oneoff.stores import postgres_failures, postgres_link
from oneoff.stores.postgres import PostgresStore
from tests.forks import in_child
from tests.postgres import Server, database_of, make_store, serve
from tests.records import begin, finish, later, make_run, note

TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'oneoff'"
PAUSE = 0.3


@pytest.fixture
def store(store_url: str) -> Iterator[PostgresStore]:
    store = PostgresStore.open(store_url)
    yield store
    store.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is gone is given up at once."""
    monkeypatch.setattr(postgres_link, "PATIENCE_SECONDS", 0.0)


def refusal(url: str) -> StoreUnavailable:
    with pytest.raises(StoreUnavailable) as caught:
        PostgresStore.open(url)
    return caught.value


def sound(store: Store, size: int) -> bool:
    result = verify(store.events(), store.checkpoint, lambda _: True)
    return result.problems == () and result.size == size


# what each change is, and the number of events it leaves

CHANGES: list[tuple[Callable[[PostgresStore], object], int]] = [
    (lambda store: store.create(make_run("r2"), note()), 3),
    (lambda store: finish(store, store.get(make_run().id)), 3),
    (lambda store: store.save(replace(store.get(make_run().id), stop_requested="cancel")), 2),
    (lambda store: store.record(note()), 3),
    (lambda store: store.beat(make_run().id, 1, later(9), Progress(done=3)), 2),
    (lambda store: store.subject(Actor(kind="human", name="bob")), 2),
]
NAMES = ["create", "save with an event", "save", "record", "beat", "subject"]


@pytest.mark.parametrize(("change", "size"), CHANGES, ids=NAMES)
def test_a_connection_that_was_closed_meanwhile(
    change: Callable[[PostgresStore], object], size: int, store: PostgresStore, postgres: Server
) -> None:
    """A pooler, a firewall or a restart closes idle connections: the change is made over a new one, once."""
    begin(store, make_run())
    postgres.execute(TERMINATE)
    change(store)
    assert sound(store, size)


@pytest.mark.parametrize(("change", "size"), CHANGES, ids=NAMES)
def test_an_answer_that_was_lost(
    change: Callable[[PostgresStore], object],
    size: int,
    store: PostgresStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The change is committed and its answer never came: it is looked up, not made again."""
    begin(store, make_run())
    tell, lost = postgres_link.Link.tell, list[bool]()

    def losing(link: postgres_link.Link, *args: Any) -> Any:
        rows = tell(link, *args)
        if not lost:
            lost.append(True)
            assert link._connection is not None
            link._connection.close()
            raise postgres_failures.ConnectionLost("the cable was pulled")
        return rows

    monkeypatch.setattr(postgres_link.Link, "tell", losing)
    before = store.get(make_run().id)
    change(store)
    after = store.get(make_run().id)
    assert lost
    assert sound(store, size)
    assert after.version - before.version <= 1


@pytest.mark.parametrize(("change", "size"), CHANGES[:4], ids=NAMES[:4])
def test_a_change_that_is_still_under_way(
    change: Callable[[PostgresStore], object],
    size: int,
    store: PostgresStore,
    postgres: Server,
    store_url: str,
) -> None:
    """The server has not noticed that the client is gone, and commits later: the second try finds that."""
    begin(store, make_run())
    with psycopg.connect(postgres.url(database_of(store_url)), options="") as other:
        other.execute("SELECT * FROM oneoff.audit_head FOR UPDATE")
        other.execute("SELECT * FROM oneoff.run FOR UPDATE")
        changing = threading.Thread(target=change, args=[store])
        changing.start()
        time.sleep(PAUSE)
        connection = store._link._connection
        assert connection is not None
        with socket.socket(fileno=os.dup(connection.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)
        time.sleep(PAUSE)
    changing.join(10)
    assert not changing.is_alive()
    assert sound(store, size)
    assert len(store.find(RunQuery())) == (2 if size == 3 and change is CHANGES[0][0] else 1)


def test_no_state_of_the_session_is_needed(store: PostgresStore) -> None:
    """A transaction pooler gives each message another session, with settings that somebody else left."""
    for number in range(3):
        connection = store._link._connection
        assert connection is not None
        connection.execute("DISCARD ALL")
        connection.execute("SET default_transaction_read_only = on")
        connection.execute("SET default_transaction_isolation = 'serializable'")
        connection.execute("SET statement_timeout = '1ms'")
        connection.execute("SET search_path = pg_temp")
        finish(store, begin(store, make_run(f"r{number}")))
    assert sound(store, 9)


def test_whoever_changes_much_prepares(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few changes the statement is prepared, unless a pooler told another process's number."""
    prepared = "SELECT count(*) FROM pg_prepared_statements"
    for pooled in (False, True):
        if pooled:
            monkeypatch.setattr(psycopg.ConnectionInfo, "backend_pid", 1)
            store._link._drop()
        for _ in range(8):
            store.record(note())
        connection = store._link._connection
        assert connection is not None
        assert connection.execute(prepared).fetchall() == [(0 if pooled else 1,)]


def test_a_role_that_is_read_only_by_default(postgres: Server, store_url: str) -> None:
    """What its role is set to, and PGOPTIONS of the process, hold for the app and not for the records."""
    postgres.execute("CREATE ROLE careful LOGIN IN ROLE shop")
    postgres.execute("ALTER ROLE careful SET default_transaction_read_only = on")
    postgres.execute("ALTER ROLE careful SET lock_timeout = '1ms'")
    try:
        store = PostgresStore.open(postgres.url(database_of(store_url), "careful"))
        finish(store, begin(store, make_run()))
        store.close()
    finally:
        postgres.execute("DROP ROLE careful")


def test_an_interruption_in_the_middle(store: PostgresStore, postgres: Server, store_url: str) -> None:
    """Ctrl-C while the server is waited for: the store is usable again at once."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    begin(store, make_run())
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with psycopg.connect(postgres.url(database_of(store_url)), options="") as other:
            other.execute("SELECT * FROM oneoff.audit_head FOR UPDATE")
            signal.setitimer(signal.ITIMER_REAL, PAUSE)
            with pytest.raises(KeyboardInterrupt):
                store.record(note())
    finally:
        signal.signal(signal.SIGALRM, before)
    finish(store, store.get(make_run().id))
    assert store.checkpoint().size in (3, 4)
    assert sound(store, store.checkpoint().size)


def test_a_forked_child_is_refused(store: PostgresStore) -> None:
    """It shares the socket with its parent; the parent goes on."""

    def child() -> str:
        with pytest.raises(StoreUnavailable, match="was forked"):
            store.checkpoint()
        store.close()
        return "refused"

    assert in_child(child) == "refused"
    store.record(note())
    assert sound(store, 1)


def test_a_lock_that_is_held_for_too_long(store: PostgresStore, postgres: Server, store_url: str) -> None:
    """Somebody's open transaction is waited for, for so long; then words, and nothing has changed."""
    limit = "SELECT DISTINCT setting FROM pg_proc, unnest(proconfig) AS setting WHERE prosecdef AND"
    assert postgres_failures.LOCK_SECONDS >= 30
    assert postgres.execute(f"{limit} setting LIKE 'lock_timeout=%'", database=database_of(store_url)) == [
        (f"lock_timeout={postgres_failures.LOCK_SECONDS}s",)
    ]
    shorter = "ALTER FUNCTION oneoff.create_run SET lock_timeout = '200ms'"
    postgres.execute(shorter, database=database_of(store_url))
    with psycopg.connect(postgres.url(database_of(store_url)), options="") as other:
        other.execute("SELECT * FROM oneoff.audit_head FOR UPDATE")
        with pytest.raises(StoreUnavailable, match="locked for 30 s") as caught:
            store.create(make_run(), note())
    assert "pg_stat_activity" in caught.value.next_step
    assert store.find(RunQuery()) == []


# what cannot be opened


def test_no_server() -> None:
    """Host and port are named, and no password."""
    error = refusal("postgresql://shop:hunter2@127.0.0.1:1/x")
    assert "cannot be reached" in error.message
    assert "127.0.0.1:1/x" in error.message
    assert "hunter2" not in error.message + error.next_step


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://shop:hunter2@h/x?nonsense=1",
        "postgresql://shop:hun ter2@h:x/x",
        "postgresql://shop:%zzhunter2@h/x",
    ],
)
def test_no_url(url: str) -> None:
    """What psycopg cannot read is said without showing it."""
    error = refusal(url)
    assert "no address" in error.message
    assert "ter2" not in error.message + error.next_step


def test_no_database_no_role_no_schema_no_rights(postgres: Server, store_url: str) -> None:
    """Each with its next step."""
    assert "no such database" in refusal(postgres.url("nowhere", "shop")).message
    assert "does not let this user in" in refusal(postgres.url(database_of(store_url), "nobody_here")).message
    with postgres.database() as empty:
        error = refusal(postgres.url(empty, "shop"))
        assert "has no store of oneoff" in error.message
        assert "oneoff store init" in error.next_step
    postgres.execute("CREATE ROLE stranger LOGIN")
    try:
        error = refusal(postgres.url(database_of(store_url), "stranger"))
        assert "may not do this: permission denied" in error.message
        assert "oneoff store init" in error.next_step
    finally:
        postgres.execute("DROP ROLE stranger")


@contextmanager
def passwords(server: Server) -> Iterator[None]:
    """The role ``keyed`` needs its password."""
    rules = server.socket / "data" / "pg_hba.conf"
    before = rules.read_text()
    server.execute("CREATE ROLE keyed LOGIN PASSWORD 'hunter2' CONNECTION LIMIT 1")
    rules.write_text(f"local all keyed scram-sha-256\n{before}")
    server.execute("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        rules.write_text(before)
        server.execute("SELECT pg_reload_conf()")


def test_a_wrong_password_and_too_many_connections(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the right nor the wrong one is shown."""
    monkeypatch.delenv("PGPASSWORD", raising=False)
    with postgres.database() as database, passwords(postgres):
        make_store(postgres, database, "keyed")
        url = postgres.url(database, "keyed").replace("keyed@", "keyed:{}@")
        error = refusal(url.format("hunter3"))
        assert "does not let this user in" in error.message
        assert "hunter" not in error.message + error.next_step
        assert "does not let this user in" in refusal(url.replace(":{}", "")).message
        store = PostgresStore.open(url.format("hunter2"))
        assert "no connection left" in refusal(url.format("hunter2")).message
        assert "hunter2" not in store.place
        store.close()
        postgres.execute("DROP OWNED BY keyed", database=database)
    postgres.execute("DROP ROLE keyed")


def test_other_versions(postgres: Server, store_url: str) -> None:
    """A store that is too new or too old for this client is not touched."""
    database = database_of(store_url)
    for version, oldest, words, step in [
        (9, 9, "takes clients of version 9 or newer", "upgrade the package"),
        (0, 0, "needs version 1", "oneoff store upgrade"),
    ]:
        postgres.execute(
            f"UPDATE oneoff.store_version SET version = {version}, oldest_client = {oldest}",
            database=database,
        )
        error = refusal(store_url)
        assert isinstance(error, StoreVersionMismatch)
        assert words in error.message
        assert step in error.next_step
    postgres.execute("UPDATE oneoff.store_version SET version = 9, oldest_client = 1", database=database)
    PostgresStore.open(store_url).close()
    postgres.execute("DELETE FROM oneoff.store_version", database=database)
    assert isinstance(refusal(store_url), StoreCorrupted)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (psycopg.errors.DiskFull("could not extend file"), "no room left"),
        (psycopg.errors.TooManyConnections("sorry"), "no connection left"),
        (psycopg.errors.QueryCanceled("canceling statement due to statement timeout"), "gave a statement up"),
        (psycopg.errors.ReadOnlySqlTransaction("cannot execute"), "can only be read"),
        (psycopg.errors.DataCorrupted("invalid page"), "is damaged"),
        (psycopg.errors.NumericValueOutOfRange("x"), "cannot be used: x"),
    ],
)
def test_what_the_server_says_is_explained(error: psycopg.Error, words: str) -> None:
    """By its code, whatever language the server speaks."""
    found = postgres_failures.explain(error, "postgresql://db/x")
    assert words in found.message
    assert "postgresql://db/x" in found.message


def test_a_damaged_log(postgres: Server, store: PostgresStore, store_url: str) -> None:
    """A head or a subtree that is gone is named, and nothing is appended to what is left."""
    database = database_of(store_url)
    for _ in range(4):
        store.record(note())

    def damage(*statements: str) -> None:
        postgres.execute("SET session_replication_role = replica", *statements, database=database)

    off = "ALTER TABLE oneoff.{0} DISABLE TRIGGER {1}"
    damage(
        off.format("audit_event", "refuse_update"),
        "UPDATE oneoff.audit_event SET hashes = substr(hashes, 1, 32) WHERE seq = 1",
    )
    store.record(note())
    with pytest.raises(StoreCorrupted, match="lacks the hash of subtree"):
        store.hashes([(1, 0)])
    postgres.execute(
        off.format("audit_event", "refuse_delete"),
        "DELETE FROM oneoff.audit_event WHERE seq = 4",
        database=database,
    )
    with pytest.raises(StoreCorrupted, match=r"lacks the hash of subtree \(0, 4\)"):
        store.create(make_run(), note())
    postgres.execute(
        off.format("audit_head", "refuse_delete"), "DELETE FROM oneoff.audit_head", database=database
    )
    for action in (store.checkpoint, lambda: store.record(note())):
        with pytest.raises(StoreCorrupted, match="no head"):
            action()
    assert store.find(RunQuery()) == []


# a server that goes away


def test_a_server_that_is_stopped_and_comes_back(impatient: None, tmp_path: Path) -> None:
    """While it is gone, words; afterwards the same store goes on, and everything acknowledged is there."""
    with serve(fsync="on", synchronous_commit="on") as server:
        server.execute("CREATE DATABASE records")
        store = PostgresStore.open(make_store(server, "records"))
        run = begin(store, make_run())
        server.stop()
        actions: list[Callable[[], object]] = [
            lambda: store.get(run.id),
            lambda: finish(store, run),
            lambda: store.record(note()),
            lambda: list(store.events()),
        ]
        for action in actions:
            with pytest.raises(OneoffError, match="cannot be reached"):
                action()
        server.start()
        finish(store, store.get(run.id))
        assert sound(store, 3)
        store.close()


def test_a_restart_is_waited_for() -> None:
    """A server that comes back within seconds costs a run nothing."""
    with serve(fsync="on", synchronous_commit="on") as server:
        server.execute("CREATE DATABASE records")
        store = PostgresStore.open(make_store(server, "records"))
        run = begin(store, make_run())
        server.stop(signal.SIGINT)
        starting = threading.Timer(0.5, server.start)
        starting.start()
        finish(store, run)
        starting.join()
        assert sound(store, 3)
        store.close()


def test_a_replica_can_be_read(tmp_path: Path) -> None:
    """A store on a standby is opened to read; what writes is told where to go."""
    with serve() as primary, primary.standby() as standby:
        primary.execute("CREATE DATABASE records")
        url = make_store(primary, "records")
        store = PostgresStore.open(url)
        finish(store, begin(store, make_run()))
        deadline = time.monotonic() + 10
        while standby.execute("SELECT pg_last_wal_replay_lsn()") < primary.execute(
            "SELECT pg_current_wal_lsn()"
        ):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        reader = PostgresStore.open(standby.url("records", "shop"))
        assert reader.unwritable is not None
        assert reader.get(make_run().id) == store.get(make_run().id)
        assert sound(reader, 3)
        with pytest.raises(StoreUnavailable, match="can only be read") as caught:
            reader.record(note())
        assert "primary" in caught.value.next_step
        reader.close()
        store.close()


def test_an_event_that_the_server_refuses(store: PostgresStore) -> None:
    """What this client would never build is refused in words, and the run does not change."""
    run = store.create(make_run(), note())
    odd = replace(note(), type="Odd Type")
    with pytest.raises(StoreUnavailable, match="refuses the event"):
        store.save(replace(run, reason="changed"), odd)
    assert store.get(run.id) == run
