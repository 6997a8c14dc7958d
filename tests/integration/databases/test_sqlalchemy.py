"""SQLAlchemy in a dry run, in each of its usual styles. Run for 2.0 as well, by test_sqlalchemy_versions."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

from oneoff.databases.handles import Databases
from tests.integration.databases import fingerprint
from tests.postgres import Server

_SCHEMA = (
    "CREATE TABLE account (id int PRIMARY KEY, name text NOT NULL, balance int NOT NULL DEFAULT 0)",
    "INSERT INTO account VALUES (1, 'Ann', 1), (2, 'Bob', 2), (3, 'Cid', 3)",
)
WRITE = "UPDATE account SET balance = balance + 1000 WHERE id = 1"


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    balance: Mapped[int] = mapped_column(default=0)


@dataclass(frozen=True, kw_only=True)
class Shop:
    """An app with one database."""

    url: sa.URL
    connect: Callable[[], Any]
    fingerprint: Callable[[], Any]


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, postgres: Server, tmp_path: Path) -> Iterator[Shop]:
    if request.param == "sqlite":
        path = tmp_path / "shop.db"
        with closing(sqlite3.connect(path)) as connection:
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.commit()
        yield Shop(
            url=sa.URL.create("sqlite", database=str(path)),
            connect=lambda: sqlite3.connect(path),
            fingerprint=lambda: fingerprint.of_sqlite(path)[:2],
        )
    else:
        with postgres.database() as name:
            postgres.execute(*_SCHEMA, database=name)
            yield Shop(
                url=sa.make_url(postgres.url(name)).set(drivername="postgresql+psycopg"),
                connect=lambda: psycopg.connect(postgres.url(name)),
                fingerprint=lambda: fingerprint.of_postgres(postgres, name),
            )


def _core(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text(WRITE))


def _commit_as_you_go(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        connection.execute(sa.text(WRITE))
        connection.commit()
        connection.execute(sa.delete(Account))
        connection.rollback()


def _autocommit(engine: sa.Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(WRITE))


def _autocommit_engine(engine: sa.Engine) -> None:
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(sa.text(WRITE))


def _raw(engine: sa.Engine) -> None:
    connection = engine.raw_connection()
    try:
        connection.cursor().execute(WRITE)
        connection.commit()
    finally:
        connection.close()


def _own_session(engine: sa.Engine) -> None:
    with Session(engine) as session:
        account = session.get_one(Account, 1)
        account.balance += 1000
        session.commit()


def _sessionmaker(engine: sa.Engine) -> None:
    with sessionmaker(engine).begin() as session:
        with pytest.raises(ZeroDivisionError), session.begin_nested():
            session.execute(sa.delete(Account))
            raise ZeroDivisionError
        session.get_one(Account, 1).balance += 1000


def _scoped_in_threads(engine: sa.Engine) -> None:
    registry = scoped_session(sessionmaker(engine))

    def work() -> None:
        registry.execute(sa.update(Account).where(Account.id == 1).values(balance=Account.balance + 500))
        registry.commit()
        registry.remove()

    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()


def _twophase_free_flush(engine: sa.Engine) -> None:
    with Session(engine, autoflush=False) as session:
        session.add(Account(id=9, name="Eve"))
        session.flush()
        session.rollback()
        session.execute(sa.text(WRITE))
        session.commit()


def _joined(mode: Any) -> Callable[[sa.Engine], None]:
    def task(engine: sa.Engine) -> None:
        with engine.connect() as connection, connection.begin() as outer:
            with Session(connection, join_transaction_mode=mode) as session:
                session.execute(sa.text(WRITE))
                session.commit()
            if outer.is_active:
                outer.commit()

    task.__name__ = mode
    return task


STYLES = [
    _core, _commit_as_you_go, _autocommit, _autocommit_engine, _raw, _own_session, _sessionmaker,
    _scoped_in_threads, _twophase_free_flush, _joined("conditional_savepoint"), _joined("rollback_only"),
    _joined("control_fully"), _joined("create_savepoint"),
]  # fmt: skip


def _check(shop: Shop, engine: sa.Engine, style: Callable[[sa.Engine], None]) -> None:
    """Sealed, the style runs to its end and changes nothing but the report; for real it changes the row."""
    before = shop.fingerprint()
    seal = Databases().seal(engine)
    with seal:
        style(engine)
    assert shop.fingerprint() == before
    assert seal.report().attempts == seal.attempts == ()
    assert [table.table for table in seal.report().tables if table.updated] == ["account"]
    style(engine)
    assert shop.fingerprint() != before
    engine.dispose()


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.__name__.strip("_"))
def test_a_style(shop: Shop, style: Callable[[sa.Engine], None]) -> None:
    """Whatever the style, nothing stays, and the report has the change."""
    _check(shop, sa.create_engine(shop.url), style)


@pytest.mark.parametrize("pool", [sa.NullPool, sa.QueuePool, sa.StaticPool, sa.SingletonThreadPool])
@pytest.mark.parametrize("style", [_own_session, _raw], ids=["session", "raw"])
def test_a_pool(shop: Shop, pool: type[sa.Pool], style: Callable[[sa.Engine], None]) -> None:
    """A pool that was used before the dry run begins is emptied, and works again after it."""
    engine = sa.create_engine(shop.url, poolclass=pool)
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
    _check(shop, engine, style)


def test_an_engine_with_a_creator(shop: Shop) -> None:
    """Its URL may name nothing: which database it is, the connection tells."""
    bare = sa.URL.create(shop.url.drivername)
    _check(shop, sa.create_engine(bare, creator=shop.connect), _own_session)


def test_connections_are_set_up_as_the_app_does(shop: Shop) -> None:
    """Its ``connect`` events run for the task's connections, too."""
    engine, seen = sa.create_engine(shop.url), list[str]()

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        cursor.close()
        seen.append(type(connection).__name__)

    _check(shop, engine, _core)
    assert seen


