"""The commands of any Click group, as tasks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from types import FunctionType
from typing import Any

import click

from oneoff.errors import CommandFailed
from oneoff.frameworks import questions
from oneoff.frameworks.arguments import (
    Argument,
    Count,
    Line,
    Names,
    assigned,
    chunks,
    command_line,
    finished,
    is_secret,
    limits_of,
    long_of,
    role_of,
    said_of,
    switch,
    telling,
    texts,
)
from oneoff.frameworks.found import RunOfTask, name_of, traced
from oneoff.tasks.choices import literal_kind
from oneoff.tasks.kind import Kind, Unfit
from oneoff.tasks.kinds import BOOLEAN, FLOAT, ID, INTEGER, SECRET, TEXT
from oneoff.tasks.limits import Limits
from oneoff.tasks.parameters import Parameter
from oneoff.tasks.source import plain_function
from oneoff.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Program:
    """A Click command as somebody would start it."""

    command: click.Command
    name: str
    """As its help calls it."""
    origin: str
    obj: Any = None
    own_options: bool = True
    """Whether the options of the program itself are parameters of each task."""


@dataclass(frozen=True)
class Leaf:
    """A command that does something, behind the groups that lead to it."""

    chain: tuple[click.Context, ...]

    @property
    def command(self) -> click.Command:
        return self.chain[-1].command

    @property
    def name(self) -> str:
        """``db:migrate`` of the group ``db``; the program's own name where it has no commands below."""
        names = [str(context.info_name) for context in self.chain]
        return ":".join(names[1:] or names)


def code_of(command: click.Command) -> FunctionType | None:
    """The function that somebody wrote for a command."""
    return plain_function(command.callback) if command.callback is not None else None


def leaves(program: Program) -> Iterator[Leaf]:
    """Every command of a program that is not hidden, in the order of its help."""
    root = program.command.context_class(
        program.command,
        info_name=program.name,
        obj=program.obj,
        resilient_parsing=True,
        **program.command.context_settings,
    )
    return _below((root,))


def _below(chain: tuple[click.Context, ...]) -> Iterator[Leaf]:
    command = chain[-1].command
    if not isinstance(command, click.Group):
        yield Leaf(chain)
        return
    if type(command).__module__.partition(".")[0] == "oneoff":
        return  # our own group inside of theirs has tasks already
    if command.invoke_without_command and command.callback is not None:
        yield Leaf(chain)
    for name in command.list_commands(chain[-1]):
        below = command.get_command(chain[-1], name)
        if below is None or below.hidden:
            continue
        context = below.context_class(
            below,
            info_name=name,
            parent=chain[-1],
            resilient_parsing=True,
            **below.context_settings,
        )
        yield from _below((*chain, context))


def task_of(program: Program, leaf: Leaf) -> Task:
    """A command as a task.

    Raises:
        InvalidDeclaration: its name could not name a task.
    """
    names = Names()
    lines = tuple(
        _line(context, names) for context in leaf.chain if context.parent is not None or program.own_options
    )
    command, code = leaf.command, code_of(leaf.command)
    asks, question = questions.question_of([code] if code is not None else [])
    question = next((line.question for line in lines if line.question), question)
    name = name_of(leaf.name)
    if question is None and (asks or any(line.asks for line in lines)):
        question = f"{name} asks before it goes on. Continue?"
    text = inspect.cleandoc(command.help or command.short_help or "").partition("\f")[0].replace("\b\n", "")
    text = text.strip() or f"The command {name}."
    return Task(
        name=name,
        help="\n\n".join(filter(None, (text, said_of(lines)))),
        parameters=tuple(argument.parameter for line in lines for argument in line.arguments),
        confirm=question,
        function=_calling(program, lines, code),
        takes_context=True,
        origin=program.origin,
    )


def _calling(program: Program, lines: tuple[Line, ...], code: FunctionType | None) -> Callable[..., None]:
    def call(run: RunOfTask, /, **values: Any) -> None:
        extra = {} if program.obj is None else {"obj": program.obj}
        with questions.answering(run), _own_words():
            words = command_line(lines, values)
            with program.command.make_context(program.name, words, **extra) as context:
                program.command.invoke(context)

    return traced(call, code)


@contextmanager
def _own_words() -> Iterator[None]:
    """How Click ends a program, as its own ``main`` would tell it."""
    try:
        yield
    except click.exceptions.Exit as exit_:
        raise SystemExit(exit_.exit_code) from None
    except click.Abort as error:
        raise CommandFailed("the command was aborted") from error
    except click.ClickException as error:
        raise CommandFailed(error.format_message(), code=error.exit_code) from error


def _line(context: click.Context, names: Names) -> Line:
    """The parameters of one command of a chain. Its groups come first, so each has its plain name."""
    group = context.info_name or ""
    arguments: list[Argument] = []
    fixed: list[str] = []
    switches: list[str] = []
    asks, question = False, None
    for param in context.command.params:
        role = _role(param)
        if role:
            assert isinstance(param, click.Option)
            switches.append(telling([*param.opts, *param.secondary_opts]))
            asks = asks or role == "yes"
            question = question or (str(param.prompt) if role == "yes" and param.prompt else None)
            fixed += _fixed(param, role, context)
        elif _offered(param):
            arguments.append(_argument(param, context, names, group))
    return Line(
        command=group if context.parent is not None else "",
        arguments=tuple(arguments),
        fixed=tuple(fixed),
        switches=tuple(switches),
        asks=asks,
        question=question,
    )


