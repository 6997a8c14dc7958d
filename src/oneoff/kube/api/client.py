"""The `Cluster` seam over lightkube, with generic resources: raw JSON both ways.

What lightkube's client cannot ask for (bookmarks and a time limit of a watch, ``sinceTime`` of a log, the
deletion of one uid only) goes over an HTTP client of our own, on the same transport.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final
from urllib.parse import quote

import httpx2
from lightkube import Client, SingleConfig
from lightkube.config.models import Cluster as LightkubeServer
from lightkube.config.models import Context, User
from lightkube.generic_resource import GenericGlobalResource, GenericNamespacedResource, create_api_info
from lightkube.types import PatchType

from oneoff.errors import ClusterError, ClusterUnreachable, OneoffError, VersionGone
from oneoff.kube.api.cluster import EVERYTHING, MANAGER, NAMESPACES, Caller, Listing, Resource, Selection
from oneoff.kube.api.connection import kubeconfig, refusals
from oneoff.kube.api.connection.credentials import login_of
from oneoff.kube.api.connection.kubeconfig import Target
from oneoff.kube.api.connection.proxies import proxy_for
from oneoff.kube.api.connection.transport import STREAM, TIMEOUT, Pace, StreamLost, Transport, lines
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
_WARNING: Final = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
"""One of a ``Warning`` header (RFC 7234, 5.5)."""
_OF_THE_CLUSTER: Final = (NAMESPACES, _SELF_REVIEW, _ACCESS_REVIEW)


def connect(
    settings: KubernetesSettings, environ: Mapping[str, str] = os.environ, *, pace: Pace | None = None
) -> KubernetesCluster:
    """The cluster that the kubeconfig and the environment's table name. Sends nothing yet.

    Raises:
        ClusterUnreachable: there is no such context, or the kubeconfig cannot be used.
    """
    target = kubeconfig.load(settings, environ)
    try:
        httpx2.URL(target.server.url)
    except httpx2.InvalidURL as error:
        raise ClusterUnreachable(
            f"the server of the context {target.context} is no URL: {target.server.url!r} ({error})"
        ) from error
    proxy = target.server.proxy or proxy_for(target.server.url, environ)
    transport = Transport(target, login_of(target, environ), proxy=proxy, pace=pace)
    return KubernetesCluster(target, transport)


class KubernetesCluster:
    """See :class:`oneoff.kube.api.cluster.Cluster`."""

    def __init__(self, target: Target, transport: Transport) -> None:
        self.namespace = target.namespace
        self.context = target.context
        self._transport = transport
        # The transport alone knows certificates and tokens: lightkube is to load none.
        server = LightkubeServer(server=target.server.url, insecure=True)
        self._lightkube = Client(
            SingleConfig(target.context, Context(cluster=target.context), server, User()),
            namespace=target.namespace,
            field_manager=MANAGER,
            trust_env=False,
            timeout=httpx2.Timeout(TIMEOUT),
            transport=transport,
        )
        self._http = httpx2.Client(
            base_url=target.server.url,
            trust_env=False,
            timeout=httpx2.Timeout(TIMEOUT),
            transport=transport,
        )

    def get(self, resource: Resource, name: str) -> Object:
        with _understood():
            return dict(self._lightkube.get(_kind(resource), name))

    def list(self, resource: Resource, selection: Selection = EVERYTHING) -> Listing:
        for _ in range(_ATTEMPTS - 1):
            with contextlib.suppress(VersionGone):  # the server forgot the version of the pages to come
                return self._list(resource, selection)
        return self._list(resource, selection)

    def create(self, resource: Resource, thing: Object, *, dry_run: bool = False) -> Object:
        with _understood():
            return dict(self._lightkube.create(_kind(resource)(thing), dry_run=dry_run))

    def rehearse(self, resource: Resource, thing: Object) -> Sequence[str]:
        query = {"dryRun": "All", "fieldManager": MANAGER}
        answer = self._http.post(self._path(resource), params=query, json=thing)
        said = ", ".join(answer.headers.get_list("Warning"))
        return [re.sub(r"\\(.)", r"\1", text) for text in _WARNING.findall(said)]

    def apply(
        self, resource: Resource, thing: Object, *, dry_run: bool = False, force: bool = False
    ) -> Object:
        with _understood():
            return dict(self._lightkube.apply(_kind(resource)(thing), dry_run=dry_run, force=force))

    def patch(self, resource: Resource, name: str, change: Object) -> Object:
        with _understood():
            return dict(self._lightkube.patch(_kind(resource), name, change, patch_type=PatchType.MERGE))

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
        self._http.request("DELETE", self._path(resource, name), json=options)

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
        timeout = httpx2.Timeout(TIMEOUT, read=limit + _GRACE)
        with (
            contextlib.suppress(StreamLost),
            contextlib.closing(self._stream(self._path(resource), query, timeout)) as found,
        ):
            for line in found:
                yield self._event(line)

    def log(
        self, pod: str, container: str, *, follow: bool = False, since: str | None = None
    ) -> Iterator[bytes]:
        query = {"container": container, "timestamps": "true"}
        query |= {"follow": "true"} if follow else {}
        query |= {"sinceTime": since} if since else {}
        timeout = httpx2.Timeout(TIMEOUT, read=SILENCE if follow else 2 * TIMEOUT)
        path = f"api/v1/namespaces/{self.namespace}/pods/{quote(pod, safe='')}/log"
        return self._stream(path, query, timeout)

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

    def version(self) -> tuple[int, int]:
        with _understood():
            said = self._http.get("version").json()
            return _number(said["major"]), _number(said["minor"])

    def hang_up(self) -> None:
        self._transport.streams.hang_up()

    def close(self) -> None:
        self._lightkube.close()
        self._http.close()

    def _list(self, resource: Resource, selection: Selection) -> Listing:
        # A server says them of the whole list only.
        words = {"apiVersion": resource.api_version, "kind": resource.kind}
        with _understood():
            found: Any = self._lightkube.list(
                _kind(resource),
                chunk_size=_PAGE,
                labels=dict(selection.labels) or None,
                fields=dict(selection.fields) or None,
            )
            items = [words | item for item in found]
            return Listing(items, found.resourceVersion)

    def _path(self, resource: Resource, name: str = "") -> str:
        root = f"apis/{resource.group}" if resource.group else "api"
        path = f"{root}/{resource.version}/namespaces/{self.namespace}/{resource.plural}"
        return f"{path}/{quote(name, safe='')}" if name else path

    def _stream(self, path: str, query: dict[str, str], timeout: httpx2.Timeout) -> Generator[bytes]:
        request = self._http.build_request(
            "GET", path, params=query, timeout=timeout, extensions={STREAM: True}
        )
        response = self._http.send(request, stream=True)
        with self._transport.streams.reading(response):
            yield from lines(response, whole="watch" in query)

    def _event(self, line: bytes) -> tuple[str, Object]:
        with _understood():
            event = json.loads(line)
            kind, thing = event["type"], event["object"]
            if kind == "ERROR":
                raise refusals.of_watch(thing, self._transport.about())
            return str(kind), dict(thing)


@contextlib.contextmanager
def _understood() -> Iterator[None]:
    """Turn what lightkube raises about an answer into an error of ours.

    The transport has seen to HTTP. What is left is JSON that is of no Kubernetes, about which lightkube, and
    what it reads JSON with, raise whatever they meet.
    """
    try:
        yield
    except OneoffError:
        raise
    except Exception as error:
        raise ClusterError(
            f"the API server's answer is none that Kubernetes gives: {type(error).__name__}: {error}",
            next_step="does a proxy answer in its place?",
        ) from error


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


@cache
def _kind(resource: Resource) -> Any:
    """A class of our own for it. lightkube's registry takes one for each process, and somebody else's may be
    a model that drops what it does not know.
    """
    base = GenericGlobalResource if resource in _OF_THE_CLUSTER else GenericNamespacedResource
    about = create_api_info(resource.group, resource.version, resource.kind, resource.plural)
    return type(resource.kind, (base,), {"_api_info": about})
