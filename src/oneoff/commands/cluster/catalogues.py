"""The catalogues of releases that this user has asked before, in files of their own."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from oneoff.errors import UsageError
from oneoff.files import write_whole
from oneoff.kube.catalogue import ReleaseKey
from oneoff.protocols import Clock
from oneoff.tasks.fromschema import tasks_of
from oneoff.tasks.task import Task
from oneoff.types import JSON

BRIEFLY: Final = timedelta(minutes=5)
"""How long a catalogue is good for where no digest tells images apart: while somebody tries one thing."""
_KEPT: Final = 50
"""Files that are kept; the oldest go."""


class Catalogues:
    """``catalogues/KEY.json`` in this user's own folder. What cannot be read or written is not remembered."""

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
