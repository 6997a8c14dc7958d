"""Kubeconfig files are read as kubectl reads them."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from oneoff.errors import ClusterUnreachable
from oneoff.kube.api.connection.kubeconfig import IN_CLUSTER, load
from oneoff.settings.kubernetes import KubernetesSettings

NOTHING = KubernetesSettings()


def config(**changes: Any) -> dict[str, Any]:
    """One context, ``prod``."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "prod",
        "clusters": [{"name": "c", "cluster": {"server": "https://prod:6443"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
    } | changes


def write(path: Path, text: str | dict[str, Any]) -> dict[str, str]:
    """The environment of a user who has this kubeconfig."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return {"KUBECONFIG": str(path)}


def test_the_current_context_is_taken(tmp_path: Path) -> None:
    target = load(NOTHING, write(tmp_path / "k", config()))
    assert (target.context, target.namespace, target.user) == ("prod", "shop", "u")
    assert target.server.url == "https://prod:6443"
    assert target.login == {"token": "t"}


def test_the_settings_come_first(tmp_path: Path) -> None:
    contexts = config()["contexts"] + [{"name": "test", "context": {"cluster": "c", "user": "u"}}]
    environ = write(tmp_path / "k", config(contexts=contexts))
    assert load(KubernetesSettings(context="test"), environ).namespace == "default"
    assert load(KubernetesSettings(context="test", namespace="mine"), environ).namespace == "mine"


def test_of_several_files_the_first_that_has_an_entry_wins_whole(tmp_path: Path) -> None:
    first = config(users=[{"name": "u", "user": {"username": "ann"}}])
    del first["current-context"], first["clusters"]
    write(tmp_path / "one" / "k", first)
    second = config(clusters=[{"name": "c", "cluster": {"server": "s:1", "certificate-authority": "ca.pem"}}])
    write(tmp_path / "two" / "k", second)
    (tmp_path / "two" / "ca.pem").write_text("PEM")
    paths = [tmp_path / "missing", tmp_path / "one" / "k", tmp_path / "two" / "k"]
    target = load(NOTHING, {"KUBECONFIG": os.pathsep.join(map(str, paths))})
    assert target.login == {"username": "ann"}
    assert target.folder == tmp_path / "one"
    assert (target.server.url, target.server.authority) == ("http://s:1", "PEM")


def test_home_has_one_too(tmp_path: Path) -> None:
    write(tmp_path / ".kube" / "config", config())
    assert load(NOTHING, {"HOME": str(tmp_path)}).context == "prod"


def test_all_of_a_server_is_read(tmp_path: Path) -> None:
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}
    cluster = {
        "server": "https://10.0.0.1",
        "tls-server-name": "prod",
        "proxy-url": "http://p:1",
        "certificate-authority-data": base64.b64encode(b"PEM").decode(),
        "certificate-authority": "not-read",
        "extensions": [{"name": "other", "extension": 1}, extension],
    }
    environ = write(tmp_path / "k", config(clusters=[{"name": "c", "cluster": cluster}]))
    server = load(NOTHING, environ).server
    assert (server.tls_name, server.proxy, server.authority) == ("prod", "http://p:1", "PEM")
    assert server.for_plugin == {"audience": "x"}


@pytest.fixture
def account(tmp_path: Path) -> Path:
    folder = tmp_path / "account"
    folder.mkdir()
    for name, text in (("token", "secret"), ("ca.crt", "PEM"), ("namespace", "shop\n")):
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("host", "url"), [("10.0.0.1", "https://10.0.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
def test_in_a_pod_the_service_account_is_taken(tmp_path: Path, account: Path, host: str, url: str) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443", "HOME": str(tmp_path)}
    target = load(NOTHING, environ, account=account)
    assert (target.context, target.namespace, target.server.url) == (IN_CLUSTER, "shop", url)
    assert (target.server.authority, target.login) == ("PEM", {"tokenFile": str(account / "token")})


def test_in_a_pod_a_kubeconfig_comes_first(tmp_path: Path, account: Path) -> None:
    environ = write(tmp_path / "k", config()) | {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert load(NOTHING, environ, account=account).context == "prod"


def test_in_a_pod_a_context_that_is_named_is_not_replaced(tmp_path: Path, account: Path) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOME": str(tmp_path)}
    with pytest.raises(ClusterUnreachable, match="there is no kubeconfig"):
        load(KubernetesSettings(context="prod"), environ, account=account)


def _without(key: str) -> dict[str, Any]:
    found = config()
    del found[key]
    return found


def _cluster(**cluster: Any) -> dict[str, Any]:
    return config(clusters=[{"name": "c", "cluster": cluster}])


BROKEN = [
    ("", "names no current context"),
    ("[1]", "is no kubeconfig: it holds no table"),
    ("a: [", "is not valid YAML"),
    ("\x00", "is not valid YAML"),
    (_without("current-context"), "names no current context"),
    (_without("contexts"), "has no context 'prod'"),
    (_without("clusters"), "the context prod wants the cluster 'c', which the kubeconfig does not have"),
    (_without("users"), "the context prod wants the user 'u'"),
    (config(contexts={"prod": 1}), "its contexts are no list of tables"),
    (config(users=[{"name": "u", "user": 1}]), "user u is no table"),
    (config(clusters=[{"name": "c", "cluster": None}]), "the cluster c of the kubeconfig has no server"),
    (
        _cluster(server="https://c", **{"certificate-authority": "no.pem"}),
        "certificate-authority .* cannot be",
    ),
    (_cluster(server="https://c", **{"certificate-authority-data": "?"}), "is no PEM"),
    (
        _cluster(
            server="https://c", **{"certificate-authority-data": "UEVN", "insecure-skip-tls-verify": True}
        ),
        "both a certificate-authority and insecure-skip-tls-verify",
    ),
]


@pytest.mark.parametrize(("text", "words"), BROKEN)
def test_what_is_wrong_is_said(tmp_path: Path, text: str | dict[str, Any], words: str) -> None:
    environ = write(tmp_path / "k", text)
    with pytest.raises(ClusterUnreachable, match=words) as caught:
        load(NOTHING, environ)
    assert caught.value.next_step


def test_a_context_that_is_misspelt_is_told(tmp_path: Path) -> None:
    with pytest.raises(ClusterUnreachable, match=r"did you mean 'prod'\?") as caught:
        load(KubernetesSettings(context="prd"), write(tmp_path / "k", config()))
    assert "it has prod" in caught.value.next_step


def test_none_at_all_is_told_with_the_places(tmp_path: Path) -> None:
    with pytest.raises(ClusterUnreachable, match=r"no kubeconfig \(.*/\.kube/config\), and this is no pod"):
        load(NOTHING, {"HOME": str(tmp_path)})


def test_a_folder_is_no_kubeconfig(tmp_path: Path) -> None:
    with pytest.raises(ClusterUnreachable, match="cannot be read"):
        load(NOTHING, {"KUBECONFIG": str(tmp_path)})
