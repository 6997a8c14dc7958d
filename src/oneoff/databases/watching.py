"""What a seal notes down while the task runs. Threads may add to both at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

from oneoff.dryrun.report import Statement
from oneoff.errors import DryRunStopped
from oneoff.types import without_password

_DIFFERENT_STATEMENTS = 200
_TEXT_LENGTH = 2000
_aside = threading.local()


class StatementLog:
    """The statements as the task sent them, without values given apart; equal ones are counted together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, Statement] = {}
        self._left_out: set[int] = set()

    def add(self, sql: str, rows: int, seconds: float) -> None:
        """Count one execution. ``rows`` is what the driver says, -1 where it does not know."""
        aside: list[Callable[[], None]] | None = getattr(_aside, "statements", None)
        if aside is not None:
            aside.append(lambda: self._add(sql, rows, seconds))
        else:
            self._add(sql, rows, seconds)

    def _add(self, sql: str, rows: int, seconds: float) -> None:
        text = sql if len(sql) <= _TEXT_LENGTH else sql[:_TEXT_LENGTH] + "…"
        with self._lock:
            before = self._seen.get(text)
            if before is None and len(self._seen) >= _DIFFERENT_STATEMENTS:
                self._left_out.add(hash(text))
                return
            self._seen[text] = Statement(
                sql=text,
                times=(before.times if before else 0) + 1,
                rows=(before.rows if before else 0) + max(rows, 0),
                seconds=(before.seconds if before else 0.0) + seconds,
            )

    @property
    def statements(self) -> tuple[Statement, ...]:
        """In the order of their first execution."""
        with self._lock:
            return tuple(self._seen.values())

    @property
    def left_out(self) -> int:
        """How many different statements there were beyond those kept."""
        return len(self._left_out)


class SetAside:
    """Holds the statements of this thread back for the time of a block, until it is known whose they are."""

    def __init__(self) -> None:
        self._held: list[Callable[[], None]] = []

    def __enter__(self) -> SetAside:
        _aside.statements = self._held
        return self

    def __exit__(self, *exc_info: object) -> None:
        _aside.statements = None

    def record(self) -> None:
        """They are the task's."""
        for add in self._held:
            add()


class Notes:
    """Attempts that make the dry run fail, gaps and changes to be named, each once and in order."""

    def __init__(self) -> None:
        self._attempts: dict[str, None] = {}
        self._gaps: dict[str, None] = {}
        self._changes: dict[str, None] = {}

    def attempt(self, text: str) -> DryRunStopped:
        """Record what the task tried; the signal that ends the task is for the caller to raise."""
        clean = without_password(text)
        self._attempts.setdefault(clean)
        return DryRunStopped(clean)

    def gap(self, text: str) -> None:
        """Record what the seal does not hold or does not see."""
        self._gaps.setdefault(without_password(text))

    def change(self, text: str) -> None:
        """Record what a real run would change besides rows and schema."""
        self._changes.setdefault(text)

    @property
    def changes(self) -> tuple[str, ...]:
        return tuple(self._changes)

    @property
    def attempts(self) -> tuple[str, ...]:
        return tuple(self._attempts)

    @property
    def gaps(self) -> tuple[str, ...]:
        return tuple(self._gaps)
