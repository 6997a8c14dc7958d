"""What a server says when it does not do as asked: ``Status`` objects, word for word as recorded."""

from __future__ import annotations

from collections.abc import Mapping

from tests.kubernetes.kinds import Kind, Object


class Refused(Exception):
    """An answer that is a Status: what an API server sends instead of an object."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Object | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.headers = dict(headers or {})
        self.body: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        self.body |= {"message": message, "reason": reason}
        if details is not None:
            self.body["details"] = details
        self.body["code"] = code


def details(kind: Kind, name: str | None = None, *, say_kind: bool = False) -> Object:
    """What an answer is about; about invalid objects it says ``Job``, elsewhere ``jobs``."""
    about: Object = {} if name is None else {"name": name}
    if kind.group:
        about["group"] = kind.group
    return about | {"kind": kind.kind if say_kind else kind.plural}


def not_found(kind: Kind, name: str) -> Refused:
    return Refused(404, "NotFound", f'{kind.qualified} "{name}" not found', details(kind, name))


def already_exists(kind: Kind, name: str) -> Refused:
    return Refused(409, "AlreadyExists", f'{kind.qualified} "{name}" already exists', details(kind, name))


def conflict(kind: Kind, name: str) -> Refused:
    why = "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {kind.qualified} "{name}": {why}'
    return Refused(409, "Conflict", message, details(kind, name))


Problem = tuple[str, str, str]
"""A field that the server does not accept; why, as in ``Required value: …``; and the cause's reason."""


def required(field: str, message: str = "") -> Problem:
    return field, "Required value" + (f": {message}" if message else ""), "FieldValueRequired"


def invalid(kind: Kind, name: str, problems: list[Problem]) -> Refused:
    """An object with fields that the server does not accept."""
    about = details(kind, name, say_kind=True)
    about["causes"] = [{"reason": cause, "message": why, "field": field} for field, why, cause in problems]
    said = [f"{field}: {why}" for field, why, _ in problems]
    text = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    return Refused(422, "Invalid", f'{kind.qualified_kind} "{name}" is invalid: {text}', about)


def forbidden(user: str, verb: str, kind: Kind, namespace: str, name: str, subresource: str = "") -> Refused:
    what = kind.plural + (f"/{subresource}" if subresource else "")
    named = f' "{name}"' if name else ""
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    message = (
        f'{kind.qualified}{named} is forbidden: User "{user}" cannot {verb} resource "{what}" '
        f'in API group "{kind.group}" {where}'
    )
    about = details(kind, name or None)
    return Refused(403, "Forbidden", message, about)


def not_permitted(kind: Kind, name: str, why: str, causes: list[Object] | None = None) -> Refused:
    """Refused by admission, not by access: a quota, a namespace that ends."""
    about = details(kind, name) | ({"causes": causes} if causes else {})
    return Refused(403, "Forbidden", f'{kind.qualified} "{name}" is forbidden: {why}', about)


def bad_request(message: str) -> Refused:
    return Refused(400, "BadRequest", message)


def unauthorized() -> Refused:
    return Refused(401, "Unauthorized", "Unauthorized")


def expired(asked: int, oldest: int) -> Refused:
    return Refused(410, "Expired", f"too old resource version: {asked} ({oldest})")


def apply_conflict(causes: list[tuple[str, str]]) -> Refused:
    """Fields that another manager owns: pairs of the owner's text and the field's path."""
    if len(causes) == 1:
        ((owner, field),) = causes
        text = f"Apply failed with 1 conflict: conflict with {owner}: {field}"
    else:
        owners: dict[str, list[str]] = {}
        for owner, field in causes:
            owners.setdefault(owner, []).append(field)
        listed = "\n".join(
            f"conflicts with {owner}:\n" + "\n".join(f"- {field}" for field in fields)
            for owner, fields in owners.items()
        )
        text = f"Apply failed with {len(causes)} conflicts: {listed}"
    reasons = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {owner}", "field": field}
        for owner, field in causes
    ]
    return Refused(409, "Conflict", text, {"causes": reasons})


def not_played(what: str) -> Refused:
    """Something that a real cluster does and the fake does not: told at once, not done in another way."""
    return Refused(501, "NotImplemented", f"the fake cluster does not play {what}")


ANSWERS = {
    409: ("Conflict", "Operation cannot be fulfilled: the object has been modified"),
    429: ("TooManyRequests", "Too many requests, please try again later."),
    500: ("InternalError", "Internal error occurred: etcdserver: request timed out"),
    503: ("ServiceUnavailable", "apiserver not ready"),
    504: ("Timeout", "Timeout: request did not complete within the allotted timeout"),
}
"""What an injected fault says, by its code."""


def fault(code: int) -> Refused:
    """The answer of an injected fault."""
    if code == 401:
        return unauthorized()
    reason, message = ANSWERS.get(code, ("Unknown", "an injected fault"))
    about: Object | None = None
    headers: dict[str, str] = {}
    if code == 429:
        about, headers = {"retryAfterSeconds": 1}, {"Retry-After": "1"}
    return Refused(code, reason, message, about, headers)
