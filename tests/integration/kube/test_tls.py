"""Certificates of the server's and of ours, and proxies."""

from __future__ import annotations

import base64
import ssl
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from oneoff.errors import ClusterUnreachable, CredentialsRefused, UsageError
from oneoff.kube.api.client import connect
from oneoff.kube.api.connection import tls
from oneoff.kube.api.connection.transport import Pace
from oneoff.settings.kubernetes import KubernetesSettings
from tests.integration.kube.servers import Proxy, Scripted, http, kubeconfig
from tests.kubernetes import certificates
from tests.kubernetes.certificates import SERVER_NAME, Certificates

AT_ONCE = Pace(patience=0, at_first=0)
VERSION = http({"major": "1", "minor": "28+"})


def ask(environ: dict[str, str]) -> tuple[int, int]:
    """Reach the server of this kubeconfig."""
    cluster = connect(KubernetesSettings(), environ, pace=AT_ONCE)
    try:
        return cluster.version()
    finally:
        cluster.close()


def data(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


@pytest.fixture
def files(tmp_path: Path) -> Certificates:
    return certificates.make(tmp_path / "tls")


def test_an_authority_by_its_file_or_its_data(tmp_path: Path, files: Certificates) -> None:
    with Scripted(VERSION, tls=files.context()) as server:
        assert ask(kubeconfig(tmp_path, server.url, cluster={"certificate-authority": "tls/ca.pem"})) == (
            1,
            28,
        )
        text = data("# Autorité de certification\n".encode() + files.authority.read_bytes())
        assert ask(kubeconfig(tmp_path, server.url, cluster={"certificate-authority-data": text})) == (1, 28)


def test_no_check_where_none_is_wanted(tmp_path: Path, files: Certificates) -> None:
    with Scripted(VERSION, tls=files.context()) as server:
        assert ask(kubeconfig(tmp_path, server.url, cluster={"insecure-skip-tls-verify": True})) == (1, 28)


def test_an_authority_that_is_not_the_servers(tmp_path: Path, files: Certificates) -> None:
    other = certificates.make(tmp_path / "other")
    with Scripted(VERSION, tls=files.context()) as server:
        for trust in ({}, {"certificate-authority": str(other.authority)}):
            with pytest.raises(ClusterUnreachable, match="from an authority that is not trusted") as caught:
                ask(kubeconfig(tmp_path, server.url, cluster=trust))
            assert "kubeconfig" in caught.value.next_step


def test_a_certificate_that_has_expired(tmp_path: Path) -> None:
    files = certificates.make(tmp_path / "tls", expired=True)
    with Scripted(VERSION, tls=files.context()) as server, pytest.raises(ClusterUnreachable) as caught:
        ask(kubeconfig(tmp_path, server.url, cluster={"certificate-authority": str(files.authority)}))
    assert "has expired" in caught.value.message
    assert "clock" in caught.value.next_step


def test_a_certificate_for_another_name(tmp_path: Path, files: Certificates) -> None:
    with Scripted(VERSION, tls=files.context()) as server:
        trust = {"certificate-authority": str(files.authority)}
        with pytest.raises(ClusterUnreachable, match="is for another name") as caught:
            ask(kubeconfig(tmp_path, server.url.replace("127.0.0.1", "localhost"), cluster=trust))
        assert "tls-server-name" in caught.value.next_step
        named = {"tls-server-name": SERVER_NAME}
        assert ask(kubeconfig(tmp_path, server.url.replace("127.0.0.1", "localhost"), cluster=trust | named))


def test_an_authority_that_is_no_certificate(tmp_path: Path) -> None:
    with pytest.raises(ClusterUnreachable, match="is no certificate"):
        ask(
            kubeconfig(
                tmp_path, "https://127.0.0.1:1", cluster={"certificate-authority-data": data("nothing")}
            )
        )


def test_https_to_a_server_of_http(tmp_path: Path) -> None:
    with Scripted(VERSION) as server, pytest.raises(ClusterUnreachable, match="does not speak TLS") as caught:
        ask(kubeconfig(tmp_path, server.url.replace("http", "https")))
    assert "http or https" in caught.value.next_step


def wants_clients(files: Certificates, *trusted: str) -> ssl.SSLContext:
    """A server that takes no client without one of these certificates."""
    context = files.context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata="".join(trusted))
    return context


