"""The options of a task: its own, made from its parameters, and those that every run has."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oneoff.commands.options import EffectsOptions, Options
from oneoff.errors import InvalidParameters, Problem, UsageError
from oneoff.settings import GUARDS, LEVELS
from oneoff.tasks import parameters
from oneoff.tasks.parameters import Parameter
from oneoff.tasks.task import Task
from oneoff.types import RunId

if TYPE_CHECKING:
    from oneoff.protocols import Asker

Given = dict[str, Any]
"""A click command's options as they came, by the parameter's name."""


def run_options() -> list[click.Option]:
    """The options that every run has."""
    return [
        click.Option(["--dry-run"], is_flag=True, help="Preview: execute, and let nothing stay."),
        click.Option(
            ["--require-level"],
            type=click.Choice([*LEVELS, *GUARDS]),
            multiple=True,
            help="Refuse a dry run that is held by less; repeat it for several.",
        ),
        click.Option(["--yes"], is_flag=True, help="Answer the task's question with yes."),
        click.Option(["--confirm"], metavar="ENV", help="Confirm for a protected environment, by its name."),
        click.Option(["--reason"], metavar="TEXT", help="Why; kept in the audit log."),
        click.Option(["--env", "environment"], metavar="NAME", help="The environment to run in."),
        click.Option(
            ["--detach"], is_flag=True, help="Return once it is started: a process of its own, or a Job."
        ),
        click.Option(
            ["--run-id"], metavar="ID", help="An id of your own; a second start with it runs nothing."
        ),
        click.Option(
            ["--break-glass"], is_flag=True, help="Run though the store cannot be used, if ENV allows it."
        ),
        click.Option(
            ["--effects/--no-effects"],
            default=None,
            help="Measure what the run changes; a real one then commits once, at its end.",
        ),
        click.Option(
            ["--sample"], type=click.IntRange(min=0), metavar="N", help="Show N changed rows of each table."
        ),
        click.Option(["--values"], is_flag=True, help="Show the values of these rows, not only their keys."),
        click.Option(
            ["--expect"], metavar="REPORT", help="Commit nothing if a dry run's report is exceeded."
        ),
        click.Option(
            ["--tolerance"], metavar="PERCENT", help="By how much it may be exceeded; 0% if not said."
        ),
        click.Option(
            ["--here"], is_flag=True, help="Run in this process, in an environment that is in Kubernetes."
        ),
        click.Option(
            ["--release"],
            metavar="WHICH",
            help="In Kubernetes: running, target, or a manifest of it; if not said, both have to be one.",
        ),
        click.Option(
            ["--image"], metavar="IMAGE", help="In Kubernetes: in place of the release's own; a departure."
        ),
        click.Option(
            ["--variable", "variables"],
            multiple=True,
            metavar="NAME=VALUE",
            help="In Kubernetes: add to the app's variables; a departure. Repeat it for several.",
        ),
        click.Option(["--result-file"], metavar="FILE", help="Write how the run ended, as one line of JSON."),
        click.Option(["--exit-code"], is_flag=True, help="Exit with 10 if the dry run found effects."),
        click.Option(
            ["-o", "--output"],
            type=click.Choice(["table", "json"]),
            default="table",
            help="The form of the result.",
        ),
        click.Option(["--secrets-from-stdin"], is_flag=True, hidden=True),
    ]


def loosely(name: str, words: list[str]) -> dict[str, Any]:
    """The options of a run among these words, whatever else there is."""
    loose = click.Command(
        name,
        params=[*run_options()],
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
    return loose.make_context(name, words, resilient_parsing=True).params


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


_PLACED = "placed"
"""Where click keeps what stands on the command line without an option."""


def command_for(task: Task, callback: Callable[..., Any]) -> click.Command:
    """The command that runs a task, with its own options and those of every run."""
    return click.Command(
        task.name,
        callback=callback,
        params=[*task_options(task.parameters), *run_options()],
        help=task.help or None,
        short_help=task.summary or None,
    )


def task_options(task_parameters: tuple[Parameter, ...]) -> list[click.Parameter]:
    """A task's own options. All values stay texts here: its parameters read them, all errors at once."""
    options: list[click.Parameter] = [_option(parameter) for parameter in task_parameters]
    places = [
        f"[{parameter.name.upper()}]{'...' if parameter.multiple else ''}"
        for parameter in task_parameters
        if parameter.positional
    ]
    if places:
        options.append(click.Argument([_PLACED], nargs=-1, metavar=" ".join(places)))
    return options


