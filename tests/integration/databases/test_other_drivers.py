"""Code over psycopg2, asyncpg and psycopg's AsyncConnection runs in a sealed dry run as it does for real."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import asyncpg
import psycopg
import psycopg2
import psycopg2.extras
import psycopg2.pool
import pytest
import sqlalchemy as sa
import uvloop
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from oneoff.databases.handles import Databases
from oneoff.dryrun.report import DatabaseReport
from tests.postgres import Server

_SCHEMA = (
    "CREATE TYPE mood AS ENUM ('sad', 'glad')",
    "CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL, note text, doc json, mood mood DEFAULT 'glad')",
    "INSERT INTO item (id, n) SELECT g, g FROM generate_series(1, 5) g",
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A database with one table, for one test."""

    server: Server
    database: str
    url: str

    def engine_url(self, driver: str) -> str:
        return f"postgresql+{driver}://postgres@/{self.database}?host={self.server.socket}"

    def two(self, **options: Any) -> Any:
        """A connection of psycopg2."""
        return psycopg2.connect(self.url, **options)

    async def pg(self, **options: Any) -> Any:
        """A connection of asyncpg."""
        return await asyncpg.connect(self.url, **options)

    def pool(self, **options: Any) -> Any:
        return asyncpg.create_pool(self.url, **{"min_size": 1, "max_size": 4} | options)

    async def three(self, **options: Any) -> Any:
        """An asynchronous connection of psycopg 3."""
        return await psycopg.AsyncConnection.connect(self.url, **options)

    def sealed(self, task: Callable[[], Any]) -> tuple[Any, DatabaseReport]:
        seal = Databases().seal(self.url)
        with seal:
            seen = task()
        return seen, seal.report()

    def untouched(self) -> bool:
        rows = self.server.execute("SELECT count(*), sum(n) FROM item", database=self.database)
        return bool(rows == [(5, 15)])


@pytest.fixture
def place(postgres: Server) -> Iterator[Place]:
    with postgres.database() as name:
        postgres.execute(*_SCHEMA, database=name)
        yield Place(server=postgres, database=name, url=postgres.url(name))


def _ids(connection: Any) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM item ORDER BY id")
        return [row[0] for row in cursor.fetchall()]


def _commit_and_rollback(place: Place) -> Any:
    with closing(place.two()) as one, one.cursor() as cursor:
        cursor.execute("DELETE FROM item WHERE id = %s", (1,))
        one.commit()
        cursor.execute("DELETE FROM item WHERE id = 2")
        one.rollback()
        return [cursor.statusmessage, one.status, _ids(one)]


def _failure(place: Place) -> Any:
    with closing(place.two()) as one, one.cursor() as cursor:
        with pytest.raises(psycopg2.errors.UniqueViolation) as raised:
            cursor.execute("INSERT INTO item VALUES (2, 2)")
        with pytest.raises(psycopg2.errors.InFailedSqlTransaction):
            cursor.execute("SELECT 1")
        one.commit()
        diag = raised.value.diag
        return [diag.constraint_name, diag.table_name, diag.message_detail, cursor.statusmessage, _ids(one)]


def _autocommit(place: Place) -> Any:
    with closing(place.two()) as one, one.cursor() as cursor:
        one.autocommit = True
        cursor.execute("DELETE FROM item WHERE id = 1")
        with pytest.raises(psycopg2.errors.UniqueViolation):
            cursor.execute("INSERT INTO item VALUES (2, 2)")
        cursor.execute("DELETE FROM item WHERE id = 3")
        cursor.execute("BEGIN")
        cursor.execute("DELETE FROM item")
        cursor.execute("ROLLBACK")
        return [one.info.transaction_status, _ids(one)]


def _savepoints(place: Place) -> Any:
    with (
        closing(place.two()) as one,
        closing(place.two()) as two,
        one.cursor() as cursor,
        two.cursor() as other,
    ):
        cursor.execute("SAVEPOINT here")
        cursor.execute("DELETE FROM item WHERE id = 1")
        other.execute("SAVEPOINT here")
        other.execute("RELEASE here")
        other.execute("SELECT 1")
        two.commit()
        cursor.execute("ROLLBACK TO SAVEPOINT here; ")
        cursor.execute("DELETE FROM item WHERE id = 2")
        cursor.execute("RELEASE SAVEPOINT here")
        one.commit()
        return [_ids(one), _ids(two)]


