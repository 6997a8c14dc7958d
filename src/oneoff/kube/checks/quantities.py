"""Quantities of resources as Kubernetes writes them (``100m``, ``1.5Gi``, ``2e3``), read exactly."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

_FORM: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE])([+-]?\d+)|([KMGTPE]i|[numkMGTPE])?)")
_SUFFIXES: Final[dict[str, Fraction]] = {
    "": Fraction(1),
    **{suffix: Fraction(1000) ** power for power, suffix in enumerate("numkMGTPE", -3) if power < 0},
    **{suffix: Fraction(1000) ** power for power, suffix in enumerate("kMGTPE", 1)},
    **{f"{letter}i": Fraction(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
}


def quantity(text: object) -> Fraction:
    """The number that it is. ``1E`` is an exa, ``1E3`` a thousand.

    Raises:
        ValueError: it is none.
    """
    found = _FORM.fullmatch(str(text).strip())
    if found is None:
        raise ValueError(f"{text!r} is no quantity")
    number, exponent, power, suffix = found.groups()
    return Fraction(number) * (Fraction(10) ** int(power) if exponent else _SUFFIXES[suffix or ""])
