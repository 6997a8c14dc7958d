"""Credential plugins: the programs that a kubeconfig names under ``exec``.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins says what
they are told and what they answer.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from oneoff.errors import CredentialsRefused
from oneoff.kube.api.connection.kubeconfig import Target
from oneoff.kube.api.connection.presented import Presented, bearer
from oneoff.kube.api.connection.tls import Pair
from oneoff.kube.objects import Object

VERSIONS: Final = tuple(
    f"client.authentication.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1")
)
PATIENCE: Final = 60.0
"""Seconds for a plugin that asks nobody anything."""


class Plugin:
    """Runs the program when it is needed: at first, when its answer has expired, and once after a 401."""

    def __init__(self, table: Object, target: Target, environ: Mapping[str, str], pair: Pair | None) -> None:
        self._version = str(table.get("apiVersion"))
        self._command = str(table.get("command") or "")
        self._arguments = [str(word) for word in table.get("args") or []]
        own = {str(each["name"]): str(each["value"]) for each in table.get("env") or []}
        self._environ = {**environ, **own}
        self._mode = table.get("interactiveMode") or "IfAvailable"
        self._hint = str(table.get("installHint") or "").strip()
        self._cluster = _cluster(target) if table.get("provideClusterInfo") else None
        self._user, self._folder, self._pair = target.user, target.folder, pair
        self._lock = threading.Lock()
        self._last: Presented | None = None
        self._until: datetime | None = None
        if self._version not in VERSIONS:
            known = ", ".join(VERSIONS)
            raise self._failed(f"is to speak {self._version!r}, which is none of {known}")

    def present(self) -> Presented:
        with self._lock:
            expired = self._until is not None and datetime.now(UTC) >= self._until
            return self._ask() if self._last is None or expired else self._last

    def renew(self, refused: Presented) -> Presented | None:
        with self._lock:
            return self._ask() if self._last == refused else self._last

    def advice(self) -> str:
        return f"what {self._name} gives is not accepted: log in again with its provider's tool"

    @property
    def _name(self) -> str:
        return Path(self._command).name

    def _ask(self) -> Presented:
        self._last = None
        self._last, self._until = self._understood(self._run())
        return self._last

    def _run(self) -> str:
        asks = self._mode != "Never" and sys.stdin is not None and sys.stdin.isatty()
        if self._mode == "Always" and not asks:
            raise self._failed("wants to ask something, and there is no terminal")
        try:
            done = subprocess.run(
                [self._program(), *self._arguments],
                env=self._surroundings(asks),
                stdin=None if asks else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=None if asks else subprocess.PIPE,  # its questions are for whoever sits there
                timeout=None if asks else PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise self._failed(f"gave no answer within {PATIENCE:.0f} s", error.stderr) from error
        except (OSError, ValueError) as error:  # a ValueError for what no argument can hold
            raise self._failed(f"cannot be started: {error}") from error
        if done.returncode:
            raise self._failed(f"failed with exit code {done.returncode}", done.stderr)
        return done.stdout.decode(errors="replace")

    def _program(self) -> str:
        if os.sep in self._command:
            return str(self._folder / self._command)
        found = shutil.which(self._command, path=self._environ.get("PATH"))
        if found is None:
            raise CredentialsRefused(
                f"user {self._user!r} of the kubeconfig wants {self._command!r}, which is not on PATH",
                next_step=self._hint or f"install {self._command}, as for kubectl",
            )
        return found

    def _surroundings(self, asks: bool) -> dict[str, str]:
        spec = {"interactive": asks} | ({} if self._cluster is None else {"cluster": self._cluster})
        told = {"apiVersion": self._version, "kind": "ExecCredential", "spec": spec}
        return {**self._environ, "KUBERNETES_EXEC_INFO": json.dumps(told)}

    def _understood(self, text: str) -> tuple[Presented, datetime | None]:
        """What it answered; its words are never shown, because they are the secret."""
        try:
            answer = json.loads(text)
            status = answer["status"]
            token, certificate = status.get("token"), status.get("clientCertificateData")
            key, end = status.get("clientKeyData"), status.get("expirationTimestamp")
            until = None if end is None else datetime.fromisoformat(end)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._failed("printed something else than an ExecCredential") from error
        if answer.get("apiVersion") != self._version:
            spoken = answer.get("apiVersion")
            raise self._failed(f"speaks {spoken!r}, and the kubeconfig says {self._version!r}")
        if not token and not (certificate and key):
            raise self._failed("gave neither a token nor a certificate with its key")
        pair = Pair(certificate, key) if certificate and key else self._pair
        presented = Presented(bearer(str(token), self._name) if token else None, pair)
        return presented, until if until is None or until.tzinfo else until.replace(tzinfo=UTC)

    def _failed(self, words: str, said: bytes | None = None) -> CredentialsRefused:
        own = (said or b"").decode(errors="replace").strip()[-1000:]
        return CredentialsRefused(
            f"the credential plugin {self._name} {words}" + (f":\n{own}" if own else ""),
            next_step=f"kubectl would fail in the same way; log in with the tool of {self._name}",
        )


def _cluster(target: Target) -> dict[str, Any]:
    server = target.server
    told = {
        "server": server.url,
        "tls-server-name": server.tls_name,
        "insecure-skip-tls-verify": server.insecure or None,
        "certificate-authority-data": (
            base64.b64encode(server.authority.encode()).decode() if server.authority else None
        ),
        "proxy-url": server.proxy,
        "config": server.for_plugin,
    }
    return {key: value for key, value in told.items() if value is not None}
