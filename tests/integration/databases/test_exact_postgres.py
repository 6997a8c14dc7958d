"""On PostgreSQL too, what a dry run reports is the difference of two full dumps around the real run."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oneoff.databases.handles import Databases
from oneoff.dryrun.measure import Measure
from oneoff.dryrun.report import DatabaseReport, TableEffect
from tests.integration.databases.fingerprint import Dump, difference
from tests.postgres import Server

_SCHEMA = """
CREATE TABLE customer (id int PRIMARY KEY, name text NOT NULL UNIQUE, visits int DEFAULT 0,
    price numeric(9, 2));
CREATE TABLE orders (id serial PRIMARY KEY, total real,
    customer int REFERENCES customer ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE audit (id int, line text);
CREATE TABLE pair (a text, b int, v text, PRIMARY KEY (b, a));
CREATE SCHEMA "Other one";
CREATE TABLE "Other one"."odd ""name"" ключ" ("select" text PRIMARY KEY, "from" bytea);
CREATE TABLE shape (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, w int, h int,
    area int GENERATED ALWAYS AS (w * h) STORED);
CREATE TABLE event (day date, id int, note text, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE event_2 PARTITION OF event FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE TABLE animal (id int PRIMARY KEY, name text);
CREATE TABLE dog (breed text, PRIMARY KEY (id)) INHERITS (animal);
CREATE UNLOGGED TABLE cache (k text PRIMARY KEY, v json);
CREATE TABLE big (id int PRIMARY KEY, body text);
CREATE TABLE late (id int PRIMARY KEY, note text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO public.audit VALUES (old.id, 'deleted'); RETURN old; END $$;
CREATE TRIGGER orders_audit AFTER DELETE ON orders FOR EACH ROW EXECUTE FUNCTION note();
CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO public.audit VALUES (new.id, 'at commit'); RETURN new; END $$;
CREATE CONSTRAINT TRIGGER late_audit AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION at_commit();
INSERT INTO customer SELECT n, 'c' || n, n % 3, n + 0.5 FROM generate_series(1, 50) n;
INSERT INTO orders (customer, total) SELECT n, n * 1.5 FROM generate_series(1, 50) n;
INSERT INTO audit VALUES (1, 'one'), (2, 'two'), (2, 'two'), (NULL, NULL);
INSERT INTO pair VALUES ('x', 1, 'one'), ('y', 1, 'two'), ('x', 2, NULL);
INSERT INTO "Other one"."odd ""name"" ключ" VALUES ('é', NULL), (E'e\\\\\\t\\n,"', NULL);
INSERT INTO shape (w, h) VALUES (1, 2), (3, 4);
INSERT INTO event SELECT '2026-01-10'::date + n, n, 'e' || n FROM generate_series(0, 40) n;
INSERT INTO animal VALUES (1, 'cat'), (2, 'cow');
INSERT INTO dog VALUES (1, 'rex', 'pug');
INSERT INTO cache VALUES ('a', '{"x": 1}'), ('b', NULL);
INSERT INTO big SELECT n, repeat(md5(n::text), 400) FROM generate_series(1, 5) n;
"""
_TASKS = {
    "inserts": "INSERT INTO customer SELECT n, 'c' || n FROM generate_series(100, 150) n",
    "bulk update": "UPDATE customer SET visits = visits + 1 WHERE id <= 40",
    "update to the same values": "UPDATE customer SET visits = visits; UPDATE shape SET w = 9 WHERE id = 1",
    "only the scale changes": "ALTER TABLE audit SET (fillfactor = 90); UPDATE pair SET v = v || ''",
    "cascade and trigger": "DELETE FROM customer WHERE id % 5 = 0",
    "cascade of a changed key": "UPDATE customer SET id = id + 1000 WHERE id <= 3",
    "upsert": "INSERT INTO customer VALUES (1, 'c1', 9), (99, 'c99', 1)"
    " ON CONFLICT (id) DO UPDATE SET visits = excluded.visits",
    "merge": "MERGE INTO customer c USING (VALUES (1), (77)) AS v(id) ON c.id = v.id"
    " WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'new', 1)",
    "with clause": "WITH gone AS (DELETE FROM orders WHERE id < 4 RETURNING id)"
    " UPDATE customer SET visits = 1 WHERE id IN (SELECT id FROM gone)",
    "savepoint rolled back": "SAVEPOINT s; DELETE FROM customer; UPDATE pair SET v = 'x'; ROLLBACK TO s;"
    " UPDATE pair SET v = 'y' WHERE b = 2",
    "savepoints kept": "SAVEPOINT s; UPDATE customer SET visits = 9 WHERE id = 1; RELEASE s;"
    " SAVEPOINT t; UPDATE customer SET visits = 10 WHERE id = 1; DELETE FROM customer WHERE id = 2;"
    " RELEASE t",
    "locked first, in another savepoint": "SAVEPOINT s; SELECT FROM customer FOR UPDATE; RELEASE s;"
    " INSERT INTO orders (customer) VALUES (7); DELETE FROM customer WHERE id IN (7, 8)",
    "inserted and deleted again": "INSERT INTO pair VALUES ('z', 9, ''); DELETE FROM pair WHERE b = 9",
    "deleted and inserted the same": "DELETE FROM pair WHERE b = 1;"
    " INSERT INTO pair VALUES ('x', 1, 'one'), ('y', 1, 'changed')",
    "updated and put back": "UPDATE customer SET visits = visits + 1;"
    " UPDATE customer SET visits = visits - 1",
    "keys swapped": "UPDATE pair SET a = CASE a WHEN 'x' THEN 'tmp' ELSE a END WHERE b = 1;"
    " UPDATE pair SET a = 'x' WHERE a = 'y' AND b = 1; UPDATE pair SET a = 'y' WHERE a = 'tmp'",
    "no primary key": "DELETE FROM audit WHERE line = 'one'; INSERT INTO audit VALUES (2, 'two'), (3, NULL);"
    " UPDATE audit SET line = 'changed' WHERE id IS NULL; UPDATE audit SET line = line",
    "generated and identity": "UPDATE shape SET w = 10 WHERE id = 1; INSERT INTO shape (w, h) VALUES (7, 7)",
    "partitions": "UPDATE event SET note = note || '!' WHERE id < 5; DELETE FROM event WHERE id = 30;"
    " UPDATE event SET day = day + 31 WHERE id = 1; INSERT INTO event VALUES ('2026-02-27', 99, NULL)",
    "inheritance": "UPDATE animal SET name = upper(name); INSERT INTO dog VALUES (9, 'bo', NULL);"
    " DELETE FROM ONLY animal WHERE id = 2",
    "unlogged and json": "UPDATE cache SET v = '{\"x\":1}' WHERE k = 'a'; DELETE FROM cache WHERE k = 'b'",
    "toasted values": "UPDATE big SET body = body || 'x' WHERE id = 1;"
    " UPDATE big SET body = body WHERE id = 2; UPDATE big SET id = 33 WHERE id = 3",
    "odd names": 'UPDATE "Other one"."odd ""name"" ключ" SET "from" = \'\\x01\';'
    ' INSERT INTO "Other one"."odd ""name"" ключ" VALUES (\'x\', \'\')',
    "deferred trigger": "INSERT INTO late VALUES (1, 'a'), (2, 'b')",
    "function": "DO $$ BEGIN UPDATE customer SET visits = 7 WHERE id = 3; BEGIN DELETE FROM customer;"
    " RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END; END $$",
    "new table": "CREATE TABLE made (id int PRIMARY KEY, v text); INSERT INTO made VALUES (1, 'a'), (2, 'b');"
    " UPDATE made SET v = 'c'; DELETE FROM made WHERE id = 2; CREATE TABLE copied AS SELECT * FROM pair",
    "a temporary table": "CREATE TEMP TABLE scratch AS SELECT id FROM customer; DELETE FROM scratch;"
    " DELETE FROM orders WHERE id = 1",
    "an index, and data": "CREATE INDEX by_visits ON customer (visits); UPDATE customer SET visits = 5",
    "other settings": "SET LOCAL TimeZone = 'Asia/Tokyo'; SET LOCAL DateStyle = 'German';"
    " SET LOCAL bytea_output = 'escape'; SET search_path = ''; UPDATE public.event SET note = note;"
    " DELETE FROM public.pair WHERE b = 2",
    "nothing": "SELECT 1",
}


def _dump(server: Server, database: str) -> Dump:
    """Every row by its primary key; of a table without one by the whole row, and how often it is there."""
    tables = server.execute(
        "SELECT CASE nspname WHEN 'public' THEN relname ELSE nspname || '.' || relname END,"
        " format('%I.%I', nspname, relname), relkind = 'p',"
        " (SELECT array_agg(attname::text) FROM pg_index JOIN pg_attribute ON attrelid = indrelid"
        "  AND attnum = ANY (indkey) WHERE indrelid = c.oid AND indisprimary)"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE relkind IN ('r', 'p') AND NOT relispartition AND nspname NOT LIKE 'pg\\_%'"
        " AND nspname <> 'information_schema'",
        database=database,
    )
    dump: Dump = {}
    with psycopg.connect(server.url(database), options="", row_factory=psycopg.rows.dict_row) as connection:
        for name, address, whole, key in tables:
            rows = connection.execute(
                f"SELECT row_to_json(t)::text AS text, t.*"
                f" FROM {'' if whole else 'ONLY'} {address} t".encode()
            ).fetchall()
            times: Counter[str] = Counter()
            dump[name] = {}
            for row in rows:
                times[row["text"]] += 1
                by = tuple(row[column] for column in key) if key else (row["text"], times[row["text"]])
                dump[name][by] = row["text"]
    return dump


def _task(url: str, script: str) -> None:
    with psycopg.connect(url) as connection:
        for statement in _statements(script):
            connection.execute(statement.encode())


def _statements(script: str) -> list[str]:
    return [script] if "$$" in script else [part for part in script.split("; ") if part]


def _dry(url: str, script: str, measure: Measure | None = None) -> DatabaseReport:
    seal = Databases().seal(url, measure)
    with seal:
        _task(url, script)
    return seal.report()


@pytest.mark.parametrize("script", _TASKS.values(), ids=_TASKS.keys())
def test_the_report_is_the_difference_of_two_dumps(postgres: Server, script: str) -> None:
    """Net changes by key, whatever the task did on its way, from the database and not from its SQL."""
    with postgres.database() as name:
        postgres.execute(_SCHEMA, database=name)
        report = _dry(postgres.url(name), script)
        before = _dump(postgres, name)
        _task(postgres.url(name), script)
        assert set(report.tables) == difference(before, _dump(postgres, name))
        assert report.attempts == ()
        assert report.measured


def test_a_second_dry_run_finds_the_same(postgres: Server) -> None:
    """What the first one has left in the rows, its rolled back number, is nobody's change."""
    with postgres.database() as name:
        postgres.execute(_SCHEMA, database=name)
        url = postgres.url(name)
        first = _dry(url, _TASKS["cascade and trigger"])
        assert _dry(url, "UPDATE customer SET visits = 99 WHERE id = 5").tables == (
            TableEffect(table="customer", updated=1),
        )
        assert _dry(url, _TASKS["cascade and trigger"]).tables == first.tables


def test_copy_is_counted(postgres: Server) -> None:
    """Rows that COPY brings in are rows."""
    with postgres.database() as name:
        postgres.execute(_SCHEMA, database=name)
        seal = Databases().seal(postgres.url(name))
        with (
            seal,
            psycopg.connect(postgres.url(name)) as connection,
            connection.cursor().copy("COPY pair FROM STDIN") as copy,
        ):
            for number in range(500):
                copy.write_row(("copied", number + 100, None))
        assert seal.report().tables == (TableEffect(table="pair", inserted=500),)


def test_what_was_rolled_back_is_not_counted(postgres: Server) -> None:
    """A transaction of the task that it rolls back, and one that it leaves open, change nothing."""
    with postgres.database() as name:
        postgres.execute(_SCHEMA, database=name)
        url = postgres.url(name)
        seal = Databases().seal(url)
        with seal:
            with suppress(ZeroDivisionError), psycopg.connect(url) as connection:
                connection.execute("DELETE FROM orders")
                raise ZeroDivisionError
            with psycopg.connect(url) as connection:
                connection.execute("DELETE FROM orders WHERE id = 1")
        assert set(seal.report().tables) == {
            TableEffect(table="orders", deleted=1),
            TableEffect(table="audit", inserted=1),
        }


_WRITER = """
import sys, random, psycopg
with psycopg.connect(sys.argv[1], autocommit=True) as connection:
    connection.execute("SET lock_timeout = 100")
    print("up", flush=True)
    while True:
        n = random.randint(1001, 2000)
        try:
            with connection.transaction():
                connection.execute("UPDATE item SET v = v + 1 WHERE id = %s", (n,))
                connection.execute("DELETE FROM item WHERE id = %s", (n + 1,))
                connection.execute("INSERT INTO item VALUES (%s, 0) ON CONFLICT DO NOTHING", (n + 1,))
                connection.execute("DELETE FROM plain WHERE id = %s", (n,))
                connection.execute("INSERT INTO plain VALUES (%s)", (n,))
        except psycopg.errors.LockNotAvailable:
            pass
"""


def test_rows_that_others_write_meanwhile_are_not_counted(postgres: Server) -> None:
    """Writers of the same tables, while the task runs and while it is measured."""
    with postgres.database() as name:
        postgres.execute(
            "CREATE TABLE item (id int PRIMARY KEY, v int); CREATE TABLE plain (id int);"
            "INSERT INTO item SELECT n, 0 FROM generate_series(1, 2000) n;"
            "INSERT INTO plain SELECT n FROM generate_series(1, 2000) n",
            database=name,
        )
        url = postgres.url(name)
        command = [sys.executable, "-c", _WRITER, url]
        with _Beside(command), _Beside(command):
            for _ in range(10):
                seal = Databases().seal(url)
                with seal, psycopg.connect(url) as connection:
                    connection.execute("UPDATE item SET v = v + 1 WHERE id <= 300")
                    time.sleep(0.05)
                    connection.execute("DELETE FROM item WHERE id BETWEEN 301 AND 400")
                    connection.execute("DELETE FROM plain WHERE id <= 50")
                    connection.execute("INSERT INTO item VALUES (5000, 1)")
                assert set(seal.report().tables) == {
                    TableEffect(table="item", inserted=1, updated=300, deleted=100),
                    TableEffect(table="plain", deleted=50),
                }


class _Beside:
    """A process that runs for the time of a block."""

    def __init__(self, command: list[str]) -> None:
        self._command = command

    def __enter__(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"up\n"

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.communicate()


_GROSS = {
    "truncated": ("TRUNCATE pair", "INSERT INTO pair VALUES ('n', 1, '')", "locked it against readers"),
    "altered": ("ALTER TABLE pair ADD c int", "UPDATE pair SET c = 1", "locked it against readers"),
}


@pytest.mark.parametrize("first, then, why", _GROSS.values(), ids=_GROSS.keys())
def test_a_table_that_nobody_else_can_read_is_counted_by_the_server(
    postgres: Server, first: str, then: str, why: str
) -> None:
    """TRUNCATE and ALTER TABLE: its rows before cannot be seen any more, and the report says so."""
    with postgres.database() as name:
        postgres.execute(_SCHEMA, database=name)
        report = _dry(postgres.url(name), f"{first}; {then}")
        (table,) = report.tables
        assert why in table.note
        assert table.inserted + table.updated in (1, 3)
        assert any("pair" in change for change in report.schema_changes)


def test_a_table_that_is_too_large_is_counted_by_the_server(postgres: Server) -> None:
    """The limit is the caller's; what was rolled back is then counted too, and the report says so."""
    with postgres.database() as name:
        postgres.execute(_SCHEMA, database=name)
        script = "SAVEPOINT s; DELETE FROM pair; ROLLBACK TO s; UPDATE pair SET v = 'new'"
        (table,) = _dry(postgres.url(name), script, Measure(scan_limit=1)).tables
        assert (table.updated, table.deleted) == (3, 3)
        assert "not read through" in table.note


def test_a_role_that_may_not_read_gets_the_servers_counts(postgres: Server) -> None:
    """To write without the right to read is possible, and nothing is guessed."""
    with postgres.database() as name:
        role = f"writer_{name}"
        postgres.execute(_SCHEMA, f"CREATE ROLE {role} LOGIN; GRANT INSERT ON pair TO {role}", database=name)
        (table,) = _dry(postgres.url(name, role), "INSERT INTO pair VALUES ('n', 7, '')").tables
        assert (table.inserted, table.note) == (1, "the role may not read all of its rows")
        postgres.execute(f"DROP OWNED BY {role}; DROP ROLE {role}", database=name)


def test_counts_do_not_need_the_servers_statistics(postgres: Server) -> None:
    """With track_counts off the tables are found by their locks."""
    with postgres.database() as name:
        postgres.execute(_SCHEMA, f"ALTER DATABASE {name} SET track_counts = off", database=name)
        report = _dry(postgres.url(name), "DELETE FROM pair WHERE b = 1")
        assert report.tables == (TableEffect(table="pair", deleted=2),)
        assert report.measured
        assert not _dry(postgres.url(name), "DELETE FROM pair", Measure(rows=False)).measured


def test_a_foreign_table_is_named_as_not_covered(postgres: Server) -> None:
    """Its rows are another server's."""
    with postgres.database() as name:
        postgres.execute(
            "CREATE EXTENSION postgres_fdw; CREATE TABLE inside (line text);"
            f"CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{postgres.socket}',"
            f" dbname '{name}'); CREATE USER MAPPING FOR postgres SERVER other OPTIONS (user 'postgres');"
            "CREATE FOREIGN TABLE outside (line text) SERVER other OPTIONS (table_name 'inside')",
            database=name,
        )
        report = _dry(postgres.url(name), "INSERT INTO outside VALUES ('x')")
        assert "foreign table outside: what it writes is in another server" in report.not_covered


def test_without_effects_the_server_counts(postgres: Server) -> None:
    """Nothing is read through; what the server counted by itself is told as such."""
    with postgres.database() as name:
        postgres.execute(_SCHEMA, database=name)
        report = _dry(postgres.url(name), "UPDATE pair SET v = v", Measure(rows=False))
        assert [(table.table, table.updated) for table in report.tables] == [("pair", 3)]
        assert "as the server counted them" in report.counting


def test_the_locks_that_were_held_are_told(postgres: Server) -> None:
    """The strongest of each table, with whom it keeps waiting; reading is not worth a line."""
    with postgres.database() as name:
        postgres.execute(_SCHEMA, database=name)
        script = (
            "SELECT count(*) FROM customer; UPDATE pair SET v = ''; LOCK TABLE big;"
            " SELECT FROM shape FOR UPDATE; UPDATE event SET note = ''"
        )
        locks = {lock.table: (lock.mode, lock.blocks) for lock in _dry(postgres.url(name), script).locks}
        assert {table: mode for table, (mode, _) in locks.items()} == {
            "pair": "RowExclusiveLock",
            "big": "AccessExclusiveLock",
            "shape": "RowShareLock",
            "event": "RowExclusiveLock",
        }
        assert locks["big"][1] == "every reader and every writer"


_KEYS = st.integers(1, 12)
_NAMES = st.sampled_from(["a", "b", "", "é\\\t"])
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("INSERT INTO {0} VALUES (%s, %s) ON CONFLICT DO NOTHING"), _KEYS, _NAMES),
        st.tuples(st.just("UPDATE {0} SET v = %s WHERE id < %s"), _NAMES, _KEYS),
        st.tuples(st.just("UPDATE {0} SET id = id + 100 WHERE id = %s AND v <> %s"), _KEYS, _NAMES),
        st.tuples(st.just("DELETE FROM {0} WHERE id = %s OR v = %s"), _KEYS, _NAMES),
        st.sampled_from([("SAVEPOINT s",), ("ROLLBACK TO s",), ("RELEASE s",), ("COMMIT",), ("ROLLBACK",)]),
    ),
    max_size=14,
)


@pytest.fixture(scope="module")
def random_database(postgres: Server) -> Iterator[str]:
    with postgres.database() as name:
        postgres.execute(
            "CREATE TABLE keyed (id int PRIMARY KEY, v text); CREATE TABLE keyless (id int, v text)",
            database=name,
        )
        yield name


_SHARED: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@settings(max_examples=15, **_SHARED)
@given(steps=_STEPS, seed=st.integers(0, 2**32))
def test_random_tasks_are_counted_exactly(
    postgres: Server, random_database: str, steps: list[tuple[Any, ...]], seed: int
) -> None:
    """Any mix of statements, savepoints, commits and rollbacks over a keyed table and one without a key."""
    _counted_exactly(postgres, random_database, steps, seed)


@pytest.mark.slow
@settings(max_examples=200, **_SHARED)
@given(steps=_STEPS, seed=st.integers(0, 2**32))
def test_many_random_tasks_are_counted_exactly(
    postgres: Server, random_database: str, steps: list[tuple[Any, ...]], seed: int
) -> None:
    """The same with many more."""
    _counted_exactly(postgres, random_database, steps, seed)


def _counted_exactly(postgres: Server, random_database: str, steps: list[tuple[Any, ...]], seed: int) -> None:
    tables = random.Random(seed)
    chosen = [(tables.choice(("keyed", "keyless")), *step) for step in steps]
    postgres.execute(
        "TRUNCATE keyed, keyless",
        "INSERT INTO keyed SELECT n, 'a' FROM generate_series(1, 8) n",
        "INSERT INTO keyless SELECT n % 4, 'b' FROM generate_series(1, 8) n",
        database=random_database,
    )
    url = postgres.url(random_database)

    def task() -> None:
        with psycopg.connect(url) as connection:
            for table, statement, *values in chosen:
                if statement in ("COMMIT", "ROLLBACK"):
                    connection.commit() if statement == "COMMIT" else connection.rollback()
                    continue
                if statement == "RELEASE s" or statement == "ROLLBACK TO s":
                    connection.execute("SAVEPOINT s")  # so that there is one
                connection.execute(statement.format(table).encode(), values)

    seal = Databases().seal(url)
    with seal:
        task()
    before = _dump(postgres, random_database)
    task()
    assert set(seal.report().tables) == difference(before, _dump(postgres, random_database))
