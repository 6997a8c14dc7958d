"""Whatever stands where an API server is expected: no error but ours comes out of the client."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oneoff.errors import ClusterError, ClusterUnreachable, VersionGone
from oneoff.kube.api.client import connect
from oneoff.kube.api.cluster import CONFIG_MAPS, CRONJOBS, EVERYTHING, JOBS, Caller, Cluster
from oneoff.kube.api.connection.transport import Pace
from oneoff.settings.kubernetes import KubernetesSettings
from tests.integration.kube.servers import Scripted, closed_port, http, kubeconfig
from tests.recorded import RECORDINGS

AT_ONCE = Pace(patience=0, at_first=0)
THING = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}}

CALLS: dict[str, Callable[[Cluster], Any]] = {
    "get": lambda cluster: cluster.get(CONFIG_MAPS, "m"),
    "list": lambda cluster: cluster.list(CONFIG_MAPS),
    "create": lambda cluster: cluster.create(CONFIG_MAPS, THING),
    "apply": lambda cluster: cluster.apply(CONFIG_MAPS, THING),
    "patch": lambda cluster: cluster.patch(CONFIG_MAPS, "m", {"data": {}}),
    "delete": lambda cluster: cluster.delete(CONFIG_MAPS, "m", uid="u"),
    "watch": lambda cluster: list(cluster.watch(CONFIG_MAPS, EVERYTHING, version="1", seconds=1)),
    "log": lambda cluster: list(cluster.log("p", "web")),
    "whoami": lambda cluster: cluster.whoami(),
    "may": lambda cluster: cluster.may("get", JOBS),
    "rules": lambda cluster: cluster.rules(),
    "version": lambda cluster: cluster.version(),
}
"""Every method of the seam that sends something."""

NONSENSE = {
    "nothing at all": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a login page": http("<html>log in</html>", headers={"Content-Type": "text/html"}),
    "a redirect": http("", 302, {"Location": "http://elsewhere.example/"}),
    "no body": http(""),
    "no JSON": http("{]"),
    "a list": http([]),
    "another object": http({"a": 1}),
    "a number as object": http({"items": 5, "status": 5, "metadata": 5, "type": 5, "object": 5}),
    "no UTF-8": http(b'{"kind": "\xff"}'),
    "half an answer": http('{"kind"', headers={"Content-Length": "1000"}),
    "an encoding that is none": http("{}", headers={"Content-Encoding": "gzip"}),
    "an error without words": http("", 500),
    "an error of another kind": http({"error": "no"}, 403),
    "an odd Retry-After": http("", 429, headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}),
    "a status that is no table": http({"kind": "Status", "details": [], "message": None, "code": "x"}, 422),
}


def to(url: str, folder: Path, pace: Pace = AT_ONCE) -> Cluster:
    return connect(KubernetesSettings(), kubeconfig(folder, url), pace=pace)


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE.keys())
def test_nothing_but_errors_of_ours(tmp_path: Path, answer: bytes) -> None:
    """An object of another shape may pass as one: what is in it is for the caller to see."""
    with Scripted(answer) as server:
        cluster = to(server.url, tmp_path)
        for call in CALLS.values():
            try:
                call(cluster)
            except ClusterError as error:
                assert error.message
        cluster.close()
    assert server.requests


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize("name", ["nothing at all", "a redirect", "an error without words"])
def test_each_method_raises_where_nothing_was_understood(
    tmp_path: Path, name: str, call: Callable[[Cluster], Any]
) -> None:
    with Scripted(NONSENSE[name]) as server, pytest.raises(ClusterUnreachable):
        call(to(server.url, tmp_path))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_nobody_listens(tmp_path: Path, call: Callable[[Cluster], Any]) -> None:
    cluster = to(f"http://127.0.0.1:{closed_port()}", tmp_path)
    with pytest.raises(ClusterUnreachable, match="refuses connections") as caught:
        call(cluster)
    assert "VPN" in caught.value.next_step


def test_a_name_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ClusterUnreachable, match=r"no address for https://gone\.example.*\(context prod\)"):
        to("https://gone.example:6443", tmp_path).version()


@pytest.mark.parametrize(
    "url", ["https://[::1", "https://[1]", "https://a:x", "https://:1", "ftp://example.com"]
)
def test_a_server_that_is_no_url(tmp_path: Path, url: str) -> None:
    with pytest.raises(ClusterUnreachable, match="is no URL of http or https"):
        to(url, tmp_path)


def test_a_line_that_is_no_event(tmp_path: Path) -> None:
    with Scripted(http('{"type": "ADDED"}\n')) as server, pytest.raises(ClusterError, match="KeyError"):
        CALLS["watch"](to(server.url, tmp_path))


def test_a_line_that_was_cut_is_no_event(tmp_path: Path) -> None:
    whole = '{"type": "BOOKMARK", "object": {}}\n'
    with Scripted(http(whole + '{"type": "ADD')) as server:
        assert CALLS["watch"](to(server.url, tmp_path)) == [("BOOKMARK", {})]


def test_an_error_in_a_watch(tmp_path: Path) -> None:
    line = '{"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}\n'
    with Scripted(http(line)) as server, pytest.raises(VersionGone, match="too old"):
        CALLS["watch"](to(server.url, tmp_path))


def test_a_log_is_bytes(tmp_path: Path) -> None:
    text = b"1 \xff\xfe\n\n2 " + b"x" * 200_000 + b"\r\n3 no end"
    with Scripted(http(text, headers={"Content-Type": "text/plain"})) as server:
        found = list(to(server.url, tmp_path).log("p", "web", since="2026-11-30T00:00:00Z"))
    assert found == [b"1 \xff\xfe\n", b"\n", b"2 " + b"x" * 200_000 + b"\r\n", b"3 no end"]
    assert b"sinceTime=2026-11-30T00%3A00%3A00Z" in server.requests[0]
    assert b"timestamps=true" in server.requests[0]


def test_pages_are_put_together_and_begun_again_where_the_server_forgot(tmp_path: Path) -> None:
    def page(name: str, more: str = "") -> bytes:
        return http(
            {"metadata": {"resourceVersion": "7", "continue": more}, "items": [{"metadata": {"name": name}}]}
        )

    gone = http({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}, 410)
    with Scripted(page("a", "c1"), gone, page("a", "c2"), page("b")) as server:
        found = to(server.url, tmp_path).list(CONFIG_MAPS)
    assert [item["metadata"]["name"] for item in found.items] == ["a", "b"]
    assert found.items[0]["kind"] == "ConfigMap"
    assert found.version == "7"
    assert [b"continue=" in request for request in server.requests] == [False, True, False, True]


def recorded(name: str) -> bytes:
    """A recorded answer as it went over the wire."""
    head, _, body = (
        (RECORDINGS / "errors" / f"{name}.http").read_bytes().replace(b"\r", b"").partition(b"\n\n")
    )
    return http(body, int(head.split()[1]))


def test_recorded_answers_are_understood(tmp_path: Path) -> None:
    """Those of a real server; its refusals are in the table of refusals."""
    names = ("version", "self-subject-review", "create-201", "server-side-apply-201", "watch-gone-410")
    with Scripted(*map(recorded, names)) as server:
        cluster = to(server.url, tmp_path)
        assert cluster.version() == (1, 36)
        assert cluster.whoami() == Caller("admin", ("system:masters", "system:authenticated"))
        made = cluster.create(JOBS, {"metadata": {"name": "dup"}})
        assert made["spec"]["podReplacementPolicy"] == "TerminatingOrFailed"
        applied = cluster.apply(CRONJOBS, {"metadata": {"name": "c"}})
        assert applied["metadata"]["managedFields"][0]["manager"] == "oneoff"
        with pytest.raises(VersionGone, match=r"too old resource version: 1 \(336\)"):
            CALLS["watch"](cluster)
        cluster.close()
    assert b"fieldManager=oneoff" in server.requests[3]
    assert b"application/apply-patch+yaml" in server.requests[3]
