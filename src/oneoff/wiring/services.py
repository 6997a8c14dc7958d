"""Builds the services for a local process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from oneoff.audit.event import Observer
from oneoff.commands.looks import with_subjects
from oneoff.databases.handles import Databases
from oneoff.databases.postgres.options import Armed
from oneoff.dryrun.seams import Confinement, Guard
from oneoff.launchers.local import LocalLauncher
from oneoff.launchers.processes import LocalProcesses
from oneoff.protocols import Anchor, Asker, Keys, Services, Store
from oneoff.runs.intent import read_intent
from oneoff.settings import EnvironmentSettings, Settings
from oneoff.stores import sqlite_file
from oneoff.stores.breakglass import SubLogFiles
from oneoff.stores.memory import MemoryStore
from oneoff.stores.spool import FileSpool
from oneoff.stores.witness import FileWitness
from oneoff.wiring.store import open_store, open_to_read
from oneoff.wiring.system import SystemClock, current_actor, current_release

if TYPE_CHECKING:
    from oneoff.audit.note import VerifyKey
    from oneoff.audit.verify import Decode


def local_services(
    settings: Settings,
    *,
    asker: Asker,
    say: Callable[[str], None],
    app: str | None = None,
) -> Services:
    """Open the store and everything around it.

    Args:
        app: ``MODULE:NAME`` as it was given on the command line, for a process that is launched.

    Raises:
        StoreUnavailable: nothing can be recorded here, so nothing may run.
    """
    store = open_store(settings)
    services = around(store, settings, asker=asker, say=say, app=app)
    return replace(services, actor=with_subjects(services.actor, store))


def reading_services(settings: Settings, *, asker: Asker, say: Callable[[str], None]) -> Services:
    """The same for a verb that changes nothing: a store that cannot be written is opened to read.

    Where there is none, none is made: an empty one in memory stands for it.

    Raises:
        StoreUnavailable: it cannot be read either.
    """
    if settings.store_url is None and sqlite_file.absent(settings.store):
        nothing = around(MemoryStore(), settings, asker=asker, say=say, app=None)
        return replace(nothing, only_reads=True, no_store=str(settings.store))
    store, unwritable = open_to_read(settings)
    services = around(store, settings, asker=asker, say=say, app=None)
    return replace(services, only_reads=True, unwritable=unwritable)


def around(
    store: Store, settings: Settings, *, asker: Asker, say: Callable[[str], None], app: str | None
) -> Services:
    """The services of this process over a store that is open."""
    processes = LocalProcesses()
    process = processes.current()
    intent = read_intent(settings.intent) if settings.intent else None
    return Services(
        settings=settings,
        store=store,
        spool=FileSpool(settings.state_dir),
        sub_logs=SubLogFiles(sub_log_folders(settings)),
        processes=processes,
        databases=Databases(own=[settings.store]),
        guard=lambda mask, environment: _guard(settings, mask, environment),
        confine=_confine,
        launcher=_launcher(settings, app),
        clock=SystemClock(),
        asker=asker,
        actor=current_actor(settings.claims, intent),
        intent=intent,
        observer=Observer(host=process.host, pid=process.pid),
        release=current_release(settings.root, settings.version),
        say=say,
        keys=lambda: keys_of(settings),
        decoder=_decoder,
        anchors=_anchors(settings),
        witness=FileWitness(settings.user_dir, settings.place, say) if settings.user_dir else None,
    )


def keys_of(settings: Settings) -> Keys:
    """The installation's key, and what checks the signatures of any."""
    from oneoff.signing import KeyFile

    return KeyFile(settings.audit.key)


def _decoder() -> Decode:
    from oneoff.decoding import decode

    return decode


def make_key(name: str, path: Path) -> VerifyKey:
    """A new private key in a new file, and its public half; needs no store. Raises KeyUnusable."""
    from oneoff.signing import generate

    return generate(name, path)


def _anchors(settings: Settings) -> list[Anchor]:
    if not settings.audit.anchors:
        return []
    from oneoff.anchors import CommandAnchor, FileAnchor, StdoutAnchor

    made: list[Anchor] = []
    for wanted in settings.audit.anchors:
        if wanted.file is not None:
            made.append(FileAnchor(wanted.file))
        elif wanted.command:
            made.append(CommandAnchor(wanted.command, cwd=settings.root))
        else:
            made.append(StdoutAnchor())
    return made


def sub_log_folders(settings: Settings) -> list[Path]:
    """Where a run without the store may be recorded: beside the store, else in this user's own folder."""
    whose = sha256(os.fsencode(settings.place)).hexdigest()[:16]
    states = [settings.state_dir]
    if settings.user_dir is not None:
        states.append(settings.user_dir / f"{whose}.d")
    # A file has its folder for itself; several databases may share the one of an app.
    name = "break-glass" if settings.store_url is None else f"break-glass-{whose}"
    return [state / name for state in states]


def _launcher(settings: Settings, app: str | None) -> LocalLauncher:
    prefix = [sys.executable, "-m", "oneoff", *(["--app", app] if app else [])]
    return LocalLauncher(settings.state_dir, command_prefix=prefix)


def _guard(settings: Settings, mask: Callable[[str], str], environment: EnvironmentSettings) -> Guard:
    from oneoff.guards.audit_hook import AuditHookGuard  # a real run needs none
    from oneoff.guards.held_thread import LandlockGuard, available

    kind = LandlockGuard if available() else AuditHookGuard
    own = (settings.store, settings.state_dir, *([settings.user_dir] if settings.user_dir else []))
    return kind(mask, hosts=environment.dry_run_hosts, own_files=[str(path.resolve()) for path in own])


def _confine(ports: Collection[int]) -> Confinement:
    from oneoff.guards.confinement import CommandConfinement

    return CommandConfinement(ports)


def arm_dry_run() -> Armed:
    """Before the app is imported: what it connects to PostgreSQL in the block may only read.

    A dry run opens the one transaction that may write by itself.
    """
    return Armed(os.environ)
