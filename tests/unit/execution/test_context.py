from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from oneoff.execution import stopping
from oneoff.execution.context import Context, at_work, effect
from oneoff.execution.log import RunLogger
from oneoff.execution.stopping import Stop
from oneoff.types import RunId, TaskName
from tests.records import ANN


def context(*, dry_run: bool = False, stop: Stop | None = None, opened: list[str] | None = None) -> Context:
    def open_database() -> Any:
        (opened if opened is not None else []).append("opened")
        return object()

    return Context(
        run_id=RunId("r1"),
        actor=ANN,
        dry_run=dry_run,
        log=RunLogger(run_id=RunId("r1"), task=TaskName("t"), as_text=True),
        report_progress=lambda done, total, message: None,
        stop=stop or Stop(),
        open_database=open_database,
    )


def test_an_effect_is_done_in_a_real_run_and_noted_in_a_dry_one() -> None:
    """The function is not called in a dry run, and its stand-in is returned."""
    done: list[int] = []
    assert context().effect("append", done.append, 1) is None
    dry = context(dry_run=True)
    assert dry.effect("append", done.append, 2, dry_result="ok") == "ok"
    assert done == [1]
    assert [effect.description for effect in dry.suppressed] == ["append"]


def test_the_database_is_opened_once_and_only_if_it_is_used() -> None:
    """A task without a database does not wait for one."""
    opened: list[str] = []
    ctx = context(opened=opened)
    assert opened == []
    assert ctx.db is ctx.db
    assert opened == ["opened"]


def test_sleep_ends_when_the_run_has_to() -> None:
    """It says so, and the task has seen it."""
    stop = Stop()
    ctx = context(stop=stop)
    assert not ctx.sleep(0)
    stop.request(stopping.CANCEL)
    assert ctx.sleep(60)
    assert ctx.should_stop
    assert stop.seen


def test_code_without_a_context_has_the_one_at_work() -> None:
    """In every thread of the process; where no run is under way it simply calls."""
    done: list[int] = []
    dry = context(dry_run=True)
    with at_work(dry), ThreadPoolExecutor(1) as pool:
        assert effect("append", done.append, 1, dry_result="ok") == "ok"
        assert pool.submit(effect, "append again", done.append, 2).result() is None
        with at_work(context()):
            effect("append", done.append, 3)
    assert [each.description for each in dry.suppressed] == ["append", "append again"]
    assert effect("append", done.append, 4) is None
    assert done == [3, 4]
