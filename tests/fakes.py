"""Stand-ins for everything that the verbs use, and a world made of them over a store in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from oneoff.audit.event import Event, decode, short_type
from oneoff.commands.options import Options
from oneoff.commands.run import Request
from oneoff.dryrun.measure import Measure
from oneoff.dryrun.report import DatabaseReport, TableEffect
from oneoff.dryrun.seams import ConfinedCommand, Reader
from oneoff.errors import DryRunUnavailable
from oneoff.protocols import RunQuery, Services
from oneoff.runs.run import Process, Release, Run
from oneoff.runs.status import Status
from oneoff.settings import EnvironmentSettings, Settings
from oneoff.signing import KeyFile
from oneoff.stores.memory import MemoryStore
from oneoff.tasks import parameters
from oneoff.tasks.code import code_digest
from oneoff.tasks.registry import Registry
from oneoff.types import RunId
from tests.records import ANN, OBSERVER, PROCESS, START, make_run, note

PRODUCTION = EnvironmentSettings(name="production", protected=True, reason="OPS-[0-9]+")
STAGING = EnvironmentSettings(name="staging")
OTHER = Process(host="laptop", machine="boot/1", pid=99, started="99")
"""Another process of the same machine."""
FAR = Process(host="server", machine="boot/2", pid=99, started="99")
"""A process of another machine."""


class FakeClock:
    """The time is what the test says; durations are real, save for what the test adds."""

    def __init__(self) -> None:
        self.at = START
        self._ahead = 0.0
        self.haste = 0.0
        """Seconds that pass with each look at the clock for durations."""

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        self._ahead += self.haste
        return time.monotonic() + self._ahead

    def pass_by(self, seconds: float) -> None:
        """Let time pass for both clocks."""
        self.at += timedelta(seconds=seconds)
        self._ahead += seconds


class FakeProcesses:
    """This machine is ``boot/1``; its processes live unless the test says that one is dead."""

    def __init__(self) -> None:
        self.dead: list[Process] = []

    def current(self) -> Process:
        return PROCESS

    def alive(self, process: Process) -> bool | None:
        return process not in self.dead if process.machine == PROCESS.machine else None


class MemorySpool:
    """Room for outcomes in memory."""

    def __init__(self) -> None:
        self.rooms: dict[RunId, bytes] = {}

    def reserve(self, run_id: RunId) -> None:
        self.rooms.setdefault(run_id, b"")

    def write(self, run_id: RunId, document: bytes) -> None:
        self.rooms[run_id] = document

    def pending(self) -> Iterator[tuple[RunId, bytes]]:
        yield from [(run_id, document) for run_id, document in self.rooms.items() if document]

    def release(self, run_id: RunId) -> None:
        self.rooms.pop(run_id, None)


class FakeAsker:
    """Nobody is there until the test gives answers; an exception among them is raised."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.asked: list[str] = []

    @property
    def interactive(self) -> bool:
        return bool(self.answers)

    def _answer(self, question: str) -> Any:
        self.asked.append(question)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def confirm(self, question: str) -> bool:
        return bool(self._answer(question))

    def text(self, prompt: str) -> str:
        return str(self._answer(prompt))

    def secret(self, prompt: str) -> str:
        return str(self._answer(prompt))


class FakeLauncher:
    """Starts nothing; notes what it was asked for, then does what the test wants."""

    name = "fake"

    def __init__(self) -> None:
        self.launched: list[tuple[Run, dict[str, str]]] = []
        self.then: Callable[[Run], object] = lambda run: None

    def launch(self, run: Run, secrets: Mapping[str, str]) -> Process | None:
        self.launched.append((run, dict(secrets)))
        self.then(run)
        return OTHER


class FakeSeal:
    """Holds nothing back; reports one changed table, and notes what was done to it."""

    level = "copy"
    effects = attempts = not_covered = ()

    def __init__(self, *databases: str, measure: Measure | None = None) -> None:
        self.databases = databases
        self.wanted = measure
        self.done: list[str] = []

    def costs(self) -> tuple[str, ...]:
        return ("it costs nothing",)

    def measure(self) -> None:
        self.done.append("measured")

    def keep(self) -> None:
        self.done.append("kept")

    def call_hooks(self) -> None:
        self.done.append("hooks called")

    def __enter__(self) -> FakeSeal:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Nothing was held."""

    def reports(self) -> tuple[DatabaseReport, ...]:
        return tuple(
            DatabaseReport(database=name, level=self.level, tables=(TableEffect(table="users", deleted=3),))
            for name in self.databases
        )


class FakeGuard:
    """Stops nothing; says what it is told to have stopped."""

    name = "fake"
    not_covered: tuple[str, ...] = ("everything",)
    beyond: tuple[str, ...] = ()

    def __init__(self, *attempts: str) -> None:
        self.attempts = attempts

    def __enter__(self) -> FakeGuard:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Nothing was held."""

    def around_task(self) -> AbstractContextManager[None]:
        return nullcontext()


