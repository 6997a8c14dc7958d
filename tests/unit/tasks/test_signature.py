from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from enum import Enum, Flag
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, Optional

import msgspec
import pydantic
import pytest

from oneoff.errors import InvalidDeclaration
from oneoff.tasks import kinds
from oneoff.tasks.limits import Limits, Param
from oneoff.tasks.secret import Secret
from oneoff.tasks.signature import RESERVED_OPTIONS, from_signature
from tests.unit.tasks.samples import Carrier, Route, one

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForCheckers

    from elsewhere import Context as Ctx  # type: ignore[import-not-found] # only its annotation counts
    from elsewhere import oneoff_context

Days = NewType("Days", int)
Short = Annotated[str, Param(max_length=3)]


class Context:
    """Any class of this name will do."""


class Empty(Enum):
    pass


class Bits(Flag):
    A = 1


def test_a_function_as_people_write_it() -> None:
    """Names, kinds, defaults, help and options come from the signature, in its order."""

    def cleanup(
        ctx: Context,
        older_than: Annotated[timedelta, Param(help="Age of the session")] = timedelta(days=90),
        *,
        carriers: list[Short],
        from_: Optional[date] = None,  # noqa: UP045 # the old spelling is supported too
        really: bool = False,
    ) -> None: ...

    parameters, takes_context = from_signature(cleanup)
    assert takes_context
    older, carriers, start, really = parameters
    assert (older.name, older.option, older.options) == ("older_than", "--older-than", ("--older-than",))
    assert older.kind is kinds.DURATION
    assert (older.required, older.default, older.default_text) == (False, timedelta(days=90), "P90D")
    assert (older.help, older.metavar) == ("Age of the session", "DURATION")
    assert (carriers.multiple, carriers.required, carriers.limits) == (True, True, Limits(max_length=3))
    assert (start.option, start.nullable, start.required, start.default_text) == ("--from", True, False, None)
    assert (really.flag, really.options, really.default_text) == (True, ("--really", "--no-really"), "false")


def test_async_functions_and_methods() -> None:
    """A coroutine function and a bound method are functions like any other."""

    async def fetch(day: date) -> None: ...

    class Admin:
        def purge(self, ctx: Context, day: date) -> None: ...

    assert [p.name for p in from_signature(fetch)[0]] == ["day"]
    parameters, takes_context = from_signature(Admin().purge)
    assert ([p.name for p in parameters], takes_context) == (["day"], True)


def test_a_decorated_function_is_seen_through() -> None:
    """functools.wraps leads to the parameters, and to the module that their annotations are resolved in."""

    def logged(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> None:
            function(*args, **kwargs)

        return wrapper

    @logged
    def purge(ctx: Context, carrier: Carrier) -> None: ...

    parameters, takes_context = from_signature(purge)
    assert ([p.name for p in parameters], takes_context) == (["carrier"], True)


def test_the_place_is_where_somebody_wrote_the_function() -> None:
    """An error names the line of the function itself, not that of its decorator."""

    def purge(x: bytes) -> None: ...

    @functools.wraps(purge)
    def wrapper(*args: Any, **kwargs: Any) -> None: ...

    with pytest.raises(InvalidDeclaration) as caught:
        from_signature(wrapper)
    assert f"({__file__}:{purge.__code__.co_firstlineno}), parameter x: " in caught.value.message


def with_context_class(ctx: Context, /, x: int) -> None: ...
def with_context_name(context: Ctx.Context, x: int) -> None: ...
def with_generic_context(c: oneoff_context.Context[int], x: int) -> None: ...
def with_bare_ctx(ctx, x: int) -> None: ...  # type: ignore[no-untyped-def] # the point of the test
def without_context(x: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (with_context_class, True),
        (with_context_name, True),
        (with_generic_context, True),
        (with_bare_ctx, True),
        (without_context, False),
    ],
)
def test_the_context_is_found_by_its_name(function: Callable[..., Any], expected: bool) -> None:
    """A class called Context, its name in an annotation that is never evaluated, or a bare ``ctx``."""
    parameters, takes_context = from_signature(function)
    assert ([p.name for p in parameters], takes_context) == (["x"], expected)


def test_a_context_class_that_is_no_string() -> None:
    """An annotation that is the class itself counts as well."""

    def task(c: Any) -> None: ...

    task.__annotations__["c"] = Context
    assert from_signature(task) == ((), True)


