"""Durations as people type them (``90d``, ``1h30m``) and as records hold them (ISO 8601: ``P90D``)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from oneoff.tasks.kind import Unfit

_UNITS: Final = {
    "w": 604_800_000_000,
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
}
"""Microseconds per unit."""


def _quantity(unit: str, letter: str) -> str:
    return rf"(?:(?P<{unit}>[0-9]+(?:[.,][0-9]+)?){letter})?"


_TYPED = r"\s*".join(_quantity(unit, unit) for unit in _UNITS)
_ISO = (
    f"P{_quantity('w', 'W')}{_quantity('d', 'D')}"
    f"(?:T(?=[0-9]){_quantity('h', 'H')}{_quantity('m', 'M')}{_quantity('s', 'S')})?"
)


def parse_duration(text: str) -> timedelta:
    """``2w``, ``90d``, ``1h30m``, ``45s``, ``500ms`` or ISO 8601; a leading ``-`` makes it negative.

    Units are case-sensitive, and years and months are refused: one typed for a minute would be a month.
    """
    text = text.strip()
    if re.match("[-+]?P[^T]*[YM]", text):
        raise Unfit("has years or months, whose length varies: say it in days")
    unsigned = text[1:] if text[:1] in ("-", "+") else text
    match = re.fullmatch(_ISO, unsigned) or re.fullmatch(_TYPED, unsigned)
    quantities = {unit: number for unit, number in match.groupdict().items() if number} if match else {}
    if not quantities:
        bare = unsigned.isascii() and unsigned.isdigit()
        raise Unfit("has no unit" if bare else "is not a duration")
    total = sum(_microseconds(number, _UNITS[unit]) for unit, number in quantities.items())
    try:
        return timedelta(microseconds=-total if text[0] == "-" else total)
    except OverflowError:
        raise Unfit("is longer than 999,999,999 days") from None


def _microseconds(number: str, unit: int) -> int:
    """Exact, by whole numbers: a float would be off for long durations."""
    whole, _, fraction = number.replace(",", ".").partition(".")
    scale: int = 10 ** len(fraction)
    result, rest = divmod(int(whole + fraction) * unit, scale)
    if rest:
        raise Unfit("is finer than a microsecond")
    return result


def format_duration(value: timedelta) -> str:
    """ISO 8601, in the grammar of RFC 3339 Appendix A (``PT1H0M5S``, never ``PT1H5S``), exact to 1 µs.

    That grammar knows neither a fraction of a second nor a sign; both are written only where needed.
    """
    total = value // timedelta(microseconds=1)
    seconds, micros = divmod(abs(total), 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    small = f"{seconds}.{micros:06}".rstrip("0").rstrip(".") if micros else str(seconds)
    has_seconds = bool(seconds or micros)
    clock = f"{hours}H" if hours else ""
    clock += f"{minutes}M" if minutes or (hours and has_seconds) else ""
    clock += f"{small}S" if has_seconds or not total else ""
    return ("-" if total < 0 else "") + "P" + (f"{days}D" if days else "") + (f"T{clock}" if clock else "")
