"""``oneoff run``, ``exec`` and ``rerun``."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from oneoff import own
from oneoff.cli.options import Texts, collect_texts, run_options, task_options
from oneoff.cli.output import emit
from oneoff.cli.runs import FOUND_EFFECTS, ending_line
from oneoff.cli.session import Session, ShowingGroup, showing_errors, tell
from oneoff.commands.effects import EffectsOptions
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
    TaskNotFound,
    UsageError,
)
from oneoff.runs.document import to_document
from oneoff.runs.intent import KUBERNETES
from oneoff.runs.lastwords import last_words, refusal_words
from oneoff.runs.run import Run
from oneoff.runs.status import EXIT_CODES, Status
from oneoff.tasks import parameters
from oneoff.tasks.registry import Registry
from oneoff.tasks.task import RAW, Task
from oneoff.types import RunId, TaskName
from oneoff.wiring.services import arm_dry_run

_READ_ONLY = frozenset({"--dry-run", "--expect"})
"""Options with which databases that are not declared can be read only."""


class TaskGroup(ShowingGroup):
    """A command for each task of the app, made when it is called for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [task.name for task in _session(ctx).registry]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return task_command(_session(ctx).registry.get(cmd_name))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        given = _loosely(args[0], args[1:])
        if _elsewhere(_session(ctx), given):
            from oneoff.cli.launch import command_of

            return args[0], command_of(_session(ctx), given, args[0]), args[1:]
        if given["environment"]:
            with showing_errors():  # before the app is looked for, which a laptop need not have
                _session(ctx).settings.environment_named(given["environment"])
        if any(arg.partition("=")[0] in _READ_ONLY for arg in args):
            # Before the app is imported: a connection that it opens then is read-only too.
            ctx.with_resource(arm_dry_run())
        with showing_errors(), _recorded(_session(ctx), lambda: _read_loosely(ctx, args)):
            try:
                return super().resolve_command(ctx, args)
            except TaskNotFound as error:
                raise _pointing_elsewhere(error, _session(ctx), given) from error.__cause__

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Options of the run may stand before the task as well as behind it."""
        return super().parse_args(ctx, _task_first(args))


def _elsewhere(session: Session, given: Mapping[str, Any]) -> bool:
    """Whether the environment to run in is in Kubernetes, and this is no pod of it."""
    if session.embedded or given["here"]:
        return False
    return (given["environment"] or session.settings.environment) in session.settings.in_kubernetes


def _pointing_elsewhere(error: TaskNotFound, session: Session, given: Mapping[str, Any]) -> TaskNotFound:
    """A checkout without the app has the tasks of its environments in Kubernetes all the same."""
    places = sorted(session.settings.in_kubernetes)
    if session.embedded or given["environment"] or not places:
        return error
    which = " or ".join(f"--env {place}" for place in places)
    return TaskNotFound(error.message, next_step=f"`oneoff tasks` lists those here; elsewhere with {which}")


def _loosely(name: str, words: list[str]) -> dict[str, Any]:
    """The options of a run among these words, whatever else there is."""
    loose = click.Command(
        name,
        params=[*run_options()],
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
    return loose.make_context(name, words, resilient_parsing=True).params


@contextmanager
def _recorded(session: Session, wish: Callable[[], Request | None]) -> Iterator[None]:
    """Where the app cannot be loaded, record what was asked for as refused, if a store can be reached."""
    try:
        yield
    except (AppBroken, AppNotFound) as error:
        with suppress(OneoffError):  # what is wrong with the app is what has to be told
            asked = wish() if session.reference or isinstance(error, AppBroken) else None
            if asked is not None:
                refuse(session.services, asked, error)
        raise


def _read_loosely(ctx: click.Context, args: list[str]) -> Request | None:
    """What was asked for, as far as it can be read without the task; None where nothing was to be run."""
    name, *others = args
    if ctx.resilient_parsing or name.startswith("-") or set(others) & set(ctx.help_option_names):
        return None
    return _unloaded(_session(ctx), name, options_of(ctx, _loosely(name, others)))


def _unloaded(session: Session, name: str, options: Options, rerun_of: Run | None = None) -> Request:
    app = Registry(session.reference or session.settings.project)
    return Request(task=Task(name=TaskName(name)), registry=app, options=options, rerun_of=rerun_of)


def _task_first(args: list[str]) -> list[str]:
    flags, valued = set[str](), set[str]()
    for option in run_options():
        (flags if option.is_flag else valued).update(option.opts, option.secondary_opts)
    position = 0
    while position < len(args):
        word, has_value, _ = args[position].partition("=")
        if word in valued and not has_value:
            position += 2
        elif word in flags | valued or word[:2] in valued:  # --reason=…, -ojson
            position += 1
        else:
            break
    return args[position : position + 1] + args[:position] + args[position + 1 :]


def task_command(task: Task) -> click.Command:
    """The click command that runs one task."""

    @click.pass_context
    def callback(ctx: click.Context, /, **given: Any) -> None:
        with showing_errors():
            session = _session(ctx)
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

    return click.Command(
        task.name,
        callback=callback,
        params=[*task_options(task.parameters), *run_options()],
        help=task.help or None,
        short_help=task.summary or None,
    )


def _collect(session: Session, task: Task, given: Mapping[str, Any]) -> Texts:
    if given["secrets_from_stdin"]:
        return Texts({}, json.loads(sys.stdin.read() or "{}"), ())
    return collect_texts(task.parameters, dict(given), session.asker)


def options_of(ctx: click.Context, given: Mapping[str, Any], command: Sequence[str] = ()) -> Options:
    """How the run is wanted. Raises UsageError where options do not go together."""
    run_id, require_level = given["run_id"], tuple(given["require_level"])
    if require_level and not given["dry_run"]:
        raise UsageError("--require-level is about a dry run", next_step="add --dry-run, or leave it out")
    if require_level and given["detach"]:
        raise UsageError(
            "--require-level does not reach the process that --detach starts",
            next_step="leave --detach out, or give the environment a require_level in the settings",
        )
    return Options(
        environment=given["environment"],
        dry_run=given["dry_run"],
        yes=given["yes"],
        confirm=given["confirm"],
        reason=given["reason"],
        detach=given["detach"],
        run_id=RunId(run_id) if run_id else None,
        break_glass=given["break_glass"],
        here=given["here"],
        effects=EffectsOptions(
            measured=given["effects"],
            sample=given["sample"],
            values=given["values"],
            expect=given["expect"],
            tolerance=given["tolerance"],
        ),
        require_level=require_level,
        command_with=command_with(ctx, command),
        keep_stdout=given["output"] == "json",
    )


def command_with(ctx: click.Context, command: Sequence[str] = ()) -> Callable[[Sequence[str]], str]:
    """Makes what was typed into the command that works: with further options, and without an id used up."""
    typed = sys.argv[1 : len(sys.argv) - len(command)]
    if command and typed[-1:] == ["--"]:
        typed.pop()
    head = ctx.find_root().info_name or "oneoff"
    tail = ["--", *map(shlex.quote, command)] if command else []

    def with_options(options: Sequence[str]) -> str:
        # Nor with what tells a process that it is the pod: whoever reads this has none.
        again = {"--run-id", "--here", "--result-file", *(option.partition(" ")[0] for option in options)}
        return " ".join([head, *map(shlex.quote, _without(again, typed)), *options, *tail])

    return with_options


def _without(names: Set[str], words: Sequence[str]) -> Iterator[str]:
    """The words without these options of a run and their values: ``--name value`` and ``--name=value``."""
    flags = {
        name for option in run_options() if option.is_flag for name in (*option.opts, *option.secondary_opts)
    }
    remaining = iter(words)
    for word in remaining:
        name, has_value, _ = word.partition("=")
        if name not in names:
            yield word
        elif not has_value and name not in flags:
            next(remaining, None)


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


def _session(ctx: click.Context) -> Session:
    session = ctx.find_object(Session)
    assert session is not None
    return session


@click.group(name="run", cls=TaskGroup, subcommand_metavar="TASK [OPTIONS]...")
def run_command() -> None:
    """Run a task in this process, or preview it with --dry-run.

    `oneoff run TASK --help` shows the task's own options.
    """


@click.command(name="exec", params=[*run_options()], context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def exec_command(ctx: click.Context, /, command: tuple[str, ...], **given: Any) -> None:
    """Run any command, recorded like a task: oneoff exec -- COMMAND ARGUMENTS…"""
    session = _session(ctx)
    if command and _elsewhere(session, given):
        from oneoff.cli.launch import run_raw

        run_raw(ctx, _raw(command), given)
    if given["dry_run"]:
        ctx.with_resource(arm_dry_run())
    if not command and given["run_id"]:  # a launched one: its record knows the command
        command = get(session.services, given["run_id"]).command or ()
    if not command:
        raise UsageError("there is no command", next_step="oneoff exec -- COMMAND ARGUMENTS…")
    options = options_of(ctx, given, command)
    _perform(ctx, session, Request(task=_raw(command), registry=_no_app(session), options=options), given)


def _raw(command: tuple[str, ...]) -> Task:
    return Task(name=RAW, help="A raw command.", command=command)


def _no_app(session: Session) -> Registry:
    """A raw command needs no app; its records are the project's."""
    return Registry(session.settings.project)


@click.command(
    name="rerun",
    params=[*run_options()],
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("run", metavar="RUN")
@click.pass_context
def rerun_command(ctx: click.Context, /, **given: Any) -> None:
    """Run again with the parameters of an earlier run, in its environment; says what has changed since.

    Secrets are kept nowhere: they are asked for again, or given as --NAME @FILE.
    """
    session = _session(ctx)
    if _elsewhere(session, given):
        from oneoff.cli.launch import run_again

        run_again(ctx, given)
    earlier = get(session.services, given["run"])
    if earlier.launcher == KUBERNETES and not given["here"]:
        from oneoff.cli.launch import run_bare_again

        run_bare_again(ctx, given, earlier)
    given["dry_run"] = given["dry_run"] or earlier.dry_run
    given["environment"] = given["environment"] or earlier.environment
    if given["dry_run"] or given["expect"]:
        ctx.with_resource(arm_dry_run())
    options = options_of(ctx, given)
    if earlier.task == RAW:
        registry, task = _no_app(session), _raw(earlier.command or ())
    else:
        with _recorded(session, lambda: _unloaded(session, earlier.task, options, rerun_of=earlier)):
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
