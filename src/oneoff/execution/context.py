"""What a task gets as its first argument."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from oneoff.dryrun.report import SuppressedEffect
from oneoff.execution.log import RunLogger
from oneoff.execution.stopping import Stop
from oneoff.runs.run import Actor
from oneoff.types import RunId

_at_work: Context | None = None
"""Of this process and all of its threads: a run has them to itself."""


class Context:
    """The run as its task sees it.

    A task gets it by naming its first argument ``ctx`` or annotating it with this class.
    """

    def __init__(
        self,
        *,
        run_id: RunId,
        actor: Actor,
        dry_run: bool,
        log: RunLogger,
        report_progress: Callable[[int, int | None, str], None],
        stop: Stop,
        open_database: Callable[[], Any],
        confirmed: bool = True,
    ) -> None:
        self.run_id = run_id
        self.actor = actor
        """Who asked for this run."""
        self.dry_run = dry_run
        """Whether nothing of this run will stay. A task need not look: the database refuses by itself."""
        self.confirmed = confirmed
        """Whether this run was confirmed; a task that wants no confirmation may not have been."""
        self.log = log
        """Takes a message and fields: ``ctx.log.info("deleting", before=day)``."""
        self.suppressed: list[SuppressedEffect] = []
        self._effects_last = False
        self._held_back: list[Callable[[], Any]] = []
        self._report_progress = report_progress
        self._stop = stop
        self._open_database = open_database
        self._database: Any = None

    @property
    def db(self) -> Any:
        """The database handle that the app gave to ``App(database=…)``, and nothing of ours around it."""
        if self._database is None:
            self._database = self._open_database()
        return self._database

    @property
    def should_stop(self) -> bool:
        """True once the run has to end: a signal, a cancel, the time limit.

        Ask at every point where the task could leave its data whole, and return when it is True. A run
        whose task has seen True ends as interrupted, cancelled or timed out, never as succeeded.
        """
        return self._stop.look()

    def sleep(self, seconds: float) -> bool:
        """Wait, but not beyond a request to stop; returns :attr:`should_stop`."""
        return self._stop.wait(seconds)

    def progress(self, done: int, total: int | None = None, message: str = "") -> None:
        """Say how far the task is, in units of its own. Cheap enough to be called for every row."""
        self._report_progress(done, total, message)

    def effect(
        self,
        description: str,
        function: Callable[..., Any],
        /,
        *args: Any,
        dry_result: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Do something outside the database: send a mail, call a service, write a file.

        In a real run the function is called and its result returned. In a dry run it is recorded in the
        report and not called, and ``dry_result`` is returned in its place. A real run that commits once, at
        its end (``--effects``, ``--expect``), returns ``dry_result`` too, and calls the function after that.
        """
        if not self.dry_run and not self._effects_last:
            return function(*args, **kwargs)
        if not self.dry_run:
            self._held_back.append(lambda: function(*args, **kwargs))
        name = getattr(function, "__qualname__", repr(type(function).__qualname__))
        module = getattr(function, "__module__", None)
        self.suppressed.append(
            SuppressedEffect(description=str(description), call=f"{module}.{name}" if module else name)
        )
        self.log.info("not done in a dry run" if self.dry_run else "waits for the commit", effect=description)
        return dry_result

    def hold_effects_back(self) -> None:
        """From here on they wait for :meth:`call_held_back`."""
        self._effects_last = True

    def call_held_back(self) -> None:
        """Do what waited for the commit, in order; what the first that fails raises comes through."""
        while self._held_back:
            self._held_back.pop(0)()


@contextmanager
def at_work(context: Context) -> Iterator[None]:
    """In the block :func:`effect` is this context's."""
    global _at_work
    before, _at_work = _at_work, context
    try:
        yield
    finally:
        _at_work = before


def effect(
    description: str,
    function: Callable[..., Any],
    /,
    *args: Any,
    dry_result: Any = None,
    **kwargs: Any,
) -> Any:
    """:meth:`Context.effect` for code that is given no context, such as a framework's own command.

    Where no run is under way, the function is called: the code works without oneoff as it always did.
    """
    if _at_work is None:
        return function(*args, **kwargs)
    return _at_work.effect(description, function, *args, dry_result=dry_result, **kwargs)
