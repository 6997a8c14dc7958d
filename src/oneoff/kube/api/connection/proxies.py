"""Which proxy leads to a server, by HTTPS_PROXY, HTTP_PROXY and NO_PROXY as kubectl reads them."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """The proxy's URL; None where the server is reached without one."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".").lower()
    variable = f"{parts.scheme}_proxy"
    proxy = environ.get(variable.upper()) or environ.get(variable)
    if not proxy or is_local(host):
        return None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    excepted = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    if any(_excepts(word.strip().lower(), host, port) for word in excepted.split(",")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def is_local(host: str) -> bool:
    """Whether a host is this machine."""
    return host == "localhost" or _in_network("127.0.0.0/8", host) or _in_network("::1/128", host)


def _excepts(word: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY means this host."""
    if not word:
        return False
    if word == "*" or _in_network(word, host):
        return True
    name, _, wanted = word.rpartition(":") if word.count(":") == 1 else (word, "", "")
    if wanted and wanted != str(port):
        return False
    name = name.removeprefix("*").strip("[]")
    return host.endswith(name) if name.startswith(".") else host == name or host.endswith(f".{name}")


def _in_network(network: str, host: str) -> bool:
    """Whether both are of the same network; an address alone is one."""
    try:
        return ip_address(host) in ip_network(network.strip("[]"), strict=False)
    except ValueError:
        return False
