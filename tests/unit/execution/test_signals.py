from __future__ import annotations

import asyncio
import os
import signal
import threading
import time

import pytest

from oneoff.errors import RunStopped
from oneoff.execution import stopping
from oneoff.execution.signals import Signals
from oneoff.execution.stopping import Stop
from tests.forks import in_child
from tests.integration.process.helpers import open_descriptors


def test_handlers_and_descriptors_are_as_before_afterwards() -> None:
    """A guest in the user's process."""
    before = [signal.getsignal(number) for number in (2, 15, 1)], open_descriptors()
    with Signals(Stop()):
        assert signal.getsignal(signal.SIGTERM) != before[0][1]
    assert before == ([signal.getsignal(number) for number in (2, 15, 1)], open_descriptors())
    assert signal.set_wakeup_fd(-1) == -1


def test_a_signal_is_heard_and_does_nothing_else() -> None:
    """Also several, in their order; and nothing is raised where no task is at work."""
    with Signals(Stop()) as signals:
        signals.stop.request(stopping.TERMINATE)
        signals.stop.force()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert signals.listen(0) == bytes([signal.SIGTERM, signal.SIGINT])
        assert signals.listen(0) == b""


def test_the_end_by_force_is_raised_once() -> None:
    """A second signal does not disturb the task's cleaning up."""
    with Signals(Stop()) as signals:
        signals.stop.request(stopping.TIMEOUT)
        signals.stop.force()
        with pytest.raises(RunStopped, match="time limit"), signals.interruptible():
            try:
                signals.interrupt()
            finally:
                signal.raise_signal(signal.SIGTERM)


def test_it_gets_through_to_a_task_that_waits() -> None:
    """In a system call of the main thread."""
    with Signals(Stop()) as signals:
        signals.stop.request(stopping.CANCEL)
        signals.stop.force()
        threading.Timer(0.05, signals.interrupt).start()
        began = time.monotonic()
        with pytest.raises(RunStopped), signals.interruptible():
            time.sleep(20)
        assert time.monotonic() - began < 10


def test_a_handler_of_the_tasks_own_is_not_called() -> None:
    """It could be the default one, which would end the process unrecorded."""
    with Signals(Stop()) as signals:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signals.stop.force()
        with signals.interruptible():
            signals.interrupt()


def test_a_wake_up_is_no_signal() -> None:
    """It only ends the waiting."""
    with Signals(Stop()) as signals:
        signals.wake()
        assert signals.listen(20) == b""


def test_an_event_loop_that_takes_the_wakeup_descriptor() -> None:
    """``loop.add_signal_handler`` does; our signals still come through, and its own reach it."""
    heard: list[str] = []

    async def body(signals: Signals) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, heard.append, "usr1")
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGUSR1)
        await asyncio.sleep(0.01)
        assert signals.listen(5) == bytes([signal.SIGTERM])

    with Signals(Stop()) as signals:
        asyncio.run(body(signals))
        signal.raise_signal(signal.SIGINT)
        assert signals.listen(5) == bytes([signal.SIGINT])
    assert heard == ["usr1"]


def test_a_fork_has_its_own_signals() -> None:
    """A worker that is told to end ends, and the run hears nothing of it."""

    def child() -> str:
        return str(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL and signal.set_wakeup_fd(-1) == -1)

    with Signals(Stop()) as signals:
        assert in_child(child) == "True"
        pid = os.fork()
        if pid == 0:
            time.sleep(20)
            os._exit(0)
        os.kill(pid, signal.SIGTERM)
        assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGTERM
        assert signals.listen(0) == b""


def test_off_the_main_thread_signals_are_the_apps() -> None:
    """Python allows handlers on the main thread only."""
    before = signal.getsignal(signal.SIGTERM)
    seen: list[bool] = []

    def work() -> None:
        with Signals(Stop()) as signals:
            seen.append(signal.getsignal(signal.SIGTERM) == before)
            signals.interrupt()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [True]