def test_aliases_are_seen_through() -> None:
    """NewType and a named Annotated are what they stand for; an inner and an outer limit both hold."""
    assert one(Days).kind is kinds.INTEGER
    both = one(Annotated[Short, Param(min_length=1)] | None)
    assert (both.limits, both.nullable) == (Limits(min_length=1, max_length=3), True)
    assert one(Literal["a", None]).nullable


def test_limits_of_other_libraries() -> None:
    """pydantic's Field (with annotated_types inside) and msgspec.Meta say the same as Param."""
    field = pydantic.Field(ge=1, lt=9, description="How many")
    assert one(Annotated[int, field]).limits == Limits(ge=1, lt=9)
    assert one(Annotated[int, field]).help == "How many"
    text = one(Annotated[str, pydantic.Field(min_length=1, pattern="^a")])
    assert text.limits == Limits(min_length=1, pattern=re.compile("^a"))
    meta = one(Annotated[str, msgspec.Meta(max_length=3, pattern="b$", description="Code")])
    assert meta.limits == Limits(max_length=3, pattern=re.compile("b$"))
    assert meta.help == "Code"
    assert one(Annotated[int, "a note", int, object()]).limits == Limits()


class Point:
    pass


@pytest.mark.parametrize(
    ("hint", "reason"),
    [
        (dict[str, int], "the type dict[str, int] is not supported"),
        (tuple[int, ...], "is not supported"),
        (list, "the type list is not supported"),
        (list[list[int]], "the type list[int] is not supported"),
        (int | str, "is not supported"),
        (int | str | None, "is not supported"),
        (Any, "is not supported"),
        (None, "is not supported"),
        (bytes, "the type bytes is not supported"),
        (Point, "the type Point is not supported"),
        (PurePath, "the type PurePath is not supported"),
        (Empty, "the type Empty is not supported"),
        (Bits, "the type Bits is not supported"),
        (5, "is not supported"),
        (list[int | None], "an element of a list cannot be None"),
        (list[Secret], "a list of secrets is not supported"),
        (Literal[b"a"], "a Literal holds text, whole numbers or booleans only"),
        (Literal[1, "1"], "two values of the Literal are written alike"),
        (Literal[None], "a Literal holds text, whole numbers or booleans only"),
        (Annotated[str, Param(ge="a")], "ge means nothing for text"),
        (Annotated[Secret, Param(ge=1)], "ge means nothing for a secret"),
        (Annotated[int, Param(max_length=3)], "max_length means nothing for a whole number"),
        (Annotated[int, Param(pattern="a")], "pattern means nothing for a whole number"),
        (Annotated[int, Param(ge="1")], "ge '1' is not a whole number"),
        (Annotated[int, Param(ge=1.5)], "ge 1.5 is not a whole number"),
        (Annotated[float, Param(ge=float("nan"))], "ge nan is not finite"),
        (Annotated[str, Param(pattern="(")], "the pattern '(' is not a regular expression"),
        (Annotated[str, Param(pattern=re.compile(b"a"))], "is for bytes"),  # type: ignore[arg-type] # wrong on purpose
        (Annotated[str, Param(min_length=-1)], "min_length -1 is not a whole number from 0 on"),
        (Annotated[int, Param(ge=1), Param(ge=2)], "ge is given twice: 1 and 2"),
        (Annotated[list[Annotated[int, Param(ge=1)]], Param(ge=1)], "ge is given twice"),
        (Annotated[int, pydantic.Field(multiple_of=2)], "multiple_of is not supported"),
        (Annotated[int, Param(option="-x")], "'-x' is no option"),
        (Annotated[int, Param(option="--")], "'--' is no option"),
        (Annotated[int, Param(option="--a b")], "'--a b' is no option"),
    ],
)
def test_what_a_parameter_cannot_be(hint: Any, reason: str) -> None:
    """An unsupported type or limit names function, file, line, parameter, and what is allowed."""
    with pytest.raises(InvalidDeclaration) as caught:
        one(hint)
    assert reason in caught.value.message
    assert re.search(r"function \(.*samples\.py:\d+\), parameter x: ", caught.value.message)
    assert "timedelta" in caught.value.next_step


