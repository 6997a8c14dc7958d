"""Builds the services for a local process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from oneoff.audit.event import Observer
from oneoff.databases import LocalDatabases
from oneoff.launchers.local import LocalLauncher
from oneoff.launchers.processes import LocalProcesses
from oneoff.protocols import Asker, Services
from oneoff.settings import Settings
from oneoff.stores.spool import FileSpool
from oneoff.stores.sqlite import SQLiteStore
from oneoff.wiring.system import SystemClock, current_actor, current_release


def local_services(
    settings: Settings,
    *,
    asker: Asker,
    say: Callable[[str], None],
    name: str,
    app: str | None = None,
    version: str | None = None,
) -> Services:
    """Open the store and everything around it.

    Args:
        name: what the records call the app.
        app: ``MODULE:NAME`` as it was given on the command line, for a process that is launched.
        version: the app's version, for the release.

    Raises:
        StoreUnavailable: nothing can be recorded here, so nothing may run.
    """
    store = SQLiteStore.open(settings.store)
    actor = current_actor(settings.claims)
    processes = LocalProcesses()
    process = processes.current()
    return Services(
        settings=settings,
        store=store,
        spool=FileSpool(settings.outcomes),
        processes=processes,
        databases=LocalDatabases(),
        launcher=LocalLauncher(settings, app=app),
        clock=SystemClock(),
        asker=asker,
        actor=replace(actor, subject=store.subject(actor)),
        observer=Observer(app=name, host=process.host, pid=process.pid),
        release=current_release(settings.root, version),
        say=say,
    )