def _role(param: click.Parameter) -> str:
    flag = isinstance(param, click.Option) and param.is_flag
    return role_of([*param.opts, *param.secondary_opts], param.name or "") if flag else ""


def _fixed(param: click.Option, role: str, context: click.Context) -> list[str]:
    """What says yes; or what says no to a dry run that is on unless it is said otherwise."""
    if role == "yes":
        return [telling([*param.opts, *param.secondary_opts])]
    if role_of(param.secondary_opts) == role:  # --apply/--dry-run
        return [long_of(param.opts)]
    if param.get_default(context, call=False) is not True:
        return []
    if param.secondary_opts:
        return [long_of(param.secondary_opts)]
    return [long_of(param.opts)] if param.flag_value is False else []


def _offered(param: click.Parameter) -> bool:
    """Without ``--help``, ``--version`` and their like, and what is hidden."""
    if not isinstance(param, click.Option):
        return True
    return not (param.hidden or (param.is_eager and not param.expose_value))


def _argument(param: click.Parameter, context: click.Context, names: Names, group: str) -> Argument:
    if isinstance(param, click.Option) and (param.is_flag or param.count):
        return _flag(param, context, names, group)
    kind, limits = _kind(param)
    several = param.nargs != 1 or param.multiple
    option = long_of(param.opts).lstrip("-") if isinstance(param, click.Option) else (param.name or "")
    name, spelled = names.given(option, flag=kind is BOOLEAN and not several, group=group)
    prompts = isinstance(param, click.Option) and param.prompt is not None
    default = _default(param, context)
    required = (param.required or (prompts and default is None)) and not _from_environment(param, context)
    made = Parameter(
        name=name,
        option=spelled,
        kind=kind,
        required=required,
        help=getattr(param, "help", None) or "",
        limits=limits_of(_count(param, required) if several else None, limits),
        multiple=several,
        positional=not isinstance(param, click.Option),
    )
    made = finished(made, default)
    if made.positional:
        return Argument(parameter=made, words=lambda value: texts(kind, value))
    opt, size = long_of(param.opts), param.nargs

    def words(value: Any) -> list[str]:
        said = texts(kind, value)
        if size == 1:
            return [word for text in said for word in assigned(opt, text)]
        return [word for chunk in chunks(said, size) for word in (opt, *chunk)]

    return Argument(parameter=made, words=words, always=prompts)


def _count(param: click.Parameter, required: bool) -> Count:
    if param.nargs > 1 and not param.multiple:
        return param.nargs, param.nargs
    return (1 if required else None), None


def _flag(param: click.Option, context: click.Context, names: Names, group: str) -> Argument:
    opt = long_of(param.opts)
    help_text = param.help or ""
    if param.count:
        name, spelled = names.given(opt.lstrip("-"), flag=False, group=group)
        default = _default(param, context)
        counted = Parameter(name=name, option=spelled, kind=INTEGER, required=False, help=help_text)
        return Argument(parameter=finished(counted, default), words=lambda number: [opt] * number)
    name, spelled = names.given(opt.lstrip("-"), flag=True, group=group)
    if param.secondary_opts:
        off = long_of(param.secondary_opts)
        made = switch(name, spelled, help_text, _default(param, context))
        return Argument(parameter=made, words=lambda on: [opt if on else off])
    return Argument(parameter=switch(name, spelled, help_text), words=lambda on: [opt] if on else [])


def _default(param: click.Parameter, context: click.Context) -> Any:
    """A default that is a plain value; None where it is made when the command runs, or by a variable."""
    if _from_environment(param, context):
        return None
    default = param.get_default(context, call=False)
    if isinstance(default, Enum):  # a member to choose; Click's own mark for "none" is one of another Enum
        return (
            default.name if isinstance(param.type, click.Choice) and default in param.type.choices else None
        )
    if isinstance(default, list | tuple):
        return list(default)
    return default if isinstance(default, str | int | float) else None


def _from_environment(param: click.Parameter, context: click.Context) -> bool:
    return param.resolve_envvar_value(context) is not None


_PLAIN: tuple[tuple[Any, Kind], ...] = (
    (click.types.BoolParamType, BOOLEAN),
    (click.types.UUIDParameterType, ID),
)


def _kind(param: click.Parameter) -> tuple[Kind, Limits]:
    """What Click's own types take; every other type reads its text when the command starts."""
    of = param.type
    one_text = isinstance(of, click.types.StringParamType) and param.nargs == 1 and not param.multiple
    if getattr(param, "hide_input", False) or (one_text and is_secret(param.name or "")):
        return SECRET, Limits()
    if isinstance(of, click.Choice):
        try:
            return literal_kind([_choice(value) for value in of.choices]), Limits()
        except Unfit:
            return TEXT, Limits()
    if isinstance(of, click.types.IntParamType | click.types.FloatParamType):
        kind = INTEGER if isinstance(of, click.types.IntParamType) else FLOAT
        return kind, _range(of) if isinstance(of, click.IntRange | click.FloatRange) else Limits()
    return next((kind for known, kind in _PLAIN if isinstance(of, known)), TEXT), Limits()


def _choice(value: Any) -> str:
    return value.name if isinstance(value, Enum) else str(value)


def _range(of: click.IntRange | click.FloatRange) -> Limits:
    if of.clamp:
        return Limits()
    low, high = ("gt" if of.min_open else "ge"), ("lt" if of.max_open else "le")
    bounds: dict[str, Any] = {low: of.min, high: of.max}
    return Limits(**bounds)
