"""What a dry run does not allow, by any driver but psycopg's Connection: nothing stays, and it is named."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import psycopg2
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from oneoff.databases.handles import Databases
from oneoff.databases.postgres.seal import PostgresSeal
from oneoff.databases.postgres.session import Session, ask
from oneoff.databases.together import Together
from oneoff.errors import DryRunUnavailable
from tests.cli import Project
from tests.integration.databases.postgres_shop import WRITE, Shop, dry
from tests.integration.databases.seen import everything

Send = Callable[..., None]


def _psycopg2(url: str, *statements: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        connection.commit()


def _psycopg2_autocommit(url: str, *statements: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for statement in statements:
            cursor.execute(statement)


def _asyncpg(url: str, *statements: str) -> None:
    async def task() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(task())


def _asyncpg_prepared(url: str, *statements: str) -> None:
    async def task() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.fetch(statement)
        finally:
            await connection.close()

    asyncio.run(task())


def _psycopg_async(url: str, *statements: str) -> None:
    async def task() -> None:
        connection = await psycopg.AsyncConnection.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement.encode())
            await connection.commit()
        finally:
            await connection.close()

    asyncio.run(task())


DRIVERS = [_psycopg2, _psycopg2_autocommit, _asyncpg, _asyncpg_prepared, _psycopg_async]

FORBIDDEN = {
    "read-write": ["SET TRANSACTION READ WRITE", WRITE],
    "default": ["SET default_transaction_read_only = off", WRITE],
    "set-config": ["SELECT set_config('transaction_read_only', 'off', false)", WRITE],
    "chain": [WRITE, "COMMIT AND CHAIN"],
    "seal": ["DELETE FROM _oneoff_seal"],
    "setval": ["SELECT setval('account_seq', 7)"],
    "constraints": ["SET CONSTRAINTS ALL IMMEDIATE"],
    "vacuum": ["VACUUM"],
    "prepare-transaction": [WRITE, "PREPARE TRANSACTION 'x'"],
}


_FORBIDDEN_BY_DRIVER = [
    pytest.param(
        send,
        forbidden,
        marks=() if (number + place) % 2 == 0 else pytest.mark.slow,
        id=f"{forbidden}-{send.__name__.strip('_')}",
    )
    for number, forbidden in enumerate(FORBIDDEN)
    for place, send in enumerate(DRIVERS)
]
"""Each of both in `make test`, not each with each."""


@pytest.mark.parametrize(("send", "forbidden"), _FORBIDDEN_BY_DRIVER)
def test_what_is_not_allowed_is_named(shop: Shop, send: Send, forbidden: str) -> None:
    """As with psycopg 3: the statement is stopped, by its text or by the server, and nothing stays."""
    shop.server.execute("CREATE SEQUENCE account_seq", database=shop.database)
    before = shop.fingerprint()
    report = dry(shop, lambda _: send(shop.url, *FORBIDDEN[forbidden]))
    assert shop.fingerprint() == before
    assert report.attempts
    assert shop.server.execute("SELECT last_value FROM account_seq", database=shop.database) == [(1,)]


@pytest.mark.parametrize("send", [_psycopg2, _asyncpg], ids=lambda send: send.__name__.strip("_"))
def test_a_commit_among_several_statements(shop: Shop, send: Send) -> None:
    """It meets the seal, and what comes after it is refused, too."""
    before = shop.fingerprint()

    def task(_: Shop) -> None:
        for _again in range(2):
            with pytest.raises((psycopg2.Error, asyncpg.PostgresError, OSError)):
                send(shop.url, f"{WRITE}; COMMIT; {WRITE}")

    report = dry(shop, task)
    assert shop.fingerprint() == before
    assert any("ended the transaction by itself" in attempt for attempt in report.attempts)
    assert not report.measured


@pytest.mark.parametrize("send", DRIVERS, ids=lambda send: send.__name__.strip("_"))
def test_notifications_are_listed(shop: Shop, send: Send) -> None:
    """They would be delivered for real."""
    report = dry(shop, lambda _: send(shop.url, "NOTIFY news, 'paper'", "SELECT pg_notify('mail', 'x')"))
    assert report.attempts == ()
    assert "notifies channel news" in report.other_changes
    assert "notifies channel mail" in report.other_changes


@pytest.mark.parametrize("send", DRIVERS, ids=lambda send: send.__name__.strip("_"))
def test_another_database_can_only_be_read(shop: Shop, send: Send) -> None:
    """Reading is let through and named; a write is refused by the server, and an attempt."""
    with shop.server.database() as name:
        shop.server.execute("CREATE TABLE t (id int)", database=name)
        report = dry(shop, lambda _: send(shop.server.url(name), "SELECT count(*) FROM t", "SELECT 1"))
        assert report.attempts == ()
        assert any("opened read-only" in gap for gap in report.not_covered)
        assert report.statements == ()
    with shop.server.database() as name:
        shop.server.execute("CREATE TABLE t (id int)", database=name)
        for forbidden in ("INSERT INTO t VALUES (1)", "SET TRANSACTION READ WRITE", "NOTIFY news"):
            report = dry(shop, lambda _, text=forbidden: send(shop.server.url(name), text))  # type: ignore[misc]
            assert report.attempts
        dry(shop, lambda _: send(shop.server.url(name), "INSERT INTO t VALUES (1); COMMIT"))
        assert shop.server.execute("SELECT count(*) FROM t", database=name) == [(0,)]


@pytest.mark.parametrize("send", DRIVERS, ids=lambda send: send.__name__.strip("_"))
def test_another_role_is_refused(shop: Shop, send: Send) -> None:
    """One session cannot be two roles."""
    if not shop.server.execute("SELECT 1 FROM pg_roles WHERE rolname = 'clerk'"):
        shop.server.execute("CREATE ROLE clerk LOGIN")
    report = dry(shop, lambda _: send(shop.server.url(shop.database, "clerk"), "SELECT 1"))
    assert any("as clerk, and the dry run is sealed as postgres" in attempt for attempt in report.attempts)


@pytest.mark.parametrize("options", ["-c default_transaction_read_only=off", "-c search_path=pg_catalog"])
def test_options_of_its_own_do_not_matter_there(shop: Shop, options: str) -> None:
    """A connection that is led to the sealed session is held whatever its options; others are named."""
    before = shop.fingerprint()

    def task(_: Shop) -> None:
        with closing(psycopg2.connect(shop.url, options=options)) as connection:
            connection.cursor().execute("UPDATE public.account SET balance = 0")
            connection.commit()

    report = dry(shop, task)
    assert shop.fingerprint() == before
    assert report.attempts == ()
    assert [table.updated for table in report.tables] == [20]
    assert any("search_path=pg_catalog" in gap for gap in report.not_covered) == ("search_path" in options)


def test_values_that_psycopg2_writes_into_statements_are_not_shown(shop: Shop) -> None:
    """Equal statements are one, whatever their values; a value that looks like a command is none."""

    def task(_: Shop) -> None:
        with closing(psycopg2.connect(shop.url)) as connection, connection.cursor() as cursor:
            for number, name in ((1, "secret"), (2, "set transaction read write; notify you; setval(")):
                cursor.execute("UPDATE account SET name = %s WHERE id IN %s", (name, (number, number + 1)))
            connection.commit()

    report = dry(shop, task)
    assert [(one.sql, one.times, one.rows) for one in report.statements] == [
        ("UPDATE account SET name = %s WHERE id IN (%s, …)", 2, 4)
    ]
    assert report.attempts == ()
    assert report.other_changes == ()


@pytest.mark.parametrize("driver", ["psycopg2", "asyncpg"])
def test_a_connection_that_is_open_already_is_refused(shop: Shop, driver: str) -> None:
    """Nothing can be put between the task and it, be it read-only or not."""
    loop = asyncio.new_event_loop()
    if driver == "psycopg2":
        connection: Any = psycopg2.connect(shop.url)
        close = connection.close
    else:
        connection = loop.run_until_complete(asyncpg.connect(shop.url))
        close = lambda: loop.run_until_complete(connection.close())  # noqa: E731
    with pytest.raises(DryRunUnavailable, match=f"connection of {driver} was opened before"):
        Databases().seal(shop.url).__enter__()
    close()
    with Databases().seal(shop.url):
        pass
    loop.close()


def test_two_tasks_that_undo_each_other(shop: Shop) -> None:
    """Interleaved work of which one part is rolled back fails the dry run; nothing is guessed."""
    before = shop.fingerprint()

    async def task() -> None:
        one, two = await asyncpg.connect(shop.url), await asyncpg.connect(shop.url)
        first = one.transaction()
        await first.start()
        await one.execute(WRITE)
        await two.execute("DELETE FROM account WHERE id = 1")
        try:
            await first.rollback()
        finally:
            await two.close()
            await one.close()

    report = dry(shop, lambda _: asyncio.run(task()))
    assert shop.fingerprint() == before
    assert any("two connections had uncommitted work" in attempt for attempt in report.attempts)


def test_what_was_not_committed_is_undone_before_effects_are_read(shop: Shop) -> None:
    """A connection that is closed without a commit is rolled back, also where that comes last."""

    def task(_: Shop) -> None:
        with closing(psycopg2.connect(shop.url)) as connection, connection.cursor() as cursor:
            cursor.execute("ALTER TABLE account ADD COLUMN extra text")

    report = dry(shop, task)
    assert report.attempts == ()
    assert report.schema_changes == ()


def test_a_driver_that_is_built_differently_is_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its connections could not be led to the wire, nothing begins."""
    monkeypatch.delattr(asyncpg.connect_utils, "_parse_connect_arguments")
    with pytest.raises(DryRunUnavailable, match="asyncpg is built differently"):
        Databases().seal(shop.url).__enter__()


