"""Ways to reach another machine, a server on this one, or another process."""

from __future__ import annotations

import asyncio
import ctypes
import http.client
import imaplib
import logging
import logging.handlers
import os
import resource
import signal
import smtplib
import socket
import syslog
import urllib.request
import xmlrpc.client
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Client

from tests.acceptance.leaks.way import Group, Place, Way


class Queue:
    """A queue of jobs that are done elsewhere, as Celery's, RQ's and Dramatiq's are."""

    def __init__(self, port: int) -> None:
        self._port = port

    def delay(self, job: str) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as broker:
            broker.sendall(job.encode())


def _connect_ex(at: Place) -> None:
    with socket.socket() as sock:
        sock.connect_ex(("127.0.0.1", at.port))


def _asynchronously(at: Place) -> None:
    asyncio.run(_open_connection(at.port))


async def _open_connection(port: int) -> None:
    await asyncio.open_connection("127.0.0.1", port)


def _datagram_asynchronously(at: Place) -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("127.0.0.1", at.udp_port))

    asyncio.run(work())


def _unix(at: Place) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(at.unix)


def _datagram(at: Place) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"one", ("127.0.0.1", at.udp_port))


def _message(at: Place) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendmsg([b"one"], [], 0, ("127.0.0.1", at.udp_port))


def _server(at: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)):
        pass


def _tell(handler: logging.Handler) -> None:
    record = logging.LogRecord("shop", logging.ERROR, __file__, 1, "sold out", None, None)
    try:
        handler.emit(record)
    finally:
        handler.close()


def _in_a_pool(at: Place) -> None:
    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(lambda: socket.create_connection(("127.0.0.1", at.port))).exception()
    if error is not None:
        raise error


_TO_SERVER = "connect to 127.0.0.1:{port}"

NETWORK = Group(
    title="Network",
    ways=(
        Way("connect", "connects", lambda at: socket.create_connection(("127.0.0.1", at.port)), _TO_SERVER),
        Way("connect-ex", "… by `connect_ex`", _connect_ex, _TO_SERVER),
        Way(
            "urllib",
            "asks a web server",
            lambda at: urllib.request.urlopen(f"http://127.0.0.1:{at.port}"),
            _TO_SERVER,
        ),
        Way(
            "http.client",
            "… by its client",
            lambda at: http.client.HTTPConnection("127.0.0.1", at.port).connect(),
            _TO_SERVER,
        ),
        Way(
            "xmlrpc",
            "… by XML-RPC",
            lambda at: xmlrpc.client.ServerProxy(f"http://127.0.0.1:{at.port}").delete(),
            _TO_SERVER,
        ),
        Way("smtplib", "sends a mail", lambda at: smtplib.SMTP("127.0.0.1", at.port), _TO_SERVER),
        Way(
            "imaplib", "opens a mailbox elsewhere", lambda at: imaplib.IMAP4("127.0.0.1", at.port), _TO_SERVER
        ),
        Way("queue-delay", "a queue's `.delay()`", lambda at: Queue(at.port).delay("mail"), _TO_SERVER),
        Way(
            "multiprocessing-client",
            "`multiprocessing.connection.Client`",
            lambda at: Client(("127.0.0.1", at.port)),
            _TO_SERVER,
        ),
        Way(
            "look-up-and-connect",
            "connects by a name",
            lambda at: socket.create_connection(("mail.example", 25)),
            "look up the name mail.example",
        ),
        Way(
            "look-up",
            "looks up a name, which may say something",
            lambda at: socket.gethostbyname("secrets.example"),
            "look up the name secrets.example",
        ),
        Way("asyncio", "connects by asyncio", _asynchronously, _TO_SERVER),
        Way(
            "asyncio-udp",
            "… without a connection",
            _datagram_asynchronously,
            "connect to 127.0.0.1:{udp_port}",
        ),
        Way("udp", "sends a datagram", _datagram, "send to 127.0.0.1:{udp_port}"),
        Way("sendmsg", "… by `sendmsg`", _message, "send to 127.0.0.1:{udp_port}"),
        Way("unix-socket", "connects to a unix socket", _unix, "connect to {unix}"),
        Way("server", "waits for others at a port", _server, "wait for others at 127.0.0.1"),
        Way("syslog", "writes to the system's log", lambda at: syslog.syslog("x"), "syslog"),
        Way(
            "logging-syslog",
            "… by a logger",
            lambda at: _tell(logging.handlers.SysLogHandler(("127.0.0.1", at.udp_port))),
            "send to 127.0.0.1:{udp_port}",
        ),
        Way(
            "logging-tcp",
            "logs to another machine",
            lambda at: _tell(logging.handlers.SocketHandler("127.0.0.1", at.port)),
            _TO_SERVER,
        ),
        Way("network-thread", "connects in a pool of threads", _in_a_pool, _TO_SERVER),
        Way(
            "sethostname",
            "renames the machine",
            lambda at: socket.sethostname(socket.gethostname()),
            "change this machine's name",
        ),
    ),
)

OTHERS = Group(
    title="Other processes",
    ways=(
        Way(
            "os.kill",
            "sends a signal",
            lambda at: os.kill(at.process, signal.SIGTERM),
            "send signal 15 to process {process}",
        ),
        Way(
            "os.killpg",
            "… to a group",
            lambda at: os.killpg(at.process, signal.SIGTERM),
            "send signal 15 to the process group {process}",
        ),
        Way(
            "pidfd_send_signal",
            "… by a handle",
            lambda at: signal.pidfd_send_signal(os.pidfd_open(at.process), signal.SIGTERM),
            "by its pidfd",
        ),
        Way(
            "ctypes-kill",
            "… by the C library",
            lambda at: ctypes.CDLL(None).kill(at.process, 15),
            "call the C function kill",
        ),
        Way(
            "os.setpriority",
            "gives it another priority",
            lambda at: os.setpriority(os.PRIO_PROCESS, at.process, 5),
            "change how process {process} runs",
        ),
        Way(
            "sched_setaffinity",
            "… another processor",
            lambda at: os.sched_setaffinity(at.process, {min(os.sched_getaffinity(0))}),
            "change how process {process} runs",
        ),
        Way(
            "sched_setscheduler",
            "… another scheduler",
            lambda at: os.sched_setscheduler(at.process, os.SCHED_BATCH, os.sched_param(0)),
            "change how process {process} runs",
        ),
        Way(
            "prlimit",
            "… another limit",
            lambda at: resource.prlimit(at.process, resource.RLIMIT_CORE, (0, 0)),
            "change how process {process} runs",
        ),
    ),
)
