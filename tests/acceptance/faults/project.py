"""A small project whose tasks misbehave, the real command in it, and what its records say afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from oneoff.audit.event import short_type
from oneoff.commands.attend import attend
from oneoff.commands.audit import verify
from oneoff.protocols import RunQuery, Services
from oneoff.runs.run import Run
from oneoff.settings import load
from oneoff.wiring.services import local_services

HERE = Path(__file__).parent
ONEOFF = Path(sys.executable).with_name("oneoff")
PATIENCE_SECONDS = 20.0
QUICK = {"beat": 0.1, "last_grace": 0.5, "term_grace": 0.3, "timeout_grace": 0.3}
"""The product's times, shortened."""

SETTINGS = """
[tool.oneoff]
app = "admin:app"
[tool.oneoff.tasks.stubborn]
command = ["sh", "-c", "trap '' TERM; echo up >> started; while :; do sleep 0.05; done"]
timeout = 0.3
[tool.oneoff.tasks.polite]
command = ["sh", "polite.sh"]
"""

POLITE = """
(trap 'echo heard > inner; exit 0' TERM; echo up > started; while :; do sleep 0.05; done) &
trap 'wait; exit 0' TERM
wait
"""


class NobodyToAsk:
    """An asker for services without a terminal."""

    interactive = False

    def confirm(self, question: str) -> bool:
        return False

    def text(self, prompt: str) -> str:
        return ""

    secret = text


class Project:
    """One folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        shutil.copy(HERE / "admin.py", folder)
        (folder / "oneoff.toml").write_text(SETTINGS)
        (folder / "polite.sh").write_text(POLITE)
        self.said: list[str] = []

    def command(self, *arguments: str, **spec: Any) -> list[str]:
        """The command as installed; with a spec, through the driver."""
        if not spec:
            return [str(ONEOFF), *arguments]
        return [sys.executable, str(HERE / "driver.py"), json.dumps(spec), *arguments]

    def oneoff(self, *arguments: str, **spec: Any) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            self.command(*arguments, **spec),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=30,
            check=False,
        )

    def start(self, *arguments: str, **spec: Any) -> subprocess.Popen[str]:
        """Start it, with its output in files."""
        with (self.folder / "out").open("ab") as out, (self.folder / "err").open("ab") as err:
            return subprocess.Popen(
                self.command(*arguments, **spec),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                text=True,
            )

    def started(self, *arguments: str, **spec: Any) -> subprocess.Popen[str]:
        """Start it, and come back once its task has touched the file ``started``."""
        process = self.start(*arguments, **spec)
        self.until(lambda: (self.folder / "started").exists() or process.poll() is not None)
        assert process.poll() is None, self.text("err")
        return process

    def until(self, condition: Callable[[], object], *, within: float = PATIENCE_SECONDS) -> None:
        """Poll until the condition holds."""
        deadline = time.monotonic() + within
        while not condition():
            assert time.monotonic() < deadline, f"not within {within} s; {self.text('err')}"
            time.sleep(0.01)

    def text(self, name: str) -> str:
        path = self.folder / name
        return path.read_text(errors="backslashreplace") if path.exists() else ""

    def executions(self, name: str = "ran") -> int:
        """How often the task's body ran: it adds a line to a file each time."""
        return len(self.text(name).splitlines())

    def services(self) -> Services:
        """The records, opened anew in this process."""
        return local_services(load(self.folder), asker=NobodyToAsk(), say=self.said.append)

    def runs(self) -> list[Run]:
        """All runs, newest first, as the next command sees them."""
        services = self.services()
        try:
            attend(services)
            return services.store.find(RunQuery())
        finally:
            services.store.close()

    def the_run(self) -> Run:
        """The only one."""
        (run,) = self.runs()
        return run

    def events(self, run_id: str) -> list[str]:
        """The types of the audit events of a run, in order; the log is whole."""
        services = self.services()
        try:
            report = verify(services)
            assert report.ok, report
            documents = [json.loads(event.body) for event in services.store.events()]
        finally:
            services.store.close()
        return [short_type(each["type"]) for each in documents if each.get("subject") == run_id]


def finished(process: subprocess.Popen[str], *, within: float = PATIENCE_SECONDS) -> int:
    """Its exit code; it is killed where it does not end."""
    try:
        return process.wait(within)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()


def all_finished(processes: Sequence[subprocess.Popen[str]]) -> list[int]:
    return sorted(finished(process) for process in processes)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def some_quickly(numbers: Sequence[int], *, every: int) -> list[Any]:
    """All of them as parameters of a test, of which only one in ``every`` is in `make test`."""
    slow = pytest.mark.slow
    return [
        pytest.param(number, marks=() if place % every == 0 else slow) for place, number in enumerate(numbers)
    ]
