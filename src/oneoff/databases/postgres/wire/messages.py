"""The messages of the protocol, as tables and as bytes. Pure.

Source: https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from enum import IntEnum

PROTOCOL = 3 << 16
"""Version 3.0, which every client speaks; a newer minor version is negotiated down."""
LONGEST_START = 10_000
LONGEST = 1 << 30
"""Bytes of a message, at the start and afterwards; the server's own limits."""


class Request(IntEnum):
    """What a connection can begin with instead of a protocol version."""

    CANCEL = 80877102
    SSL = 80877103
    GSS = 80877104


QUERY, PARSE, BIND, DESCRIBE, EXECUTE, CLOSE = b"Q", b"P", b"B", b"D", b"E", b"C"
FLUSH, SYNC, FUNCTION_CALL, PASSWORD, TERMINATE = b"H", b"S", b"F", b"p", b"X"
COPY_DATA, COPY_DONE, COPY_FAIL = b"d", b"c", b"f"
"""Of a client; the last three go both ways."""

FROM_SERVER = {
    b"R": "Authentication",
    b"K": "BackendKeyData",
    b"v": "NegotiateProtocolVersion",
    b"S": "ParameterStatus",
    b"1": "ParseComplete",
    b"2": "BindComplete",
    b"3": "CloseComplete",
    b"t": "ParameterDescription",
    b"T": "RowDescription",
    b"n": "NoData",
    b"D": "DataRow",
    b"C": "CommandComplete",
    b"I": "EmptyQueryResponse",
    b"s": "PortalSuspended",
    b"V": "FunctionCallResponse",
    b"G": "CopyInResponse",
    b"H": "CopyOutResponse",
    b"W": "CopyBothResponse",
    b"d": "CopyData",
    b"c": "CopyDone",
    b"A": "NotificationResponse",
    b"N": "NoticeResponse",
    b"E": "ErrorResponse",
    b"Z": "ReadyForQuery",
}
"""What a server sends."""

FIELDS = {"severity": b"S", "severity_plain": b"V", "sqlstate": b"C", "message": b"M", "hint": b"H"}
"""Those of an error that are made here; all of the server's own are passed on."""

_HEADER = struct.Struct("!ci")
_INT = struct.Struct("!i")


class Malformed(Exception):
    """A client does not speak the protocol."""


def frame(kind: bytes, body: bytes = b"") -> bytes:
    """A whole message."""
    return _HEADER.pack(kind, len(body) + 4) + body


def text(value: str) -> bytes:
    """A string of the protocol."""
    return value.encode() + b"\0"


def split_text(body: bytes) -> tuple[bytes, bytes]:
    """The string at the beginning, and what comes after it. Raises Malformed."""
    value, end, rest = body.partition(b"\0")
    if not end:
        raise Malformed("a string without an end")
    return value, rest


def query(sql: str) -> bytes:
    """A simple query."""
    return frame(QUERY, text(sql))


def ready(status: bytes) -> bytes:
    """ReadyForQuery: ``I`` outside of a transaction, ``T`` in one, ``E`` in one that has failed."""
    return frame(b"Z", status)


def complete(tag: str) -> bytes:
    """CommandComplete."""
    return frame(b"C", text(tag))


def parameter(name: str, value: bytes) -> bytes:
    """ParameterStatus."""
    return frame(b"S", text(name) + value + b"\0")


def error(message: str, *, sqlstate: str, fatal: bool = False, hint: str = "") -> bytes:
    """ErrorResponse."""
    severity = "FATAL" if fatal else "ERROR"
    values = (severity, severity, sqlstate, message, hint)
    fields = zip(FIELDS.values(), values, strict=True)
    return frame(b"E", b"".join(code + text(value) for code, value in fields if value) + b"\0")


def fields(body: bytes) -> Mapping[str, str]:
    """The fields of an ErrorResponse, by the protocol's letter for each."""
    return {
        part[:1].decode("latin-1"): part[1:].decode("utf-8", "replace") for part in body.split(b"\0") if part
    }


def negotiate(options: list[bytes]) -> bytes:
    """NegotiateProtocolVersion: only 3.0, and none of these options."""
    return frame(
        b"v", _INT.pack(PROTOCOL) + _INT.pack(len(options)) + b"".join(name + b"\0" for name in options)
    )


def authentication(method: int) -> bytes:
    """0: the client is in; 3: it has to send the password."""
    return frame(b"R", _INT.pack(method))


def key(number: int, secret: int) -> bytes:
    """BackendKeyData, by which a client can have its statement cancelled."""
    return frame(b"K", struct.pack("!ii", number, secret))


def cancellation(body: bytes) -> tuple[int, int]:
    """Whose statement a CancelRequest means. Raises Malformed."""
    if len(body) != 12:
        raise Malformed("a CancelRequest of another length")
    _, number, secret = struct.unpack("!iii", body)
    return number, secret


def start_version(body: bytes) -> int:
    """The version, or the request, that a connection begins with. Raises Malformed."""
    if len(body) < 4:
        raise Malformed("a start without a version")
    return int(_INT.unpack_from(body)[0])


def start_parameters(body: bytes) -> dict[str, str]:
    """Names and values of a StartupMessage. Raises Malformed."""
    parts = body[4:].split(b"\0")
    names, values = parts[:-2:2], parts[1:-2:2]
    if len(names) != len(values) or parts[-2:] != [b"", b""]:
        raise Malformed("a start whose parameters have no end")
    try:
        return {name.decode(): value.decode() for name, value in zip(names, values, strict=True)}
    except UnicodeDecodeError as error:
        raise Malformed("a start that is not UTF-8") from error


VOID_ROW = frame(
    b"T", struct.pack("!h", 1) + text("pg_advisory_unlock_all") + struct.pack("!ihihih", 0, 0, 2278, 4, -1, 0)
) + frame(b"D", struct.pack("!hi", 1, 0))
"""What a function that returns void gives."""
