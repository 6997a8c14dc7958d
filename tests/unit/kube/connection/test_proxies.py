"""Which proxy leads where."""

from __future__ import annotations

import pytest

from oneoff.kube.api.connection.proxies import proxy_for

PROXY = "http://proxy:3128"
URL = "https://api.prod.example.com:6443"

CASES = [
    (URL, {}, None),
    (URL, {"HTTPS_PROXY": PROXY}, PROXY),
    (URL, {"https_proxy": PROXY}, PROXY),
    (URL, {"HTTPS_PROXY": "proxy:3128"}, PROXY),
    (URL, {"HTTP_PROXY": PROXY}, None),
    ("http://api.prod.example.com", {"HTTP_PROXY": PROXY}, PROXY),
    ("https://localhost:6443", {"HTTPS_PROXY": PROXY}, None),
    ("https://127.0.0.1:6443", {"HTTPS_PROXY": PROXY}, None),
    ("https://[::1]:6443", {"HTTPS_PROXY": PROXY}, None),
]
EXCEPTED = [
    ("example.com", True),
    (".example.com", True),
    ("*.example.com", True),
    ("api.prod.example.com", True),
    ("ample.com", False),
    ("a, prod.example.com ,b", True),
    ("example.com:6443", True),
    ("example.com:443", False),
    ("*", True),
    ("EXAMPLE.com", True),
    ("10.0.0.0/8", False),
    ("", False),
]
ADDRESSES = [
    ("10.0.0.0/8", True),
    ("10.1.2.3", True),
    ("10.1.2.3:6443", True),
    ("10.1.2.3:443", False),
    ("10.2.0.0/16", False),
    ("fd00::/8", False),
]


@pytest.mark.parametrize(("url", "environ", "proxy"), CASES)
def test_the_variable_is_that_of_the_scheme(url: str, environ: dict[str, str], proxy: str | None) -> None:
    assert proxy_for(url, environ) == proxy


@pytest.mark.parametrize(("url", "word", "excepted"), [(URL, *case) for case in EXCEPTED])
def test_names_are_excepted(url: str, word: str, excepted: bool) -> None:
    found = proxy_for(url, {"HTTPS_PROXY": PROXY, "NO_PROXY": word})
    assert found == (None if excepted else PROXY)


@pytest.mark.parametrize(("word", "excepted"), ADDRESSES)
def test_addresses_are_excepted(word: str, excepted: bool) -> None:
    found = proxy_for("https://10.1.2.3:6443", {"HTTPS_PROXY": PROXY, "no_proxy": word})
    assert found == (None if excepted else PROXY)
