"""The closed set of types that a parameter may have, one row each."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from enum import Enum, Flag
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from oneoff.tasks.choices import enum_kind, literal_kind
from oneoff.tasks.durations import format_duration, parse_duration
from oneoff.tasks.kind import Kind, Unfit, clean
from oneoff.tasks.models import model_kind
from oneoff.tasks.secret import SECRET_MARK, Secret
from oneoff.types import JSONObject, rfc3339

if TYPE_CHECKING:  # loaded where an app uses them; a start without them need not pay
    from decimal import Decimal
    from pathlib import Path
    from uuid import UUID

ALLOWED = (
    "str, int, float, bool, Decimal, date, datetime, timedelta, UUID, pathlib.Path, an Enum, Literal[…], "
    "oneoff.Secret, a pydantic model or msgspec Struct, list[…] of these (not of Secret), any of it | None, "
    "and Annotated[…, oneoff.Param(…)] around it"
)
"""For messages."""


def kind_of(hint: Any) -> Kind | None:
    """The kind of a bare type (no ``Annotated``, list or None around it), or None where it is not supported.

    Raises:
        Unfit: the type is of a supported sort and still cannot be used.
    """
    if get_origin(hint) is Literal:
        return literal_kind([value for value in get_args(hint) if value is not None])
    if not isinstance(hint, type):
        return None
    if issubclass(hint, Enum) and not issubclass(hint, Flag) and hint.__members__:
        return enum_kind(hint)
    # By name, so that decimal, pathlib and uuid need not be loaded (Path lives in pathlib._local in 3.13).
    return _SCALARS.get((hint.__module__.partition(".")[0], hint.__qualname__)) or model_kind(hint)


def _fixed(**keywords: Any) -> Callable[[str], JSONObject]:
    return lambda _: dict(keywords)


def _identity(value: Any) -> Any:
    return value


def _from_text(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    """The JSON form is the text that a person would type."""

    def thaw(value: Any) -> Any:
        if not isinstance(value, str):
            raise TypeError
        return parse(value)

    return thaw


def _instance(type_: type, *but_not: type) -> Callable[[Any], Any]:
    def accept(value: Any) -> Any:
        if not isinstance(value, type_) or isinstance(value, but_not):
            raise TypeError
        return value

    return accept


def _accept_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return clean(value)


def _parse_int(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        limit = sys.get_int_max_str_digits()
        if 0 < limit < len(text):
            raise Unfit(f"is not a whole number of at most {limit} digits") from None
        raise


def _accept_int(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    try:
        str(value)  # what Python refuses to write in digits cannot be recorded
    except ValueError:
        raise Unfit(f"is not a whole number of at most {sys.get_int_max_str_digits()} digits") from None
    return int(value)


def _accept_float(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):
        raise Unfit("is not finite")  # JSON has no word for it (RFC 8259 §6)
    return number


def _decimal(text: str) -> Decimal:
    from decimal import Decimal

    return Decimal(text.strip())


def _thaw_decimal(value: Any) -> Any:
    if isinstance(value, float):
        raise Unfit("is a JSON number with a fraction, which is not exact: put it in quotes")
    return _decimal(value) if isinstance(value, str) else value


def _accept_decimal(value: Any) -> Decimal:
    from decimal import Decimal

    number = value if isinstance(value, Decimal) else Decimal(_accept_int(value))
    if not number.is_finite():
        raise Unfit("is not finite")
    return number


_BOOLEANS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


def _parse_bool(text: str) -> bool:
    try:
        return _BOOLEANS[text.strip().lower()]
    except KeyError:
        raise TypeError from None


def _parse_date(text: str) -> date:
    return date.fromisoformat(text.strip())


def _parse_datetime(text: str) -> datetime:
    return datetime.fromisoformat(text.strip())


def _accept_datetime(value: Any) -> datetime:
    """In UTC, so that a run and its rerun see the very same value."""
    if not isinstance(value, datetime):
        raise TypeError
    if value.utcoffset() is None:
        raise Unfit("has no time zone: add Z for UTC, or an offset such as +02:00")
    return value.astimezone(UTC)


def _uuid(text: str) -> UUID:
    from uuid import UUID

    return UUID(text.strip())


def _accept_uuid(value: Any) -> UUID:
    from uuid import UUID

    if not isinstance(value, UUID):
        raise TypeError
    return value


def _path(text: str) -> Path:
    from pathlib import Path

    if not text:  # an unset variable of a shell
        raise Unfit("is empty, which would mean the working folder")
    return Path(text)


def _accept_path(value: Any) -> Path:
    from pathlib import Path

    if not isinstance(value, Path):
        raise TypeError
    clean(str(value))
    return value


def _accept_secret(value: Any) -> Secret:
    """A plain str is taken too: nothing else could be meant in a test's ``token="x"``."""
    secret = Secret(value) if isinstance(value, str) else value
    if not isinstance(secret, Secret):
        raise TypeError
    clean(secret.reveal())
    return secret


