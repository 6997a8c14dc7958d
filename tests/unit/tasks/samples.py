"""One parameter of every kind, for several test modules."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import msgspec
import pydantic

from oneoff.tasks.parameters import Parameter
from oneoff.tasks.secret import Secret
from oneoff.tasks.signature import from_signature


class Carrier(Enum):
    UNITED = "UA"
    DELTA = "DL"
    SOUTHWEST = "WN"


class Window(pydantic.BaseModel):
    start: date
    days: int = pydantic.Field(default=1, ge=1)


class Route(msgspec.Struct):
    origin: str
    stops: int = 0


def every_kind(
    text: str,
    whole: int,
    number: float,
    flag: bool,
    price: Decimal,
    day: date,
    moment: datetime,
    duration: timedelta,
    ident: UUID,
    path: Path,
    carrier: Carrier,
    size: Literal["small", "large", 3, True],
    window: Window,
    route: Route,
    several: list[int],
    perhaps: str | None,
) -> None:
    """Every kind but the secret."""


def with_secret(token: Secret, spare: Secret | None = None) -> None:
    """Two secrets."""


EVERY_KIND = from_signature(every_kind)[0]
SECRETS = from_signature(with_secret)[0]


def one(hint: Any, default: Any = ...) -> Parameter:
    """The parameter ``x`` of a function that annotates it so."""
    function: Callable[..., None]
    if default is ...:

        def function(x: Any) -> None: ...

    else:

        def function(x: Any = default) -> None: ...

    function.__annotations__["x"] = hint
    return from_signature(function)[0][0]
