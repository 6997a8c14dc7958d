"""``doctor``: is everything in place for a run to start, and for its records to be kept?"""

from __future__ import annotations

import platform
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from oneoff.commands.attend import attend
from oneoff.commands.audit import verify
from oneoff.commands.breakglass import open_reviews, unfit
from oneoff.errors import OneoffError, StoreUnavailable
from oneoff.execution.failure import in_words, summary
from oneoff.protocols import Finding, RunQuery, Services
from oneoff.runs.run import Actor, Release
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

    @property
    def release(self) -> Release: ...

    @property
    def actor(self) -> Actor: ...

    def check_store(self) -> list[Finding]:
        """What the store says of its own files; raises nothing where the settings can be read."""


@dataclass(frozen=True)
class Probe:
    """One thing to look at."""

    look: Callable[[Sources], str | Finding]
    """What is said where all is well; raises where it is not."""
    needs: tuple[str, ...] = ("settings",)
    """The findings without which it cannot be looked at. They tell what is wrong, and it is told once."""


def examine(sources: Sources) -> list[Finding]:
    """Look at everything, whatever fails on the way."""
    findings: dict[str, Finding] = {}
    for name, probe in _PROBES.items():
        bad = [need for need in probe.needs if not findings[need].ok]
        findings[name] = _unseen(name, bad[0]) if bad else _look(name, probe, sources)
        if name == "store" and not bad:
            findings |= _more_of_the_store(sources, told=findings[name].message)
    return list(findings.values())


def _more_of_the_store(sources: Sources, told: str) -> dict[str, Finding]:
    """What is wrong with its files beside what was told already."""
    return {
        finding.name: finding
        for finding in sources.check_store()
        if not finding.ok and finding.name != "store" and finding.message != told
    }


def _unseen(name: str, need: str) -> Finding:
    return Finding(name=name, ok=False, message=f"not looked at: needs the {need}")


def _reading(sources: Sources) -> Services:
    """What can be looked at without writing; the finding on the store says what is wrong with it, once."""
    try:
        return replace(sources.reading, say=lambda _: None)
    except StoreUnavailable:
        raise OneoffError(_unseen("", "store").message) from None


def _look(name: str, probe: Probe, sources: Sources) -> Finding:
    try:
        found = probe.look(sources)
        return found if isinstance(found, Finding) else Finding(name=name, ok=True, message=found)
    except OneoffError as error:
        return Finding(name=name, ok=False, message=in_words(error), next_step=error.next_step)
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


def _anchors(sources: Sources) -> str | Finding:
    """A log without an anchor works, and proves little: a hint, and nothing that is broken."""
    services = _reading(sources)
    if services.anchors:
        return ", ".join(anchor.name for anchor in services.anchors)
    protected = [each.name for each in services.settings.environments.values() if each.protected]
    if not protected:
        return "none"
    return Finding(
        name="anchors",
        ok=True,
        message=f"none, and {', '.join(protected)} is protected: a log rewritten as a whole would look right",
        next_step='anchors = ["stdout"] under [tool.oneoff.audit], with the output collected elsewhere',
    )


def _signing(sources: Sources) -> str:
    from oneoff.commands.checkpoints import configured_keys

    services = _reading(sources)
    known = configured_keys(services.settings)
    own = services.keys().verify_key()
    if own is not None and known and own not in known:
        raise OneoffError(
            f"the key signs as {own}, which no verify_key of the settings is",
            next_step="add it to verify_key; keep the earlier ones for what they have signed",
        )
    if own is not None:
        return f"as {own}"
    return (
        f"by others, checked with {len(known)} key{'s'[: len(known) > 1]}"
        if known
        else "none: checkpoints are not signed"
    )


def _break_glass(sources: Sources) -> str:
    services = _reading(sources)
    problems = unfit(services)
    if problems:
        raise OneoffError(problems[0], next_step="keep a copy, find out who changed it, and move it away")
    waiting = open_reviews(services)
    if waiting:
        raise OneoffError(
            f"{len(waiting)} runs broke the glass and wait for a review: {', '.join(waiting[:5])}",
            next_step=f"`oneoff show {waiting[0]}`, then `oneoff audit review {waiting[0]} --reason '…'`",
        )
    return "no review is open"


def _dry_run(sources: Sources) -> str:
    database = sources.registry.database
    if database is None:
        return "the app names no database: a task that opens one fails its dry run"
    databases = _reading(sources).databases
    return f"level {databases.seal(databases.resolve(database)).level}"


def _release(sources: Sources) -> str:
    release, version = sources.release, None
    with suppress(OneoffError):  # a broken app is a finding of its own
        version = sources.registry.version
    return f"version {version or release.version or 'unknown'}, commit {release.commit or 'unknown'}"


def _actor(sources: Sources) -> str:
    return f"{sources.actor.name} ({sources.actor.kind})"


_PROBES = {
    "oneoff": Probe(
        lambda _: f"{__version__} on Python {platform.python_version()}, {platform.system()}", ()
    ),
    "settings": Probe(_settings, ()),
    "app": Probe(_app),
    "store": Probe(_store),
    "audit log": Probe(_audit),
    "anchors": Probe(_anchors),
    "signing": Probe(_signing),
    "break-glass": Probe(_break_glass),
    "dry run": Probe(_dry_run, ("settings", "app")),
    "release": Probe(_release),
    "actor": Probe(_actor),
}
