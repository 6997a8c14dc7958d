"""What an app's developer writes: an :class:`App` and the tasks on it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from oneoff.errors import InvalidDeclaration
from oneoff.tasks.registry import Registry, task_name
from oneoff.tasks.signature import from_signature
from oneoff.tasks.task import Task

if TYPE_CHECKING:
    import click

F = TypeVar("F", bound=Callable[..., Any])


class App(Registry):
    """The admin side of one app.

    Args:
        name: What the records call the app.
        database: The app's databases: an SQLAlchemy engine, a URL, a Django alias, a DB-API connect function,
            a list or tuple of these, or a callable that returns any of them. Tasks get it back, untouched, as
            ``ctx.db``; a dry run seals it. Where it is None, a dry run fails once its task opens a database.
        version: The app's version, recorded with every run; pyproject.toml's where none is given.
        private: Columns whose values no report of effects tells, keys included: ``["customers.email"]``.
    """

    @overload
    def task(self, function: F, /) -> F: ...

    @overload
    def task(
        self,
        /,
        *,
        name: str | None = None,
        confirm: str | None = None,
        lock: str | None = None,
        timeout: timedelta | float | None = None,
        schedule: str | None = None,
        time_zone: str = "UTC",
        nature: Literal["one-shot", "migration", "resumable"] = "one-shot",
    ) -> Callable[[F], F]: ...

    def task(
        self,
        function: F | None = None,
        /,
        *,
        name: str | None = None,
        confirm: str | None = None,
        lock: str | None = None,
        timeout: timedelta | float | None = None,
        schedule: str | None = None,
        time_zone: str = "UTC",
        nature: Literal["one-shot", "migration", "resumable"] = "one-shot",
    ) -> F | Callable[[F], F]:
        """Register a function, sync or async, as a task; the function itself stays as it is.

        Args:
            name: The task's name; else the function's, with dashes.
            confirm: The question to put before a real run.
            lock: Only one run at a time among the tasks that name this lock.
            timeout: How long a run may take, in seconds or as a timedelta.
            schedule: When it runs by itself: five fields of cron, or ``@daily`` and the like, as a Kubernetes
                CronJob reads them.
            time_zone: The schedule's zone, such as ``Europe/Berlin``.
            nature: Where its process is a pod: a ``migration`` gets at least 60 s to stop, else it is 30. So
                does a ``resumable`` task, and where the cluster takes its pod away another pod begins it
                again with the same parameters: it has to go on where it was, or do no harm when repeated.

        Raises:
            InvalidDeclaration: the signature, a name or the schedule cannot work, or the name is taken.
        """

        def register(function: F) -> F:
            parameters, takes_context = from_signature(function)
            called = task_name(name or function.__name__)
            if schedule is not None:
                _check_schedule(called, schedule, time_zone)
            self.add(
                Task(
                    name=called,
                    help=_unindented(function.__doc__ or ""),
                    parameters=parameters,
                    confirm=confirm,
                    lock=lock,
                    timeout=timedelta(seconds=timeout) if isinstance(timeout, int | float) else timeout,
                    schedule=schedule,
                    time_zone=time_zone,
                    nature=nature,
                    function=function,
                    takes_context=takes_context,
                )
            )
            return function

        return register if function is None else register(function)

    def cli(self) -> click.Group:
        """A Click group with a command for each task, for an app that ships its own admin CLI."""
        from oneoff.cli.embedded import app_group  # the app pays for the CLI only where it has one

        return app_group(self)


def _check_schedule(name: str, expression: str, time_zone: str) -> None:
    from oneoff.schedules import schedule  # an app pays for it only where it has one

    try:
        schedule.schedule(expression, time_zone)
    except schedule.CronError as error:
        raise InvalidDeclaration(f"{name}: schedule {expression!r}: {error}") from error


def _unindented(docstring: str) -> str:
    first, _, rest = docstring.strip().partition("\n")
    lines = rest.splitlines()
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join([first, *(line[margin:].rstrip() for line in lines)]).strip()
