from __future__ import annotations

from oneoff.execution import stopping
from oneoff.execution.stopping import Stop


class Command:
    """Notes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def terminate(self) -> None:
        self.told.append("terminate")

    def kill(self) -> None:
        self.told.append("kill")


def test_the_first_cause_stays() -> None:
    """A run that was cancelled and then reached its limit was cancelled."""
    stop = Stop()
    stop.request(stopping.CANCEL)
    stop.request(stopping.TIMEOUT)
    assert stop.cause is stopping.CANCEL


def test_a_command_is_told_once() -> None:
    """However often the end is asked for."""
    stop, command = Stop(), Command()
    stop.reaches(command)
    stop.request(stopping.CANCEL)
    stop.request(stopping.CANCEL)
    assert command.told == ["terminate"]
    stop.force()
    assert command.told == ["terminate", "kill"]


def test_a_command_that_starts_too_late_is_told_at_once() -> None:
    """The request came while it was being started."""
    asked, forced = Stop(), Stop()
    asked.request(stopping.CANCEL)
    forced.request(stopping.CANCEL)
    forced.force()
    late, later = Command(), Command()
    asked.reaches(late)
    forced.reaches(later)
    assert (late.told, later.told) == (["terminate"], ["kill"])


def test_looking_is_remembered_only_once_there_is_something_to_see() -> None:
    """A task that looked before the request has not seen it."""
    stop = Stop()
    assert not stop.look()
    assert not stop.wait(0)
    stop.request(stopping.CANCEL)
    assert not stop.seen
    assert stop.wait(60)
    assert stop.seen