class FakeDatabases:
    """Every handle can be sealed, None as no database at all; one that is an exception is raised."""

    def resolve(self, handle: Any) -> Any:
        if isinstance(handle, BaseException):
            raise handle
        return handle

    def __init__(self) -> None:
        self.sealed: list[FakeSeal] = []

    def seal(self, handle: Any, measure: Measure | None = None) -> FakeSeal:
        handle = self.resolve(handle)
        names = () if handle is None else handle if isinstance(handle, tuple) else ("fake",)
        self.sealed.append(FakeSeal(*names, measure=measure))
        return self.sealed[-1]

    def reader(self, url: str) -> Reader:
        if "reader" not in url:
            raise DryRunUnavailable("that role can write")
        return Reader(port=5432, report=DatabaseReport(database=url, level="preview", measured=False))


class FakeConfinement:
    """Holds nothing back; runs the command as it is."""

    level = "preview"
    name = "landlock"
    not_covered: tuple[str, ...] = ("everything",)

    def around(
        self, command: Sequence[str], environ: Mapping[str, str]
    ) -> AbstractContextManager[ConfinedCommand]:
        return nullcontext(ConfinedCommand(command=tuple(command), environ=environ))


class RacedStore(MemoryStore):
    """Somebody else changes the record once, right before the next save."""

    def __init__(self) -> None:
        super().__init__()
        self.before_save: Callable[[], object] | None = None

    def save(self, run: Run, event: Event | None = None) -> Run:
        race, self.before_save = self.before_save, None
        if race is not None:
            race()
        return super().save(run, event)


class World:
    """A whole set of services, each part at hand for the test."""

    def __init__(self, folder: Path, *environments: EnvironmentSettings) -> None:
        self.store = RacedStore()
        self.clock = FakeClock()
        self.processes = FakeProcesses()
        self.spool = MemorySpool()
        self.asker = FakeAsker()
        self.launcher = FakeLauncher()
        self.said: list[str] = []
        self.app = Registry("shop", database="a handle", version="1.2")
        self.services = Services(
            settings=Settings(
                root=folder,
                store=folder / ".oneoff" / "store.db",
                environments={environment.name: environment for environment in environments},
            ),
            store=self.store,
            spool=self.spool,
            processes=self.processes,
            databases=FakeDatabases(),
            guard=lambda mask, environment: FakeGuard(),
            confine=lambda ports: FakeConfinement(),
            launcher=self.launcher,
            clock=self.clock,
            asker=self.asker,
            actor=ANN,
            observer=OBSERVER,
            release=Release(version="9", commit="c0ffee", oneoff="0.1.0"),
            say=self.said.append,
            keys=lambda: KeyFile(self.services.settings.audit.key),
            decoder=lambda: decode,
        )

    def wish(self, name: str, values: Mapping[str, Any] | None = None, **about: Any) -> Request:
        """A request for one of the app's tasks; what is no field of a request is one of its options."""
        task = self.app.get(name)
        own = {key: about.pop(key) for key in ("secrets", "rerun_of") if key in about}
        about.setdefault("command_with", lambda words: " ".join([f"oneoff run {name}", *words]))
        return Request(
            task=task,
            registry=self.app,
            values=lambda: parameters.validate(task.parameters, values or {}),
            given=bool(values),
            options=Options(**about),
            **own,
        )

    def launched(self, name: str, **changes: Any) -> Run:
        """A run with the id x that waits for its process, of the app's task as it is now."""
        run = make_run("x", task=name, status=Status.LAUNCHED, process=OTHER)
        run = replace(run, release=Release(code=code_digest(self.app.get(name))))
        run = replace(run, **changes)
        return self.store.create(run, note(run))

    def events(self, run_id: str | None = None) -> list[str]:
        """The types of the audit events, oldest first."""
        return [short_type(event["type"]) for event in self.bodies(run_id)]

    def bodies(self, run_id: str | None = None) -> list[dict[str, Any]]:
        """The audit events as they were hashed."""
        events = self.store.events(run_id=None if run_id is None else RunId(run_id))
        return [decode(event.body) for event in events]

    def refusals(self) -> list[str]:
        """The words of each refusal in the audit log."""
        return [
            event["data"]["outcome"]["error"]
            for event in self.bodies()
            if short_type(event["type"]) == "refused"
        ]

    def the_run(self) -> Run:
        """The only run there is."""
        (run,) = self.store.find(RunQuery())
        return run
