"""A kubeconfig may hold anything: whatever is wrong with it is an error of ours, and asks for nothing."""

from __future__ import annotations

import copy
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from oneoff.errors import ClusterError
from oneoff.kube.api.client import connect
from oneoff.kube.api.connection.transport import Pace
from oneoff.settings.kubernetes import KubernetesSettings
from tests.integration.kube.servers import Scripted, http

USERS: dict[str, dict[str, Any]] = {
    "token": {"token": "t", "tokenFile": "", "username": "", "password": ""},
    "acting": {"token": "t", "as": "bob", "as-groups": ["a"], "as-uid": "u", "as-user-extra": {"k": ["v"]}},
    "plugin": {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "false",
            "args": ["x"],
            "env": [{"name": "A", "value": "b"}],
            "interactiveMode": "Never",
            "provideClusterInfo": True,
            "installHint": "x",
        }
    },
    "provider": {"auth-provider": {"name": "oidc", "config": {"id-token": "i"}}},
    "certificate": {"client-certificate-data": "UEVN", "client-key-data": "UEVN"},
}
ODD: list[Any] = [None, 1, True, "", "größe\n", "\x00", [], [1], {}, {"name": 1}, [{"name": "c"}], -1.5]


def config(server: str, user: dict[str, Any]) -> dict[str, Any]:
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}
    cluster = {"server": server, "tls-server-name": "x", "insecure-skip-tls-verify": True, "proxy-url": ""}
    return {
        "current-context": "prod",
        "clusters": [{"name": "c", "cluster": cluster | {"extensions": [extension]}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
    }


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document."""
    yield path
    for key, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from places(inner, (*path, key))


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    made = copy.deepcopy(document)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return made


@pytest.mark.parametrize("user", USERS)
def test_anything_in_any_place(tmp_path: Path, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each value of a good kubeconfig is exchanged for each of these; no other machine is asked."""
    here = socket.create_connection

    def only_here(address: tuple[str, int], *more: Any, **given: Any) -> socket.socket:
        if address[0] != "127.0.0.1":
            raise ConnectionRefusedError
        return here(address, *more, **given)

    monkeypatch.setattr(socket, "create_connection", only_here)
    path, pace = tmp_path / "kubeconfig", Pace(patience=0, at_first=0)
    with Scripted(http({"major": "1", "minor": "36"})) as server:
        good = config(server.url, USERS[user])
        for place in places(good):
            if user != "token" and place[:1] != ("users",):
                continue  # it is the same for all
            for value in ODD:
                path.write_text(json.dumps(changed(good, place, value)))
                environ = {"KUBECONFIG": str(path), "PATH": "/usr/bin:/bin"}
                try:
                    with closing(connect(KubernetesSettings(), environ, pace=pace)) as cluster:
                        assert cluster.version() == (1, 36)
                except ClusterError as error:
                    assert error.message
