"""``oneoff audit selftest --url`` over a real PostgreSQL."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from oneoff.cli.asker import TerminalAsker
from oneoff.cli.main import main
from oneoff.commands.selftest import trial
from oneoff.commands.selftest.attacks import GROUPS
from oneoff.commands.selftest.trial import Report, selftest
from oneoff.errors import StoreUnavailable
from oneoff.stores.postgres import PostgresStore
from oneoff.stores.postgres_admin import PostgresAdmin
from oneoff.wiring.selftest import postgres_bench
from tests.cli import PATIENCE, Project
from tests.postgres import Server, database_of, make_store
from tests.records import note

SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'oneoff%' ORDER BY nspname"
ROLES = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'oneoff%' ORDER BY rolname"


@pytest.fixture
def database(postgres: Server, database_url: str) -> Iterator[str]:
    """The name of an empty database, on a server that knows no store."""
    postgres.execute("DROP ROLE IF EXISTS oneoff_owner, oneoff_selftest")
    yield database_of(database_url)


def invoke(url: str, *more: str) -> Result:
    return CliRunner().invoke(main, ["audit", "selftest", "--url", url, *more])


def tried(url: str) -> Report:
    """What the command finds in PostgreSQL."""
    with postgres_bench(url, TerminalAsker()) as bench:
        return selftest(bench)


def differing(report: Report) -> list[str]:
    return [result.attack.name for result in report.results if not result.as_documented]


@pytest.mark.timeout(180)
def test_every_attack_is_seen_as_documented(postgres: Server, database: str) -> None:
    """As in SQLite, and the database and the server are as they were before."""
    ended = invoke(postgres.url(database), "-o", "json")
    attacks = json.loads(ended.stdout)["attacks"]
    assert [each["attack"] for each in attacks if not each["as_documented"]] == []
    assert ended.exit_code == 0
    assert [each["store"] for each in attacks] == sorted(each["store"] for each in attacks)
    assert {each["store"] for each in attacks} == {"PostgreSQL", "SQLite"}
    untried = {each["attack"] for each in attacks if each["seen"]["alone"] is None}
    assert untried == set()
    assert postgres.execute(SCHEMAS, database=database) == []
    assert postgres.execute(ROLES) == []


def test_as_an_administrator_who_is_no_superuser(
    postgres: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The right to make roles and schemas is enough; nothing stays of it."""
    monkeypatch.setattr(trial, "GROUPS", [GROUPS[0], GROUPS[-1]])
    postgres.execute(
        "DROP ROLE IF EXISTS admin",
        "CREATE ROLE admin LOGIN CREATEROLE",
        f"GRANT CREATE ON DATABASE {database} TO admin",
    )
    assert differing(tried(postgres.url(database, "admin"))) == []
    assert postgres.execute(SCHEMAS, database=database) == []
    assert postgres.execute(ROLES) == []


def test_a_database_that_holds_a_store(postgres: Server, store_url: str) -> None:
    """Refused, and the store is as it was."""
    store = PostgresStore.open(store_url)
    store.record(note())
    before = store.checkpoint()
    database = database_of(store_url)
    ended = invoke(postgres.url(database))
    assert ended.exit_code == 3
    assert f"/{database} holds a store, and a self-test wants an empty one" in ended.output
    assert store.checkpoint() == before
    store.close()
    assert postgres.execute(SCHEMAS, database=database) == [("oneoff",)]


def test_a_database_that_holds_tables(postgres: Server, database: str) -> None:
    """It may be the app's own: refused before anything is made."""
    postgres.execute("CREATE TABLE members (id int)", database=database)
    ended = invoke(postgres.url(database))
    assert ended.exit_code == 3
    assert "holds tables, and a self-test wants an empty one" in ended.output
    assert postgres.execute(SCHEMAS, database=database) == []
    assert postgres.execute(ROLES) == []


def test_a_role_without_rights(postgres: Server, database: str) -> None:
    """It says which, and leaves nothing behind."""
    postgres.execute("DROP ROLE IF EXISTS visitor", "CREATE ROLE visitor LOGIN")
    ended = invoke(postgres.url(database, "visitor"))
    assert ended.exit_code == 3
    assert "the role visitor may not do this" in ended.output
    assert "give --url a role with CREATEROLE" in ended.output
    assert postgres.execute(SCHEMAS, database=database) == []
    assert postgres.execute(ROLES) == []


@pytest.mark.parametrize(("url", "code"), [("sqlite:///store.db", 2), ("dbname=shop", 2), ("", 2)])
def test_what_is_no_url_of_postgresql(url: str, code: int) -> None:
    """A mistake of the command: nothing is tried."""
    ended = invoke(url)
    assert (ended.exit_code, "--url names a PostgreSQL database" in ended.output) == (code, True)


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    """Refused at once, before SQLite has its turn."""
    ended = invoke(f"postgresql:///shop?host={tmp_path}")
    assert ended.exit_code == 3
    assert "cannot be reached" in ended.output


def test_another_one_in_the_same_database(postgres: Server, database: str) -> None:
    """The second is refused, and disturbs nothing."""
    url = postgres.url(database)
    with postgres_bench(url, TerminalAsker()) as bench:
        with (
            pytest.raises(StoreUnavailable, match="another self-test is at work"),
            postgres_bench(url, TerminalAsker()),
        ):
            pass
        bench.laboratory.open().close()


def killed(postgres: Server, database: str, folder: Path) -> None:
    """Kill a self-test once its store is there."""
    process = Project(folder).start("audit", "selftest", "--url", postgres.url(database))
    deadline = time.monotonic() + PATIENCE
    while postgres.execute("SELECT to_regclass('oneoff.audit_event')", database=database) == [(None,)]:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_killed_in_the_middle(postgres: Server, database: str, tmp_path: Path) -> None:
    """What it leaves behind goes with the next one, the owner's role with it."""
    killed(postgres, database, tmp_path)
    assert postgres.execute(SCHEMAS, database=database) == [("oneoff",), ("oneoff_selftest",)]
    with postgres_bench(postgres.url(database), TerminalAsker()):
        pass
    assert postgres.execute(SCHEMAS, database=database) == []
    assert postgres.execute(ROLES) == []


def test_what_was_left_behind_and_is_somebodys_own_by_now(
    postgres: Server, database: str, tmp_path: Path
) -> None:
    """A store that a role was let into is never removed, wherever it comes from."""
    killed(postgres, database, tmp_path)
    make_store(postgres, database)
    ended = invoke(postgres.url(database))
    assert ended.exit_code == 3
    assert "holds a store" in ended.output
    assert postgres.execute(SCHEMAS, database=database) == [("oneoff",), ("oneoff_selftest",)]


def test_the_owner_of_another_store_stays(postgres: Server, database: str, store_url: str) -> None:
    """Only what was made is removed: the role may own a store of another database of the server."""
    with postgres_bench(postgres.url(database), TerminalAsker()):
        pass
    assert postgres.execute(ROLES) == [("oneoff_owner",)]
    PostgresAdmin(postgres.url(database_of(store_url)), store_url).init(None)
