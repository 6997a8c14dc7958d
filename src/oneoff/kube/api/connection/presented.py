"""What a request shows, so that the server knows who asks."""

from __future__ import annotations

from dataclasses import dataclass, field

from oneoff.errors import CredentialsRefused
from oneoff.kube.api.connection.tls import Pair


@dataclass(frozen=True)
class Presented:
    """A header, a certificate, both, or neither."""

    authorization: str | None = field(default=None, repr=False)
    pair: Pair | None = None


def bearer(token: str, where: str) -> str:
    """The header of a token. Raises CredentialsRefused for what no header can hold."""
    stripped = token.strip()
    if not stripped or not stripped.isascii() or not stripped.isprintable():
        raise CredentialsRefused(f"{where} has no token, but something that no token can be")
    return f"Bearer {stripped}"
