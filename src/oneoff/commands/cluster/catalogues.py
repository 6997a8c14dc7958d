"""The tasks of a release: as they are known already, or as it lists them."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from oneoff.commands.cluster.releases import serving
from oneoff.commands.cluster.remote import Remote
from oneoff.errors import UsageError
from oneoff.files import write_whole
from oneoff.kube.catalogue import ReleaseKey, key_of, published
from oneoff.kube.release.live import Live
from oneoff.tasks.fromschema import tasks_of
from oneoff.tasks.task import Task
from oneoff.types import JSON

if TYPE_CHECKING:
    from oneoff.protocols import Clock

BRIEFLY: Final = timedelta(minutes=5)
"""How long a catalogue is good for where no digest tells images apart: while somebody tries one thing."""
_KEPT: Final = 50
"""Files that are kept; the oldest go."""


def catalogue(remote: Remote, live: Live | None = None) -> list[Task]:
    """The tasks of the release: as this user or ``kube sync`` has kept them, else asked for.

    Raises:
        ErrandFailed: the release cannot list them; its own words are in the message.
        NotDerivable, ManifestUnfit, ClusterError: no Job of the release could be made.
    """
    live = live or serving(remote)
    known = at_hand(remote, live)
    if known is not None:
        return known
    from oneoff.commands.cluster.errands import run, told  # seldom: a release is asked once

    answer = run(remote, ["tasks", "-o", "json"], live=live, needs_store=False)
    if answer.exit_code != 0:
        raise told(f"the release in {remote.environment.name} cannot list its tasks", answer.stderr)
    document = json.loads(answer.stdout)
    tasks = tasks_of(document)
    Catalogues(remote.settings.user_dir, remote.clock).keep(key_of(live, remote.where), document)
    return tasks


def at_hand(remote: Remote, live: Live) -> list[Task] | None:
    """The tasks of the release where nothing has to be started to know them. Raises ClusterError."""
    kept = Catalogues(remote.settings.user_dir, remote.clock).recall(key_of(live, remote.where))
    return kept if kept is not None else published(remote.cluster, live, remote.where)


class Catalogues:
    """Of the releases that this user has asked: ``catalogues/KEY.json`` in a folder of the user's own.

    What cannot be read or written is not remembered.
    """

    def __init__(self, user_dir: Path | None, clock: Clock) -> None:
        self._folder = user_dir / "catalogues" if user_dir else None
        self._clock = clock

    def recall(self, key: ReleaseKey) -> list[Task] | None:
        """The tasks of this release, if they are known."""
        path = self._path(key)
        if path is None:
            return None
        with suppress(OSError, ValueError, UsageError):  # a file of another oneoff, or a broken one
            written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            if key.lasting or timedelta(0) <= self._clock.now() - written < BRIEFLY:
                return tasks_of(json.loads(path.read_bytes()))
        return None

    def keep(self, key: ReleaseKey, document: JSON) -> None:
        """All of it or nothing: whoever reads it meanwhile finds the one before."""
        path = self._path(key)
        if path is None:
            return
        with suppress(OSError):
            write_whole(path, json.dumps(document).encode())
            files = sorted(path.parent.glob("*.json"), key=lambda each: each.stat().st_mtime)
            for old in files[:-_KEPT]:
                old.unlink()

    def _path(self, key: ReleaseKey) -> Path | None:
        return self._folder / f"{key.text.partition(':')[2]}.json" if self._folder else None
