"""``oneoff run --env`` and ``exec --env`` where the environment is in Kubernetes."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

import click

from oneoff.cli.endings import FOUND_EFFECTS, LET_GO, ending_line
from oneoff.cli.options import collect_texts, command_for, slot, task_options
from oneoff.cli.output import emit
from oneoff.cli.session import Session, session_of, showing_errors, tell
from oneoff.errors import InvalidParameters, Problem, TaskNotFound, UsageError, did_you_mean
from oneoff.runs.document import document_of_launch, to_document
from oneoff.runs.run import Run
from oneoff.runs.status import EXIT_CODES, Status
from oneoff.settings.kubernetes import SecretKey
from oneoff.tasks.parameters import Parameter
from oneoff.tasks.registry import task_name
from oneoff.tasks.task import RAW, Task
from oneoff.types import RunId, new_run_id

if TYPE_CHECKING:  # loaded where a run is launched: they bring a whole HTTP client
    from collections.abc import Iterator

    from oneoff.commands.cluster.launch import Launched
    from oneoff.commands.cluster.remote import Remote
    from oneoff.commands.options import Options
    from oneoff.kube.release.live import Live

_SECRET = re.compile(r"secret:([a-z0-9]([a-z0-9.-]*[a-z0-9])?)/([A-Za-z0-9._-]+)")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*)=(.*)", re.DOTALL)


@contextmanager
def starting() -> Iterator[None]:
    """Until its Job is there, a launch makes no garbage, and looking for it takes a tenth of its time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def command_of(session: Session, given: Mapping[str, Any], name: str) -> click.Command:
    """The click command of one task as the release has it that these options of a run name.

    Raises:
        TaskNotFound: it has none of that name.
        ClusterError, NotDerivable: the release cannot be asked.
    """
    remote = session.remote(given["environment"])
    bare = next((task for task in session.bare_tasks if task.name == task_name(name)), None)
    wanted = _wanted(remote, given)
    return _command(bare or _task(remote, wanted.live, name), wanted, bare=bare is not None)


def run_again(ctx: click.Context, given: dict[str, Any]) -> NoReturn:
    """``rerun`` of a run whose record is in the environment's own store."""
    from oneoff.commands.cluster.again import earlier_run

    session = session_of(ctx)
    remote = session.remote(given["environment"])
    wanted = _wanted(remote, given)
    earlier = earlier_run(remote, wanted.live, given["run"])
    given["dry_run"] = given["dry_run"] or earlier.dry_run
    if earlier.task == RAW:
        task = Task(name=RAW, command=earlier.command)
    else:
        task = _task(remote, wanted.live, earlier.task)
    hidden = tuple(parameter for parameter in task.parameters if parameter.secret)
    more = click.Command(ctx.info_name, params=[*task_options(hidden)]).make_context(
        ctx.info_name, ctx.args, parent=ctx.parent
    )
    _, secrets = _parameters(replace(task, parameters=hidden), more.params, ctx)
    perform(ctx, task, given, wanted=wanted, secrets=secrets, again=earlier)


def run_bare_again(ctx: click.Context, given: dict[str, Any], earlier: Run) -> NoReturn:
    """``rerun`` of a bare command, whose record is here."""
    session = session_of(ctx)
    task = next((one for one in session.bare_tasks if one.name == earlier.task), None)
    if task is None:
        raise TaskNotFound(f"{earlier.task} is no command with runner = false in the settings any more")
    given["environment"] = given["environment"] or earlier.environment
    remote = session.remote(given["environment"])
    perform(ctx, task, given, wanted=_wanted(remote, given), bare=True, again=earlier)


def run_raw(ctx: click.Context, task: Task, given: Mapping[str, Any]) -> NoReturn:
    """``exec`` in a pod of the release."""
    session = session_of(ctx)
    perform(ctx, task, given, wanted=_wanted(session.remote(given["environment"]), given))


@dataclass(frozen=True)
class _Wanted:
    remote: Remote
    live: Live


def _wanted(remote: Remote, given: Mapping[str, Any]) -> _Wanted:
    from oneoff.cli.manifests import wanted
    from oneoff.commands.cluster.releases import live

    return _Wanted(remote, live(remote, wanted(given["release"])))


def _task(remote: Remote, live: Live, name: str) -> Task:
    from oneoff.commands.cluster.catalogues import catalogue

    known = {task.name: task for task in catalogue(remote, live)}
    found = known.get(task_name(name))
    if found is None:
        raise TaskNotFound(
            f"the release in {remote.environment.name} has no task {name}{did_you_mean(name, known)}",
            next_step=f"`oneoff tasks --env {remote.environment.name}` lists them",
        )
    return found


def _command(task: Task, wanted: _Wanted, *, bare: bool) -> click.Command:
    @click.pass_context
    def callback(ctx: click.Context, /, **given: Any) -> None:
        with showing_errors():
            plain, secrets = _parameters(task, given, ctx)
            perform(ctx, task, given, wanted=wanted, texts=plain, secrets=secrets, bare=bare)

    return command_for(task, callback)


