"""Verbs with ``--env``: where that environment is in Kubernetes, they run there as errands.

They run with the same options, in a pod that is the app; what it prints comes out here unchanged. Files are
read and written here, and travel as text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import click
from click.core import ParameterSource

from oneoff.cli.session import Session, nobody_listening, tell

if TYPE_CHECKING:  # an HTTP client, loaded where it is wanted
    from oneoff.commands.cluster.errands import Answer
    from oneoff.commands.cluster.remote import Remote

ENV: Final = "environment"
_COMMAND: Final = b"`oneoff "
"""How a next step names a command."""


class ErrandCommand(click.Command):
    """A verb on the store or the tasks of an environment. What is special about one, its class says."""

    needs_store: ClassVar[bool] = True
    accepts: ClassVar[bool] = False
    """Whether what is there now takes the place of what was seen before."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.params.append(self.own_option())

    def own_option(self) -> click.Option:
        """The option by which it goes elsewhere."""
        return click.Option(
            ["--env", ENV], metavar="NAME", help="Of this environment, wherever that is; else of this folder."
        )

    def invoke(self, ctx: click.Context) -> Any:
        session = ctx.find_object(Session)
        assert session is not None  # of the root command
        remote = self.elsewhere(ctx, session)
        if remote is None:
            return super().invoke(ctx)
        return ctx.exit(self.send(ctx, remote))

    def elsewhere(self, ctx: click.Context, session: Session) -> Remote | None:
        """Where it has to be done; None for here. Raises UsageError where there is no such environment."""
        return session.remote_or_here(ctx.params.pop(ENV))

    def send(self, ctx: click.Context, remote: Remote) -> int:
        """Do it there, and give out what comes back; the exit code."""
        answer = self.ask(remote, self.argv(ctx))
        give(answer, remote)
        return answer.exit_code

    def argv(self, ctx: click.Context) -> list[str]:
        """What is to be done there."""
        return words(ctx, ctx.params)

    def ask(self, remote: Remote, argv: Sequence[str]) -> Answer:
        from oneoff.commands.cluster import errands

        return errands.run(remote, argv, needs_store=self.needs_store, accepts=self.accepts)


class TasksErrand(ErrandCommand):
    """A verb that only looks at the tasks."""

    needs_store = False


class AcceptingErrand(ErrandCommand):
    """The verb that goes on with a log which is not the one that was seen."""

    accepts = True


def give(answer: Answer, remote: Remote, *, stdout: bool = True) -> None:
    """Print what the pod has printed, byte for byte; what it says to do next is not done in this folder."""
    if stdout:
        click.echo(answer.stdout, nl=False)
    with nobody_listening():
        click.echo(answer.stderr, nl=False, err=True)
    if _COMMAND in answer.stderr:
        tell(f"note: what a pod names as `oneoff …` wants --env {remote.environment.name} here")


def words(ctx: click.Context, params: Mapping[str, Any]) -> list[str]:
    """The command line again, of what was given on it; options before arguments.

    Args:
        params: The values, as they are to be there.
    """
    options: list[str] = []
    arguments: list[str] = []
    for param in ctx.command.params:
        name = param.name or ""
        value = params.get(name)
        if ctx.get_parameter_source(name) is not ParameterSource.COMMANDLINE or value in (None, ()):
            continue
        values = value if isinstance(value, tuple) else (value,)
        if not isinstance(param, click.Option):
            arguments += [str(one) for one in values]
        elif param.is_flag:
            options.append((param.opts if value else param.secondary_opts)[0])
        else:
            options += [f"{_long(param)}={one}" for one in values]
    return [*_verb(ctx), *options, *(["--", *arguments] if arguments else [])]


def _long(param: click.Option) -> str:
    return max(param.opts, key=len)


def _verb(ctx: click.Context) -> list[str]:
    """``audit verify``: what stands behind ``oneoff``, wherever that itself stands."""
    from oneoff.cli.main import main

    names: list[str] = []
    at: click.Context | None = ctx
    while at is not None and at.command is not main:
        names.insert(0, at.command.name or "")
        at = at.parent
    return names
