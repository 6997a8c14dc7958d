"""The progress meter, with a clock that the test holds in its hands."""

from __future__ import annotations

import io
import json
import os
import pty
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneoff.execution.log import RunLogger
from oneoff.execution.progress import LINE_SECONDS, Pace, ProgressMeter, bar, clock_time, count, facts
from oneoff.execution.terminal import Terminal, cells
from oneoff.runs.run import Progress
from oneoff.types import RunId, TaskName
from tests.terminals import shown_on


class FakeClock:
    """Shows what the test sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> FakeClock:
    """A clock at rest."""
    return FakeClock()


@pytest.fixture
def lines() -> io.StringIO:
    """What a log without a terminal gets."""
    return io.StringIO()


@pytest.fixture
def meter(clock: FakeClock, lines: io.StringIO) -> Iterator[ProgressMeter]:
    """A meter without a terminal."""
    reader, writer = os.pipe()
    log = RunLogger(run_id=RunId("r1"), task=TaskName("t"), as_text=False, stream=lines)
    yield ProgressMeter(terminal=Terminal(writer), log=log, clock=clock)
    os.close(reader)
    os.close(writer)


def messages(lines: io.StringIO) -> list[str]:
    """The messages that were logged."""
    return [json.loads(line)["message"] for line in lines.getvalue().splitlines()]


def test_what_was_said_last_is_the_record(meter: ProgressMeter) -> None:
    """The heartbeat stores the last word; before the first one there is none."""
    assert meter.current is None
    meter.update(1, 10, "first")
    meter.update(2)
    assert meter.current == Progress(done=2, total=10, message="")


def test_without_a_terminal_a_line_now_and_then_and_one_at_the_end(
    meter: ProgressMeter, clock: FakeClock, lines: io.StringIO
) -> None:
    """One line every few seconds, however often the task reports; the last word is always there."""
    for row in range(1, 1001):
        clock.seconds += LINE_SECONDS / 400
        meter.update(row, 1000)
    meter.close()
    assert [line["done"] for line in map(json.loads, lines.getvalue().splitlines())] == [400, 800, 1000]
    assert messages(lines)[1] == "800 of 1,000, 80%, 80/s, 0:02 left"


def test_nothing_new_at_the_end_is_not_said_twice(
    meter: ProgressMeter, clock: FakeClock, lines: io.StringIO
) -> None:
    """A task that ended right after a line gets no second one; a task without progress gets none."""
    meter.close()
    clock.seconds += LINE_SECONDS
    meter.update(5)
    meter.close()
    assert messages(lines) == ["5"]


def test_a_line_has_its_numbers_as_fields(meter: ProgressMeter, clock: FakeClock, lines: io.StringIO) -> None:
    """A reader of JSON lines need not parse the sentence."""
    meter.update(1200, 5000, "sessions")
    meter.close()
    document = json.loads(lines.getvalue())
    assert (document["done"], document["total"]) == (1200, 5000)
    assert document["message"] == "1,200 of 5,000, 24%, sessions"


def test_a_clock_that_jumps_back_does_not_silence_it(
    meter: ProgressMeter, clock: FakeClock, lines: io.StringIO
) -> None:
    """A meter must not wait for a time that is hours away."""
    meter.update(1)
    clock.seconds -= 10_000
    meter.update(2)
    clock.seconds += LINE_SECONDS
    meter.update(3)
    assert messages(lines) == ["2", "3, 0.2/s"]


def test_a_count_that_is_none_is_the_tasks_mistake(meter: ProgressMeter) -> None:
    """It is told where it happens, not later in the heartbeat."""
    with pytest.raises(ValueError, match="invalid literal"):
        meter.update("many")  # type: ignore[arg-type] # the mistake is the point


def test_the_bar_on_a_terminal_is_cleared_at_the_end(clock: FakeClock, lines: io.StringIO) -> None:
    """It leaves no trace, and no log lines."""
    master, slave = pty.openpty()
    log = RunLogger(run_id=RunId("r1"), task=TaskName("t"), as_text=True, stream=lines)
    meter = ProgressMeter(terminal=Terminal(slave), log=log, clock=clock)
    meter.update(0, 4)
    meter.update(1, 4)
    clock.seconds += 1
    meter.update(2, 4)
    meter.close()
    empty, full = "-" * 30, "#" * 15 + "-" * 15
    drawn = ["", f"[{empty}]  0 of 4  0%", f"[{full}]  2 of 4  50%  2.0/s  0:01 left", ""]
    expected = "\r\x1b[K".join(drawn).encode()
    assert shown_on(master, len(expected)) == expected
    os.close(master)
    os.close(slave)
    assert lines.getvalue() == ""


def test_an_update_is_cheap(meter: ProgressMeter) -> None:
    """It may be called for every row: well below 5 µs each, on the best of several rounds."""

    def microseconds_each() -> float:
        began = time.perf_counter()
        for row in range(10_000):
            meter.update(row, 10_000)
        return (time.perf_counter() - began) * 100

    assert min(microseconds_each() for _ in range(5)) < 5


@pytest.mark.parametrize(
    ("done", "total", "text"),
    [
        (1200, None, "1,200"),
        (1200, 5000, "1,200 of 5,000"),
        (1200, 1000, "1,200 of 1,000 expected"),
        (0, 0, "0 of 0"),
        (-5, 10, "-5 of 10"),
        (5, -1, "5"),
    ],
)
def test_counts(done: int, total: int | None, text: str) -> None:
    """With separators for thousands; an estimate that proved too small is called what it was."""
    assert count(done, total) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0:00"),
        (47, "0:47"),
        (723, "12:03"),
        (11523, "3:12:03"),
        (90_000, "1d 1h"),
        (1e12, "11,574,074d 1h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    """Short, and readable at any size."""
    assert clock_time(seconds) == text


def test_a_resumed_run_does_not_boast() -> None:
    """The rate counts from the first sighting: what an earlier run did is not today's work."""
    pace = Pace()
    pace.note(500_000, 0.0)
    assert pace.rate is None
    pace.note(500_100, 10.0)
    assert pace.rate == 10.0


