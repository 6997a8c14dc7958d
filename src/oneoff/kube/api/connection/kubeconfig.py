"""Which cluster, and as whom: kubeconfig files as kubectl reads them, or the service account of a pod.

The rules are those of https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/:
of several files the first that has an entry wins, whole, and paths are relative to the file they stand in.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from oneoff.errors import ClusterUnreachable, ManifestUnfit, did_you_mean
from oneoff.kube.manifests import read_manifests
from oneoff.kube.objects import Object
from oneoff.settings.kubernetes import KubernetesSettings

IN_CLUSTER: Final = "in-cluster"
"""What the context is called where there is no kubeconfig, but a service account."""
ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PLUGIN_EXTENSION: Final = "client.authentication.k8s.io/exec"


@dataclass(frozen=True, kw_only=True)
class Server:
    """An API server, and how to know that it is the one."""

    url: str
    authority: str | None = None
    """Certificates in PEM; the system's where None."""
    insecure: bool = False
    tls_name: str | None = None
    """The name in its certificate, where it is not that of the URL."""
    proxy: str | None = None
    for_plugin: Any = None
    """What the kubeconfig has for a credential plugin to know of this cluster."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A context, with all that it refers to."""

    context: str
    namespace: str
    server: Server
    user: str
    """The name of the user's entry in the kubeconfig."""
    login: Object
    """The user's entry."""
    folder: Path
    """Of the file that the user's entry stands in."""


@dataclass(frozen=True)
class _Entry:
    table: Object
    file: Path


def load(settings: KubernetesSettings, environ: Mapping[str, str], *, account: Path = ACCOUNT) -> Target:
    """What the environment's table and the kubeconfig say.

    Args:
        account: the folder of a pod's service account.

    Raises:
        ClusterUnreachable: there is no such context, or a file cannot be used.
        UsageError: PyYAML is not installed.
    """
    files = _files(environ)
    try:
        return _load(files, settings, environ, account)
    except (AttributeError, KeyError, TypeError) as error:
        where = ", ".join(map(str, files))
        raise _broken(f"{where} is not as Kubernetes has it: {type(error).__name__}: {error}") from error


def _load(
    files: list[Path], settings: KubernetesSettings, environ: Mapping[str, str], account: Path
) -> Target:
    documents = [(file, _read(file)) for file in files if _is_there(file)]
    contexts = _merged(documents, "contexts", "context")
    if not contexts and settings.context in (None, IN_CLUSTER) and _in_a_pod(environ, account):
        return _of_account(settings, environ, account)
    if not documents:
        raise ClusterUnreachable(
            f"there is no kubeconfig ({', '.join(map(str, files))}), and this is no pod",
            next_step="KUBECONFIG names the file; what gave you access to the cluster also writes it",
        )
    name = settings.context or _current(documents)
    entry = _chosen(contexts, name, documents)
    context = entry.table
    cluster = _referred(context, "cluster", _merged(documents, "clusters", "cluster"), name)
    user = (
        _referred(context, "user", _merged(documents, "users", "user"), name)
        if context.get("user")
        else _Entry({}, entry.file)
    )
    return Target(
        context=name,
        namespace=settings.namespace or _namespace(context, name),
        server=_server(cluster, str(context["cluster"])),
        user=str(context.get("user") or ""),
        login=user.table,
        folder=user.file.parent,
    )


def content(table: Object, key: str, folder: Path) -> str | None:
    """PEM, from ``KEY-data`` in base64 or from the file that ``KEY`` names.

    Raises:
        ClusterUnreachable: it is neither.
    """
    data, path = table.get(f"{key}-data"), table.get(key)
    try:
        if data:
            return _pem(base64.b64decode("".join(str(data).split()), validate=True))
        return _pem((folder / str(path)).expanduser().read_bytes()) if path else None
    except (binascii.Error, ValueError) as error:
        raise _broken(
            f"{key}{'-data' if data else f' {path}'} of the kubeconfig is no PEM: {error}"
        ) from error
    except OSError as error:
        raise _broken(f"{key} of the kubeconfig cannot be read: {error}") from error


def _pem(data: bytes) -> str:
    return data.decode("ascii", errors="ignore")  # what is left out is in remarks between the certificates


def _broken(words: str) -> ClusterUnreachable:
    return ClusterUnreachable(
        words,
        next_step="`kubectl config view --minify` shows what is in force; it would fail in the same way",
    )


