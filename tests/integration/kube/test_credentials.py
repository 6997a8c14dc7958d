"""As whom a request is made: plugins that are real programs, tokens in files, and acting as another."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from oneoff.errors import ClusterUnreachable, CredentialsRefused
from oneoff.kube.api.client import connect
from oneoff.kube.api.cluster import Cluster
from oneoff.kube.api.connection import plugin
from oneoff.kube.api.connection.transport import Pace
from oneoff.settings.kubernetes import KubernetesSettings
from tests.integration.kube.servers import Scripted, http, kubeconfig
from tests.kubernetes import certificates
from tests.kubernetes.certificates import make_client
from tests.terminals import shown_on

V1 = "client.authentication.k8s.io/v1"
VERSION = http({"major": "1", "minor": "36"})
UNKNOWN = http({"kind": "Status", "code": 401, "message": "Unauthorized"}, 401)


def program(folder: Path, code: str, name: str = "get-token") -> Path:
    """A plugin written in Python; it counts its calls in ``calls``."""
    path = folder / name
    head = f"#!{sys.executable}\nimport json, os, sys\nopen({str(folder / 'calls')!r}, 'a').write('x')\n"
    count = f"calls = os.path.getsize({str(folder / 'calls')!r})\n"
    path.write_text(head + count + textwrap.dedent(code))
    path.chmod(0o755)
    return path


def calls(folder: Path) -> int:
    path = folder / "calls"
    return len(path.read_text()) if path.exists() else 0


def answer(version: str = V1, **status: Any) -> str:
    """The code of a plugin that answers this."""
    found = {"apiVersion": version, "kind": "ExecCredential", "status": status}
    return f"print(json.dumps({found!r}))"


def user(command: str | Path, **changes: Any) -> dict[str, Any]:
    described = {"apiVersion": V1, "command": str(command), "interactiveMode": "Never"}
    return {"exec": described | changes}


def to(server: Scripted, folder: Path, user: dict[str, Any], **environ: str) -> Cluster:
    """The client of this user."""
    found = kubeconfig(folder, server.url, user) | environ
    return connect(KubernetesSettings(), found, pace=Pace(patience=0, at_first=0))


def test_a_plugin_gives_a_token(tmp_path: Path) -> None:
    """Once for many requests, found on PATH, told what the protocol says."""
    code = """
        told = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
        assert told["kind"] == "ExecCredential", told
        assert told["apiVersion"] == "client.authentication.k8s.io/v1", told
        assert told["spec"]["interactive"] is False, told
        assert told["spec"]["cluster"]["server"].startswith("http://127.0.0.1"), told
        assert told["spec"]["cluster"]["tls-server-name"] == "x", told
        assert sys.argv[1:] == ["token", "7"], sys.argv
        assert os.environ["AWS_PROFILE"] == "shop"
        assert os.environ["OWN"] == "mine"
        assert sys.stdin.read() == ""
        """
    given = answer(token="t1", expirationTimestamp="2999-01-01T00:00:00Z")
    program(tmp_path, textwrap.dedent(code) + given)
    described = user(
        "get-token",
        args=["token", 7],
        env=[{"name": "AWS_PROFILE", "value": "shop"}],
        provideClusterInfo=True,
    )
    with Scripted(VERSION) as server:
        environ = kubeconfig(tmp_path, server.url, described, {"tls-server-name": "x"})
        cluster = connect(KubernetesSettings(), environ | {"PATH": str(tmp_path), "OWN": "mine"})
        assert [cluster.version(), cluster.version()] == [(1, 36), (1, 36)]
    assert calls(tmp_path) == 1
    assert all(b"authorization: bearer t1" in request.lower() for request in server.requests)


def test_a_plugin_beside_the_kubeconfig(tmp_path: Path) -> None:
    program(tmp_path, answer(token="t"))
    with Scripted(VERSION) as server:
        assert to(server, tmp_path, user("./get-token")).version() == (1, 36)


def test_a_token_that_is_refused_is_asked_for_again_once(tmp_path: Path) -> None:
    again = "print(json.dumps({'apiVersion': sys.argv[1], 'status': {'token': f't{calls}'}}))"
    command = program(tmp_path, again)
    with Scripted(VERSION, UNKNOWN, VERSION, UNKNOWN) as server:
        cluster = to(server, tmp_path, user(command, args=[V1]))
        assert [cluster.version(), cluster.version()] == [(1, 36), (1, 36)]
        with pytest.raises(CredentialsRefused, match="does not know who you are") as caught:
            cluster.version()
    assert "what get-token gives is not accepted: log in again" in caught.value.next_step
    shown = [request.split(b"Bearer ")[1].split(b"\r")[0] for request in server.requests]
    assert shown == [b"t1", b"t1", b"t2", b"t2", b"t3"]


def test_a_token_that_has_expired_is_asked_for_again(tmp_path: Path) -> None:
    soon = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    command = program(tmp_path, answer(token="t", expirationTimestamp=soon))
    with Scripted(VERSION) as server:
        cluster = to(server, tmp_path, user(command))
        cluster.version()
        cluster.version()
    assert calls(tmp_path) == 2


def test_a_plugin_gives_a_certificate(tmp_path: Path) -> None:
    files, (certificate, key) = certificates.make(tmp_path / "tls"), make_client("ann")
    command = program(tmp_path, answer(clientCertificateData=certificate, clientKeyData=key))
    context = files.context()
    context.load_verify_locations(cadata=certificate)
    context.verify_mode = context.verify_mode.CERT_REQUIRED
    trust = {"certificate-authority": str(files.authority)}
    with Scripted(VERSION, tls=context) as server:
        cluster = connect(KubernetesSettings(), kubeconfig(tmp_path, server.url, user(command), trust))
        assert cluster.version() == (1, 36)


@pytest.mark.parametrize("version", ["v1beta1", "v1alpha1"])
def test_older_plugins(tmp_path: Path, version: str) -> None:
    version = f"client.authentication.k8s.io/{version}"
    command = program(tmp_path, answer(version, token="t"))
    with Scripted(VERSION) as server:
        assert to(server, tmp_path, user(command, apiVersion=version)).version() == (1, 36)


BROKEN = [
    ("sys.exit('please log in: aws sso login')", "failed with exit code 1:\nplease log in: aws sso login"),
    ("print('TOKEN-SECRET')", "printed something else than an ExecCredential"),
    ("print('[1]')", "printed something else"),
    (answer(), "gave neither a token nor a certificate"),
    (answer(clientCertificateData="x"), "gave neither a token nor a certificate"),
    (answer(f"{V1}beta1", token="TOKEN-SECRET"), "speaks 'client.authentication.k8s.io/v1beta1'"),
    (answer(token="TOKEN-SECRET", expirationTimestamp="soon"), "printed something else"),
    (answer(token="TOKEN-SECRET\nX-Other: 1"), "something that no token can be"),
]


@pytest.mark.parametrize(("code", "words"), BROKEN)
def test_a_plugin_that_fails_is_told_with_its_words(tmp_path: Path, code: str, words: str) -> None:
    command = program(tmp_path, code)
    with Scripted(VERSION) as server, pytest.raises(CredentialsRefused) as caught:
        to(server, tmp_path, user(command)).version()
    assert words in caught.value.message
    assert "get-token" in caught.value.message
    assert "SECRET" not in caught.value.message + caught.value.next_step
    assert server.requests == []


def test_a_plugin_that_is_not_there(tmp_path: Path) -> None:
    with Scripted(VERSION) as server:
        with pytest.raises(CredentialsRefused, match="wants 'aws', which is not on PATH") as caught:
            to(server, tmp_path, user("aws", installHint="see example.com"), PATH=str(tmp_path)).version()
        assert caught.value.next_step == "see example.com"
        with pytest.raises(CredentialsRefused, match="no cannot be started"):
            to(server, tmp_path, user("./no")).version()


def test_a_plugin_of_a_version_that_nobody_knows(tmp_path: Path) -> None:
    command = program(tmp_path, answer(token="t"))
    with Scripted(VERSION) as server, pytest.raises(CredentialsRefused, match="is to speak 'v9'"):
        to(server, tmp_path, user(command, apiVersion="v9")).version()


def test_a_plugin_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "PATIENCE", 0.5)
    command = program(
        tmp_path, "import time; print('open https://x', file=sys.stderr, flush=True); time.sleep(30)"
    )
    with Scripted(VERSION) as server, pytest.raises(CredentialsRefused, match="open https://x"):
        to(server, tmp_path, user(command)).version()


def test_a_plugin_that_has_to_ask_needs_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    command = program(tmp_path, answer(token="t"))
    with Scripted(VERSION) as server, pytest.raises(CredentialsRefused, match="there is no terminal"):
        to(server, tmp_path, user(command, interactiveMode="Always")).version()


def test_a_plugin_asks_whoever_is_at_the_terminal(tmp_path: Path) -> None:
    """It has the terminal for itself, to read and to write."""
    code = """
    assert json.loads(os.environ["KUBERNETES_EXEC_INFO"])["spec"]["interactive"] is True
    sys.stderr.write("password: ")
    sys.stderr.flush()
    token = input()
    """
    given = "print(json.dumps({'apiVersion': sys.argv[1], 'status': {'token': token}}))"
    command = program(tmp_path, textwrap.dedent(code) + given)
    asks = (
        "from oneoff.kube.api.client import connect\n"
        "from oneoff.settings.kubernetes import KubernetesSettings\n"
        "print(connect(KubernetesSettings()).version())"
    )
    with Scripted(VERSION) as server:
        environ = kubeconfig(tmp_path, server.url, user(command, args=[V1], interactiveMode="IfAvailable"))
        master, slave = pty.openpty()
        with subprocess.Popen(
            [sys.executable, "-c", asks], env=os.environ | environ, stdin=slave, stdout=slave, stderr=slave
        ) as process:
            os.close(slave)
            assert shown_on(master, len("password: ")) == b"password: "
            os.write(master, b"t7\n")
            assert process.wait(20) == 0
        os.close(master)
    assert header(server.requests[0], "Authorization") == [b"Bearer t7"]


def test_a_token_in_a_file_is_read_each_time(tmp_path: Path) -> None:
    """As in a pod, where the kubelet writes a new one every hour."""
    file = tmp_path / "token"
    file.write_text("t1\n")
    with Scripted(VERSION, VERSION, UNKNOWN) as server:
        cluster = to(server, tmp_path, {"tokenFile": "token", "token": "old"})
        cluster.version()
        file.write_text("t2\n")
        cluster.version()
        with pytest.raises(CredentialsRefused) as caught:
            cluster.version()
        assert str(file) in caught.value.next_step
        file.unlink()
        with pytest.raises(CredentialsRefused, match="the token cannot be read"):
            cluster.version()
    shown = [request.split(b"Bearer ")[1].split(b"\r")[0] for request in server.requests]
    assert shown == [b"t1", b"t2", b"t2"]


def header(request: bytes, name: str) -> list[bytes]:
    lines = request.split(b"\r\n\r\n")[0].split(b"\r\n")
    return [
        line.partition(b": ")[2] for line in lines if line.lower().startswith(name.lower().encode() + b":")
    ]


def test_other_ways(tmp_path: Path) -> None:
    """A password; kubectl's own OpenID Connect; acting as somebody else."""
    oidc = {"auth-provider": {"name": "oidc", "config": {"id-token": "i", "refresh-token": "r"}}}
    acting = {
        "token": "t",
        "as": "bob",
        "as-groups": ["a", "b"],
        "as-uid": "7",
        "as-user-extra": {"reason": ["x"]},
    }
    with Scripted(VERSION) as server:
        for found in ({"username": "ann", "password": "p"}, oidc, acting, {}):
            to(server, tmp_path, found or {"token": ""}).version()
    basic, provider, other, nothing = server.requests
    assert header(basic, "Authorization") == [b"Basic YW5uOnA="]
    assert header(provider, "Authorization") == [b"Bearer i"]
    assert header(nothing, "Authorization") == []
    assert header(other, "Impersonate-User") == [b"bob"]
    assert header(other, "Impersonate-Group") == [b"a", b"b"]
    assert header(other, "Impersonate-Uid") == [b"7"]
    assert header(other, "Impersonate-Extra-reason") == [b"x"]


