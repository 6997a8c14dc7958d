"""A task's parameters, read from the type hints of its function."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal, get_args, get_origin

from oneoff.errors import InvalidDeclaration, InvalidParameters
from oneoff.tasks.kind import Unfit, shown
from oneoff.tasks.kinds import ALLOWED, kind_of
from oneoff.tasks.limits import limits_for, read_metadata
from oneoff.tasks.parameters import OPTION, Parameter, read_one
from oneoff.tasks.source import place, plain_function

RESERVED_OPTIONS = frozenset(
    {
        *("--dry-run", "--yes", "--confirm", "--reason", "--env", "--detach"),
        *("--effects", "--no-effects", "--sample", "--values", "--expect", "--tolerance"),
        *("--run-id", "--output", "--help", "--app", "--exit-code"),
        *("--break-glass", "--secrets-from-stdin", "--require-level", "--here", "--result-file"),
    }
)
"""What ``oneoff run`` itself understands."""

_NOT_DECLARED: dict[Any, str] = {
    inspect.Parameter.VAR_POSITIONAL: "*args has no names and types to make options of",
    inspect.Parameter.VAR_KEYWORD: "**kwargs has no names and types to make options of; "
    "a decorator needs functools.wraps so that the function's own parameters are seen",
    inspect.Parameter.POSITIONAL_ONLY: "a parameter is passed by name and cannot be positional-only",
}


def from_signature(function: Callable[..., Any]) -> tuple[tuple[Parameter, ...], bool]:
    """The parameters of a sync or async function, and whether its first argument is the Context.

    The first argument is the Context where it is annotated with a class of that name, or not annotated and
    called ``ctx``.

    Raises:
        InvalidDeclaration: something in the signature cannot be given on a command line.
    """
    plain = plain_function(function)
    if plain is None:
        raise InvalidDeclaration(
            f"{place(function)} is not a function", next_step="decorate a def or async def"
        )
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        raise InvalidDeclaration(
            f"{place(function)} is a generator: calling it would do nothing", next_step="take out the yield"
        )
    declared = list(inspect.signature(function).parameters.values())
    takes_context = bool(declared) and _is_context(declared[0])
    if takes_context:
        if declared[0].kind not in (declared[0].POSITIONAL_OR_KEYWORD, declared[0].POSITIONAL_ONLY):
            raise _declaration(function, declared[0].name, Unfit("the context is passed by position"))
        declared = declared[1:]
    parameters = tuple(_declared(function, plain, parameter) for parameter in declared)
    _check_options(function, parameters)
    return parameters, takes_context


def _is_context(parameter: inspect.Parameter) -> bool:
    hint = parameter.annotation
    if hint is inspect.Parameter.empty:
        return parameter.name == "ctx"
    if isinstance(hint, str):  # not evaluated: it is often imported for type checkers only
        return re.fullmatch(r"['\"]?([\w.]+\.)?Context(\[.*\])?['\"]?", hint.strip()) is not None
    return getattr(get_origin(hint) or hint, "__name__", None) == "Context"


def _declared(
    function: Callable[..., Any], plain: types.FunctionType, parameter: inspect.Parameter
) -> Parameter:
    try:
        if parameter.kind in _NOT_DECLARED:
            raise Unfit(_NOT_DECLARED[parameter.kind])
        if _is_context(parameter):
            raise Unfit("the context has to be the first argument")
        if parameter.annotation is inspect.Parameter.empty:
            raise Unfit("has no type annotation")
        return _parameter(parameter, _evaluated(parameter.annotation, plain))
    except Unfit as unfit:
        raise _declaration(function, parameter.name, unfit) from unfit.__cause__


def _declaration(function: Callable[..., Any], name: str, unfit: Unfit) -> InvalidDeclaration:
    message = f"{place(function)}, parameter {name}: {unfit.reason}"
    return InvalidDeclaration(message, next_step=f"allowed are {ALLOWED}")


def _evaluated(hint: Any, plain: types.FunctionType) -> Any:
    """The annotation itself where it is a string (PEP 563), with the names of the function's own module."""
    holder = types.SimpleNamespace(__annotations__={"it": hint})
    try:
        return typing.get_type_hints(holder, plain.__globals__, include_extras=True)["it"]
    except Exception as error:  # evaluating an annotation runs foreign code
        raise Unfit(
            f"its annotation {hint!r} cannot be resolved in module {plain.__module__} ({error}): "
            "import the name at the top of that module, outside of `if TYPE_CHECKING`"
        ) from error


