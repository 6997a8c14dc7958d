"""The rows that a dry run reports are the difference of two full dumps around the real run."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oneoff.databases.handles import Databases
from oneoff.databases.postgres import effects
from tests.integration.databases.fingerprint import Dump, difference
from tests.postgres import Server

_SQLITE_SCHEMA = """
PRAGMA foreign_keys = ON;
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, visits INT DEFAULT 0);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INT REFERENCES customer ON DELETE CASCADE, total REAL);
CREATE TABLE audit (line TEXT);
CREATE TABLE setting (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE pair (a TEXT, b INT, value TEXT COLLATE NOCASE, PRIMARY KEY (b, a));
CREATE TABLE "odd ""name"" ключ" ("select" TEXT PRIMARY KEY, "from" BLOB);
CREATE TABLE shape (id INTEGER PRIMARY KEY, w INT, h INT, area INT GENERATED ALWAYS AS (w * h) STORED);
CREATE VIRTUAL TABLE note USING fts5(body);
CREATE TRIGGER orders_audit AFTER DELETE ON orders BEGIN INSERT INTO audit VALUES ('deleted ' || old.id); END;
INSERT INTO customer (id, name) SELECT value, 'c' || value FROM generate;
INSERT INTO orders (customer, total) SELECT id, id * 1.5 FROM customer;
INSERT INTO orders (customer, total) SELECT id, NULL FROM customer WHERE id % 2;
INSERT INTO audit VALUES ('one'), ('two'), ('two');
INSERT INTO setting VALUES ('a', 1), ('b', NULL), ('c', x'00ff');
INSERT INTO pair VALUES ('x', 1, 'one'), ('y', 1, 'two'), ('x', 2, NULL);
INSERT INTO "odd ""name"" ключ" VALUES ('é', x'01'), ('e', NULL);
INSERT INTO shape (w, h) VALUES (1, 2), (3, 4);
INSERT INTO note VALUES ('hello'), ('world');
"""
_NUMBERS = "WITH RECURSIVE generate(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM generate LIMIT 50)"

_SQLITE_TASKS = {
    "update": "UPDATE customer SET visits = visits + 1 WHERE id <= 10",
    "update to the same": "UPDATE customer SET visits = visits",
    "cascade and trigger": "PRAGMA foreign_keys = ON; DELETE FROM customer WHERE id % 5 = 0",
    "upsert": "INSERT INTO customer VALUES (1, 'c1', 9), (99, 'c99', 1)"
    " ON CONFLICT (id) DO UPDATE SET visits = excluded.visits",
    "replace": "REPLACE INTO customer VALUES (200, 'c7', 3)",
    "delete and insert the same key": "DELETE FROM setting WHERE key = 'a';"
    " INSERT INTO setting VALUES ('a', 1)",
    "delete and insert a changed row": "DELETE FROM pair WHERE a = 'x';"
    " INSERT INTO pair VALUES ('x', 1, 'changed'), ('x', 2, NULL)",
    "no primary key": "DELETE FROM audit WHERE line = 'one'; INSERT INTO audit VALUES ('three')",
    "without rowid": "UPDATE setting SET value = 'x' WHERE value IS NULL;"
    " DELETE FROM setting WHERE key = 'c'",
    "only the case changes": "UPDATE pair SET value = upper(value)",
    "null to value and back": "UPDATE orders SET total = CASE WHEN total IS NULL THEN 0 END WHERE id < 60",
    "odd names": 'UPDATE "odd ""name"" ключ" SET "from" = NULL;'
    ' INSERT INTO "odd ""name"" ключ" VALUES (\'x\', 1)',
    "generated column": "UPDATE shape SET w = 10 WHERE id = 1",
    "key changed": "UPDATE setting SET key = 'z' WHERE key = 'a'",
    "inserted and deleted again": "INSERT INTO audit VALUES ('x'); DELETE FROM audit WHERE line = 'x'",
    "rolled back": "BEGIN; DELETE FROM customer; ROLLBACK; DELETE FROM orders WHERE id = 1",
    "new table": "CREATE TABLE made AS SELECT id FROM customer",
    "dropped table": "DROP TABLE audit",
    "column added": "ALTER TABLE shape ADD COLUMN colour TEXT DEFAULT 'red';"
    " UPDATE shape SET colour = 'blue' WHERE id = 2",
    "everything deleted": "DELETE FROM pair",
    "nothing": "SELECT 1",
}


@pytest.fixture
def sqlite_path(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE generate AS SELECT 1 AS value")
        connection.execute(f"INSERT INTO generate {_NUMBERS} SELECT value FROM generate WHERE value > 1")
        connection.executescript(_SQLITE_SCHEMA)
    return path


def _dump_sqlite(path: Path) -> Dump:
    keys = {"setting": ("key",), "pair": ("a", "b"), 'odd "name" ключ': ("select",)}
    dump: Dump = {}
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        names = connection.execute(
            "SELECT name FROM pragma_table_list"
            " WHERE type = 'table' AND schema = 'main' AND name NOT LIKE 'sqlite%'"
        ).fetchall()
        for (name,) in names:
            quoted = name.replace('"', '""')
            columns = "rowid, *" if name not in ("setting",) else "*"
            dump[name] = {}
            for row in connection.execute(f'SELECT {columns} FROM "{quoted}"'):
                by = keys.get(name) or (row.keys()[0],)
                values = dict(row)
                values.pop("rowid", None)
                if values.get("colour") == "red":  # the default of a column that a task adds
                    del values["colour"]
                dump[name][tuple(row[column] for column in by)] = values
    return dump


@pytest.mark.parametrize("script", _SQLITE_TASKS.values(), ids=_SQLITE_TASKS.keys())
def test_the_report_on_sqlite_is_the_difference_of_two_dumps(sqlite_path: Path, script: str) -> None:
    """Net changes by key: triggers, cascades, replacements and rolled back work are all told right."""

    def task() -> None:
        with closing(sqlite3.connect(sqlite_path, isolation_level=None)) as connection:
            connection.executescript(script)

    seal = Databases().seal(f"sqlite:///{sqlite_path}")
    with seal:
        task()
    before = _dump_sqlite(sqlite_path)
    task()
    report = seal.report()
    assert set(report.tables) == difference(before, _dump_sqlite(sqlite_path))
    assert report.measured
    assert report.attempts == ()


_KEYS, _LETTERS = st.integers(1, 12), st.sampled_from("ab")
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("INSERT OR IGNORE INTO {0} VALUES (?, ?)"), _KEYS, _LETTERS),
        st.tuples(st.just("REPLACE INTO {0} VALUES (?, ?)"), _KEYS, _LETTERS),
        st.tuples(st.just("UPDATE {0} SET v = ? WHERE id < ?"), _LETTERS, _KEYS),
        st.tuples(st.just("UPDATE {0} SET id = id + 100 WHERE id = ? AND v = ?"), _KEYS, _LETTERS),
        st.tuples(st.just("DELETE FROM {0} WHERE id = ? OR v = ?"), _KEYS, _LETTERS),
        st.sampled_from([("SAVEPOINT s",), ("ROLLBACK TO s",), ("RELEASE s",), ("COMMIT",), ("ROLLBACK",)]),
    ),
    max_size=14,
)
_TABLES = {"keyed": "id", "narrow": "id", "plain": "rowid"}


_ANY_TASK = st.lists(st.tuples(st.sampled_from(sorted(_TABLES)), _STEPS), max_size=4)
_SHARED: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@settings(max_examples=10, **_SHARED)
@given(steps=_ANY_TASK)
def test_random_tasks_on_sqlite_are_counted_exactly(tmp_path: Path, steps: list[Any]) -> None:
    """Any mix of statements and savepoints over tables with a key, without a rowid, and without a key."""
    _counted_exactly(tmp_path, steps)


@pytest.mark.slow
@settings(max_examples=150, **_SHARED)
@given(steps=_ANY_TASK)
def test_many_random_tasks_on_sqlite_are_counted_exactly(tmp_path: Path, steps: list[Any]) -> None:
    """The same with many more."""
    _counted_exactly(tmp_path, steps)


def _counted_exactly(tmp_path: Path, steps: list[Any]) -> None:
    path = tmp_path / "random.db"
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE keyed (id INTEGER PRIMARY KEY, v TEXT);"
            "CREATE TABLE narrow (id INT PRIMARY KEY, v TEXT) WITHOUT ROWID;"
            "CREATE TABLE plain (id INT, v TEXT)"
        )
        for table in _TABLES:
            connection.executemany(f"INSERT INTO {table} VALUES (?, 'a')", [(n,) for n in range(1, 9)])
        connection.commit()

    def task() -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN")
            for table, chosen in steps:
                for statement, *values in chosen:
                    if statement in ("RELEASE s", "ROLLBACK TO s"):
                        connection.execute("SAVEPOINT s")  # so that there is one
                    connection.execute(statement.format(table), values)
                    if statement in ("COMMIT", "ROLLBACK"):
                        connection.execute("BEGIN")
            connection.execute("COMMIT")

    def dump() -> Dump:
        with closing(sqlite3.connect(path)) as connection:
            return {
                table: {row[0]: row for row in connection.execute(f"SELECT {key}, * FROM {table}")}
                for table, key in _TABLES.items()
            }

    seal = Databases().seal(f"sqlite:///{path}")
    with seal:
        task()
    before = dump()
    task()
    assert set(seal.report().tables) == difference(before, dump())


def test_schema_changes_on_sqlite_are_named(sqlite_path: Path) -> None:
    """Tables, indexes and triggers that are made, dropped or altered are listed."""
    seal = Databases().seal(f"sqlite:///{sqlite_path}")
    with seal, closing(sqlite3.connect(sqlite_path)) as connection:
        connection.executescript(
            "CREATE TABLE made (id); CREATE INDEX by_total ON orders (total); DROP TRIGGER orders_audit;"
            " ALTER TABLE pair ADD COLUMN more"
        )
    assert seal.report().schema_changes == (
        "dropped trigger orders_audit",
        "created index by_total",
        "created table made",
        "altered table pair",
    )


def test_statements_are_counted_without_their_values(sqlite_path: Path) -> None:
    """Equal statements are one line, with times and rows; values that were bound are not in it."""
    seal = Databases().seal(f"sqlite:///{sqlite_path}")
    with seal, closing(sqlite3.connect(sqlite_path)) as connection, connection:
        for number in (1, 2, 3):
            connection.execute("UPDATE customer SET name = ? WHERE id = ?", (f"secret {number}", number))
        connection.executemany("DELETE FROM audit WHERE line = ?", [("one",), ("two",)])
    statements = {one.sql: (one.times, one.rows) for one in seal.report().statements}
    assert statements == {
        "UPDATE customer SET name = ? WHERE id = ?": (3, 3),
        "DELETE FROM audit WHERE line = ?": (1, 3),
    }


def test_our_own_look_at_a_connect_function_is_not_recorded(sqlite_path: Path) -> None:
    """What is sent while oneoff finds out what the function gives is not the task's."""

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(sqlite_path)
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    databases = Databases()
    seal = databases.seal(databases.resolve(connect))
    with seal:
        assert databases.resolve(connect) is connect
        connect().close()
    assert [(one.sql, one.times) for one in seal.report().statements] == [("PRAGMA foreign_keys = ON", 1)]


def test_what_an_app_sends_while_it_is_set_up_is_recorded(sqlite_path: Path) -> None:
    """A function that gives a URL may create tables on the way: that is the run's own work."""

    def create_app() -> str:
        with closing(sqlite3.connect(sqlite_path)) as connection:
            connection.execute("CREATE TABLE made (id)")
        return f"sqlite:///{sqlite_path}"

    databases = Databases()
    seal = databases.seal(f"sqlite:///{sqlite_path}")
    with seal:
        databases.resolve(create_app)
    assert [one.sql for one in seal.report().statements] == ["CREATE TABLE made (id)"]


_POSTGRES_SCHEMA = """
CREATE TABLE customer (id int PRIMARY KEY, name text NOT NULL UNIQUE, visits int DEFAULT 0);
CREATE TABLE orders (id serial PRIMARY KEY, customer int REFERENCES customer ON DELETE CASCADE, total real);
CREATE TABLE audit (id int PRIMARY KEY, line text);
CREATE TABLE "odd ""name"" ключ" ("select" text PRIMARY KEY, "from" bytea);
CREATE TABLE late (id int PRIMARY KEY, customer int REFERENCES customer DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO audit VALUES (old.id, 'deleted'); RETURN old; END $$;
CREATE TRIGGER orders_audit AFTER DELETE ON orders FOR EACH ROW EXECUTE FUNCTION note();
INSERT INTO customer SELECT n, 'c' || n FROM generate_series(1, 50) n;
INSERT INTO orders (customer, total) SELECT n, n * 1.5 FROM generate_series(1, 50) n;
INSERT INTO "odd ""name"" ключ" VALUES ('é', NULL), ('e', NULL);
"""


def test_schema_changes_on_postgres_are_named(postgres: Server) -> None:
    """What DDL and TRUNCATE did is listed, as far as the catalogue tells."""
    with postgres.database() as name:
        postgres.execute(_POSTGRES_SCHEMA, "ANALYZE", database=name)
        seal = Databases().seal(postgres.url(name))
        with seal, psycopg.connect(postgres.url(name)) as connection:
            connection.execute("CREATE TABLE made (id int)")
            connection.execute("ALTER TABLE customer ADD COLUMN more text")
            connection.execute("ALTER TABLE audit RENAME TO log")
            connection.execute("TRUNCATE orders")
            connection.execute("DROP TABLE late")
        changes = set(seal.report().schema_changes)
    assert changes == {
        "created table made",
        "altered table customer",
        "renamed table audit to log",
        "emptied or rewrote table orders (about 50 rows before, by the server's estimate)",
        "dropped table late",
        "dropped index late_pkey",
    }


def test_a_deferred_constraint_that_a_commit_would_meet_is_reported(postgres: Server) -> None:
    """The task's own deferred violation would fail the real commit: the dry run fails too, without values."""
    with postgres.database() as name:
        postgres.execute(_POSTGRES_SCHEMA, database=name)
        seal = Databases().seal(postgres.url(name))
        with seal, psycopg.connect(postgres.url(name)) as connection:
            connection.execute("INSERT INTO late VALUES (1, 987654)")
        (attempt,) = seal.report().attempts
    assert "commit of a real run would fail" in attempt
    assert "late_customer_fkey" in attempt
    assert "987654" not in attempt


def test_a_deferred_trigger_that_a_commit_would_meet_is_reported(postgres: Server) -> None:
    """A check that the database itself makes at commit, whatever error it raises, fails the dry run too."""
    with postgres.database() as name:
        postgres.execute(
            "CREATE TABLE item (id int PRIMARY KEY)",
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'never'; END$$",
            "CREATE CONSTRAINT TRIGGER no AFTER INSERT ON item DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION no()",
            database=name,
        )
        seal = Databases().seal(postgres.url(name))
        with seal, psycopg.connect(postgres.url(name)) as connection:
            connection.execute("INSERT INTO item VALUES (1)")
        assert seal.report().attempts == ("the commit of a real run would fail: never",)


def test_a_failed_statement_at_the_end_hides_nothing_before_it(postgres: Server) -> None:
    """What was committed before stands in the report, as it would stand in the database."""
    with postgres.database() as name:
        seal = Databases().seal(postgres.url(name))
        with seal:
            connection = psycopg.connect(postgres.url(name))
            connection.execute("CREATE TABLE kept (id int)")
            connection.commit()
            with suppress(psycopg.errors.DivisionByZero):
                connection.execute("SELECT 1 / 0")
        assert seal.report().schema_changes == ("created table kept",)
        assert seal.report().attempts == ()
        connection.close()


def test_schema_changes_come_in_one_order() -> None:
    """The same changes make the same report: by name, not by chance."""

    def schema(definition: str) -> effects.Schema:
        return {
            str(number): {"kind": "table", "name": f"t{number:02}", "definition": definition, "storage": "1"}
            for number in range(30)
        }

    assert effects.schema_changes(schema("old"), schema("new")) == tuple(
        f"altered table t{number:02}" for number in range(30)
    )