def test_drivers_are_as_before_afterwards(shop: Shop) -> None:
    """The connect functions are the drivers' own again."""
    before = psycopg2._connect, asyncpg.connect_utils._connect
    dry(shop, lambda _: None)
    assert (psycopg2._connect, asyncpg.connect_utils._connect) == before


def _handles(shop: Shop) -> Iterator[tuple[str, Any, Send]]:
    def url(driver: str) -> str:
        return f"postgresql+{driver}://postgres@/{shop.database}?host={shop.server.socket}"

    def by_engine(_: str, *statements: str) -> None:
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))

    def by(async_engine: Any) -> Send:
        async def task(*statements: str) -> None:
            async with async_engine.begin() as connection:
                for statement in statements:
                    await connection.execute(sa.text(statement))
            await async_engine.dispose()

        return lambda _, *statements: asyncio.run(task(*statements))

    async def coroutine() -> Any:
        return await asyncpg.connect(shop.url)

    engine = sa.create_engine(url("psycopg2"))
    engines = {driver: create_async_engine(url(driver)) for driver in ("asyncpg", "psycopg", "psycopg_async")}
    yield "url-psycopg2", url("psycopg2"), _psycopg2
    yield "url-asyncpg", f"{url('asyncpg')}&ssl=disable&prepared_statement_cache_size=0", _asyncpg
    yield "url-psycopg_async", url("psycopg_async"), _psycopg_async
    yield "engine", engine, by_engine
    for driver, async_engine in engines.items():
        yield f"async-engine-{driver}", async_engine, by(async_engine)
    yield "function-psycopg2", lambda: psycopg2.connect(shop.url), _psycopg2
    yield "function-asyncpg", lambda: asyncpg.connect(shop.url), _asyncpg
    yield "function-engine", lambda: engines["asyncpg"], by(engines["asyncpg"])
    yield "coroutine-function", coroutine, _asyncpg
    yield "function-psycopg-async", lambda: psycopg.AsyncConnection.connect(shop.url), _psycopg_async
    loop = asyncio.new_event_loop()
    pool = asyncpg.create_pool(shop.url, loop=loop)
    yield "pool", pool, _asyncpg
    yield "function-pool", lambda: pool, _asyncpg
    loop.close()