def test_a_count_or_a_clock_that_goes_backwards_starts_the_rate_afresh() -> None:
    """Nothing is extrapolated across a break."""
    pace = Pace()
    pace.note(100, 0.0)
    pace.note(200, 10.0)
    pace.note(0, 11.0)
    assert pace.rate is None
    pace.note(50, 5.0)
    assert pace.rate is None


def test_time_left_only_where_the_total_is_known() -> None:
    """Without a total, or beyond it, there is nothing to count down."""
    pace = Pace()
    pace.note(0, 0.0)
    pace.note(100, 10.0)
    assert facts(Progress(done=100), pace) == ["100", "10/s"]
    assert facts(Progress(done=100, total=150), pace) == ["100 of 150", "66%", "10/s", "0:05 left"]
    assert facts(Progress(done=100, total=90), pace) == ["100 of 90 expected", "10/s"]


def test_where_space_is_short_the_bar_goes_first() -> None:
    """Numbers matter more than hashes."""
    progress = Progress(done=1, total=2, message="x")
    assert bar(progress, Pace(), 40) == "[" + "#" * 11 + "-" * 11 + "]  1 of 2  50%  x"
    assert bar(progress, Pace(), 20) == "1 of 2  50%  x"
    assert bar(progress, Pace(), 6) == "1 of 2"


@given(
    st.integers(),
    st.none() | st.integers(),
    st.text(),
    st.integers(min_value=-1, max_value=300),
    st.floats(0, 1e9),
)
def test_the_bar_fits_whatever_the_numbers(
    done: int, total: int | None, message: str, width: int, seconds: float
) -> None:
    """One line, never wider than the terminal, for any numbers and any message."""
    pace = Pace()
    pace.note(0, 0.0)
    pace.note(done, seconds)
    line = bar(Progress(done=done, total=total, message=message), pace, width)
    assert cells(line) <= max(width, 0)
    assert len(line.splitlines()) <= 1
