"""As whom: tokens, files with tokens, certificates and plugins of a kubeconfig's user."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from oneoff.errors import ClusterUnreachable, CredentialsRefused
from oneoff.kube.api.connection.kubeconfig import Target, content
from oneoff.kube.api.connection.presented import Presented, bearer
from oneoff.kube.api.connection.proxies import is_local
from oneoff.kube.api.connection.tls import Pair, expires
from oneoff.kube.objects import Object


class Login(Protocol):
    """Gives what a request is made with. Every method may raise CredentialsRefused."""

    def present(self) -> Presented: ...

    def renew(self, refused: Presented) -> Presented | None:
        """Others than those that the server refused; None where there are none."""

    def advice(self) -> str:
        """What to do where the server refuses them."""


@dataclass(frozen=True)
class Fixed:
    """Stands in the kubeconfig itself."""

    presented: Presented
    where: str

    def present(self) -> Presented:
        return self.presented

    def renew(self, refused: Presented) -> Presented | None:
        return None

    def advice(self) -> str:
        pair = self.presented.pair
        end = expires(pair.certificate) if pair else None
        if end is not None and end < datetime.now(UTC):
            return (
                f"the client certificate of {self.where} expired on {end:%Y-%m-%d %H:%M} UTC: get a new one"
            )
        if pair is None and self.presented.authorization is None:
            return f"{self.where} has no credentials at all"
        return (
            f"what {self.where} has may have expired or been withdrawn: get new credentials, or log in again"
        )


@dataclass(frozen=True)
class TokenFile:
    """A token that somebody else keeps fresh, as the kubelet does in a pod: read for each request."""

    path: Path
    pair: Pair | None = None

    def present(self) -> Presented:
        try:
            return Presented(bearer(self.path.read_text(encoding="ascii"), str(self.path)), self.pair)
        except (OSError, UnicodeDecodeError) as error:
            raise CredentialsRefused(f"the token cannot be read: {error}") from error

    def renew(self, refused: Presented) -> Presented | None:
        fresh = self.present()
        return None if fresh == refused else fresh

    def advice(self) -> str:
        return f"the token in {self.path} is not accepted: has it expired, or is it of another cluster?"


def login_of(target: Target, environ: Mapping[str, str]) -> Login:
    """What the user's entry says, in the order in which kubectl looks.

    Over plain HTTP nothing is shown, as kubectl has it, save to this machine.

    Raises:
        ClusterUnreachable: it says what nobody can use.
    """
    where = f"user {target.user!r} of the kubeconfig" if target.user else f"the context {target.context}"
    if not _is_private(target.server.url):
        return Fixed(Presented(), f"{target.server.url} is no https, so that it is shown no credentials: it")
    try:
        return _read(target, environ, where)
    except (AttributeError, KeyError, TypeError) as error:
        raise ClusterUnreachable(
            f"{where} is not as Kubernetes has it: {type(error).__name__}: {error}",
            next_step="`kubectl config view --minify` shows what is in force",
        ) from error


def _is_private(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme != "http" or is_local(parts.hostname or "")


def _read(target: Target, environ: Mapping[str, str], where: str) -> Login:
    table = target.login
    pair = _pair(table, target.folder, where)
    if table.get("tokenFile"):
        return TokenFile(target.folder / str(table["tokenFile"]), pair)
    if table.get("token"):
        return Fixed(Presented(bearer(str(table["token"]), where), pair), where)
    if table.get("username"):
        plain = f"{table['username']}:{table.get('password') or ''}".encode()
        return Fixed(Presented(f"Basic {base64.b64encode(plain).decode()}", pair), where)
    if table.get("exec"):
        from oneoff.kube.api.connection.plugin import Plugin  # it starts processes

        return Plugin(table["exec"], target, environ, pair)
    if table.get("auth-provider"):
        return _provider(table["auth-provider"], where)
    return Fixed(Presented(None, pair), where)


def impersonation(table: Object) -> list[tuple[str, str]]:
    """The headers with which a user acts as another one. Raises ClusterUnreachable."""
    try:
        extra = table.get("as-user-extra") or {}
        return [
            *([("Impersonate-User", str(table["as"]))] if table.get("as") else []),
            *([("Impersonate-Uid", str(table["as-uid"]))] if table.get("as-uid") else []),
            *(("Impersonate-Group", str(group)) for group in table.get("as-groups") or []),
            *((f"Impersonate-Extra-{key}", str(value)) for key, values in extra.items() for value in values),
        ]
    except (AttributeError, TypeError) as error:
        raise ClusterUnreachable("as-groups or as-user-extra of the kubeconfig are no lists") from error


def _pair(table: Object, folder: Path, where: str) -> Pair | None:
    certificate, key = content(table, "client-certificate", folder), content(table, "client-key", folder)
    if (certificate is None) != (key is None):
        raise ClusterUnreachable(f"{where} has a client-certificate or a client-key, and not both")
    return Pair(certificate, key) if certificate and key else None


@dataclass(frozen=True)
class _Provider:
    """A token that kubectl itself renews and writes into the kubeconfig."""

    fixed: Fixed

    def present(self) -> Presented:
        return self.fixed.present()

    def renew(self, refused: Presented) -> Presented | None:
        return None

    def advice(self) -> str:
        return "its token has expired: any command of kubectl renews it (auth-provider is kubectl's own)"


def _provider(table: Object, where: str) -> Login:
    token = (table.get("config") or {}).get("id-token")
    if table.get("name") == "oidc" and token:
        return _Provider(Fixed(Presented(bearer(str(token), where)), where))
    raise ClusterUnreachable(
        f"{where} has the auth-provider {table.get('name')!r}, which Kubernetes has given up",
        next_step="write the kubeconfig anew with your provider's tool: it has a plugin (exec) today",
    )
