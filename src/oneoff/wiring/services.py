"""Builds the services for a local process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from oneoff.audit.event import Observer
from oneoff.commands.looks import with_subjects
from oneoff.databases.handles import Databases
from oneoff.databases.postgres.options import Armed
from oneoff.errors import StoreCorrupted, StoreUnavailable, StoreVersionMismatch
from oneoff.launchers.local import LocalLauncher
from oneoff.launchers.processes import LocalProcesses
from oneoff.protocols import Asker, Finding, Guard, Services, Store
from oneoff.settings import Settings
from oneoff.stores import sqlite_file
from oneoff.stores.breakglass import SubLogFiles
from oneoff.stores.memory import MemoryStore
from oneoff.stores.spool import FileSpool
from oneoff.stores.sqlite import SqliteStore
from oneoff.stores.sqlite_reader import SqliteReader
from oneoff.wiring.system import SystemClock, current_actor, current_release


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
    store = SqliteStore.open(settings.store)
    services = around(store, settings, asker=asker, say=say, app=app)
    return replace(services, actor=with_subjects(services.actor, store))


def reading_services(settings: Settings, *, asker: Asker, say: Callable[[str], None]) -> Services:
    """The same for a verb that changes nothing: a store that cannot be written is opened to read.

    Where there is none, none is made: an empty one in memory stands for it.

    Raises:
        StoreUnavailable: it cannot be read either.
    """
    if sqlite_file.absent(settings.store):
        nothing = around(MemoryStore(), settings, asker=asker, say=say, app=None)
        return replace(nothing, only_reads=True, no_store=str(settings.store))
    store: SqliteStore
    unwritable = None
    try:
        store = SqliteStore.open(settings.store)
    except (StoreCorrupted, StoreVersionMismatch):
        raise
    except StoreUnavailable as error:
        store, unwritable = SqliteReader.open(settings.store), error
    services = around(store, settings, asker=asker, say=say, app=None)
    return replace(services, only_reads=True, unwritable=unwritable)


def check_store(settings: Settings) -> list[Finding]:
    """What the store of these settings says of its own files, for ``oneoff doctor``."""
    return sqlite_file.check(settings.store)


def around(
    store: Store, settings: Settings, *, asker: Asker, say: Callable[[str], None], app: str | None
) -> Services:
    """The services of this process over a store that is open."""
    processes = LocalProcesses()
    process = processes.current()
    return Services(
        settings=settings,
        store=store,
        spool=FileSpool(settings.state_dir),
        sub_logs=SubLogFiles(sub_log_folders(settings)),
        processes=processes,
        databases=Databases(own=[settings.store]),
        guard=_guard,
        launcher=_launcher(settings, app),
        clock=SystemClock(),
        asker=asker,
        actor=current_actor(settings.claims),
        observer=Observer(host=process.host, pid=process.pid),
        release=current_release(settings.root, settings.version),
        say=say,
    )


def sub_log_folders(settings: Settings) -> list[Path]:
    """Where a run without the store may be recorded: beside the store, else in this user's own folder."""
    states = [settings.state_dir]
    if settings.spare_dir is not None:
        whose = sha256(os.fsencode(settings.store)).hexdigest()[:16]
        states.append(settings.spare_dir / f"{whose}.d")
    return [state / "break-glass" for state in states]


def _launcher(settings: Settings, app: str | None) -> LocalLauncher:
    prefix = [sys.executable, "-m", "oneoff", *(["--app", app] if app else [])]
    return LocalLauncher(settings.state_dir, command_prefix=prefix)


def _guard() -> Guard:
    from oneoff.guards.processes import ProcessGuard  # a real run needs none

    return ProcessGuard()


def arm_dry_run() -> Armed:
    """Before the app is imported: what it connects to PostgreSQL in the block may only read.

    A dry run opens the one transaction that may write by itself.
    """
    return Armed(os.environ)