@pytest.mark.parametrize(
    ("hint", "default", "reason"),
    [
        (int, "5", "its default does not fit: '5' is not a whole number"),
        (int, None, "its default is None, which its type does not allow: add `| None`"),
        (Annotated[int, Param(ge=1)], 0, "its default does not fit: 0 is out of range"),
        (Path, "a/b", "its default does not fit: 'a/b' is not a path"),
        (Carrier, "UNITED", "its default does not fit: 'UNITED' is not a member of Carrier"),
        (list[int], ["a"], "its default does not fit: element 1: 'a'"),
        (Annotated[list[int], Param(min_length=1)], [], "its default does not fit: [] is too short"),
        (Secret, Secret("hunter2"), "a secret has no default other than None"),
        (Secret | None, "hunter2", "a secret has no default other than None"),
        (Secret, None, "add `| None`"),
        (Route, {"origin": "EWR"}, "is not a Route"),
    ],
)
def test_a_default_has_to_fit(hint: Any, default: Any, reason: str) -> None:
    """A default of another type, or outside of the limits, is found when the task is declared."""
    with pytest.raises(InvalidDeclaration) as caught:
        one(hint, default)
    assert reason in caught.value.message
    assert "hunter2" not in caught.value.message


def test_defaults_take_the_exact_type() -> None:
    """``x: float = 1`` is what people write; the task gets a float."""
    assert type(one(float, 1).default) is float
    assert one(list[int], ()).default == []


def no_annotation(x) -> None: ...  # type: ignore[no-untyped-def] # the point of the test
def star(*names: str) -> None: ...
def double_star(**options: str) -> None: ...
def positional(x: int, /) -> None: ...
def late_context(x: int, ctx: Context) -> None: ...
def keyword_context(*, ctx: Context) -> None: ...
def unresolved(x: OnlyForCheckers) -> None: ...
def generator() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (no_annotation, "parameter x: has no type annotation"),
        (star, "parameter names: *args has no names"),
        (double_star, "parameter options: **kwargs has no names"),
        (positional, "parameter x: a parameter is passed by name"),
        (late_context, "parameter ctx: the context has to be the first argument"),
        (keyword_context, "parameter ctx: the context is passed by position"),
        (unresolved, "its annotation 'OnlyForCheckers' cannot be resolved in module"),
        (generator, "is a generator: calling it would do nothing"),
        (functools.partial(positional, 1), "is not a function"),
        (print, "is not a function"),
    ],
)
def test_what_a_signature_cannot_be(function: Callable[..., Any], reason: str) -> None:
    """Whatever could not be given on a command line is refused when the task is declared."""
    with pytest.raises(InvalidDeclaration) as caught:
        from_signature(function)
    assert reason in caught.value.message
    if hasattr(function, "__code__"):
        assert (
            f"{function.__qualname__} ({__file__}:{function.__code__.co_firstlineno})" in caught.value.message
        )


def test_an_annotation_that_cannot_be_resolved_says_what_to_do() -> None:
    """The module to put the import in is named, and the cause is kept."""
    with pytest.raises(InvalidDeclaration, match="outside of `if TYPE_CHECKING`") as caught:
        from_signature(unresolved)
    assert isinstance(caught.value.__cause__, NameError)


@pytest.mark.parametrize("option", sorted(RESERVED_OPTIONS))
def test_reserved_options_are_refused_with_the_way_out(option: str) -> None:
    """A parameter may have any name, but not an option of oneoff's own."""

    def declared(name: str, hint: Any) -> Callable[..., None]:
        source = f"def task({name}): ..."
        scope: dict[str, Any] = {}
        exec(source, scope)
        scope["task"].__annotations__[name] = hint
        function: Callable[..., None] = scope["task"]
        return function

    name = option[2:].replace("-", "_")
    with pytest.raises(InvalidDeclaration, match=f"{option} belongs to oneoff itself") as caught:
        from_signature(declared(name, str))
    assert 'Param(option="--other-name")' in caught.value.next_step
    (parameter,) = from_signature(declared(name, Annotated[str, Param(option="--other-name")]))[0]
    assert (parameter.name, parameter.option) == (name, "--other-name")


def test_two_parameters_cannot_share_an_option() -> None:
    """A switch owns its ``--no-`` form too."""

    def clash(cache: bool, no_cache: int) -> None: ...

    with pytest.raises(
        InvalidDeclaration, match="parameter no_cache: the option --no-cache belongs to parameter cache"
    ):
        from_signature(clash)


def test_unicode_names() -> None:
    """An identifier in any script makes an option."""

    def task(größe: int, 名前: str) -> None: ...

    assert [p.option for p in from_signature(task)[0]] == ["--größe", "--名前"]