def _copying(place: Place) -> Any:
    with closing(place.two()) as one, one.cursor() as cursor:
        cursor.copy_expert("COPY item (id, n) FROM STDIN", io.StringIO("10\t1\n11\t2\n"))
        with pytest.raises(psycopg2.errors.UniqueViolation):
            cursor.copy_expert("COPY item (id, n) FROM STDIN", io.StringIO("10\t1\n"))
        one.rollback()
        rows = "".join(f"{number}\t1\t{'x' * 500}\n" for number in range(12, 5_000))
        cursor.copy_from(io.StringIO(rows), "item", columns=("id", "n", "note"))
        out = io.StringIO()
        cursor.copy_to(out, "item", columns=("id", "note"))
        return [cursor.rowcount, out.getvalue()]


def _named_cursor(place: Place) -> Any:
    with closing(place.two()) as one, closing(place.two()) as two, two.cursor() as writer:
        with one.cursor("walk") as cursor:
            cursor.itersize = 2
            cursor.execute("SELECT id FROM item ORDER BY id")
            for (id_,) in cursor:
                writer.execute("UPDATE item SET n = n + 10 WHERE id = %s", (id_,))
                two.commit()
        writer.execute("SELECT sum(n) FROM item")
        return writer.fetchall()


def _factories_and_pools(place: Place) -> Any:
    pool = psycopg2.pool.ThreadedConnectionPool(1, 3, place.url)
    one, two = pool.getconn(), pool.getconn()
    with one.cursor() as cursor:
        psycopg2.extras.execute_values(
            cursor, "INSERT INTO item (id, n) VALUES %s", [(n, n) for n in range(10, 300)]
        )
        one.commit()
    seen = [len(_ids(two))]
    pool.closeall()
    with closing(place.two(connection_factory=psycopg2.extras.DictConnection)) as own, own.cursor() as cursor:
        cursor.execute("SELECT note, doc, mood, 'ü\u2028', '{}'::text[] FROM item WHERE id = 1")
        return [*seen, dict(cursor.fetchone()), type(own).__name__]


def _threads(place: Place) -> Any:
    def work(number: int) -> None:
        with closing(place.two()) as one, one.cursor() as cursor:
            for _ in range(20):
                cursor.execute("UPDATE item SET n = n + 1 WHERE id = %s", (number,))
                one.commit()

    threads = [threading.Thread(target=work, args=[number]) for number in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(place.two()) as one, one.cursor() as cursor:
        cursor.execute("SELECT sum(n) FROM item")
        return cursor.fetchall()


def _large_object(place: Place) -> Any:
    with closing(place.two()) as one:
        large = one.lobject(0, "wb")
        large.write(b"x" * 100_000)
        large.close()
        read = one.lobject(large.oid, "rb").read()
        one.rollback()
        return len(read)


def _sqlalchemy_two(place: Place) -> Any:
    engine = sa.create_engine(place.engine_url("psycopg2"))
    try:
        with engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM item WHERE id = :id"), {"id": 1})
            with pytest.raises(sa.exc.IntegrityError), connection.begin_nested():
                connection.execute(sa.text("INSERT INTO item VALUES (2, 2)"))
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text("SELECT id, doc FROM item ORDER BY id"))]
    finally:
        engine.dispose()


TASKS = [
    _commit_and_rollback, _failure, _autocommit, _savepoints, _copying, _named_cursor, _factories_and_pools,
    _threads, _large_object, _sqlalchemy_two,
]  # fmt: skip


async def _fetching(place: Place) -> Any:
    one = await place.pg()
    await one.set_type_codec("json", encoder=str, decoder=lambda text: ("read", text), schema="pg_catalog")
    await one.execute("UPDATE item SET note = $1, doc = $2 WHERE id = 1", "ü\u2028 ' \" \\", "{}")
    rows = await one.fetch(
        "SELECT id, doc, mood, note, n::numeric, now() > '2000-01-01' FROM item WHERE id < 3"
    )
    await one.close()
    return [tuple(row) for row in rows]


async def _nested_blocks(place: Place) -> Any:
    one = await place.pg()
    async with one.transaction(isolation="serializable"):
        await one.execute("DELETE FROM item WHERE id = 1")
        with pytest.raises(ZeroDivisionError):
            async with one.transaction():
                await one.execute("DELETE FROM item WHERE id = 2")
                raise ZeroDivisionError
        with pytest.raises(asyncpg.UniqueViolationError):
            async with one.transaction():
                await one.execute("INSERT INTO item VALUES ($1, 2)", 3)
    with pytest.raises(ZeroDivisionError):
        async with one.transaction():
            await one.execute("DELETE FROM item")
            raise ZeroDivisionError
    rows = await one.fetch("SELECT id FROM item ORDER BY id")
    await one.close()
    return [tuple(row) for row in rows]


