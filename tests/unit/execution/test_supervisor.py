from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from oneoff.errors import RunNotFound, StoreUnavailable
from oneoff.execution import supervisor as module
from oneoff.execution.signals import Signals
from oneoff.execution.stopping import Cause, Stop
from oneoff.execution.supervisor import Supervisor
from oneoff.runs.run import Run
from oneoff.runs.status import Status
from oneoff.wiring.system import SystemClock
from tests.integration.process.helpers import eventually
from tests.records import make_run


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[Signals]:
    monkeypatch.setattr(module, "BEAT", 0.01)
    monkeypatch.setattr(module, "LAST_GRACE", 0.05)
    with Signals(Stop()) as hearing:
        yield hearing


class Watched:
    """A supervisor, the answers that the store gives it, and whether it gave up."""

    def __init__(self, signals: Signals, *, timeout: float | None = None) -> None:
        self.answer: Run | Exception | None = make_run(status=Status.RUNNING)
        self.beats = 0
        self.gave_up = threading.Event()
        self.stop = signals.stop
        self.asked: list[Cause] = []
        self.supervisor = Supervisor(
            signals,
            clock=SystemClock(),
            beat=self._beat,
            timeout=timeout,
            asked=self.asked.append,
            give_up=self.gave_up.set,
        )

    def _beat(self) -> Run | None:
        self.beats += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_it_beats_through_every_error_of_the_store(signals: Signals) -> None:
    """A store that is away for a while, or no longer knows the run, ends nothing."""
    watched = Watched(signals)
    with watched.supervisor:
        for error in (StoreUnavailable("locked"), RunNotFound("gone")):
            watched.answer, seen = error, watched.beats
            eventually(lambda seen=seen: watched.beats > seen + 2)  # type: ignore[misc]  # bound at once
    assert watched.stop.cause is None


@pytest.mark.parametrize(
    ("answer", "status", "forced"),
    [
        (make_run(status=Status.STOPPING, stop_requested="cancel"), Status.CANCELLED, False),
        (make_run(status=Status.STOPPING, stop_requested="kill"), Status.CANCELLED, True),
        (None, Status.LOST, True),
    ],
)
def test_what_the_store_says_is_done(
    answer: Run | None, status: Status, forced: bool, signals: Signals
) -> None:
    """A cancel asks, a forced one and a lost lease end the task."""
    watched = Watched(signals)
    watched.answer = answer
    with watched.supervisor:
        eventually(lambda: watched.stop.cause is not None and watched.stop.forced is forced)
    assert watched.stop.cause is not None
    assert watched.stop.cause.status is status


def test_a_store_that_does_not_answer_holds_up_nothing(signals: Signals) -> None:
    """Time limits and signals are watched while a beat waits for a lock."""
    answered = threading.Event()

    def beat() -> None:
        answered.wait(20)

    watched = Watched(signals)
    beating = Supervisor(
        signals,
        clock=SystemClock(),
        beat=beat,
        timeout=0.1,
        asked=lambda cause: None,
        give_up=watched.gave_up.set,
    )
    with beating:
        eventually(lambda: watched.stop.cause is not None)
        signal.raise_signal(signal.SIGTERM)
        eventually(lambda: watched.stop.forced)
        answered.set()


def test_a_task_that_does_not_end_is_given_up(signals: Signals) -> None:
    """After its last grace, once."""
    watched = Watched(signals, timeout=0)
    with watched.supervisor:
        eventually(lambda: watched.stop.cause is not None)
        signal.raise_signal(signal.SIGINT)
        assert watched.gave_up.wait(10)


def test_a_hang_up_never_insists(signals: Signals) -> None:
    """A terminal that goes away sends it twice; the task keeps its grace."""
    watched = Watched(signals)
    with watched.supervisor:
        for _ in range(3):
            signal.raise_signal(signal.SIGHUP)
            time.sleep(0.02)
        assert watched.stop.cause is not None
        assert not watched.stop.forced
        signal.raise_signal(signal.SIGTERM)
        eventually(lambda: watched.stop.forced)


def test_signals_of_the_tasks_own_are_none_of_ours(signals: Signals) -> None:
    """Also those that have no name, between the first and the last real-time signal."""
    watched, number = Watched(signals), signal.SIGRTMIN + 3
    before = signal.signal(number, lambda *_: None)
    try:
        with watched.supervisor:
            signal.raise_signal(number)
            seen = watched.beats
            eventually(lambda: watched.beats > seen + 2)
            signal.raise_signal(signal.SIGINT)
            eventually(lambda: watched.stop.cause is not None)
    finally:
        signal.signal(number, before)


def test_a_signal_from_before_the_task_is_known_at_its_start(signals: Signals) -> None:
    """The task looks, and does not begin."""
    signal.raise_signal(signal.SIGTERM)
    watched = Watched(signals)
    with watched.supervisor:
        assert watched.stop.cause is not None
