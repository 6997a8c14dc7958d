"""What the API server answers, as one of our errors: over recorded answers, and over others."""

from __future__ import annotations

import json
from typing import Any

import pytest

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
from oneoff.kube.api.connection import refusals
from oneoff.kube.api.connection.refusals import About
from tests.recorded import RECORDINGS

ABOUT = About("https://api:6443", "prod", "shop", "/api/v1/namespaces/shop/pods", "log in again")

RECORDED = [
    ("already-exists-409", ObjectExists, 'jobs.batch "dup" already exists in the namespace shop'),
    ("namespace-missing-404", ObjectMissing, "the cluster of the context prod has no namespace nope"),
    ("not-found-404", ObjectMissing, 'deployments.apps "nope" not found in the namespace shop'),
    ("forbidden-403", NotPermitted, "alice may not create jobs.batch in the namespace shop"),
    ("unauthenticated", CredentialsRefused, "takes you for nobody"),
    ("log-before-start-400", ClusterError, "container nope is not valid for pod"),
    ("invalid-422-restart-policy", ClusterError, "Job dup: spec.template.spec.restartPolicy: Required value"),
    ("bad-schedule-422", ClusterError, "CronJob c2: spec.schedule: .*end of range"),
    ("immutable-template-422", ClusterError, "spec.template.spec: Invalid value: "),
    (
        "server-side-apply-conflict-409",
        FieldConflict,
        r'own fields of the object: .spec.schedule \("oneoff"\)',
    ),
]


@pytest.mark.parametrize(("name", "kind", "words"), RECORDED)
def test_recorded_answers(name: str, kind: type[ClusterError], words: str) -> None:
    head, _, body = (RECORDINGS / "errors" / f"{name}.http").read_text().replace("\r", "").partition("\n\n")
    error = refusals.of(int(head.split()[1]), body.encode(), ABOUT)
    assert type(error) is kind
    with pytest.raises(kind, match=words):
        raise error
    assert len(error.message) < 1000


def status(code: int, message: str, reason: str = "", **details: Any) -> bytes:
    found = {"kind": "Status", "status": "Failure", "message": message, "reason": reason, "code": code}
    return json.dumps(found | ({"details": details} if details else {})).encode()


QUOTA = 'pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0'
"""Others, word for word as the API server's sources write them."""
OTHERS = [
    (401, status(401, "Unauthorized", "Unauthorized"), CredentialsRefused, "does not know who you are"),
    (401, b"", CredentialsRefused, "does not know who you are"),
    (404, b"404 page not found\n", ObjectMissing, "has no rollouts of argoproj.io/v1alpha1"),
    (
        404,
        status(404, "the server could not find the requested resource", "NotFound"),
        ObjectMissing,
        "has no rollouts of argoproj.io/v1alpha1",
    ),
    (
        403,
        status(
            403,
            'jobs.batch "x" is forbidden: unable to create new content in namespace shop because it is being '
            "terminated",
            "Forbidden",
            kind="jobs",
            causes=[{"reason": "NamespaceTerminating", "field": "metadata.namespace"}],
        ),
        ClusterError,
        "the namespace shop is being deleted",
    ),
    (403, status(403, QUOTA, "Forbidden", kind="pods"), ClusterError, "a rule of the cluster refuses it"),
    (
        403,
        status(403, 'admission webhook "p.example.com" denied the request: no', "Forbidden"),
        ClusterError,
        "a rule of the cluster refuses it: admission webhook",
    ),
    (
        422,
        status(
            422,
            "jobs.batch \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied",
            "Invalid",
        ),
        ClusterError,
        "a rule of the cluster refuses it: .*'p'",
    ),
    (403, status(403, "no", "Forbidden"), NotPermitted, "no"),
    (
        403,
        status(
            403, 'namespaces "a" is forbidden: User "ann" cannot get resource "namespaces" in API group ""'
        ),
        NotPermitted,
        "ann may not get namespaces in the whole cluster",
    ),
    (
        400,
        status(400, 'container "web" in pod "p" is waiting to start: ContainerCreating', "BadRequest"),
        LogNotReady,
        "waiting to start",
    ),
    (
        400,
        status(400, 'container "web" in pod "p" is waiting to start: PodInitializing', "BadRequest"),
        LogNotReady,
        "PodInitializing",
    ),
    (
        409,
        status(
            409, "the object has been modified; please apply your changes to the latest version", "Conflict"
        ),
        ClusterError,
        "somebody else changed it",
    ),
    (
        409,
        status(409, "the UID in the precondition (a) does not match the UID in record (b)", "Conflict"),
        ObjectMissing,
        "another object has the name now",
    ),
    (410, status(410, "The provided continue parameter is too old", "Expired"), VersionGone, "too old"),
    (
        503,
        status(503, "apiserver not ready", "ServiceUnavailable"),
        ClusterUnreachable,
        "cannot answer for now",
    ),
    (
        405,
        status(405, "the server does not allow this method", "MethodNotAllowed"),
        ClusterError,
        "answered 405",
    ),
    (502, b"<html><h1>Bad Gateway</h1></html>", ClusterUnreachable, "not as a Kubernetes API server: <html>"),
    (200, b"<html>please log in</html>", ClusterUnreachable, "HTTP 200, and not as a Kubernetes API server"),
    (302, b"", ClusterUnreachable, "HTTP 302, and not as a Kubernetes API server: nothing"),
    (
        400,
        b"Client sent an HTTP request to an HTTPS server.\n",
        ClusterUnreachable,
        "HTTP request to an HTTPS",
    ),
]
ROLLOUTS = About(
    "https://api:6443",
    "prod",
    "shop",
    "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/web",
    "log in again",
)


@pytest.mark.parametrize(("code", "body", "kind", "words"), OTHERS)
def test_other_answers(code: int, body: bytes, kind: type[ClusterError], words: str) -> None:
    error = refusals.of(code, body, ROLLOUTS)
    assert type(error) is kind
    with pytest.raises(kind, match=words):
        raise error


def test_a_refusal_says_which_rule_to_add() -> None:
    denied = 'User "ann" cannot get resource "pods/log" in API group "" in the namespace "shop"'
    error = refusals.of(403, status(403, f'pods "p" is forbidden: {denied}', "Forbidden"), ABOUT)
    assert error.message == "ann may not get pods/log in the namespace shop"
    assert 'a Role bound to ann has to have {apiGroups: [""], resources: ["pods/log"], verbs: ["get"]}' in (
        error.next_step
    )


def test_who_is_unknown_is_told_what_to_do() -> None:
    assert refusals.of(401, b"", ABOUT).next_step == "log in again"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (410, "too old resource version: 1 (336)"),
        (500, "Internal error occurred: RequestWatchProgress is disabled"),
        (504, "Too large resource version: 9, current: 8"),
    ],
)
def test_a_watch_that_broke_begins_again_with_a_list(code: int, message: str) -> None:
    assert isinstance(refusals.of_watch({"code": code, "message": message}, ABOUT), VersionGone)


def test_a_watch_that_is_forbidden_does_not() -> None:
    assert isinstance(refusals.of_watch({"code": 403, "message": "no"}, ABOUT), NotPermitted)


def test_what_another_authorizer_says_is_kept() -> None:
    denied = 'User "ann" cannot list resource "jobs" in API group "batch" in the namespace "shop"'
    more = ': requires one of ["container.jobs.list"] permission(s).'
    error = refusals.of(403, status(403, f"jobs.batch is forbidden: {denied}{more}", "Forbidden"), ABOUT)
    assert error.message == f"ann may not list jobs.batch in the namespace shop{more}"
