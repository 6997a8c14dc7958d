"""``doctor``: is everything in place for a run to start, and for its records to be kept?"""

from __future__ import annotations

import platform
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from oneoff.commands.attend import attend
from oneoff.commands.audit import verify
from oneoff.commands.run import release_of
from oneoff.errors import OneoffError, StoreUnavailable
from oneoff.execution.failure import summary
from oneoff.protocols import Finding, RunQuery, Services
from oneoff.runs.status import ACTIVE
from oneoff.settings import Settings
from oneoff.tasks.registry import Registry
from oneoff.types import without_login
from oneoff.version import __version__


class Sources(Protocol):
    """What an invocation opens; each may raise the error that a run would end with."""

    @property
    def settings(self) -> Settings: ...

    @property
    def registry(self) -> Registry: ...

    @property
    def services(self) -> Services: ...

    @property
    def reading(self) -> Services: ...

    def about_store(self) -> list[Finding]:
        """What the store's own examination finds."""


def examine(sources: Sources) -> list[Finding]:
    """Look at everything, whatever fails on the way."""
    return [*(_look(name, probe, sources) for name, probe in _PROBES.items()), *_about_store(sources)]


def _about_store(sources: Sources) -> list[Finding]:
    try:
        return sources.about_store()
    except OneoffError:
        return []  # the finding on the store, or on the settings, says it


def _reading(sources: Sources) -> Services:
    """What can be looked at without writing; the finding on the store says what is wrong with it, once."""
    try:
        return replace(sources.reading, say=lambda _: None)
    except StoreUnavailable:
        raise OneoffError("not looked at: the store cannot be used") from None


def _look(name: str, probe: Callable[[Sources], str], sources: Sources) -> Finding:
    try:
        return Finding(name=name, ok=True, message=probe(sources))
    except OneoffError as error:
        message = error.message if error.__cause__ is None else f"{error.message} ({error.__cause__})"
        return Finding(name=name, ok=False, message=message, next_step=error.next_step)
    except Exception as error:  # of the app's own code: its database cannot be reached, say
        return Finding(name=name, ok=False, message=summary(error))


def _settings(sources: Sources) -> str:
    return str(sources.settings.file or "none: defaults are in force")


def _app(sources: Sources) -> str:
    registry = sources.registry
    return f"{registry.name}, {len(registry)} task{'' if len(registry) == 1 else 's'}"


def _store(sources: Sources) -> str:
    services = sources.services
    attend(services)
    active = len(services.store.find(RunQuery(statuses=ACTIVE)))
    url = sources.settings.store_url
    return f"{sources.settings.store if url is None else without_login(url)}, {active} runs active"


def _audit(sources: Sources) -> str:
    found = verify(_reading(sources))
    if not found.ok:
        raise OneoffError(found.problems[0], next_step="`oneoff audit verify` lists all that does not fit")
    return f"{found.size:,} events, all of them fit"


def _dry_run(sources: Sources) -> str:
    database = sources.registry.database
    if database is None:
        return "not possible: the app names no database"
    databases = _reading(sources).databases
    return f"level {databases.seal(databases.resolve(database)).level}"


def _release(sources: Sources) -> str:
    release = _reading(sources).release
    with suppress(OneoffError):  # a broken app is a finding of its own
        release = release_of(_reading(sources), sources.registry)
    return f"version {release.version or 'unknown'}, commit {release.commit or 'unknown'}"


def _actor(sources: Sources) -> str:
    actor = _reading(sources).actor
    return f"{actor.name} ({actor.kind})"


_PROBES: dict[str, Callable[[Sources], str]] = {
    "oneoff": lambda _: f"{__version__} on Python {platform.python_version()}, {platform.system()}",
    "settings": _settings,
    "app": _app,
    "store": _store,
    "audit log": _audit,
    "dry run": _dry_run,
    "release": _release,
    "actor": _actor,
}
