"""From a connection that failed to words about it: a table from the cause to what it means."""

from __future__ import annotations

import errno
import socket
import ssl
from dataclasses import dataclass
from typing import Final, TypeVar

from oneoff.errors import ClusterError, ClusterUnreachable, CredentialsRefused
from oneoff.kube.api.connection.http import NoAnswer
from oneoff.kube.api.connection.kubeconfig import Target
from oneoff.kube.api.connection.route import ProxyRefused, without_password

_E = TypeVar("_E", bound=BaseException)

_CERTIFICATES: Final = {
    9: ("is not valid yet", "is the clock of this machine right?"),
    10: ("has expired", "whoever runs the cluster has to renew it; is the clock of this machine right?"),
    **dict.fromkeys(
        (18, 19, 20, 21),
        (
            "is from an authority that is not trusted",
            "write the kubeconfig anew: the cluster has another authority, or a proxy answers in its place",
        ),
    ),
    **dict.fromkeys(
        (62, 64),
        ("is for another name", "use a name that is in it as the server, or as tls-server-name"),
    ),
}
"""By the number that OpenSSL has for what is wrong with a server's certificate."""

_NO_ROUTE: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN)
_NETWORK: Final = "is the VPN up, and the cluster? `kubectl get --raw /version` would fail in the same way"


@dataclass(frozen=True)
class Failure:
    """Why there is no answer."""

    error: ClusterError
    again: bool
    """Whether it may be otherwise in a moment."""
    sent: bool
    """Whether the request may have been carried out all the same."""


def of(error: NoAnswer, target: Target, proxy: str | None) -> Failure:
    """What a failed request means."""
    where = f"{target.server.url} (context {target.context})"
    cause = error.__cause__
    refused = _find(error, ssl.SSLCertVerificationError)
    if refused is not None:
        return _untrusted(refused, where)
    tls = _find(error, ssl.SSLError)
    if tls is not None and _is_about_us(tls.reason or ""):  # with TLS 1.3 it comes after the handshake
        said = f"{where} does not accept the client certificate: {tls.reason or tls}"
        return _final(
            CredentialsRefused(said, next_step="has it expired? get new credentials, or log in again")
        )
    if isinstance(cause, ProxyRefused):
        said = f"the proxy {without_password(proxy)} does not let us through to {where}: {cause}"
        return _final(ClusterUnreachable(said, next_step="see HTTPS_PROXY, NO_PROXY, and proxy-url"))
    if isinstance(cause, ValueError) and not isinstance(cause, OSError):
        return _final(ClusterUnreachable(f"{where} cannot be spoken to: {cause}"))
    if not error.sent:
        return Failure(_not_connected(cause, where, proxy), again=tls is None, sent=False)
    late = "did not answer in time" if isinstance(cause, TimeoutError) else "hung up without an answer"
    return Failure(ClusterUnreachable(f"{where} {late}", next_step=_NETWORK), again=True, sent=True)


def _is_about_us(reason: str) -> bool:
    """Whether the server told us that it does not take our certificate, in OpenSSL's word for it."""
    return "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason)


def _final(error: ClusterError) -> Failure:
    return Failure(error, again=False, sent=False)


def _untrusted(error: ssl.SSLCertVerificationError, where: str) -> Failure:
    what, step = _CERTIFICATES.get(error.verify_code, ("is not accepted", "ask whoever runs the cluster"))
    return _final(
        ClusterUnreachable(f"the certificate of {where} {what}: {error.verify_message}", next_step=step)
    )


def _not_connected(cause: BaseException | None, where: str, proxy: str | None) -> ClusterError:
    by = f", by the proxy {without_password(proxy)}" if proxy else ""
    if isinstance(cause, ssl.SSLError):
        said = f"{where} does not speak TLS as it should{by}: {cause.reason or cause}"
        return ClusterUnreachable(said, next_step="is the server's URL right, http or https?")
    if isinstance(cause, socket.gaierror):
        said = f"there is no address for {where}{by}: {cause.strerror}"
        return ClusterUnreachable(said, next_step="is the name right, and is the VPN up if it needs one?")
    if isinstance(cause, ConnectionRefusedError):
        return ClusterUnreachable(f"{where} refuses connections{by}", next_step=_NETWORK)
    if isinstance(cause, OSError) and cause.errno in _NO_ROUTE:
        return ClusterUnreachable(f"there is no way to {where}{by}: {cause.strerror}", next_step=_NETWORK)
    if isinstance(cause, TimeoutError):
        return ClusterUnreachable(f"no connection to {where}{by} within its time", next_step=_NETWORK)
    return ClusterUnreachable(f"no connection to {where}{by}: {cause}", next_step=_NETWORK)


def _find(error: BaseException, kind: type[_E]) -> _E | None:
    """The first cause of this kind."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, kind):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None