async def _cursors(place: Place) -> Any:
    one, two = await place.pg(), await place.pg()
    seen: list[Any] = []
    async with one.transaction():
        async for row in one.cursor("SELECT id FROM item WHERE id > $1 ORDER BY id", 1, prefetch=2):
            seen.append(row["id"])
            await two.execute("UPDATE item SET n = n + 10 WHERE id = $1", row["id"])
        cursor = await one.cursor("SELECT id FROM item ORDER BY id")
        seen += [await cursor.fetch(2), await cursor.forward(1), await cursor.fetchrow()]
    seen.append(await two.fetchval("SELECT sum(n) FROM item"))
    await one.close()
    await two.close()
    return [tuple(one) if isinstance(one, asyncpg.Record) else one for one in seen]


async def _many(place: Place) -> Any:
    one = await place.pg()
    rows = [(number, number, "x" * 100) for number in range(100, 8_000)]
    await one.executemany("INSERT INTO item (id, n, note) VALUES ($1, $2, $3)", rows)
    counted = [await one.fetchval("SELECT count(*) FROM item")]
    again = [(number + 10_000, number, "x" * 100) for number, _, _ in rows]
    with pytest.raises(asyncpg.UniqueViolationError):  # all of it is one transaction
        await one.executemany("INSERT INTO item (id, n, note) VALUES ($1, $2, $3)", [*again, rows[0]])
    counted.append(await one.fetchval("SELECT count(*) FROM item"))
    await one.close()
    return counted


async def _copies(place: Place) -> Any:
    one, two = await place.pg(), await place.pg()

    async def others() -> AsyncIterator[tuple[int, int]]:
        for number in range(10, 13):  # reads by another connection while this one is in a COPY
            yield number, await two.fetchval("SELECT count(*) FROM item")

    seen = [await one.copy_records_to_table("item", columns=["id", "n"], records=others())]
    out = io.BytesIO()
    seen.append(await one.copy_from_query("SELECT id, n FROM item ORDER BY id", output=out))
    await one.close()
    await two.close()
    return [*seen, out.getvalue()]


async def _pool(place: Place) -> Any:
    async with place.pool() as pool:

        async def work(number: int) -> int:
            async with pool.acquire() as one, one.transaction():
                update = "UPDATE item SET n = n + 1 WHERE id = $1 RETURNING n"
                return int(await one.fetchval(update, number % 5 + 1))

        seen = sorted(await asyncio.gather(*map(work, range(40))))
        async with pool.acquire() as walker, walker.transaction():
            ids = []
            async for row in walker.cursor("SELECT id FROM item ORDER BY id", prefetch=1):
                ids.append(row["id"])
                await pool.execute("SELECT 1")  # what the pool resets is not the walker's
        return [seen, ids]


async def _waiting_for_each_other(place: Place) -> Any:
    one, two = await place.pg(), await place.pg()
    ready = asyncio.Event()

    async def first() -> Any:
        statement = await one.prepare("SELECT count(*) FROM item")
        await ready.wait()
        return await statement.fetchval()

    async def second() -> None:
        await two.execute("DELETE FROM item WHERE id = 1")
        ready.set()

    seen, _ = await asyncio.gather(first(), second())
    await one.close()
    await two.close()
    return seen


async def _without_cache(place: Place) -> Any:
    one, two = await place.pg(statement_cache_size=0), await place.pg(statement_cache_size=0)
    seen = []
    for number in (1, 2):
        for connection in (one, two):
            seen.append(await connection.fetchval("SELECT n FROM item WHERE id = $1", number))
    await one.close()
    await two.close()
    return seen