def _option(parameter: Parameter) -> click.Option:
    words = [parameter.help] if parameter.help else []
    if parameter.choices or parameter.limits.words(parameter.kind):
        words.append(f"[{parameter.allowed}]")
    if parameter.multiple:
        words.append("[repeat it for several]")
    if parameter.required:
        words.append("[required]")
    elif parameter.default_text:
        words.append(f"[default: {parameter.default_text}]")
    return click.Option(
        ["/".join(parameter.options), slot(parameter.name)],
        help=" ".join(words) or None,
        metavar=None if parameter.flag else parameter.metavar,
        multiple=parameter.multiple,
        default=None,
        type=click.BOOL if parameter.flag else click.STRING,
    )


def slot(name: str) -> str:
    """Where click keeps a parameter's value: apart from the options of every run."""
    return f"parameter_{name.lower()}"


@dataclass(frozen=True)
class Texts:
    """What the command line gave for a task's parameters, files read and secrets at hand."""

    values: Mapping[str, Any]
    secrets: Mapping[str, str]
    problems: tuple[Problem, ...]

    @property
    def given(self) -> bool:
        """Whether any parameter was given at all."""
        return bool(self.values or self.problems)

    def read(self, task_parameters: tuple[Parameter, ...]) -> dict[str, Any]:
        """The values; raises InvalidParameters with the problems of reading and of meaning together."""
        try:
            values = parameters.parse(task_parameters, self.values)
        except InvalidParameters as error:
            told = {problem.parameter for problem in self.problems}
            others = [problem for problem in error.problems if problem.parameter not in told]
            raise InvalidParameters([*self.problems, *others], next_step=error.next_step) from None
        if self.problems:
            raise InvalidParameters(self.problems)
        return values


def collect_texts(task_parameters: tuple[Parameter, ...], given: Given, asker: Asker) -> Texts:
    """The texts of a task's parameters: ``@FILE`` is read, a secret is read or asked for."""
    values: dict[str, Any] = {}
    secrets: dict[str, str] = {}
    problems: list[Problem] = []
    given = {**given, **_by_place(task_parameters, given)}
    for parameter in task_parameters:
        raw = given.get(slot(parameter.name))
        try:
            value = _secret(parameter, raw, asker) if parameter.secret else _text(parameter, raw)
        except ValueError as error:
            problems.append(Problem(parameter.name, str(error)))
            continue
        if value is None:
            continue
        values[parameter.name] = value
        if parameter.secret:
            secrets[parameter.name] = value
    return Texts(values, secrets, tuple(problems))


def _by_place(task_parameters: tuple[Parameter, ...], given: Given) -> Given:
    """What stands without an option, for the positional parameters whose options are not there.

    Raises:
        UsageError: there is more than they take.
    """
    words = list(given.get(_PLACED, ()))
    found: Given = {}
    open_places = [
        parameter
        for parameter in task_parameters
        if parameter.positional and not given.get(slot(parameter.name))
    ]
    for number, parameter in enumerate(open_places, start=1):
        taken = max(len(words) - len(open_places[number:]), 0) if parameter.multiple else 1
        if words[:taken]:
            found[slot(parameter.name)] = tuple(words[:taken]) if parameter.multiple else words[0]
            del words[:taken]
    if words:
        raise UsageError(f"the task takes no further argument, and {words[0]!r} is one")
    return found


def _text(parameter: Parameter, raw: Any) -> Any:
    if raw is None or raw == ():
        return None
    if parameter.flag:
        return raw
    return [_content(text) for text in raw] if parameter.multiple else _content(raw)


def _secret(parameter: Parameter, raw: str | None, asker: Asker) -> str | None:
    """A secret comes from a file or from the terminal; an argument list is there for everybody to read."""
    if raw is None:
        if not parameter.required:
            return None
        if not asker.interactive:
            raise ValueError(f"is a secret and nobody can be asked for it: give {parameter.option} @FILE")
        answer = asker.secret(parameter.name)
        if not answer:
            raise ValueError("is a secret and was not given")
        return answer
    if not raw.startswith("@"):
        raise ValueError("is a secret and must not stand on a command line: give @FILE, or be asked for it")
    return _content(raw)


def _content(text: str) -> str:
    """The text itself, or the content of the file that ``@FILE`` names; ``@@`` begins a text with an @."""
    if not text.startswith("@"):
        return text
    if text.startswith("@@"):
        return text[1:]
    name = text[1:]
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise ValueError(f"the file {name!r} cannot be read: {error.strerror}") from None
    try:
        return content.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise ValueError(f"the file {name!r} is not text in UTF-8") from None
