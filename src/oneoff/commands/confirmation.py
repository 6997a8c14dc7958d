"""Whether a run is confirmed: by an option, by what is typed, or not at all. Every launcher asks here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from oneoff import policy
from oneoff.commands.options import Options
from oneoff.errors import NotConfirmed, ReasonRequired
from oneoff.settings import EnvironmentSettings
from oneoff.tasks.task import Task

if TYPE_CHECKING:
    from oneoff.protocols import Asker


def confirm(
    task: Task,
    environment: EnvironmentSettings,
    options: Options,
    *,
    asker: Asker,
    say: Callable[[str], None],
    what: str,
) -> str:
    """How this run is confirmed; whoever is at the terminal is asked where no option says it.

    Args:
        what: What is to run, in words, for whoever is asked.

    Raises:
        ReasonRequired, NotConfirmed: with the command that would work.
    """
    problem = policy.reason_problem(environment, options.reason, dry_run=options.dry_run)
    demand = policy.confirmation(task, environment, dry_run=options.dry_run)
    if demand is None:
        how: str | None = policy.unasked(task, yes=options.yes)
    else:
        how = policy.accepted(demand, yes=options.yes, confirm=options.confirm)
    if options.confirm not in (None, environment.name):
        raise NotConfirmed(
            f"--confirm {options.confirm} does not name the environment, which is {environment.name}",
            next_step=f"say which one is meant: --env {options.confirm}, or --confirm {environment.name}",
        )
    if problem:
        raise ReasonRequired(
            problem, next_step=_way_out(options, demand if how is None else None, reason=True)
        )
    if how is None:
        assert demand is not None
        how = _ask(asker, say, options, demand, what)
    return how


def carried(environment: EnvironmentSettings, reason: str | None) -> tuple[str, ...]:
    """The options by which a real run that can ask nobody is told that it was confirmed, and why it runs."""
    confirmed = ("--confirm", environment.name) if environment.protected else ("--yes",)
    return (*confirmed, *(("--reason", reason) if reason else ()))


def _way_out(options: Options, demand: policy.Demand | None, *, reason: bool = False) -> str:
    """The command that would have worked."""
    missing = ["--reason '…'"] if reason else []
    if demand is not None:
        missing.append("--yes" if demand.typed is None else f"--confirm {demand.typed}")
    return options.command_with(missing)


def _ask(asker: Asker, say: Callable[[str], None], options: Options, demand: policy.Demand, what: str) -> str:
    way_out = _way_out(options, demand)
    if not asker.interactive:
        raise NotConfirmed(f"{demand.question} Nobody can be asked: there is no terminal", next_step=way_out)
    say(what)
    try:
        how, refusal = _answer(asker, demand)
    except (KeyboardInterrupt, EOFError):
        raise NotConfirmed("the question was not answered", next_step=way_out) from None
    if refusal:
        raise NotConfirmed(refusal, next_step=way_out)
    return how


def _answer(asker: Asker, demand: policy.Demand) -> tuple[str, str]:
    """How it was confirmed, and why it was not."""
    if demand.typed is None:
        return ("answered", "") if asker.confirm(demand.question) else ("", "not confirmed")
    answer = asker.text(f"{demand.question} Type {demand.typed} to go on")
    if answer == demand.typed:
        return "environment typed", ""
    if not answer:
        return "", "the question was not answered"
    return "", f"{answer!r} is not {demand.typed!r}"
