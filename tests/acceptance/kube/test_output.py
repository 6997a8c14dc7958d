"""What a task prints is in the pod's log at once, and what is known of a run that was killed."""

from __future__ import annotations

from tests.kubernetes.shop import Shop

TALKS = """
import os
import signal

import oneoff

admin = oneoff.App("shop")


@admin.task
def talk(ctx: oneoff.Context) -> None:
    print("before")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_task_that_is_killed(live: Shop) -> None:
    """Its last line has come out; how far it came nobody knows, here as in the record."""
    (live.image / "admin.py").write_text(TALKS)
    ended = live("run", "talk", "--env", "staging", "--run-id", "r1")
    assert "before" in ended.out.splitlines()
    assert ended.code == 7
    assert "run r1 lost: SIGKILL ended it without a word: nobody knows how far it came" in ended.err
    assert live("wait", "r1", "--env", "staging").code == 7
