"""Builds the services for a run without the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from oneoff.commands.emergency import Emergency
from oneoff.commands.looks import with_subjects
from oneoff.protocols import Asker
from oneoff.settings import Settings
from oneoff.stores.breakglass import BreakGlassStore, first_usable
from oneoff.stores.spool import FileSpool
from oneoff.wiring.services import around, sub_log_folders


def emergency(settings: Settings, *, asker: Asker, say: Callable[[str], None]) -> Emergency:
    """Services over a folder that works: beside the store, else this user's own.

    Raises:
        StoreUnavailable: there is none.
    """
    place = first_usable(sub_log_folders(settings))
    store = BreakGlassStore(place)
    services = around(store, settings, asker=asker, say=say, app=None)
    state_dir = place.parent
    services = replace(
        services,
        settings=replace(settings, store=state_dir.with_suffix(".db")),  # so that the run's log is there, too
        actor=with_subjects(services.actor, store),
        spool=FileSpool(state_dir),
        sub_logs=None,
        anchors=(),
        witness=None,
        stand_in=True,
    )
    return Emergency(services, str(place), lambda: store.sub_log)