HANDLES = [
    "url-psycopg2", "url-asyncpg", "url-psycopg_async", "engine", "async-engine-asyncpg",
    "async-engine-psycopg", "async-engine-psycopg_async", "function-psycopg2", "function-asyncpg",
    "function-engine", "coroutine-function", "function-psycopg-async", "pool", "function-pool",
]  # fmt: skip


@pytest.mark.parametrize("name", HANDLES)
def test_a_handle_of_any_driver(shop: Shop, name: str) -> None:
    """What the app declares leads psycopg 3 to the same database, and its tasks run to their end."""
    handle, send = {name: (handle, send) for name, handle, send in _handles(shop)}[name]
    before = shop.fingerprint()
    databases = Databases()
    seal = databases.seal(handle)
    with seal:
        assert databases.resolve(handle) is not None
        send(shop.url, WRITE)
    report = everything(seal)
    assert shop.fingerprint() == before
    assert report.attempts == ()
    assert [(table.table, table.updated) for table in report.tables] == [("account", 20)]


def test_a_coroutine_that_gives_something_else(shop: Shop) -> None:
    """It is refused with the reason."""

    async def other() -> int:
        return 7

    with pytest.raises(DryRunUnavailable, match="gives a int"):
        Databases().seal(other).__enter__()


def test_a_child_process_of_any_language(shop: Shop) -> None:
    """Variables lead ``psql`` and every client over libpq to the sealed database, and a URL the others."""
    before = shop.fingerprint()
    seal = PostgresSeal(connect=lambda: psycopg.connect(shop.url), dispose=lambda: None)
    with Together([seal]):
        address = seal.loopback()
        assert seal.loopback() == address
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        psql = subprocess.run(
            [shop.server.binaries / "psql", "-X", "-q", "-t", "-c", WRITE, "-c", "BEGIN", "-c",
             "SELECT count(*) FROM account"],
            env=environ | address.environment(), capture_output=True, text=True, check=True,
        )  # fmt: skip
        code = (
            "import asyncio, asyncpg, sys\n"
            "async def main():\n"
            "    connection = await asyncpg.connect(sys.argv[1], ssl=False)\n"
            "    print(await connection.fetchval('SELECT sum(balance) FROM account'))\n"
            "    await connection.close()\n"
            "asyncio.run(main())\n"
        )
        python = subprocess.run(
            [sys.executable, "-c", code, address.url()],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
    assert psql.stdout.split() == ["20"]
    assert int(python.stdout) == 20_210
    assert shop.fingerprint() == before
    assert [table.updated for table in seal.report().tables] == [20]
    assert address.url("postgresql+asyncpg").startswith("postgresql+asyncpg://postgres:")


_ADMIN = """
import asyncpg, oneoff, psycopg2

URL = {url!r}
admin = oneoff.App("shop", database=lambda: asyncpg.connect(URL))

@admin.task
async def everything(ctx: oneoff.Context) -> None:
    async with asyncpg.create_pool(URL, min_size=2, max_size=3) as pool:
        await pool.execute("DELETE FROM account WHERE id = $1", 1)
        connection = await ctx.db()
        await connection.execute("DELETE FROM account WHERE id = $1", 2)
        await connection.close()
    connection = psycopg2.connect(URL)
    connection.cursor().execute("DELETE FROM account WHERE id = %s", (3,))
    connection.commit()
    connection.close()

@admin.task
async def forbidden(ctx: oneoff.Context) -> None:
    connection = await ctx.db()
    try:
        await connection.execute("COMMIT AND CHAIN")
    except Exception:
        pass
"""


def test_the_command_line_with_another_driver(shop: Shop, tmp_path: Path) -> None:
    """Under the guard, too: a task of asyncpg and psycopg2 is previewed, and what it swallows fails it."""
    project = Project(tmp_path)
    project.write(pyproject_toml='[tool.oneoff]\napp = "admin:admin"\n', admin_py=_ADMIN.format(url=shop.url))
    before = shop.fingerprint()
    ended = project("run", "everything", "--dry-run", "-o", "json")
    assert ended.code == 0, ended.err
    [database] = ended.json["dry_run_report"]["databases"]
    assert [(table["table"], table["deleted"]) for table in database["tables"]] == [("account", 3)]
    ended = project("run", "forbidden", "--dry-run")
    assert ended.code == 1
    assert "turns the dry run's guard off" in ended.out + ended.err
    assert shop.fingerprint() == before


def test_the_end_waits_for_whoever_is_at_work(shop: Shop) -> None:
    """A client that leaves late still uses the connection: it is closed only when nobody does any more."""
    session = Session(psycopg.connect(shop.url), {}, shop.database)
    at_work, slept = threading.Event(), list[object]()

    def work() -> None:
        with session.lock:
            at_work.set()
            slept.extend(ask(session.pgconn, b"SELECT 'slept' AS said FROM pg_sleep(0.3)"))

    thread = threading.Thread(target=work)
    thread.start()
    at_work.wait()
    session.close()
    thread.join()
    assert slept == [{"said": "slept"}]
    assert session.connection.closed
