"""Connections are kept, counted, and given up where the server has."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from oneoff.kube.api.client import KubernetesCluster, connect
from oneoff.kube.api.cluster import CONFIG_MAPS
from oneoff.kube.api.connection.http import AT_ONCE
from oneoff.kube.api.connection.transport import Pace
from oneoff.settings.kubernetes import KubernetesSettings
from tests.integration.kube.servers import Scripted, http, kubeconfig

AT_FIRST = Pace(patience=0, at_first=0)


class Server(ThreadingHTTPServer):
    """Keeps connections, and counts them and the requests under way."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.connections = self.now = self.most = 0
        self.paths: list[str] = []
        self.lock = threading.Lock()
        self.slowly = 0.0
        self.hangs_up = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
            self.server.paths.append(self.path)
        time.sleep(self.server.slowly)
        body = json.dumps({"major": "1", "minor": "33", "items": [], "metadata": {"resourceVersion": "1"}})
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with self.server.lock:
            self.server.now -= 1
        self.wfile.write(body.encode())
        self.close_connection = self.server.hangs_up

    def log_message(self, *_: Any) -> None:
        """Nothing: what was asked is counted."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield server
        server.shutdown()
        serving.join()


@contextmanager
def asking(server: Server, folder: Path, path: str = "") -> Iterator[KubernetesCluster]:
    environ = kubeconfig(folder, f"{server.url}{path}")
    with closing(connect(KubernetesSettings(), environ, pace=AT_FIRST)) as cluster:
        yield cluster


def test_a_connection_is_used_again(server: Server, tmp_path: Path) -> None:
    with asking(server, tmp_path) as cluster:
        for _ in range(5):
            assert cluster.version() == (1, 33)
    assert server.connections == 1


def test_one_that_the_server_has_ended_is_not(server: Server, tmp_path: Path) -> None:
    """Without a word about it: neither a read nor a write may fall into it."""
    server.hangs_up = True
    with asking(server, tmp_path) as cluster:
        for _ in range(3):
            assert cluster.version() == (1, 33)
            time.sleep(0.1)  # until its end is here
    assert server.connections == 3


def test_so_many_at_once_and_no_more(server: Server, tmp_path: Path) -> None:
    server.slowly = 0.1
    with asking(server, tmp_path) as cluster, ThreadPoolExecutor(4 * AT_ONCE) as many:
        assert set(many.map(lambda _: cluster.version(), range(4 * AT_ONCE))) == {(1, 33)}
    assert (server.connections, server.most) == (AT_ONCE, AT_ONCE)


def test_a_server_below_a_path(server: Server, tmp_path: Path) -> None:
    """As behind a gateway that leads to many clusters."""
    with asking(server, tmp_path, "/k8s/clusters/c-1/") as cluster:
        cluster.list(CONFIG_MAPS)
    assert server.paths == ["/k8s/clusters/c-1/api/v1/namespaces/shop/configmaps?limit=500"]


def test_what_was_packed_is_unpacked(tmp_path: Path) -> None:
    """An API server packs what is larger than 128 KiB."""
    body = gzip.compress(json.dumps({"major": "1", "minor": "33", "more": "x" * 200_000}).encode())
    answer = http(body, headers={"Content-Encoding": "gzip"})
    with Scripted(answer) as server:
        with closing(connect(KubernetesSettings(), kubeconfig(tmp_path, server.url))) as cluster:
            assert cluster.version() == (1, 33)
        assert b"Accept-Encoding: gzip" in server.requests[0]


def test_a_log_is_not_packed(tmp_path: Path) -> None:
    """It would come late, by whole blocks."""
    with Scripted(http("1 a\n")) as server:
        assert list(connect(KubernetesSettings(), kubeconfig(tmp_path, server.url)).log("p", "web")) == [
            b"1 a\n"
        ]
    assert b"Accept-Encoding" not in server.requests[0]