def test_a_certificate_of_our_own(tmp_path: Path, files: Certificates) -> None:
    certificate, key = certificates.make_client("ann")
    (tmp_path / "ann.pem").write_text(certificate)
    (tmp_path / "ann.key").write_text(key)
    trust = {"certificate-authority": str(files.authority)}
    by_file = {"client-certificate": "ann.pem", "client-key": "ann.key"}
    by_data = {"client-certificate-data": data(certificate), "client-key-data": data(key)}
    with Scripted(VERSION, tls=wants_clients(files, certificate)) as server:
        assert ask(kubeconfig(tmp_path, server.url, by_file, cluster=trust)) == (1, 28)
        assert ask(kubeconfig(tmp_path, server.url, by_data, cluster=trust)) == (1, 28)
        with pytest.raises(CredentialsRefused, match="does not accept the client certificate"):
            ask(kubeconfig(tmp_path, server.url, cluster=trust))


def test_a_certificate_of_our_own_that_has_expired(tmp_path: Path, files: Certificates) -> None:
    """A real server asks for none in the handshake, but answers 401: the end is told all the same."""
    certificate, key = certificates.make_client("ann", days=-1)
    user = {"client-certificate-data": data(certificate), "client-key-data": data(key)}
    trust = {"certificate-authority": str(files.authority)}
    with Scripted(http("", 401), tls=files.context()) as server, pytest.raises(CredentialsRefused) as caught:
        ask(kubeconfig(tmp_path, server.url, user, cluster=trust))
    assert f"expired on {datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}" in caught.value.next_step


@pytest.mark.parametrize(("key", "words"), [("nothing", "do not fit"), (None, "and not both")])
def test_a_certificate_without_its_key(tmp_path: Path, key: str | None, words: str) -> None:
    certificate, _ = certificates.make_client("ann")
    user = {"client-certificate-data": data(certificate)} | ({"client-key-data": data(key)} if key else {})
    with pytest.raises(ClusterUnreachable, match=words):
        ask(kubeconfig(tmp_path, "https://127.0.0.1:1", user))


def test_a_key_with_a_password_asks_nobody(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as pem

    certificate, key = certificates.make_client("ann")
    locked = (
        pem.load_pem_private_key(key.encode(), None)
        .private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.BestAvailableEncryption(b"secret"))
        .decode()
    )
    user = {"client-certificate-data": data(certificate), "client-key-data": data(locked)}
    with pytest.raises(ClusterUnreachable, match="do not fit"):
        ask(kubeconfig(tmp_path, "https://127.0.0.1:1", user))


def test_when_a_certificate_ends_is_read(tmp_path: Path) -> None:
    far = certificates.make_client("ann", days=365 * 40)[0]
    for pem, end in (
        (certificates.make_client("ann", days=2)[0], datetime.now(UTC) + timedelta(days=2)),
        (far, datetime.now(UTC) + timedelta(days=365 * 40)),  # of the other kind of time, from 2050 on
    ):
        found = tls.expires(pem)
        assert found is not None
        assert abs(found - end) < timedelta(minutes=1)
    for text in ("", "-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----", far[:60] + far[240:]):
        assert tls.expires(text) is None


def test_the_key_shows_nowhere() -> None:
    assert "secret" not in repr(tls.Pair("certificate", "secret"))


def test_a_proxy_leads_to_the_server(tmp_path: Path, files: Certificates) -> None:
    trust = {"certificate-authority": str(files.authority), "tls-server-name": SERVER_NAME}
    with Scripted(VERSION, tls=files.context()) as server, Proxy(server.port) as proxy:
        url = "https://api.example:6443"
        environ = kubeconfig(tmp_path, url, cluster=trust)
        assert ask(environ | {"HTTPS_PROXY": proxy.url}) == (1, 28)
        assert ask(kubeconfig(tmp_path, url, cluster=trust | {"proxy-url": proxy.url})) == (1, 28)
    assert proxy.requests == ["CONNECT api.example:6443 HTTP/1.1"] * 2
    assert b"secret" not in server.requests[0]


