"""The `Cluster` seam over HTTP: raw JSON both ways, whatever the kind of object.

lightkube fits the seam too. Its import, with the HTTP library below it, takes longer than kubectl takes to
create a Job, and it has none of what is hard about a cluster: plugins, expiry, proxies, what may be repeated,
what a broken watch means. That is in :mod:`oneoff.kube.api.connection`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import quote

from oneoff.errors import ClusterError, OneoffError, VersionGone
from oneoff.kube.api.cluster import (
    EVERYTHING,
    MANAGER,
    NAMESPACES,
    PODS,
    Caller,
    Listing,
    Resource,
    Selection,
)
from oneoff.kube.api.connection import kubeconfig, refusals
from oneoff.kube.api.connection.credentials import login_of
from oneoff.kube.api.connection.http import TIMEOUT, Request
from oneoff.kube.api.connection.kubeconfig import Target
from oneoff.kube.api.connection.proxies import proxy_for
from oneoff.kube.api.connection.transport import Pace, StreamLost, Transport
from oneoff.kube.objects import Object
from oneoff.settings.kubernetes import KubernetesSettings

SILENCE: Final = 60.0
"""Seconds without a line after which a log that is followed is taken for lost: nothing else tells."""

_PAGE: Final = 500
_ATTEMPTS: Final = 5
"""Lists that are begun, where the server forgets the version while their pages are read."""
_GRACE: Final = 5.0
"""Seconds that a watch may be late with its end."""
_SELF_REVIEW: Final = Resource("authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews")
_ACCESS_REVIEW: Final = Resource(
    "authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews"
)
_RULES_REVIEW: Final = Resource(
    "authorization.k8s.io", "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews"
)
_WARNING: Final = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
"""One of a ``Warning`` header (RFC 7234, 5.5)."""
_OF_THE_CLUSTER: Final = (NAMESPACES, _SELF_REVIEW, _ACCESS_REVIEW, _RULES_REVIEW)


def connect(
    settings: KubernetesSettings, environ: Mapping[str, str] = os.environ, *, pace: Pace | None = None
) -> KubernetesCluster:
    """The cluster that the kubeconfig and the environment's table name. Sends nothing yet.

    Raises:
        ClusterUnreachable: there is no such context, or the kubeconfig cannot be used.
    """
    target = kubeconfig.load(settings, environ)
    proxy = target.server.proxy or proxy_for(target.server.url, environ)
    return KubernetesCluster(target, Transport(target, login_of(target, environ), proxy=proxy, pace=pace))


class KubernetesCluster:
    """See :class:`oneoff.kube.api.cluster.Cluster`."""

    def __init__(self, target: Target, transport: Transport) -> None:
        self.namespace = target.namespace
        self.context = target.context
        self._transport = transport

    def get(self, resource: Resource, name: str) -> Object:
        return self._ask(Request(path=self._path(resource, name)))

    def list(self, resource: Resource, selection: Selection = EVERYTHING) -> Listing:
        for _ in range(_ATTEMPTS - 1):
            with contextlib.suppress(VersionGone):  # the server forgot the version of the pages to come
                return self._list(resource, selection)
        return self._list(resource, selection)

    def create(self, resource: Resource, thing: Object, *, dry_run: bool = False) -> Object:
        return self._ask(_creation(self._path(resource), resource, thing, dry_run=dry_run))

    def rehearse(self, resource: Resource, thing: Object) -> Sequence[str]:
        answer = self._transport.send(_creation(self._path(resource), resource, thing, dry_run=True))
        said = ", ".join(answer.headers.get_all("Warning") or ())
        return [re.sub(r"\\(.)", r"\1", text) for text in _WARNING.findall(said)]

    def apply(
        self, resource: Resource, thing: Object, *, dry_run: bool = False, force: bool = False
    ) -> Object:
        query = _writing(dry_run=dry_run) | ({"force": "true"} if force else {})
        path = self._path(resource, thing["metadata"]["name"])
        return self._ask(_patch(path, _typed(resource, thing), "apply-patch+yaml", query))  # JSON is YAML

    def patch(self, resource: Resource, name: str, change: Object) -> Object:
        return self._ask(_patch(self._path(resource, name), change, "merge-patch+json", _writing()))

    def delete(
        self, resource: Resource, name: str, *, uid: str, grace: int | None = None, orphan: bool = False
    ) -> None:
        options: Object = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Orphan" if orphan else "Foreground",
        }
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        self._transport.send(Request(method="DELETE", path=self._path(resource, name), body=_json(options)))

    def watch(
        self, resource: Resource, selection: Selection, *, version: str, seconds: float
    ) -> Iterator[tuple[str, Object]]:
        limit = max(1, round(seconds))
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(limit),
            **_query(selection),
        }
        request = Request(path=self._path(resource), query=query, stream=True, timeout=limit + _GRACE)
        found = self._transport.lines(request, whole=True)
        with contextlib.suppress(StreamLost), contextlib.closing(found):
            for line in found:
                yield self._event(line)

    def log(
        self, pod: str, container: str, *, follow: bool = False, since: str | None = None
    ) -> Iterator[bytes]:
        query = {"container": container, "timestamps": "true"}
        query |= {"follow": "true"} if follow else {}
        query |= {"sinceTime": since} if since else {}
        path = f"{self._path(PODS, pod)}/log"
        silence = SILENCE if follow else 2 * TIMEOUT
        return self._transport.lines(
            Request(path=path, query=query, stream=True, timeout=silence), whole=False
        )

    def whoami(self) -> Caller:
        with _understood():
            info = self.create(_SELF_REVIEW, {"metadata": {}})["status"]["userInfo"]
            return Caller(str(info["username"]), tuple(info.get("groups") or ()))

    def may(self, verb: str, resource: Resource, *, subresource: str = "", name: str = "") -> bool:
        wanted = {
            "namespace": self.namespace,  # of a namespace too: the server looks for its rights inside of it
            "verb": verb,
            "group": resource.group,
            "version": resource.version,
            "resource": resource.plural,
            "subresource": subresource,
            "name": name,
        }
        with _understood():
            review = {"metadata": {}, "spec": {"resourceAttributes": wanted}}
            return self.create(_ACCESS_REVIEW, review)["status"].get("allowed") is True

    def rules(self) -> Sequence[Object]:
        with _understood():
            review = {"metadata": {}, "spec": {"namespace": self.namespace}}
            return [dict(rule) for rule in self.create(_RULES_REVIEW, review)["status"]["resourceRules"]]

    def version(self) -> tuple[int, int]:
        with _understood():
            said = self._ask(Request(path="version"))
            return _number(said["major"]), _number(said["minor"])

    def hang_up(self) -> None:
        self._transport.streams.hang_up()

    def close(self) -> None:
        self._transport.close()

    def _ask(self, request: Request) -> Object:
        with _understood():
            return dict(json.loads(self._transport.send(request).body))

    def _list(self, resource: Resource, selection: Selection) -> Listing:
        # A server says them of the whole list only.
        words = {"apiVersion": resource.api_version, "kind": resource.kind}
        query = {"limit": str(_PAGE), **_query(selection)}
        items: list[Object] = []
        with _understood():
            while True:
                page = self._ask(Request(path=self._path(resource), query=query))
                items += [words | item for item in page["items"]]
                query["continue"] = page["metadata"].get("continue") or ""
                if not query["continue"]:
                    return Listing(items, page["metadata"]["resourceVersion"])

    def _path(self, resource: Resource, name: str = "") -> str:
        root = f"apis/{resource.group}" if resource.group else "api"
        space = "" if resource in _OF_THE_CLUSTER else f"/namespaces/{self.namespace}"
        path = f"{root}/{resource.version}{space}/{resource.plural}"
        return f"{path}/{quote(name, safe='')}" if name else path

    def _event(self, line: bytes) -> tuple[str, Object]:
        with _understood():
            event = json.loads(line)
            kind, thing = event["type"], event["object"]
            if kind == "ERROR":
                raise refusals.of_watch(thing, self._transport.about())
            return str(kind), dict(thing)


@contextlib.contextmanager
def _understood() -> Iterator[None]:
    """Turn what reading an answer raises into an error of ours: JSON may be of no Kubernetes."""
    try:
        yield
    except OneoffError:
        raise
    except Exception as error:
        raise ClusterError(
            f"the API server's answer is none that Kubernetes gives: {type(error).__name__}: {error}",
            next_step="does a proxy answer in its place?",
        ) from error


def _creation(path: str, resource: Resource, thing: Object, *, dry_run: bool) -> Request:
    body = _json(_typed(resource, thing))
    return Request(method="POST", path=path, query=_writing(dry_run=dry_run), body=body)


def _patch(path: str, change: Object, form: str, query: Mapping[str, str]) -> Request:
    return Request(
        method="PATCH", path=path, query=query, body=_json(change), content_type=f"application/{form}"
    )


def _writing(*, dry_run: bool = False) -> dict[str, str]:
    return {"fieldManager": MANAGER} | ({"dryRun": "All"} if dry_run else {})


def _typed(resource: Resource, thing: Object) -> Object:
    return {"apiVersion": resource.api_version, "kind": resource.kind, **thing}


def _json(value: Object) -> bytes:
    return json.dumps(value).encode()


def _query(selection: Selection) -> dict[str, str]:
    wanted = {"labelSelector": selection.labels, "fieldSelector": selection.fields}
    return {
        name: ",".join(f"{key}={value}" for key, value in values.items())
        for name, values in wanted.items()
        if values
    }


def _number(said: str) -> int:
    """``28+``, as some managed clusters say it, is 28."""
    found = re.match(r"\d+", said)
    return int(found.group()) if found else 0
