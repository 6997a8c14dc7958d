"""``doctor`` looks at everything, whatever fails on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oneoff.anchors import StdoutAnchor
from oneoff.commands.doctor import examine
from oneoff.errors import AppBroken, AppNotFound, InvalidSettings, OneoffError, StoreUnavailable
from oneoff.protocols import Finding, Services
from oneoff.runs.run import Actor, Release
from oneoff.runs.status import Status
from oneoff.settings import AuditSettings, Settings
from oneoff.signing import generate
from oneoff.tasks.registry import Registry
from tests.fakes import World
from tests.records import begin, make_run

NAMES = [
    "oneoff",
    "settings",
    "app",
    "store",
    "audit log",
    "anchors",
    "signing",
    "break-glass",
    "dry run",
    "release",
    "actor",
]


class Sources:
    """What an invocation opens; what is an error is raised."""

    def __init__(self, world: World, **broken: OneoffError) -> None:
        self._world = world
        self._broken = broken
        self.files: list[Finding] = []

    def _give(self, name: str) -> None:
        if name in self._broken:
            raise self._broken[name]

    @property
    def settings(self) -> Settings:
        self._give("settings")
        return self._world.services.settings

    @property
    def registry(self) -> Registry:
        self._give("registry")
        return self._world.app

    @property
    def services(self) -> Services:
        self._give("services")
        return self._world.services

    @property
    def reading(self) -> Services:
        self._give("reading")
        return replace(self._world.services, only_reads=True)

    @property
    def release(self) -> Release:
        self._give("settings")
        return self._world.services.release

    @property
    def actor(self) -> Actor:
        self._give("settings")
        return self._world.services.actor

    def check_store(self) -> list[Finding]:
        return self.files


def bad(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings if not finding.ok}


def test_a_healthy_project(world: World) -> None:
    """Every finding is good, in a fixed order."""
    begin(world.store, make_run())
    findings = examine(Sources(world))
    assert [finding.name for finding in findings] == NAMES
    assert bad(findings) == {}
    texts = {finding.name: finding.message for finding in findings}
    assert texts["app"] == "shop, 6 tasks"
    assert texts["store"].endswith("1 runs active")
    assert texts["dry run"] == "level copy"
    assert texts["actor"] == "ann (human)"


def test_an_app_without_a_database(world: World) -> None:
    """That is no fault, and it is said."""
    world.app.database = None
    findings = examine(Sources(world))
    assert bad(findings) == {}
    assert "the app names no database" in str(findings)


@pytest.mark.parametrize(
    ("part", "error", "names"),
    [
        ("settings", InvalidSettings("bad TOML", next_step="mend it"), ["settings", *NAMES[2:]]),
        ("registry", AppNotFound("no app"), ["app", "dry run"]),
        ("services", StoreUnavailable("full"), ["store"]),
    ],
)
def test_one_fault_hides_no_other(world: World, part: str, error: OneoffError, names: list[str]) -> None:
    """It is told once, with its next step; what needs the broken part says so, the rest is looked at."""
    findings = examine(Sources(world, **{part: error}))
    assert [finding.name for finding in findings] == NAMES
    assert list(bad(findings)) == names
    first, *others = bad(findings).values()
    assert (first.message, first.next_step) == (error.message, error.next_step)
    for finding in others:
        assert (finding.message, finding.next_step) == (f"not looked at: needs the {first.name}", "")


def test_a_store_that_cannot_be_used(world: World) -> None:
    """Its words are said once; what needs it is not looked at, and that is no good finding; the rest is."""
    error = StoreUnavailable("no store can be opened", next_step="mend it")
    findings = examine(Sources(world, services=error, reading=error))
    assert list(bad(findings)) == ["store", "audit log", "anchors", "signing", "break-glass", "dry run"]
    assert str(findings).count("no store can be opened") == str(findings).count("mend it") == 1
    for name in ("audit log", "break-glass", "dry run"):
        assert bad(findings)[name].message == "not looked at: needs the store"
        assert not bad(findings)[name].next_step
    texts = {finding.name: finding.message for finding in findings}
    assert texts["release"] == "version 1.2, commit c0ffee"
    assert texts["actor"] == "ann (human)"


def test_the_files_of_the_store(world: World) -> None:
    """What the store says of its files is told where it is bad, and not twice."""
    sources = Sources(world, services=StoreUnavailable("it is full"))
    sources.files = [
        Finding(name="store", ok=False, message="as a finding before"),
        Finding(name="store writable", ok=False, message="it is full"),
        Finding(name="store version", ok=True, message="version 1"),
        Finding(name="store space", ok=False, message="0 MiB free", next_step="make room"),
    ]
    findings = examine(sources)
    assert [finding.name for finding in findings] == [*NAMES[:4], "store space", *NAMES[4:]]
    assert list(bad(findings)) == ["store", "store space"]


def test_the_cause_is_told(world: World) -> None:
    """An app that raises is told with what it raised."""
    broken = AppBroken("shop.admin cannot be imported")
    broken.__cause__ = ZeroDivisionError("division by zero")
    assert bad(examine(Sources(world, registry=broken)))["app"].message == (
        "shop.admin cannot be imported: ZeroDivisionError: division by zero"
    )


def test_a_cause_is_told_once(world: World) -> None:
    """Where the words hold it already it is not said again."""
    error = StoreUnavailable("the store cannot be opened: Permission denied")
    error.__cause__ = PermissionError("Permission denied")
    assert bad(examine(Sources(world, services=error)))["store"].message == error.message


def test_a_database_that_cannot_be_reached(world: World) -> None:
    """What the app's own function raises is a finding, not a crash."""
    world.app.database = ConnectionError("no route to db")
    assert bad(examine(Sources(world)))["dry run"].message == "ConnectionError: no route to db"


