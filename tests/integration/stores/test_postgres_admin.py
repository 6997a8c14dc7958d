"""``store init`` and ``store upgrade`` on PostgreSQL: who has to be who, and which client works with what."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from oneoff.audit.verify import verify
from oneoff.errors import OneoffError, StoreUnavailable, StoreVersionMismatch, UsageError
from oneoff.stores import queries
from oneoff.stores.postgres import PostgresStore
from oneoff.stores.postgres_admin import SCRIPTS, PostgresAdmin
from oneoff.stores.postgres_check import check
from tests.contract.store_contract import StoreContract
from tests.postgres import Server, let_go, make_store
from tests.records import begin, finish, make_run, note

RELEASED = Path(__file__).parents[2] / "contract" / "released"

# What a version 2 might do: a column that is wanted later and a function under a new signature, at first
# beside the old one; then the old one goes.
EXPAND = """
ALTER TABLE oneoff.run ADD COLUMN shard text COLLATE "C";
CREATE INDEX run_shard ON oneoff.run (shard) WHERE shard IS NOT NULL;
CREATE FUNCTION oneoff.record(event bytea, more text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, oneoff, pg_temp
AS $$ SELECT oneoff.record(event) $$;
"""
CONTRACT = "DROP FUNCTION oneoff.record(bytea)"
TWO = (*SCRIPTS, (EXPAND, CONTRACT))


def released(version: int) -> type[PostgresStore]:
    """The client as a version had it: its statements, as they were recorded."""
    text = (RELEASED / f"postgres_{version}.sql").read_text()

    class Released(PostgresStore):
        statements = queries.blocks(text)

    Released.version = version
    return Released


def dump(server: Server, database: str) -> str:
    """Everything in the schema, grants included."""
    environ = {"PATH": "/usr/bin:/bin"}
    command: list[str | Path] = [server.binaries / "pg_dump", "-n", "oneoff", "-d", server.url(database)]
    text = subprocess.run(command, check=True, capture_output=True, text=True, env=environ).stdout
    return "\n".join(line for line in text.splitlines() if "restrict" not in line)


@pytest.fixture
def database(postgres: Server) -> Iterator[str]:
    with postgres.database() as name:
        yield name


def test_a_second_init_changes_nothing(postgres: Server, database: str) -> None:
    """Neither the schema, nor the grants, nor what is recorded."""
    url = make_store(postgres, database)
    store = PostgresStore.open(url)
    finish(store, begin(store, make_run()))
    before = dump(postgres, database)
    done = PostgresAdmin(postgres.url(database), url).init(None)
    assert "the store is there, version 1" in done
    assert dump(postgres, database) == before
    store.close()


def test_two_inits_at_once(postgres: Server, database: str) -> None:
    """The second waits for the first, and finds its work done."""
    postgres.execute("SELECT 1")
    url = postgres.url(database, "shop")
    make_store(postgres, database)
    postgres.execute("DROP SCHEMA oneoff CASCADE", database=database)
    with psycopg.connect(postgres.url(database), options="") as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtext('oneoff store'))")
        with pytest.raises(StoreUnavailable, match="locked"):
            PostgresAdmin(postgres.url(database), url).init(None)


def test_an_administrator_who_is_no_superuser(postgres: Server, database: str) -> None:
    """CREATEROLE and the right to create schemas are enough, and no membership in the owner is left."""
    make_store(postgres, database)  # so that the roles are there
    with postgres.database() as other:
        postgres.execute(
            "CREATE ROLE warden LOGIN CREATEROLE",
            f"GRANT CREATE ON DATABASE {other} TO warden",
            "GRANT oneoff_owner TO warden WITH ADMIN OPTION, INHERIT FALSE, SET FALSE",
        )
        try:
            owner, app = postgres.url(other, "warden"), postgres.url(other, "shop")
            PostgresAdmin(owner, app).init(None)
            PostgresAdmin(owner, app).init(None)
            assert [finding for finding in check(app) if not finding.ok] == []
            with psycopg.connect(owner, options="") as connection:
                for statement in (b"SET ROLE oneoff_owner", b"TABLE oneoff.run"):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                        connection.execute(statement)
            PostgresAdmin(owner, app, TWO).upgrade("all")
            with pytest.raises(StoreUnavailable, match="warden is a member of oneoff_owner"):
                PostgresAdmin(owner, app).init("warden")
        finally:
            postgres.execute(f"REVOKE ALL ON DATABASE {other} FROM warden")
            postgres.execute("REVOKE oneoff_owner FROM warden CASCADE", "DROP ROLE warden")


def test_what_stands_in_the_way(postgres: Server, database: str) -> None:
    """Each in words, with the way out; nothing is left half made."""
    make_store(postgres, database)
    with postgres.database() as other:
        url = postgres.url(other)

        def refused(admin: PostgresAdmin, role: str | None = None) -> OneoffError:
            with pytest.raises(OneoffError) as caught:
                admin.init(role)
            return caught.value

        assert "CREATEROLE" in refused(PostgresAdmin(postgres.url(other, "shop"), url), "shop").next_step
        assert "no role nobody_here" in refused(PostgresAdmin(url, url), "nobody_here").message
        assert "owns its records" in refused(PostgresAdmin(url, url), "oneoff_owner").message
        no_store = PostgresAdmin(url, url)
        with pytest.raises(StoreUnavailable, match="no store of oneoff") as caught:
            no_store.upgrade("all")
        assert "store init" in caught.value.next_step
        postgres.execute("CREATE SCHEMA oneoff", database=other)
        assert "belongs to postgres" in refused(PostgresAdmin(url, url), "shop").message
        postgres.execute("ALTER ROLE oneoff_owner LOGIN")
        assert "may log in" in refused(PostgresAdmin(url, url), "shop").message
        postgres.execute(
            "ALTER ROLE oneoff_owner NOLOGIN", "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1'"
        )
        assert "LATIN1" in refused(PostgresAdmin(postgres.url("latin"), url), "shop").message
        postgres.execute("DROP DATABASE latin")
    assert "cannot be reached" in refused(PostgresAdmin("postgresql://h@127.0.0.1:1/x", url)).message


def test_a_superuser_as_the_app_is_told(postgres: Server, database: str) -> None:
    """On a laptop that may do; it is said."""
    done = PostgresAdmin(postgres.url(database), postgres.url(database)).init(None)
    assert "does not protect the log" in done[-1]
    store = PostgresStore.open(postgres.url(database))
    finish(store, begin(store, make_run()))
    store.close()


def test_an_upgrade_in_two_phases(postgres: Server, database: str) -> None:
    """Between the phases both clients work; after the second the older one is told to go."""
    url = make_store(postgres, database)
    admin = PostgresAdmin(postgres.url(database), url, TWO)

    class Newer(PostgresStore):
        version = 2

    with pytest.raises(StoreVersionMismatch, match="needs version 2") as caught:
        Newer.open(url)
    assert "store upgrade" in caught.value.next_step
    assert admin.upgrade("post") == ["the store has version 1, for clients from version 1 on"]

    assert admin.upgrade("pre")[0] == "applied version 2, pre"
    assert admin.upgrade("pre") == ["the store has version 2, for clients from version 1 on"]
    for client in (released(1), Newer):
        store = client.open(url)
        finish(store, begin(store, make_run(f"of-{client.__name__.lower()}")))
        store.close()
    with psycopg.connect(url, options="") as connection:
        allowed = "has_function_privilege('oneoff.record(bytea, text)', 'EXECUTE')"
        assert connection.execute(f"SELECT {allowed}".encode()).fetchone() == (True,)
    third = PostgresAdmin(postgres.url(database), url, (*TWO, ("", "")))
    with pytest.raises(UsageError, match="version 2 has to be finished"):
        third.upgrade("pre")

    assert admin.upgrade("post")[0] == "applied version 2, post"
    with pytest.raises(StoreVersionMismatch, match="takes clients of version 2 or newer"):
        released(1).open(url)
    store = Newer.open(url)
    assert verify(store.events(), store.checkpoint, lambda _: False).ok
    store.close()
    assert len(third.upgrade("all")) == 3


def test_an_auditor_only_reads_also_after_an_upgrade(postgres: Server, database: str) -> None:
    """USAGE and SELECT are enough to read; an upgrade gives a reader new tables, and no function."""
    url = make_store(postgres, database)
    store = PostgresStore.open(url)
    finish(store, begin(store, make_run()))
    store.close()
    postgres.execute(
        "CREATE ROLE auditor LOGIN",
        "GRANT USAGE ON SCHEMA oneoff TO auditor",
        "GRANT SELECT ON ALL TABLES IN SCHEMA oneoff TO auditor",
        database=database,
    )
    try:
        more = (*SCRIPTS, (EXPAND + "CREATE TABLE oneoff.later (id integer);", ""))
        PostgresAdmin(postgres.url(database), url, more).upgrade("all")
        postgres.execute("UPDATE oneoff.store_version SET oldest_client = 1", database=database)
        reader = PostgresStore.open(postgres.url(database, "auditor"))
        assert reader.unwritable is not None
        assert verify(reader.events(), reader.checkpoint, lambda _: False).ok
        with pytest.raises(StoreUnavailable, match="permission denied for function"):
            reader.record(note())
        reader.close()
        with psycopg.connect(postgres.url(database, "auditor"), options="") as connection:
            assert connection.execute("TABLE oneoff.later").fetchall() == []
    finally:
        postgres.execute("DROP OWNED BY auditor", database=database)
        postgres.execute("DROP ROLE auditor")


def test_an_upgrade_that_fails_leaves_nothing(postgres: Server, database: str) -> None:
    """A file is applied whole or not at all."""
    url = make_store(postgres, database)
    before = dump(postgres, database)
    broken = (*SCRIPTS, (EXPAND + "SELECT 1 / 0;", ""))
    with pytest.raises(StoreUnavailable, match="division by zero"):
        PostgresAdmin(postgres.url(database), url, broken).upgrade("all")
    assert dump(postgres, database) == before


class TestReleasedClient(StoreContract):
    """The last released client on a schema that the next version has expanded."""

    @pytest.fixture
    def store(self, postgres: Server, database: str) -> Iterator[PostgresStore]:
        url = make_store(postgres, database)
        let_go(postgres, url)
        PostgresAdmin(postgres.url(database), url, TWO).upgrade("pre")
        store = released(1).open(url)
        yield store
        store.close()
