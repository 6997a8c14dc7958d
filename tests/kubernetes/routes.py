"""From a path and a method to what they ask for."""

from __future__ import annotations

from dataclasses import dataclass

from tests.kubernetes.kinds import Kind, Kinds

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True)
class Route:
    """One resource, or all of a kind, and what to do with it."""

    kind: Kind
    namespace: str
    name: str
    subresource: str
    verb: str


def find(kinds: Kinds, method: str, path: list[str], *, watches: bool) -> Route | None:
    """The route of a request; None for a path that is not a known resource's."""
    match path:
        case ["api", "v1", *rest]:
            group, version = "", "v1"
        case ["apis", group, version, *rest]:
            pass
        case _:
            return None
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    if not rest or len(rest) > 3:
        return None
    plural, name, subresource = (*rest, "", "")[:3]
    kind = kinds.by_plural(group, version, plural)
    if kind is None or (subresource and subresource not in kind.subresources):
        return None
    return Route(kind, namespace, name, subresource, _verb(method, name, watches))


def _verb(method: str, name: str, watches: bool) -> str:
    if method == "GET":
        return "watch" if watches else "get" if name else "list"
    if method == "DELETE":
        return "delete" if name else "deletecollection"
    return _VERBS.get(method, method.lower())
