"""Writes plain data as YAML that every reader reads the same: all strings are quoted.

YAML 1.1 and 1.2, and Go's own mixture of them, disagree on what ``no``, ``0777``, ``1e3``, ``12:30`` and
``~`` are when they stand bare. In double quotes they are strings to all of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_WORDS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_ESCAPED: Final = re.compile(
    r'["\\]|[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]'
)
_SHORT: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}


def dump(documents: Iterable[Any], *, ordered: bool = False) -> str:
    """The documents one below the other, each with its own ``---`` where there are several.

    Args:
        ordered: sort the keys, so that two documents can be compared.
    """
    texts = ["\n".join(_lines(document, ordered)) + "\n" for document in documents]
    return "---\n".join(texts)


def _lines(value: Any, ordered: bool) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key in sorted(value) if ordered else value:
            yield from _entry(f"{_key(key)}:", value[key], ordered)
    elif isinstance(value, list) and value:
        for item in value:
            first, *rest = _lines(item, ordered)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield _scalar(value)


def _entry(head: str, value: Any, ordered: bool) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        yield head
        indent = "  " if isinstance(value, dict) else ""
        yield from (f"{indent}{line}" for line in _lines(value, ordered))
    else:
        yield f"{head} {_scalar(value)}"


def _key(key: str) -> str:
    plain = _PLAIN_KEY.fullmatch(key) and key.lower() not in _WORDS
    return key if plain else _quoted(key)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    return "{}" if isinstance(value, dict) else "[]"


def _float(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    digits, exponent, power = repr(value).partition("e")
    return f"{digits if '.' in digits else f'{digits}.0'}{exponent}{power}"


def _quoted(text: str) -> str:
    return f'"{_ESCAPED.sub(_escape, text)}"'


def _escape(found: re.Match[str]) -> str:
    letter = found[0]
    code = ord(letter)
    return _SHORT.get(letter) or (f"\\U{code:08x}" if code > 0xFFFF else f"\\u{code:04x}")
