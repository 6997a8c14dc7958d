"""``oneoff run``, ``exec`` and ``rerun`` in this process, and in a process of its own beside it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from oneoff import own
from oneoff.cli.endings import FOUND_EFFECTS, ending_line
from oneoff.cli.options import (
    Texts,
    collect_texts,
    command_for,
    loosely,
    options_of,
    task_options,
)
from oneoff.cli.output import emit
from oneoff.cli.session import Session, session_of, showing_errors, tell
from oneoff.commands.options import Options
from oneoff.commands.run import Request, frozen_parameters, refuse, rerun_differences, run, task_again
from oneoff.commands.runs import get
from oneoff.dryrun.render import render
from oneoff.errors import (
    AlreadyStarted,
    AppBroken,
    AppNotFound,
    OneoffError,
    Refused,
    StoreUnavailable,
    UsageError,
)
from oneoff.runs.document import to_document
from oneoff.runs.lastwords import last_words, refusal_words
from oneoff.runs.run import Run
from oneoff.runs.status import EXIT_CODES, Status
from oneoff.tasks import parameters
from oneoff.tasks.registry import Registry
from oneoff.tasks.task import RAW, Task, raw_task
from oneoff.types import RunId, TaskName
from oneoff.wiring.services import arm_dry_run


@contextmanager
def recorded(session: Session, wish: Callable[[], Request | None]) -> Iterator[None]:
    """Where the app cannot be loaded, record what was asked for as refused, if a store can be reached."""
    try:
        yield
    except (AppBroken, AppNotFound) as error:
        with suppress(OneoffError):  # what is wrong with the app is what has to be told
            asked = wish() if session.reference or isinstance(error, AppBroken) else None
            if asked is not None:
                refuse(session.services, asked, error)
        raise


def read_loosely(ctx: click.Context, args: Sequence[str]) -> Request | None:
    """What was asked for, as far as it can be read without the task; None where nothing was to be run."""
    name, *others = args
    if ctx.resilient_parsing or name.startswith("-") or set(others) & set(ctx.help_option_names):
        return None
    return _unloaded(session_of(ctx), name, options_of(ctx, loosely(name, others)))


def _unloaded(session: Session, name: str, options: Options, rerun_of: Run | None = None) -> Request:
    app = Registry(session.reference or session.settings.project)
    return Request(task=Task(name=TaskName(name)), registry=app, options=options, rerun_of=rerun_of)


def task_command(task: Task) -> click.Command:
    """The click command that runs one task."""

    @click.pass_context
    def callback(ctx: click.Context, /, **given: Any) -> None:
        with showing_errors():
            session = session_of(ctx)
            if given["detach"] and session.embedded and session.reference is None:
                raise UsageError(
                    "a process of its own would not find this app",
                    next_step='name it in the project: app = "MODULE:NAME" under [tool.oneoff]',
                )
            texts = _collect(session, task, given)
            request = Request(
                task=task,
                registry=session.registry,
                values=lambda: texts.read(task.parameters),
                given=texts.given,
                secrets=texts.secrets,
                options=options_of(ctx, given),
                elsewhere=session.load if session.embedded else None,
            )
            _perform(ctx, session, request, given)

    return command_for(task, callback)


def _collect(session: Session, task: Task, given: Mapping[str, Any]) -> Texts:
    if given["secrets_from_stdin"]:
        return Texts({}, json.loads(sys.stdin.read() or "{}"), ())
    return collect_texts(task.parameters, dict(given), session.asker)


def run_raw(ctx: click.Context, command: Sequence[str], given: Mapping[str, Any]) -> None:
    """``exec``. Raises UsageError where there is no command."""
    session = session_of(ctx)
    if given["dry_run"]:
        ctx.with_resource(arm_dry_run())
    if not command and given["run_id"]:  # a launched one: its record knows the command
        command = get(session.services, given["run_id"]).command or ()
    if not command:
        raise UsageError("there is no command", next_step="oneoff exec -- COMMAND ARGUMENTS…")
    options = options_of(ctx, given, command)
    request = Request(task=raw_task(command), registry=_no_app(session), options=options)
    _perform(ctx, session, request, given)


def _no_app(session: Session) -> Registry:
    """A raw command needs no app; its records are the project's."""
    return Registry(session.settings.project)


