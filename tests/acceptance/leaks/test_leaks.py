"""Every way to write or to reach out in a dry run: nothing persists, nothing is received, and it is named."""

from __future__ import annotations

import gc
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

import oneoff
from tests.acceptance.leaks import django
from tests.acceptance.leaks import world as worlds
from tests.acceptance.leaks.table import GROUPS
from tests.acceptance.leaks.way import Ends, Group, Held, Place, Way, as_json
from tests.acceptance.leaks.world import World
from tests.acceptance.test_docs import PROJECT
from tests.cli import Ended, Project
from tests.postgres import Server

_CODES = {
    Ends.STOPPED: {1},
    Ends.UNDONE: {10},
    Ends.ERROR: {1},
    Ends.REFUSED: {3},
    Ends.NAMED: {0, 10},
    Ends.LATE: {0},
}
_NAMES = ("folder", "file", "new", "port", "udp_port", "unix", "process", "sqlite", "shared", "served")
_WAYS = [(way, group) for group in GROUPS for way in group.ways]
_HERE = [
    pytest.param(way, group, journal, id=way.name + (f"-{journal}" if number else ""))
    for way, group in _WAYS
    if not way.process and way.held is not Held.COMMAND
    for number, journal in enumerate(way.journals)
]
_ALONE = [pytest.param(way, group, id=way.name) for way, group in _WAYS if way.process]
_COMMANDS = [pytest.param(way, group, id=way.name) for way, group in _WAYS if way.held is Held.COMMAND]