async def _commands_in_the_extended_protocol(place: Place) -> Any:
    one = await place.pg()
    begin, commit = await one.prepare("BEGIN"), await one.prepare("COMMIT")
    await begin.fetch()
    await one.execute("DELETE FROM item WHERE id = 1")
    inside = one.is_in_transaction()
    await commit.fetch()
    await one.fetch("START TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    await one.fetch("DELETE FROM item")
    await one.fetch("ROLLBACK")
    seen = [
        inside,
        one.is_in_transaction(),
        commit.get_statusmsg(),
        await one.fetchval("SELECT count(*) FROM item"),
    ]
    await one.close()
    return seen


async def _notifications(place: Place) -> Any:
    one = await place.pg()
    await one.add_listener("news", lambda *said: None)
    await one.execute("LISTEN other")
    await one.remove_listener("news", lambda *said: None)
    await one.close()


async def _blocks_and_streams(place: Place) -> Any:
    async with await place.three() as one, await place.three(autocommit=True) as two:
        async with one.transaction():
            await one.execute("DELETE FROM item WHERE id = 1")
            with pytest.raises(ZeroDivisionError):
                async with one.transaction():
                    await one.execute("DELETE FROM item WHERE id = 2")
                    raise ZeroDivisionError
        streamed = []
        async for row in one.cursor().stream("SELECT g, repeat('x', 500) FROM generate_series(1, 5000) g"):
            if row[0] % 1000 == 0:
                streamed.append((row[0], (await (await two.execute("SELECT count(*) FROM item")).fetchone())))
        await one.rollback()
        async with two.cursor("walk", withhold=True) as cursor:
            await cursor.execute("SELECT id FROM item ORDER BY id")
            walked = await cursor.fetchall()
        async with one.cursor().copy("COPY item (id, n) FROM STDIN") as copy:
            await copy.write_row((50, 1))
        await one.commit()
        return [streamed, walked, await (await two.execute("SELECT max(id) FROM item")).fetchone()]


async def _pipelines(place: Place) -> Any:
    async with await place.three(prepare_threshold=0) as one:
        async with one.pipeline():
            await one.execute("DELETE FROM item WHERE id = %s", (1,))
            cursor = await one.execute("SELECT count(*) FROM item")
        with pytest.raises(psycopg.errors.UniqueViolation):
            async with one.pipeline():
                await one.execute("INSERT INTO item VALUES (2, 2)")
                await one.execute("DELETE FROM item")
        await one.rollback()
        async with one.pipeline() as pipeline:
            await one.execute("DELETE FROM item WHERE id = %s", (2,))
            await pipeline.sync()
            await one.commit()
        return [await cursor.fetchone(), await (await one.execute("SELECT count(*) FROM item")).fetchone()]


async def _prepared_beside_rollbacks(place: Place) -> Any:
    seen = []
    async with await place.three(prepare_threshold=0) as one, await place.three(prepare_threshold=0) as two:
        for _ in range(3):
            for connection in (one, two):
                cursor = await connection.execute("SELECT n FROM item WHERE id = %s", (2,))
                seen.append(await cursor.fetchone())
                await connection.rollback()
            await one.execute("CREATE TABLE more ()")
            await one.rollback()  # psycopg gives up what it has prepared
    return seen


def _sqlalchemy(driver: str) -> Callable[[Place], Awaitable[Any]]:
    async def task(place: Place) -> Any:
        engine = create_async_engine(place.engine_url(driver))
        async with AsyncSession(engine) as session, session.begin():
            await session.execute(sa.text("DELETE FROM item WHERE id = :id"), {"id": 1})
            with pytest.raises(sa.exc.IntegrityError):
                async with session.begin_nested():
                    await session.execute(sa.text("INSERT INTO item VALUES (2, 2)"))
        async with engine.begin() as connection:
            names = await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names())
            await connection.run_sync(lambda sync: sync.execute(sa.text("DELETE FROM item WHERE id = 3")))
            rows = await connection.stream(sa.text("SELECT id, doc, mood FROM item ORDER BY id"))
            seen = [tuple(row) async for row in rows]
        await engine.dispose()
        return [names, seen]

    task.__name__ = f"_sqlalchemy_{driver}"
    return task


ASYNC_TASKS = [
    _fetching, _nested_blocks, _cursors, _many, _copies, _pool, _waiting_for_each_other, _without_cache,
    _commands_in_the_extended_protocol, _notifications, _blocks_and_streams, _pipelines,
    _prepared_beside_rollbacks, _sqlalchemy("asyncpg"), _sqlalchemy("psycopg_async"),
]  # fmt: skip


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__name__.strip("_"))
def test_psycopg2_sees_in_a_dry_run_what_it_sees_for_real(place: Place, task: Callable[[Place], Any]) -> None:
    """The same code gives the same results sealed and for real, and the sealed run leaves the table alone."""
    seen, report = place.sealed(lambda: task(place))
    assert report.attempts == ()
    assert place.untouched()
    assert seen == task(place)


@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("task", ASYNC_TASKS, ids=lambda task: task.__name__.strip("_"))
def test_an_event_loop_sees_in_a_dry_run_what_it_sees_for_real(
    place: Place, task: Callable[[Place], Any], loop: Callable[[Any], Any]
) -> None:
    """So does asynchronous code, on whatever event loop."""
    seen, report = place.sealed(lambda: loop(task(place)))
    assert report.attempts == ()
    assert place.untouched()
    assert seen == loop(task(place))