def perform(
    ctx: click.Context,
    task: Task,
    given: Mapping[str, Any],
    *,
    wanted: _Wanted,
    texts: Mapping[str, Any] | None = None,
    secrets: Mapping[str, SecretKey] | None = None,
    bare: bool = False,
    again: Run | None = None,
) -> NoReturn:
    """Launch, follow, say how it ended, and exit as it did."""
    from oneoff.cli.options import options_of
    from oneoff.commands.cluster import launch

    remote, session = wanted.remote, session_of(ctx)
    options = options_of(ctx, given, task.command or () if task.name == RAW else ())
    run_id = options.run_id or new_run_id(remote.clock.now())
    request = launch.LaunchRequest(
        task=task,
        texts=texts or {},
        secrets=secrets or {},
        options=options,
        bare=bare,
        again=again,
        run_id=run_id,
        live=wanted.live,
        image=given["image"],
        variables=_variables(given["variables"]),
    )
    with letting_go(run_id, remote.environment.name, launched=False):
        if bare:
            from oneoff.commands.cluster import supervise

            launched = supervise.launch(session.services, remote, request)
        else:
            launched = launch.launch(remote, request)
    gc.freeze()  # nor at its end, once more
    gc.enable()
    with letting_go(run_id, remote.environment.name):
        _tell_launched(remote, launched)
        if options.detach:
            _finish(ctx, launched.run, given, bare=bare)
        found = launch.attend_launched(remote, launched, write=_writer(options), say=tell)
    if bare:
        ended = supervise.close(session.services, launched.run, found, launched.job)
    elif found.words is not None:
        ended = launch.ended(launched.run, found, remote.clock.now())
    else:
        from oneoff.commands.cluster import telling

        ended = telling.settled(remote, launched.job, launched.run, found)
    _finish(ctx, ended, given, bare=bare, found_effects=bool(found.words and found.words.has_effects))


def _finish(
    ctx: click.Context, run: Run, given: Mapping[str, Any], *, bare: bool, found_effects: bool = False
) -> NoReturn:
    if given["output"] == "json":
        emit(to_document(run) if bare else document_of_launch(run), str, "json")
    elif run.active:
        tell(f"run {run.id} is {run.status}; `oneoff logs -f {run.id} --env {run.environment}` follows it")
    else:
        tell(ending_line(run))
    if run.active:
        ctx.exit(0)
    found = given["exit_code"] and found_effects and run.status is Status.SUCCEEDED
    ctx.exit(FOUND_EFFECTS if found else EXIT_CODES[run.status])


def _writer(options: Options) -> Any:
    out = sys.stderr.buffer if options.keep_stdout else sys.stdout.buffer

    def write(text: bytes) -> None:
        out.write(text)
        out.flush()

    return write


def _tell_launched(remote: Remote, launched: Launched) -> None:
    name = launched.job["metadata"]["name"]
    was = "was launched before" if launched.before else "is launched"
    tell(f"run {launched.run.id} {was}: Job {name} in {remote.cluster.namespace}")


@contextmanager
def letting_go(run_id: RunId, environment: str, *, launched: bool = True) -> Iterator[None]:
    """Ctrl-C lets go of a run, which goes on if it was launched, and says how to come back."""
    try:
        yield
    except KeyboardInterrupt:
        at = f"{run_id} --env {environment}"
        goes_on = "goes on" if launched else "goes on if it was launched already"
        tell(
            f"\nrun {run_id} {goes_on}; `oneoff logs -f {at}` comes back to it, `oneoff cancel {at}` ends it"
        )
        sys.exit(LET_GO)


def _variables(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for one in given:
        match = _VARIABLE.fullmatch(one)
        if match is None:
            raise UsageError(f"--variable {one!r}: NAME=VALUE is wanted")
        found[match[1]] = match[2]
    return found


def _parameters(
    task: Task, given: dict[str, Any], ctx: click.Context
) -> tuple[dict[str, Any], dict[str, SecretKey]]:
    """The texts of its parameters, checked as the app would, and where its secrets are."""
    session = session_of(ctx)
    plain = tuple(parameter for parameter in task.parameters if not parameter.secret)
    texts = collect_texts(plain, given, session.asker)
    problems: list[Problem] = []
    secrets: dict[str, SecretKey] = {}
    for parameter in task.parameters:
        if parameter.secret:
            _reference(parameter, given.get(slot(parameter.name)), secrets, problems)
    try:
        texts.read(plain)
    except InvalidParameters as error:
        raise InvalidParameters([*error.problems, *problems], next_step=error.next_step) from None
    if problems:
        raise InvalidParameters(problems)
    return dict(texts.values), secrets


def _reference(
    parameter: Parameter, raw: str | None, secrets: dict[str, SecretKey], problems: list[Problem]
) -> None:
    if raw is None:
        if parameter.required:
            problems.append(Problem(parameter.name, f"is a secret: {_reference_to(parameter)}"))
        return
    match = _SECRET.fullmatch(raw)
    if match is None:
        problems.append(
            Problem(parameter.name, f"is a secret, and cannot travel from here: {_reference_to(parameter)}")
        )
        return
    secrets[parameter.name] = SecretKey(match[1], match[3])


def _reference_to(parameter: Parameter) -> str:
    return f"name the Secret of the namespace that holds it, {parameter.option} secret:NAME/KEY"
