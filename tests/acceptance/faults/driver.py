"""The ``oneoff`` command with something amiss: `python driver.py '{"kill": …}' run TASK`.

What a test wants is done to the program from outside, so that the product needs no hooks:

* ``beat``, ``last_grace``, ``term_grace``, ``timeout_grace``: seconds, in place of the product's own;
* ``trace``: a file that gets one line for each step of the protocol;
* ``kill``: ``[step, nth, "before" | "after"]``, SIGKILL to this process around that call;
* ``kill_at_statement``: SIGKILL just before the nth SQL statement on the store, or message to its server;
* ``kill_within``: SIGKILL after a number of seconds, wherever the process is;
* ``jump``: seconds by which the wall clock jumps, to and fro, each time it is read;
* ``fill``: ``[step, nth, file]``, makes the disk full before that call, with a file of this name;
* ``pause``: ``[step, nth, file]``, waits before that call until the file is there, and tells so by FILE.here.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

STEPS = {
    "oneoff.stores.sqlite:SqliteStore": ("create", "save"),
    "oneoff.stores.spool:FileSpool": ("reserve", "write", "release"),
    "oneoff.execution.execute:Execution": ("_work",),
}


def main(spec: dict[str, Any], arguments: list[str]) -> None:
    """Patch, then be the command."""
    _set_times(spec)
    _wrap_steps(spec)
    if "kill_at_statement" in spec:
        _kill_at_statement(spec["kill_at_statement"])
    if "kill_within" in spec:
        timer = threading.Timer(spec["kill_within"], _die)
        timer.daemon = True
        timer.start()
    if "jump" in spec:
        _make_the_clock_jump(timedelta(seconds=spec["jump"]))
    from oneoff.cli.main import main as command

    sys.argv = ["oneoff", *arguments]
    command()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _set_times(spec: dict[str, Any]) -> None:
    from oneoff.execution import signals, stopping, supervisor

    supervisor.BEAT = spec.get("beat", supervisor.BEAT)
    supervisor.LAST_GRACE = spec.get("last_grace", supervisor.LAST_GRACE)
    if "term_grace" in spec:
        soon = replace(stopping.TERMINATE, grace=spec["term_grace"])
        signals.CAUSES |= {signal.SIGTERM: soon, signal.SIGHUP: soon}
    if "timeout_grace" in spec:
        stopping.TIMEOUT = replace(stopping.TIMEOUT, grace=spec["timeout_grace"])


def _wrap_steps(spec: dict[str, Any]) -> None:
    from importlib import import_module

    for place, names in STEPS.items():
        module, _, kind = place.partition(":")
        owner = getattr(import_module(module), kind)
        for name in names:
            setattr(owner, name, _wrapped(getattr(owner, name), name, spec))


def _wrapped(method: Callable[..., Any], name: str, spec: dict[str, Any]) -> Callable[..., Any]:
    calls = 0

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if "trace" in spec:
            with Path(spec["trace"]).open("a") as file:
                file.write(f"{name} {calls}\n")
        if spec.get("kill") == [name, calls, "before"]:
            _die()
        if spec.get("pause", [])[:2] == [name, calls]:
            _pause(Path(spec["pause"][2]))
        if spec.get("fill", [])[:2] == [name, calls]:
            fill(Path(spec["fill"][2]))
        result = method(*args, **kwargs)
        if spec.get("kill") == [name, calls, "after"]:
            _die()
        return result

    return wrapper


def fill(ballast: Path) -> None:
    """Take what room is left on the disk."""
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 512, 1):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)


def _pause(until: Path) -> None:
    until.with_suffix(".here").touch()
    while not until.exists():
        time.sleep(0.005)


def _kill_at_statement(nth: int) -> None:
    from oneoff.stores import postgres_link, sqlite_file

    connect = sqlite_file.connect
    link: Any = postgres_link.Link
    send = link._send
    statements = 0

    def count(_: str) -> None:
        nonlocal statements
        statements += 1
        if statements == nth:
            _die()

    def connect_and_count(path: Path) -> Any:
        connection = connect(path)
        connection.set_trace_callback(count)
        return connection

    def count_and_send(*args: Any) -> Any:
        count("")
        return send(*args)

    sqlite_file.connect = connect_and_count
    link._send = count_and_send


def _make_the_clock_jump(by: timedelta) -> None:
    from oneoff.wiring.system import SystemClock

    now = SystemClock.now
    reads = 0

    def jumping(self: SystemClock) -> datetime:
        nonlocal reads
        reads += 1
        return now(self) + by * (-1, 0, 1)[reads % 3]

    SystemClock.now = jumping  # type: ignore[method-assign]  # that is what this driver is for


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2:])