def test_a_second_engine_to_another_database(shop: Shop, postgres: Server, tmp_path: Path) -> None:
    """It can be read. A write fails, and the dry run with it, whatever the task makes of the error."""
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute(_SCHEMA[0])
        connection.commit()
    with ExitStack() as stack:
        name = stack.enter_context(postgres.database())
        postgres.execute(_SCHEMA[0], database=name)
        urls = [
            sa.URL.create("sqlite", database=str(other)),
            sa.make_url(postgres.url(name)).set(drivername="postgresql+psycopg"),
        ]
        seal = Databases().seal(sa.create_engine(shop.url))
        with seal:
            for url in urls:
                engine = sa.create_engine(url, poolclass=sa.NullPool)
                with Session(engine) as session:
                    assert session.scalars(sa.select(Account)).all() == []
                    session.add(Account(id=1, name="Eve"))
                    with pytest.raises(sa.exc.DatabaseError):
                        session.commit()
        assert len(seal.attempts) == 2
        assert all(str(part) in "\n".join(seal.attempts) for part in (other, name))
        assert postgres.execute("SELECT count(*) FROM account", database=name) == [(0,)]


def _notify(session: Session) -> None:
    _notified.append(session)


_notified: list[Session] = []


def test_listeners_of_a_commit_are_called_and_named(shop: Shop) -> None:
    """They are part of the session, whose own state may rest on them; what they reach is for the guard."""
    engine = sa.create_engine(shop.url)
    make = sessionmaker(engine)
    event.listen(make, "after_commit", _notify)
    _notified.clear()
    seal = Databases().seal(engine)
    with seal, make.begin() as session:
        session.execute(sa.text(WRITE))
    assert len(_notified) == 1
    assert any("after_commit" in gap and gap.count("_notify") for gap in seal.not_covered)
    assert not any("committed" in gap for gap in seal.not_covered)
    with make.begin() as session:
        session.execute(sa.text("SELECT 1"))
    assert [gap for gap in seal.not_covered if "after_commit" in gap] == [
        f"after_commit listener {__name__}._notify: it was called as in a real run"
    ]
    engine.dispose()


def test_engines_of_both_kinds_at_once(postgres: Server, tmp_path: Path) -> None:
    """A SQLite file and a PostgreSQL database, sealed together; a double of one is no third."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.commit()
    with postgres.database() as name:
        postgres.execute(*_SCHEMA, database=name)
        of_postgres = sa.create_engine(postgres.url(name).replace("postgresql:", "postgresql+psycopg:"))
        engines = [sa.create_engine(f"sqlite:///{path}"), of_postgres, sa.create_engine(of_postgres.url)]
        before = fingerprint.of_sqlite(path)[:2], fingerprint.of_postgres(postgres, name)
        databases = Databases()
        assert databases.resolve(engines) is engines
        seal = databases.seal(lambda: engines)
        with seal:
            for engine in engines:
                _core(engine)
        assert (fingerprint.of_sqlite(path)[:2], fingerprint.of_postgres(postgres, name)) == before
        reports = seal.reports()
        assert [(report.level, report.tables[0].updated) for report in reports] == [
            ("copy", 1),
            ("sealed", 1),
        ]
        assert seal.level == "sealed"
        _core(engines[2])
        assert fingerprint.of_postgres(postgres, name) != before[1]
        for engine in engines:
            engine.dispose()


def test_one_that_cannot_be_sealed_gives_the_others_back(postgres: Server, tmp_path: Path) -> None:
    """The first is sealed by then: nothing of it stays in force, and its session ends."""
    with postgres.database() as name:
        engine = sa.create_engine(postgres.url(name).replace("postgresql:", "postgresql+psycopg:"))
        missing = sa.create_engine(f"sqlite:///{tmp_path / 'missing.db'}")
        connect = sqlite3.connect
        with pytest.raises(Exception, match="does not exist"), Databases().seal([engine, missing]):
            pass
        assert sqlite3.connect is connect
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE t (id int)"))
        engine.dispose()
        sessions = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND state LIKE 'idle in%'"
        assert postgres.execute(sessions) == [(0,)]