def _thaw_secret(value: Any) -> Secret:
    if isinstance(value, Secret):
        return value
    raise Unfit("is not kept anywhere: give it again" if value == SECRET_MARK else "may not stand in JSON")


TEXT = Kind(
    name="text",
    noun="text",
    example="any text",
    metavar="TEXT",
    parse=_identity,
    thaw=_accept_text,
    accept=_accept_text,
    freeze=_identity,
    describe=_fixed(type="string"),
    sized=True,
)
INTEGER = Kind(
    name="integer",
    noun="a whole number",
    example="42",
    metavar="INTEGER",
    parse=_parse_int,
    thaw=_identity,
    accept=_accept_int,
    freeze=_identity,
    describe=_fixed(type="integer"),
    ordered=True,
)
FLOAT = Kind(
    name="number",
    noun="a number",
    example="1.5",
    metavar="NUMBER",
    parse=float,
    thaw=_identity,
    accept=_accept_float,
    freeze=_identity,
    describe=_fixed(type="number"),
    ordered=True,
)
BOOLEAN = Kind(
    name="boolean",
    noun="a yes or no",
    example="true, yes, on, 1, false, no, off or 0",
    metavar="BOOLEAN",
    parse=_parse_bool,
    thaw=_identity,
    accept=_instance(bool),
    freeze=_identity,
    describe=_fixed(type="boolean"),
)
DECIMAL = Kind(
    name="decimal",
    noun="a decimal number",
    example="19.90",
    metavar="DECIMAL",
    parse=_decimal,
    thaw=_thaw_decimal,
    accept=_accept_decimal,
    freeze=str,
    describe=_fixed(type="string", format="decimal"),
    ordered=True,
)
DATE = Kind(
    name="date",
    noun="a date",
    example="2013-06-30",
    metavar="DATE",
    parse=_parse_date,
    thaw=_from_text(_parse_date),
    accept=_instance(date, datetime),
    freeze=date.isoformat,
    describe=_fixed(type="string", format="date"),
    ordered=True,
)
DATETIME = Kind(
    name="datetime",
    noun="a date with a time",
    example="2013-06-30T14:00:00Z or 2013-06-30T14:00:00-05:00",
    metavar="DATETIME",
    parse=_parse_datetime,
    thaw=_from_text(_parse_datetime),
    accept=_accept_datetime,
    freeze=rfc3339,
    describe=_fixed(type="string", format="date-time"),
    ordered=True,
)
DURATION = Kind(
    name="duration",
    noun="a duration",
    example="90d, 1h30m, 45s or P90D",
    metavar="DURATION",
    parse=parse_duration,
    thaw=_from_text(parse_duration),
    accept=_instance(timedelta),
    freeze=format_duration,
    describe=_fixed(type="string", format="duration"),
    ordered=True,
)
ID = Kind(
    name="uuid",
    noun="a UUID",
    example="123e4567-e89b-12d3-a456-426614174000",
    metavar="UUID",
    parse=_uuid,
    thaw=_from_text(_uuid),
    accept=_accept_uuid,
    freeze=str,
    describe=_fixed(type="string", format="uuid"),
)
PATH = Kind(
    name="path",
    noun="a path",
    example="data/flights.csv",
    metavar="PATH",
    parse=_path,
    thaw=_from_text(_path),
    accept=_accept_path,
    freeze=str,
    describe=_fixed(type="string", format="path"),
)
SECRET = Kind(
    name="secret",
    noun="a secret",
    example="secret text",
    metavar="SECRET",
    parse=Secret,
    thaw=_thaw_secret,
    accept=_accept_secret,
    freeze=lambda _: SECRET_MARK,
    describe=_fixed(type="string"),
    sized=True,
    secret=True,
)

_SCALARS: dict[tuple[str, str], Kind] = {
    ("builtins", "str"): TEXT,
    ("builtins", "int"): INTEGER,
    ("builtins", "float"): FLOAT,
    ("builtins", "bool"): BOOLEAN,
    ("decimal", "Decimal"): DECIMAL,
    ("datetime", "date"): DATE,
    ("datetime", "datetime"): DATETIME,
    ("datetime", "timedelta"): DURATION,
    ("uuid", "UUID"): ID,
    ("pathlib", "Path"): PATH,
    ("oneoff", "Secret"): SECRET,
}

PLAIN: dict[str, Kind] = {kind.name: kind for kind in _SCALARS.values()}
"""The kinds that their name alone makes known."""