@pytest.fixture(scope="module")
def module_world(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The same for all of them, since none may change it."""
    with worlds.make(tmp_path_factory.mktemp("world"), postgres) as world:
        gc.collect()
        gc.freeze()  # a guard looks at every object: those of the tests' own are not the app's
        yield world


@pytest.fixture
def world(module_world: World) -> Iterator[World]:
    yield module_world
    module_world.forget()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The folder with the records, and the app of a process of its own."""
    project = Project(tmp_path_factory.mktemp("project"))
    project.write(
        oneoff_toml='[tool.oneoff]\napp = "admin:admin"\n',
        admin_py="from tests.acceptance.leaks.alone import admin\n",
    )
    return project


@contextmanager
def _declared(group: Group, place: Place) -> Iterator[Any]:
    """What the app declares."""
    if group.database == "django":
        with django.aliases(place) as aliases:
            yield aliases
        return
    urls: dict[str, str | sa.URL] = {
        "sqlite": sa.URL.create("sqlite", database=str(place.sqlite)),
        "postgres": place.database.replace("postgresql:", "postgresql+psycopg:"),
    }
    if group.database not in urls:
        yield None
        return
    place.engine = sa.create_engine(urls[group.database])
    try:
        yield place.engine
    finally:
        place.engine.dispose()


def _here(way: Way, group: Group, place: Place, *, dry: bool = True) -> Ended:
    """By an app's own admin CLI, in this process: what holds it is the audit hook."""
    with _declared(group, place) as database:
        admin = oneoff.App("leaks", database=database)

        @admin.task
        def leak() -> None:
            way.code(place)

        options = ["--dry-run", "--exit-code"] if dry else ["--yes"]
        ended = CliRunner().invoke(admin.cli(), ["leak", *options, "-o", "json"])
    return Ended(ended.exit_code, ended.stdout, ended.stderr)


def _environ(way: Way, group: Group, place: Place) -> dict[str, str]:
    module = sys.modules[way.code.__module__]
    [name] = [name for name, found in vars(module).items() if found is group]
    return {
        "LEAK_WAY": f"{module.__name__.rpartition('.')[2]} {name} {way.name}",
        "LEAK_PLACE": as_json(place),
        "PYTHONPATH": str(PROJECT),
    }


def _alone(way: Way, group: Group, place: Place, project: Project) -> Ended:
    """By the installed command, in a process of its own: what holds it is Landlock."""
    require = ["--require-level", way.require] if way.require else []
    options = ["run", "leak", "--dry-run", "--exit-code", "-o", "json", *require]
    return project(*options, environ=_environ(way, group, place))


@contextmanager
def _unchanged(way: Way, world: World) -> Iterator[None]:
    """By the block, unless the table says that nothing holds it."""
    before = world.fingerprint()
    world.came()
    yield
    after = world.fingerprint()
    assert (after != before) == (way.held is Held.NOTHING), _differences(before, after)
    assert world.came() == []


def _differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


def _check(way: Way, place: Place, ended: Ended) -> None:
    assert ended.code in _CODES[way.ends], ended
    words = way.says.format(**{name: getattr(place, name) for name in _NAMES})
    pattern = ".*".join(map(re.escape, words.split("…")))
    told = [text for text in _told(way, ended) if re.search(pattern, text)]
    # Two hooks watch the database's file: the first one set in this process, by whatever test, is heard.
    if any(f"{place.sqlite} may not be touched in a dry run" in text for text in _told(way, ended)):
        return
    assert told, (words, _told(way, ended))
    if way.held is Held.AUDIT_HOOK and "over a connection" not in way.says:
        assert f"{Path(way.code.__code__.co_filename).name}, line " in told[0]


def _told(way: Way, ended: Ended) -> list[str]:
    """Where it has to be said."""
    if way.ends is Ends.LATE:
        return [ended.err]
    run = ended.json
    if way.ends in (Ends.ERROR, Ends.REFUSED):
        return [run["error"], ended.err]
    report = run["dry_run_report"]
    parts = [report, *report["databases"]]
    attempts = [attempt for part in parts for attempt in part["attempts"]]
    if way.ends is Ends.STOPPED:
        assert not (report["attempts"] and report["complete"])
        return attempts
    assert (attempts, report["complete"]) == ([], True)
    return [json.dumps(report, ensure_ascii=False)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("way", "group", "journal"), _HERE)
def test_nothing_persists(
    world: World, project: Project, way: Way, group: Group, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is anything received; the report names the attempt, also where the task swallows the error."""
    monkeypatch.chdir(project.root)
    # SQLite itself makes files beside one in WAL mode that is read and not declared.
    worlds.make_sqlite(world.place, journal if group.database == "sqlite" else "delete")
    with way.before(world.place) as world.place.earlier, _unchanged(way, world):
        ended = _here(way, group, world.place)
    gc.collect()  # what a stopped task leaves open is closed here, and warns in no other test
    _check(way, world.place, ended)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "name", ["write-text", "os.mkfifo", "udp", "unix-socket", "shell", "engine", "raw-commit", "c-creat"]
)
def test_the_ways_lead_somewhere(
    postgres: Server, project: Project, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing holds them: each observer sees something."""
    monkeypatch.chdir(project.root)
    way, group = next((way, group) for way, group in _WAYS if way.name == name)
    with worlds.make(tmp_path, postgres) as world:
        before = world.fingerprint()
        assert _here(way, group, world.place, dry=False).code == 0
        assert world.fingerprint() != before or world.came()
        world.forget()
    gc.collect()


@pytest.mark.parametrize(("way", "group"), _ALONE)
def test_nothing_persists_in_a_process_of_its_own(
    world: World, project: Project, way: Way, group: Group
) -> None:
    """Where the kernel holds it."""
    with _unchanged(way, world):
        ended = _alone(way, group, world.place, project)
    _check(way, world.place, ended)


@pytest.fixture(scope="module")
def limits(module_world: World, project: Project) -> list[str]:
    """What a dry run of a function by Landlock says that it does not hold, whatever the task."""
    project.write(nothing_py="import oneoff\nadmin = oneoff.App('x')\n@admin.task\ndef rest(): pass\n")
    ended = project("--app", "nothing:admin", "run", "rest", "--dry-run", "-o", "json")
    report = ended.json["dry_run_report"]
    assert report["guard"] == "landlock"
    found: list[str] = report["not_covered"]
    return found


@pytest.mark.parametrize(("way", "group"), _COMMANDS)
def test_a_command_is_held(world: World, project: Project, way: Way, group: Group, limits: list[str]) -> None:
    """What C code could do in a function, which each report says, it cannot do in a command."""
    with _unchanged(way, world):
        command = [sys.executable, "-m", "tests.acceptance.leaks.alone"]
        ended = project("exec", "--dry-run", "--", *command, environ=_environ(way, group, world.place))
    assert ended.code == 1
    assert "denied" in ended.err or "not permitted" in ended.err, ended
    assert any(way.says in limit for limit in limits)