def test_a_log_that_does_not_fit(world: World) -> None:
    """The first problem is told, and where to read the others."""
    begun = begin(world.store, make_run())
    world.store.save(begun.to(Status.SUCCEEDED))
    finding = bad(examine(Sources(world)))["audit log"]
    assert "r1" in finding.message
    assert "audit verify" in finding.next_step


def test_no_settings_file(world: World) -> None:
    """The defaults are in force."""
    assert "none" in examine(Sources(world))[1].message


def audited(world: World, **audit: Any) -> dict[str, Finding]:
    settings = replace(world.services.settings, audit=AuditSettings(**audit))
    world.services = replace(world.services, settings=settings)
    return {finding.name: finding for finding in examine(Sources(world))}


def test_no_anchor_beside_a_protected_environment(world: World) -> None:
    """Nothing is broken, and something is missing."""
    finding = audited(world)["anchors"]
    assert finding.ok
    assert "production is protected" in finding.message
    assert finding.next_step
    world.services = replace(world.services, anchors=[StdoutAnchor()])
    assert audited(world)["anchors"] == Finding(name="anchors", ok=True, message="stdout")


def test_who_signs(world: World, tmp_path: Path) -> None:
    """A key that cannot be used, or that nobody would believe, is a fault."""
    assert audited(world)["signing"].message == "none: checkpoints are not signed"
    own = generate("shop.example/audit", tmp_path / "key")
    other = generate("shop.example/audit", tmp_path / "other")
    assert audited(world, key=tmp_path / "key")["signing"].message == f"as {own}"
    assert audited(world, key=tmp_path / "key", verify_keys=(str(other), str(own)))["signing"].ok
    assert audited(world, verify_keys=(str(own),))["signing"].message == "by others, checked with 1 key"
    for about in ({"key": tmp_path / "none"}, {"key": tmp_path / "key", "verify_keys": (str(other),)}):
        assert not audited(world, **about)["signing"].ok
    assert not audited(world, verify_keys=("nonsense",))["signing"].ok
