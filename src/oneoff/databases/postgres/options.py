"""The start-up options that make every connection of this process and of its children read-only.

``PGOPTIONS`` is read by libpq (https://www.postgresql.org/docs/current/libpq-envars.html), so it reaches
psycopg, psycopg2, and ``psql`` in a child process. An ``options=`` in a connection string replaces it, and a
pooler may drop it: therefore every connection that appears is read back as well.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, MutableMapping

LOCK_TIMEOUT_SECONDS = 5
"""A dry run must not queue behind, and so block, the live application for longer."""
STATEMENT_TIMEOUT_SECONDS = 15 * 60
"""The sealed transaction keeps its locks until it ends, so no statement of it may run for ever."""

IDLE_SECONDS = 15 * 60
"""So long the sealed transaction waits for the task's next statement, with its locks held."""
WHOLE_SECONDS = 60 * 60
"""So long the sealed transaction lives: what it holds back from VACUUM, and its locks, are the app's."""

_VARIABLE = "PGOPTIONS"
_OPTIONS = (
    "-c default_transaction_read_only=on"
    f" -c lock_timeout={LOCK_TIMEOUT_SECONDS}s"
    f" -c statement_timeout={STATEMENT_TIMEOUT_SECONDS}s"
)


def arm(environ: MutableMapping[str, str]) -> None:
    """Make the connections that are opened from now on read-only; options of the user's own are kept.

    Doing it twice changes nothing.
    """
    before = environ.get(_VARIABLE, "")
    if not before.endswith(_OPTIONS):
        environ[_VARIABLE] = f"{before} {_OPTIONS}".strip()


def ours(settings: Mapping[str, str]) -> str:
    """The value of ``options`` for a connection with settings of its own, which replaces ``PGOPTIONS``."""
    own = [f"-c {name}={_escaped(value)}" for name, value in settings.items()]
    return " ".join([*own, _OPTIONS])


def _escaped(value: str) -> str:
    return str(value).replace("\\", "\\\\").replace(" ", "\\ ")


class Armed:
    """Read-only start-up options for the time of a block, the user's own ones back at its end.

    Around a whole dry run it begins before the app is imported, so that a connection opened then is held too.
    Blocks over one environment may end in any order, each in a thread of its own: the last one puts it back.
    """

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._environ = environ
        self._before: str | None = None

    def __enter__(self) -> None:
        with _lock:
            others = self._others()
            self._before = others[0]._before if others else self._environ.get(_VARIABLE)
            _armed.append(self)
            arm(self._environ)

    def __exit__(self, *exc_info: object) -> None:
        with _lock:
            _armed.remove(self)
            if self._others():
                return
            if self._before is None:
                self._environ.pop(_VARIABLE, None)
            else:
                self._environ[_VARIABLE] = self._before

    def _others(self) -> list[Armed]:
        return [armed for armed in _armed if armed._environ is self._environ]


_armed: list[Armed] = []
_lock = threading.Lock()