def _parameter(declared: inspect.Parameter, hint: Any) -> Parameter:
    core, metadata, nullable = _unwrapped(hint)
    whole, element = read_metadata(metadata), None
    multiple = get_origin(core) is list
    if multiple:
        core, metadata, inner_null = _unwrapped(get_args(core)[0])
        element = read_metadata(metadata)
        if inner_null:
            raise Unfit("an element of a list cannot be None")
    kind = kind_of(core)
    if kind is None:
        raise Unfit(f"the type {_spelled(core)} is not supported")
    if kind.secret and multiple:
        raise Unfit("a list of secrets is not supported: make each one a parameter")
    parameter = Parameter(
        name=declared.name,
        option=_option(declared.name, whole.option),
        kind=kind,
        required=declared.default is inspect.Parameter.empty,
        help=whole.help or "",
        limits=limits_for(kind, whole, element),
        multiple=multiple,
        nullable=nullable,
    )
    return parameter if parameter.required else _with_default(parameter, declared.default)


def _unwrapped(hint: Any) -> tuple[Any, list[Any], bool]:
    """A hint without its aliases, its ``Annotated`` and its ``| None``."""
    metadata: list[Any] = []
    nullable = False
    while True:
        if get_origin(hint) is Annotated:
            metadata += hint.__metadata__
            hint = hint.__origin__
        elif get_origin(hint) in (typing.Union, types.UnionType) and type(None) in get_args(hint):
            rest = [member for member in get_args(hint) if member is not type(None)]
            if len(rest) > 1:
                return hint, metadata, True
            hint, nullable = rest[0], True
        elif hasattr(hint, "__supertype__"):  # NewType
            hint = hint.__supertype__
        elif hasattr(hint, "__value__") and hasattr(hint, "__type_params__"):  # `type X = …` (PEP 695)
            hint = hint.__value__
        else:
            return hint, metadata, nullable or (get_origin(hint) is Literal and None in get_args(hint))


def _spelled(hint: Any) -> str:
    return hint.__qualname__ if isinstance(hint, type) and not get_args(hint) else str(hint)


def _option(name: str, wanted: str | None) -> str:
    option = wanted if wanted is not None else "--" + name.strip("_").replace("_", "-")
    if not OPTION.fullmatch(option):
        raise Unfit(f"{shown(option)} is no option: it starts with two dashes, then a letter or digit")
    return option


def _with_default(parameter: Parameter, default: Any) -> Parameter:
    if parameter.secret and default is not None:
        raise Unfit("a secret has no default other than None: it would stand in the code")
    if default is None and not parameter.nullable:
        raise Unfit("its default is None, which its type does not allow: add `| None`")
    try:
        value = read_one(parameter, default, parameter.kind.accept)
    except InvalidParameters as error:
        raise Unfit(f"its default does not fit: {error.problems[0].message}") from error
    return replace(parameter, default=value)


def _check_options(function: Callable[..., Any], parameters: tuple[Parameter, ...]) -> None:
    taken = dict.fromkeys(RESERVED_OPTIONS, "oneoff itself")
    for parameter in parameters:
        for option in parameter.options:
            if option in taken:
                raise InvalidDeclaration(
                    f"{place(function)}, parameter {parameter.name}: "
                    f"the option {option} belongs to {taken[option]}",
                    next_step='give it another one: Annotated[…, oneoff.Param(option="--other-name")]',
                )
            taken[option] = f"parameter {parameter.name}"