def run_again(ctx: click.Context, given: dict[str, Any], earlier: Run) -> None:
    """``rerun``: say what has changed since the earlier run, and run with its parameters."""
    session = session_of(ctx)
    given["dry_run"] = given["dry_run"] or earlier.dry_run
    given["environment"] = given["environment"] or earlier.environment
    if given["dry_run"] or given["expect"]:
        ctx.with_resource(arm_dry_run())
    options = options_of(ctx, given)
    if earlier.task == RAW:
        registry, task = _no_app(session), raw_task(earlier.command or ())
    else:
        with recorded(session, lambda: _unloaded(session, earlier.task, options, rerun_of=earlier)):
            registry = session.registry
        task = task_again(session.services, earlier, registry, options)
    for difference in rerun_differences(session.services, earlier, registry, task):
        tell(f"changed since run {earlier.id}: {difference}")
    secrets = _secrets_again(ctx, session, earlier, task)
    request = Request(
        task=task,
        registry=registry,
        values=lambda: parameters.thaw(task.parameters, frozen_parameters(earlier), secrets.secrets),
        secrets=secrets.secrets,
        options=options,
        rerun_of=earlier,
    )
    _perform(ctx, session, request, given)


def _secrets_again(ctx: click.Context, session: Session, earlier: Run, task: Task) -> Texts:
    """The secrets that the earlier run had, and those that the task wants by now."""
    wanted = tuple(
        replace(parameter, required=parameter.required or earlier.parameters.get(parameter.name) is not None)
        for parameter in task.parameters
        if parameter.secret
    )
    given = click.Command(ctx.info_name, params=[*task_options(wanted)]).make_context(
        ctx.info_name, ctx.args, parent=ctx.parent
    )
    texts = collect_texts(wanted, given.params, session.services.asker)
    texts.read(wanted)
    return texts


def _perform(ctx: click.Context, session: Session, request: Request, given: Mapping[str, Any]) -> None:
    if given["exit_code"] and given["effects"] is False:
        raise UsageError("--exit-code needs the effects: not --no-effects")
    if request.options.break_glass:
        from oneoff.commands.emergency import run_anyway

        ended = run_anyway(request, session.settings, lambda: session.services, session.without_store)
    else:
        with _telling_refusals(given["result_file"], request.options.run_id):
            ended = run(session.services, request)
    if given["result_file"] and not ended.active:
        _leave_result(given["result_file"], ended, session)
    if given["output"] == "json":
        emit(to_document(ended), str, "json")
    else:
        _tell_ending(ended)
    ctx.exit(_exit_code(ended, exit_code=given["exit_code"]))


@contextmanager
def _telling_refusals(file: str | None, run_id: RunId | None) -> Iterator[None]:
    """Let the result file say also why nothing ran; not of a run that another process has in hand."""
    try:
        yield
    except AlreadyStarted:
        raise
    except (Refused, UsageError) as error:
        if file and run_id:
            _leave(file, refusal_words(run_id, error.message))
        raise


def _leave_result(file: str, run: Run, session: Session) -> None:
    """For whoever started this process and sees no store; the record counts, whatever the file does."""
    log = None
    if run.checkpoint is not None:
        with suppress(StoreUnavailable):
            log = own.unheld(session.services.store.log_name)
    _leave(file, last_words(run, log))


def _leave(file: str, words: str) -> None:
    try:
        own.unheld(lambda: Path(file).write_text(words, encoding="utf-8"))  # a dry run has lost the right
    except OSError as error:
        tell(f"the result could not be written to {file}: {error.strerror}")


def _tell_ending(run: Run) -> None:
    if run.report is not None:
        click.echo(render(run.report))
    if run.active:
        tell(f"run {run.id} is {run.status}: `oneoff logs -f {run.id}` follows it")
        return
    tell(ending_line(run))
    if run.checkpoint is not None:
        tell(f"checkpoint {run.checkpoint}")


def _exit_code(run: Run, *, exit_code: bool) -> int:
    if run.active:
        return 0
    found = run.dry_run_report is not None and run.dry_run_report["has_effects"]
    return FOUND_EFFECTS if exit_code and found and run.status is Status.SUCCEEDED else EXIT_CODES[run.status]
