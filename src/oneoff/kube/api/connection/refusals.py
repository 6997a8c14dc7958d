"""From an answer of the API server to one of our errors, in words for whoever reads it at night."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from oneoff.errors import (
    ClusterError,
    ClusterUnreachable,
    CredentialsRefused,
    FieldConflict,
    LogNotReady,
    NotPermitted,
    ObjectExists,
    ObjectMissing,
    VersionGone,
)
from oneoff.kube.objects import Object

_LONGEST: Final = 300
"""Characters of a cause: of an immutable field the server prints both values whole."""
_BROKEN_WATCH: Final = frozenset({410, 429, 500, 504})
_DENIED: Final = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]*)"'
    r'(?: in API group "(?P<group>[^"]*)")?(?: in the namespace "(?P<namespace>[^"]*)")?'
)
_POLICY: Final = re.compile(
    r"admission webhook|ValidatingAdmissionPolicy|violates PodSecurity|exceeded quota"
)
_NOT_STARTED: Final = re.compile(r"waiting to start|ContainerCreating|PodInitializing")


@dataclass(frozen=True)
class About:
    """What was asked, and of whom."""

    server: str
    context: str
    namespace: str
    path: str = ""
    advice: str = ""
    """What to do where the credentials are refused."""


def of(code: int, body: bytes, about: About) -> ClusterError:
    """The error that an answer means."""
    try:
        status = json.loads(body)
    except ValueError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return of_status(code, status, about)
    if code == 401:
        return _unknown_user("", {}, about)
    if code == 404 and body.strip() == b"404 page not found":  # of a group or a version, it says nothing else
        return _not_found("", {}, about)
    said = " ".join(body[:_LONGEST].decode(errors="replace").split())
    return ClusterUnreachable(
        f"{about.server} answered with HTTP {code}, and not as a Kubernetes API server: {said or 'nothing'}",
        next_step=f"is the server of the context {about.context} right, or does a proxy answer in its place?",
    )


def of_status(code: int, status: Object, about: About) -> ClusterError:
    """The error that a ``Status`` means."""
    said = str(status.get("message") or f"HTTP {code}")
    read = _BY_CODE.get(code)
    if read is not None:
        return read(said, status, about)
    return ClusterError(f"the API server of the context {about.context} answered {code}: {_short(said)}")


def of_watch(status: Object, about: About) -> ClusterError:
    """The error that a line of a watch means: most say only that it has to begin again."""
    code = int(status.get("code") or 500)
    if code in _BROKEN_WATCH:
        return VersionGone(
            f"the watch has to begin again with a list: {_short(str(status.get('message') or code))}"
        )
    return of_status(code, status, about)


def _bad(said: str, status: Object, about: About) -> ClusterError:
    if _NOT_STARTED.search(said):
        return LogNotReady(said)
    return ClusterError(f"the API server cannot read the request: {_short(said)}")


def _unknown_user(said: str, status: Object, about: About) -> ClusterError:
    return CredentialsRefused(
        f"{about.server} does not know who you are (401; context {about.context})", next_step=about.advice
    )


def _forbidden(said: str, status: Object, about: About) -> ClusterError:
    if any(cause.get("reason") == "NamespaceTerminating" for cause in _causes(status)):
        return ClusterError(
            f"the namespace {about.namespace} is being deleted, and takes nothing new",
            next_step="once it is gone it can be made again: `kubectl get namespace "
            f"{about.namespace} -o yaml` says what it waits for",
        )
    denied = _DENIED.search(said)
    if denied is None and _POLICY.search(said):
        return ClusterError(
            f"a rule of the cluster refuses it: {_short(said)}",
            next_step="whoever made the rule can say what it allows; your own permissions are not the matter",
        )
    if denied is None:
        return NotPermitted(_short(said), next_step="whoever runs the cluster can say who may")
    if denied["user"] == "system:anonymous":
        return CredentialsRefused(
            f"{about.server} takes you for nobody (system:anonymous; context {about.context})",
            next_step=about.advice,
        )
    user, verb, resource, group = denied["user"], denied["verb"], denied["resource"], denied["group"] or ""
    space = denied["namespace"]
    where = f"in the namespace {space}" if space else "in the whole cluster"
    rule = f'{{apiGroups: ["{group}"], resources: ["{resource}"], verbs: ["{verb}"]}}'
    more = _short(said[denied.end() :])  # of another authorizer, which knows what it wants
    return NotPermitted(
        f"{user} may not {verb} {resource}{f'.{group}' if group else ''} {where}{more}",
        next_step=f"a {'Role' if space else 'ClusterRole'} bound to {user} has to have {rule}; "
        "`oneoff doctor --env …` prints all that is missing",
    )


def _not_found(said: str, status: Object, about: About) -> ClusterError:
    details = status.get("details") or {}
    if details.get("kind") == "namespaces":
        missing = str(details.get("name") or about.namespace)
        return ObjectMissing(
            f"the cluster of the context {about.context} has no namespace {missing}",
            next_step="is it the right context? the environment's kubernetes table names both",
        )
    if not details.get("kind"):
        kind = _kind_of(about.path)
        return ObjectMissing(
            f"the cluster of the context {about.context} has no {kind}",
            next_step=f"what brings {kind} is not installed there, or in another version",
        )
    return ObjectMissing(f"{said} in the namespace {about.namespace} (context {about.context})")


def _kind_of(path: str) -> str:
    """``rollouts of argoproj.io/v1alpha1``, from the path of a request."""
    found = re.search(r"/apis/([^/]+/[^/]+)/namespaces/[^/]+/([^/]+)", path)
    return f"{found[2]} of {found[1]}" if found else path


def _conflict(said: str, status: Object, about: About) -> ClusterError:
    if status.get("reason") == "AlreadyExists":
        return ObjectExists(f"{said} in the namespace {about.namespace} (context {about.context})")
    owned = [cause for cause in _causes(status) if cause.get("reason") == "FieldManagerConflict"]
    if owned:
        fields = "; ".join(
            f"{cause.get('field')} ({str(cause.get('message')).removeprefix('conflict with ')})"
            for cause in owned
        )
        return FieldConflict(f"other managers own fields of the object: {fields}")
    if "UID in precondition" in said or "UID in the precondition" in said:
        return ObjectMissing(f"another object has the name now: {said}")
    return ClusterError(f"somebody else changed it at the same moment: {_short(said)}", next_step="try again")


def _gone(said: str, status: Object, about: About) -> ClusterError:
    return VersionGone(said)


def _invalid(said: str, status: Object, about: About) -> ClusterError:
    if _POLICY.search(said):
        return _forbidden(said, status, about)
    details = status.get("details") or {}
    causes = [f"{cause.get('field')}: {_short(str(cause.get('message')))}" for cause in _causes(status)]
    if not causes:
        return ClusterError(_short(said))
    return ClusterError(
        f"the API server does not accept {details.get('kind')} {details.get('name')}: {'; '.join(causes)}",
        next_step="`oneoff kube render --diff` shows where the fields come from",
    )


def _causes(status: Object) -> list[dict[str, Any]]:
    return (status.get("details") or {}).get("causes") or []


def _busy(said: str, status: Object, about: About) -> ClusterError:
    return ClusterUnreachable(
        f"{about.server} cannot answer for now ({_short(said)})", next_step="try again in a few minutes"
    )


def _short(said: str) -> str:
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]} …"


_BY_CODE: Final[dict[int, Callable[[str, Object, About], ClusterError]]] = {
    400: _bad,
    401: _unknown_user,
    403: _forbidden,
    404: _not_found,
    409: _conflict,
    410: _gone,
    422: _invalid,
    **dict.fromkeys((429, 500, 502, 503, 504), _busy),
}