def test_a_proxy_that_refuses(tmp_path: Path) -> None:
    with (
        Proxy(0, refuses=407) as proxy,
        pytest.raises(ClusterUnreachable, match=r"the proxy .* not let") as caught,
    ):
        ask(kubeconfig(tmp_path, "https://api.example:6443", cluster={"proxy-url": proxy.url}))
    assert "407" in caught.value.message
    assert "secret" not in caught.value.message


def test_a_proxy_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ClusterUnreachable, match=r"refuses connections, by the proxy 127\.0\.0\.1:1"):
        ask(kubeconfig(tmp_path, "https://api.example", cluster={"proxy-url": "http://u:secret@127.0.0.1:1"}))


@pytest.mark.parametrize("url", ["ftp://u:secret@p", "nonsense://[", "p"])
def test_a_proxy_that_is_none(tmp_path: Path, url: str) -> None:
    with pytest.raises(ClusterUnreachable, match=r"^(?!.*secret).*is no proxy"):
        ask(kubeconfig(tmp_path, "https://api.example", cluster={"proxy-url": url}))


def test_a_proxy_of_https(tmp_path: Path, files: Certificates) -> None:
    """TLS to the proxy, and within it TLS to the server; a large answer comes through whole."""
    authority = {"certificate-authority": str(files.authority)}
    large = http({"major": "1", "minor": "28", "more": "x" * 3_000_000})
    for answer in (VERSION, large):
        with (
            Scripted(answer, tls=files.context()) as server,
            Proxy(server.port, tls=files.context()) as proxy,
        ):
            trust = authority | {"tls-server-name": SERVER_NAME, "proxy-url": proxy.url}
            assert ask(kubeconfig(tmp_path, "https://api.example:6443", cluster=trust)) == (1, 28)
        assert proxy.requests == ["CONNECT api.example:6443 HTTP/1.1"]


def test_a_proxy_of_https_that_nobody_trusts(tmp_path: Path, files: Certificates) -> None:
    with Proxy(0, tls=files.context()) as proxy, pytest.raises(ClusterUnreachable, match="not trusted"):
        ask(kubeconfig(tmp_path, "https://api.example:6443", cluster={"proxy-url": proxy.url}))


def test_a_proxy_of_plain_http_is_told_the_whole_url(tmp_path: Path) -> None:
    with Scripted(VERSION) as server, Proxy(server.port) as proxy:
        environ = kubeconfig(tmp_path, "http://api.example/k8s/")
        assert ask(environ | {"HTTP_PROXY": proxy.url}) == (1, 28)
    assert proxy.requests == ["GET http://api.example/k8s/version HTTP/1.1"]
    assert b"Host: api.example" in server.requests[0]


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_proxy_of_socks(tmp_path: Path, files: Certificates, scheme: str) -> None:
    trust = {"certificate-authority": str(files.authority), "tls-server-name": SERVER_NAME}
    with Scripted(VERSION, tls=files.context()) as server, Proxy(server.port, socks=True) as proxy:
        trust |= {"proxy-url": proxy.url.replace("socks5", scheme)}
        assert ask(kubeconfig(tmp_path, "https://api.example:6443", cluster=trust)) == (1, 28)
    assert proxy.requests == ["api.example:6443"]


def test_a_proxy_of_socks_that_refuses(tmp_path: Path) -> None:
    with (
        Proxy(0, refuses=2, socks=True) as proxy,
        pytest.raises(ClusterUnreachable, match=r"the proxy .* not let") as caught,
    ):
        ask(kubeconfig(tmp_path, "https://api.example:6443", cluster={"proxy-url": proxy.url}))
    assert "secret" not in caught.value.message


def test_a_proxy_of_socks_needs_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_socks", None)
    with pytest.raises(UsageError, match="needs python-socks") as caught:
        ask(kubeconfig(tmp_path, "https://api.example", cluster={"proxy-url": "socks5://127.0.0.1:1"}))
    assert caught.value.next_step == "pip install python-socks"
