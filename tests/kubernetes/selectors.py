"""Label selectors, as text and as objects, and field selectors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.kubernetes import answers
from tests.kubernetes.kinds import Object

Labels = Mapping[str, str]
Test = Callable[[Object], bool]

_SET = re.compile(r"^(\S+)\s+(in|notin)\s*\(([^)]*)\)$")
_EQUAL = re.compile(r"^([^=!\s]+)\s*(==|=|!=)\s*([^=!\s]*)$")
_EXISTS = re.compile(r"^(!?)\s*([A-Za-z0-9][-A-Za-z0-9_./]*)$")
_FIELDS = ("metadata.name", "metadata.namespace", "spec.", "status.", "involvedObject.", "reason", "type")


def _split(text: str) -> list[str]:
    """The requirements of a selector: a comma inside brackets does not part them."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", text) if part.strip()]


def _label_test(text: str) -> Callable[[Labels], bool]:
    if found := _SET.match(text):
        name, operator, listed = found.groups()
        values = {value.strip() for value in listed.split(",")}
        if operator == "in":
            return lambda labels: name in labels and labels[name] in values
        return lambda labels: name not in labels or labels[name] not in values
    if found := _EQUAL.match(text):
        name, operator, value = found.groups()
        if operator == "!=":
            return lambda labels: labels.get(name) != value
        return lambda labels: labels.get(name) == value
    if found := _EXISTS.match(text):
        absent, name = found.groups()
        return (lambda labels: name not in labels) if absent else (lambda labels: name in labels)
    raise answers.bad_request(f"unable to parse requirement: found '{text}', expected: identifier")


def labels(text: str) -> Test:
    """``a=b,c!=d,e in (x,y),!f`` as a test of an object."""
    tests = [_label_test(part) for part in _split(text)]
    return lambda obj: all(test(obj["metadata"].get("labels") or {}) for test in tests)


def _at(obj: Object, path: str) -> str:
    """The value of a field as text; what is absent is the empty text, as for a real server."""
    found: Any = obj
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return "" if found is None else str(found).lower() if isinstance(found, bool) else str(found)


def _field_test(part: str) -> Test:
    found = _EQUAL.match(part)
    if found is None:
        raise answers.bad_request(f"invalid field selector: {part}")
    path, operator, value = found.groups()
    if not path.startswith(_FIELDS):
        raise answers.bad_request(f"field label not supported: {path}")
    return lambda obj: (_at(obj, path) == value) is (operator != "!=")


def fields(text: str) -> Test:
    """``metadata.name=x,status.phase!=Failed`` as a test of an object."""
    tests = [_field_test(part) for part in _split(text)]
    return lambda obj: all(test(obj) for test in tests)


def of(query: Mapping[str, str]) -> Test:
    """The selectors of a request together."""
    by_label = labels(query.get("labelSelector", ""))
    by_field = fields(query.get("fieldSelector", ""))
    return lambda obj: by_label(obj) and by_field(obj)


def matches(selector: Object | None, found: Labels) -> bool:
    """Whether a LabelSelector object selects these labels: none selects nothing, an empty one everything."""
    if selector is None:
        return False
    if any(found.get(name) != value for name, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_expression(each, found) for each in selector.get("matchExpressions") or [])


def _expression(requirement: Object, found: Labels) -> bool:
    name, values = requirement["key"], requirement.get("values") or []
    return {
        "In": name in found and found[name] in values,
        "NotIn": name not in found or found[name] not in values,
        "Exists": name in found,
        "DoesNotExist": name not in found,
    }[requirement["operator"]]
