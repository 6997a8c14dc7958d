"""Ways to start a process, which nothing could hold."""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib
import multiprocessing
import os
import pty
import subprocess
import sys
import threading
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.acceptance.leaks.way import Group, Place, Way

_COPY = "start a copy of itself (os.fork)"
_SPAWNED = "start … (multiprocessing)"
_CLEAN = {"PATH": os.environ["PATH"]}


def _command(at: Place) -> list[str]:
    return [sys.executable, "-c", "import sys; open(sys.argv[1], 'w')", at.new]


def _shell(at: Place) -> str:
    return f"echo x >'{at.new}'"


def _forked(at: Place) -> None:
    if not (pid := os.fork()):
        os.execve(sys.executable, _command(at), _CLEAN)
    os.waitpid(pid, 0)


def _forkpty(at: Place) -> None:
    pid, _ = os.forkpty()
    if not pid:
        os.execve(sys.executable, _command(at), _CLEAN)
    os.waitpid(pid, 0)


def _process(at: Place, method: str) -> None:
    context: Any = multiprocessing.get_context(method)  # its stub has no Process
    child = context.Process(target=Path(at.new).touch)
    child.start()
    child.join()


def _pool(at: Place, method: str) -> None:
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
        executor.submit(Path(at.new).touch).result()


def _in_a_thread(at: Place) -> None:
    def work() -> None:
        with suppress(BaseException):
            subprocess.run(_command(at), check=False)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def _swallowed(at: Place) -> None:
    with suppress(BaseException):
        subprocess.run(_command(at), check=False)


async def _by_asyncio(at: Place) -> None:
    child = await asyncio.create_subprocess_exec(*_command(at))
    await child.wait()


def _interpreter(at: Place) -> None:
    """No process, but nothing of this interpreter's is there in it, hooks least of all."""
    interpreters = importlib.import_module("_xxsubinterpreters")
    interpreters.run_string(interpreters.create(), f"open({at.new!r}, 'w')")


PROCESSES = Group(
    title="Processes",
    ways=(
        Way(
            "psql",
            "`psql` by `subprocess.run`",
            lambda at: subprocess.run([at.psql, at.database, "-c", "DELETE FROM account"], check=False),
            "start psql (subprocess.Popen)",
        ),
        Way(
            "shell",
            "… by a shell",
            lambda at: subprocess.run(_shell(at), shell=True, check=False),
            "start sh (subprocess.Popen)",
        ),
        Way("os.system", "`os.system`", lambda at: os.system(_shell(at)), "start a shell (os.system)"),
        Way("os.popen", "`os.popen`", lambda at: os.popen(_shell(at)).read(), "start sh (subprocess.Popen)"),
        Way(
            "posix_spawn",
            "`os.posix_spawn`",
            lambda at: os.waitpid(os.posix_spawn(sys.executable, _command(at), _CLEAN), 0),
            "start … (os.posix_spawn)",
        ),
        Way(
            "spawn",
            "`os.spawnve`",
            lambda at: os.spawnve(os.P_WAIT, sys.executable, _command(at), _CLEAN),
            _COPY,
        ),
        Way(
            "exec",
            "becomes another program",
            lambda at: os.execve(sys.executable, _command(at), _CLEAN),
            "start … (os.exec)",
        ),
        Way("fork", "`os.fork`", _forked, _COPY),
        Way("forkpty", "`os.forkpty`", _forkpty, "start a copy of itself (os.forkpty)"),
        Way("pty", "`pty.spawn`", lambda at: pty.spawn(_command(at)), "start … (pty.spawn)"),
        Way("process-fork", "`multiprocessing.Process`, forked", lambda at: _process(at, "fork"), _COPY),
        Way("process-spawn", "… spawned", lambda at: _process(at, "spawn"), _SPAWNED),
        Way(
            "process-forkserver",
            "… by a server",
            lambda at: _process(at, "forkserver"),
            _SPAWNED,
            process=True,
        ),
        Way("pool-fork", "a pool of processes, forked", lambda at: _pool(at, "fork"), _COPY),
        Way("pool-spawn", "… spawned", lambda at: _pool(at, "spawn"), _SPAWNED),
        Way(
            "asyncio-process",
            "a process by asyncio",
            lambda at: asyncio.run(_by_asyncio(at)),
            "start … (subprocess.Popen)",
        ),
        Way(
            "webbrowser",
            "opens a browser",
            lambda at: webbrowser.GenericBrowser(["true", "%s"]).open("http://localhost"),
            "start true (subprocess.Popen)",
        ),
        Way("process-thread", "starts one in a thread", _in_a_thread, "start … (subprocess.Popen)"),
        Way("process-swallowed", "… and goes on", _swallowed, "start … (subprocess.Popen)"),
        Way("interpreter", "starts another interpreter", _interpreter, "start another interpreter"),
    ),
)