@pytest.mark.parametrize(
    ("found", "step"),
    [
        ({"token": "t"}, "what user 'ann' of the kubeconfig has may have expired"),
        ({"token": ""}, "has no credentials at all"),
        (
            {"auth-provider": {"name": "oidc", "config": {"id-token": "i"}}},
            "any command of kubectl renews it",
        ),
    ],
)
def test_who_is_refused_is_told_why(tmp_path: Path, found: dict[str, Any], step: str) -> None:
    with Scripted(UNKNOWN) as server, pytest.raises(CredentialsRefused) as caught:
        to(server, tmp_path, found).version()
    assert step in caught.value.next_step
    assert len(server.requests) == 1


def test_a_provider_of_the_past(tmp_path: Path) -> None:
    with Scripted(VERSION) as server, pytest.raises(ClusterUnreachable, match="auth-provider 'gcp'"):
        to(server, tmp_path, {"auth-provider": {"name": "gcp"}})


def test_a_token_shows_nowhere(tmp_path: Path) -> None:
    from oneoff.kube.api.connection.credentials import login_of
    from oneoff.kube.api.connection.kubeconfig import load

    environ = kubeconfig(tmp_path, "https://x", {"token": "SECRET"})
    login = login_of(load(KubernetesSettings(), environ), environ)
    assert "SECRET" not in repr(login) + json.dumps(login.advice())
