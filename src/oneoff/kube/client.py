"""The `Cluster` seam over lightkube, with generic resources: raw JSON both ways."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final
from urllib.parse import quote

import httpx2
from lightkube import Client, KubeConfig, SingleConfig
from lightkube.config.models import Cluster as Server
from lightkube.config.models import Context, User
from lightkube.generic_resource import create_global_resource, create_namespaced_resource
from lightkube.types import PatchType

from oneoff.errors import ClusterError, ObjectMissing, VersionGone
from oneoff.kube import refusals, transport
from oneoff.kube.cluster import EVERYTHING, NAMESPACES, Caller, Listing, Resource, Selection
from oneoff.kube.objects import Object
from oneoff.settings.kubernetes import KubernetesSettings

_MANAGER: Final = "oneoff"
_PAGE: Final = 500
_SELF_REVIEW: Final = Resource("authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews")
_ACCESS_REVIEW: Final = Resource(
    "authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews"
)
_GLOBAL: Final = (NAMESPACES, _SELF_REVIEW, _ACCESS_REVIEW)


def connect(settings: KubernetesSettings) -> KubernetesCluster:
    """The cluster that a kubeconfig and the environment's table name."""
    config = KubeConfig.from_file(os.environ.get("KUBECONFIG", "~/.kube/config")).get(settings.context)
    assert config is not None
    token = config.user.token if config.user else None
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    namespace = settings.namespace or config.namespace
    inner = httpx2.HTTPTransport()
    return KubernetesCluster(
        config.cluster.server, config.context_name, namespace, transport.Transport(inner, headers, namespace)
    )


class KubernetesCluster:
    """See :class:`oneoff.kube.cluster.Cluster`."""

    def __init__(self, server: str, context: str, namespace: str, carrier: transport.Transport) -> None:
        self.namespace = namespace
        self.context = context
        config = SingleConfig(context, Context(cluster=context), Server(server=server, insecure=True), User())
        self._client = Client(
            config, namespace=namespace, field_manager=_MANAGER, trust_env=False, transport=carrier
        )
        self._streams = carrier.streams
        self._http = httpx2.Client(base_url=server, transport=carrier, trust_env=False)

    def get(self, resource: Resource, name: str) -> Object:
        return dict(self._client.get(_kind(resource), name))

    def list(self, resource: Resource, selection: Selection = EVERYTHING) -> Listing:
        while True:
            found: Any = self._client.list(
                _kind(resource),
                chunk_size=_PAGE,
                labels=dict(selection.labels) or None,
                fields=dict(selection.fields) or None,
            )
            with contextlib.suppress(VersionGone):
                words = {"apiVersion": resource.api_version, "kind": resource.kind}
                items = [words | item for item in found]
                return Listing(items, found.resourceVersion)

    def create(self, resource: Resource, thing: Object, *, dry_run: bool = False) -> Object:
        return dict(self._client.create(_kind(resource)(thing), dry_run=dry_run))

    def apply(
        self, resource: Resource, thing: Object, *, dry_run: bool = False, force: bool = False
    ) -> Object:
        return dict(self._client.apply(_kind(resource)(thing), dry_run=dry_run, force=force))

    def patch(self, resource: Resource, name: str, change: Object) -> Object:
        return dict(self._client.patch(_kind(resource), name, change, patch_type=PatchType.MERGE))

    def delete(self, resource: Resource, name: str, *, uid: str, grace: int | None = None) -> None:
        options: Object = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Foreground",
        }
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        try:
            self._http.request("DELETE", self._path(resource, name), json=options)
        except ClusterError as error:
            if "uid" in error.message.lower() and "precondition" in error.message.lower():
                raise ObjectMissing(error.message) from error
            raise

    def watch(
        self, resource: Resource, selection: Selection, *, version: str, seconds: float
    ) -> Iterator[tuple[str, Object]]:
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(max(1, round(seconds))),
        }
        for name, wanted in (("labelSelector", selection.labels), ("fieldSelector", selection.fields)):
            if wanted:
                query[name] = ",".join(f"{key}={value}" for key, value in wanted.items())
        timeout = httpx2.Timeout(10, read=seconds + 5)
        lines = self._stream(self._path(resource), query, timeout)
        with contextlib.suppress(transport.StreamLost):
            for line in lines:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise refusals.of_status(event["object"].get("code", 500), event["object"])
                yield event["type"], event["object"]

    def log(
        self, pod: str, container: str, *, follow: bool = False, since: str | None = None
    ) -> Iterator[bytes]:
        query = {"container": container, "timestamps": "true"}
        if follow:
            query["follow"] = "true"
        if since:
            query["sinceTime"] = since
        path = f"api/v1/namespaces/{self.namespace}/pods/{quote(pod, safe='')}/log"
        return self._stream(path, query, httpx2.Timeout(10, read=60))

    def whoami(self) -> Caller:
        answer = self.create(_SELF_REVIEW, {"metadata": {}})
        info = answer["status"]["userInfo"]
        return Caller(info["username"], tuple(info.get("groups") or ()))

    def may(self, verb: str, resource: Resource, *, subresource: str = "", name: str = "") -> bool:
        wanted = {
            "namespace": self.namespace,
            "verb": verb,
            "group": resource.group,
            "version": resource.version,
            "resource": resource.plural,
            "subresource": subresource,
            "name": name,
        }
        answer = self.create(_ACCESS_REVIEW, {"metadata": {}, "spec": {"resourceAttributes": wanted}})
        return bool(answer["status"].get("allowed"))

    def version(self) -> tuple[int, int]:
        said = self._http.get("version").json()
        return _number(said["major"]), _number(said["minor"])

    def hang_up(self) -> None:
        self._streams.hang_up()

    def close(self) -> None:
        self._client.close()
        self._http.close()

    def _path(self, resource: Resource, name: str = "") -> str:
        root = f"apis/{resource.group}" if resource.group else "api"
        path = f"{root}/{resource.version}/namespaces/{self.namespace}/{resource.plural}"
        return f"{path}/{quote(name, safe='')}" if name else path

    def _stream(self, path: str, query: dict[str, str], timeout: httpx2.Timeout) -> Iterator[bytes]:
        request = self._http.build_request(
            "GET", path, params=query, timeout=timeout, extensions=dict(transport.STREAM)
        )
        response = self._http.send(request, stream=True)
        with self._streams.reading(response):
            yield from transport.lines(response)


def _number(said: str) -> int:
    """``28+``, as some managed clusters say it, is 28."""
    found = re.match(r"\d+", said)
    return int(found.group()) if found else 0


@cache
def _kind(resource: Resource) -> Any:
    make = create_global_resource if resource in _GLOBAL else create_namespaced_resource
    return make(resource.group, resource.version, resource.kind, resource.plural)