def _files(environ: Mapping[str, str]) -> list[Path]:
    named = [part for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return [Path(part).expanduser() for part in named] or [_home(environ) / ".kube" / "config"]


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ["HOME"]) if environ.get("HOME") else Path("~").expanduser()


def _is_there(file: Path) -> bool:
    try:
        return file.exists()
    except OSError:
        return True  # it is, and reading it says why it cannot be


def _read(file: Path) -> Object:
    try:
        documents = read_manifests(file.read_text(encoding="utf-8-sig"), str(file))
    except ManifestUnfit as error:
        raise _broken(error.message) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _broken(f"the kubeconfig {file} cannot be read: {error}") from error
    document = documents[0] if documents else None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise _broken(f"{file} is no kubeconfig: it holds no table")
    return document


def _merged(documents: list[tuple[Path, Object]], section: str, key: str) -> dict[str, _Entry]:
    """Of each name the first entry."""
    found: dict[str, _Entry] = {}
    for file, document in documents:
        entries = document.get(section) or []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise _broken(f"{file} is no kubeconfig: its {section} are no list of tables")
        for entry in entries:
            table = entry.get(key) or {}
            if not isinstance(table, dict):
                raise _broken(f"{file} is no kubeconfig: {key} {entry.get('name')} is no table")
            found.setdefault(str(entry.get("name")), _Entry(table, file))
    return found


def _current(documents: list[tuple[Path, Object]]) -> str:
    return next((str(each["current-context"]) for _, each in documents if each.get("current-context")), "")


def _chosen(contexts: dict[str, _Entry], name: str, documents: list[tuple[Path, Object]]) -> _Entry:
    if name in contexts:
        return contexts[name]
    where = ", ".join(str(file) for file, _ in documents)
    known = f"it has {', '.join(sorted(contexts))}" if contexts else "it has none at all"
    if not name:
        raise ClusterUnreachable(
            f"{where} names no current context",
            next_step=f"{known}; name it in the environment's kubernetes table: context = …",
        )
    raise ClusterUnreachable(
        f"{where} has no context {name!r}{did_you_mean(name, contexts)}",
        next_step=f"{known}; the environment's kubernetes table, or kubectl's current context, names it",
    )


def _referred(context: Object, key: str, entries: dict[str, _Entry], name: str) -> _Entry:
    wanted = str(context.get(key) or "")
    if wanted not in entries:
        raise _broken(f"the context {name} wants the {key} {wanted!r}, which the kubeconfig does not have")
    return entries[wanted]


def _namespace(context: Object, name: str) -> str:
    found = str(context.get("namespace") or "default")
    if not _LABEL.fullmatch(found):
        raise _broken(f"the context {name} has a namespace that none can be called: {found!r}")
    return found


def _server(entry: _Entry, name: str) -> Server:
    table = entry.table
    url = str(table.get("server") or "")
    if not url:
        raise _broken(f"the cluster {name} of the kubeconfig has no server")
    authority = content(table, "certificate-authority", entry.file.parent)
    insecure = table.get("insecure-skip-tls-verify") is True
    if insecure and authority:
        raise _broken(f"the cluster {name} has both a certificate-authority and insecure-skip-tls-verify")
    extensions = table.get("extensions") or []
    return Server(
        url=_url(url if "://" in url else f"http://{url}", name),
        authority=authority,
        insecure=insecure,
        tls_name=_text(table, "tls-server-name"),
        proxy=_text(table, "proxy-url"),
        for_plugin=next(
            (each.get("extension") for each in extensions if each.get("name") == _PLUGIN_EXTENSION), None
        ),
    )


def _url(url: str, name: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise _broken(f"the server of the cluster {name} is no URL of http or https: {url!r}")
    return url


def _text(table: Object, key: str) -> str | None:
    return str(table[key]) if table.get(key) else None


def _in_a_pod(environ: Mapping[str, str], account: Path) -> bool:
    return bool(environ.get("KUBERNETES_SERVICE_HOST")) and (account / "token").exists()


def _of_account(settings: KubernetesSettings, environ: Mapping[str, str], account: Path) -> Target:
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT") or "443"
    try:
        authority = _pem((account / "ca.crt").read_bytes())
        namespace = (account / "namespace").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ClusterUnreachable(f"the service account of this pod cannot be read: {error}") from error
    return Target(
        context=IN_CLUSTER,
        namespace=settings.namespace or namespace,
        server=Server(url=f"https://{f'[{host}]' if ':' in host else host}:{port}", authority=authority),
        user="the pod's service account",
        login={"tokenFile": str(account / "token")},
        folder=account,
    )
