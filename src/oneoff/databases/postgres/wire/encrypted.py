"""TLS on the session's socket: libpq's own, used beside it.

libpq gives out its OpenSSL object (``PQsslStruct``), and the OpenSSL library that it was linked with is in
this process already. GSSAPI encryption has no such door.

Source: https://www.postgresql.org/docs/current/libpq-status.html
"""

from __future__ import annotations

import ctypes
import ctypes.util
from pathlib import Path
from typing import Any

from psycopg import pq

_BLOCK = 1 << 16
_WANT_READ, _WANT_WRITE = 2, 3
"""``SSL_get_error``: https://docs.openssl.org/3.0/man3/SSL_get_error/"""


class Encrypted:
    """A socket that is encrypted. Raises OSError where the libraries cannot be found."""

    def __init__(self, pgconn: Any, plain: Any) -> None:
        libpq, self._openssl = _libraries()
        libpq.PQsslStruct.restype = ctypes.c_void_p
        libpq.PQsslStruct.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        for function in (self._openssl.SSL_read, self._openssl.SSL_write):
            function.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
        self._openssl.SSL_get_error.argtypes = [ctypes.c_void_p, ctypes.c_int]
        self._ssl = libpq.PQsslStruct(pgconn.pgconn_ptr, b"OpenSSL")
        if not self._ssl:
            raise OSError("it is not encrypted by OpenSSL")
        self._plain = plain
        self._buffer = ctypes.create_string_buffer(_BLOCK)
        self._held = b""  # OpenSSL wants what it could not write whole offered again as it was
        self._wants_to_write = False

    def send(self, data: memoryview) -> int:
        """How many bytes were taken."""
        self._held = self._held or bytes(data[:_BLOCK])
        sent = self._result(self._openssl.SSL_write(self._ssl, self._held, len(self._held)))
        if sent:
            self._held = b""
        return sent

    def receive(self) -> bytes:
        """What is there, and nothing where nothing is. Raises OSError at the end."""
        size = self._result(self._openssl.SSL_read(self._ssl, self._buffer, _BLOCK))
        return ctypes.string_at(self._buffer, size)

    def wait(self, *, writing: bool) -> None:
        """Until something can be read, or written."""
        self._plain.wait(writing=writing or self._wants_to_write)

    def _result(self, result: int) -> int:
        self._wants_to_write = False
        if result > 0:
            return result
        error = self._openssl.SSL_get_error(self._ssl, result)
        if error not in (_WANT_READ, _WANT_WRITE):
            raise ConnectionResetError("the server closed the connection")
        self._wants_to_write = error == _WANT_WRITE
        return 0


def _libraries() -> tuple[ctypes.CDLL, ctypes.CDLL]:
    """libpq and OpenSSL as psycopg has loaded them: another copy would not know its objects."""
    if pq.__impl__ == "binary":
        import psycopg_binary

        package = Path(psycopg_binary.__file__).parent
        folders = (package.with_name("psycopg_binary.libs"), package / ".dylibs")
        names = {name: [str(path) for folder in folders for path in folder.glob(f"lib{name}[-.]*")]
                 for name in ("pq", "ssl")}  # fmt: skip
    else:
        names = {name: [ctypes.util.find_library(name) or ""] for name in ("pq", "ssl")}
    if not all(paths and paths[0] for paths in names.values()):
        raise OSError("psycopg's libpq and its OpenSSL are not where they are looked for")
    return ctypes.CDLL(names["pq"][0]), ctypes.CDLL(names["ssl"][0])
