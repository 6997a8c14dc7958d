"""What readers bring stays in order, and there is an end to how much of it may wait."""

from __future__ import annotations

import threading
import time

import pytest

from oneoff.kube.following.inbox import Broken, Inbox, InboxClosed, Lines, Worker


def test_lines_of_one_log_are_one_entry_and_the_order_stays() -> None:
    inbox = Inbox()
    for source, line in (("a", b"1"), ("a", b"2"), ("b", b"3")):
        inbox.write(source, line)
    inbox.put("note")
    inbox.write("b", b"4")
    assert inbox.take(0) == [Lines("a", [b"1", b"2"]), Lines("b", [b"3"]), "note", Lines("b", [b"4"])]
    assert inbox.take(0) == []


class Brings(Worker):
    """Brings lines of a byte, and keeps how many."""

    brought = 0

    def work(self) -> None:
        while True:
            self.inbox.write(self, b"x")
            self.brought += 1


def test_who_brings_too_much_waits() -> None:
    """Until it is taken away, or until nobody takes anything any more."""
    inbox = Inbox(room=10)
    worker = Brings("test", inbox)
    worker.start()
    taken = 0
    for _ in range(3):
        while worker.brought < taken + 10:
            time.sleep(0.001)
        time.sleep(0.02)
        assert worker.brought == taken + 10
        (lines,) = inbox.take(0)
        taken += len(lines.lines)
    inbox.close()
    worker.join(5)
    assert not worker.is_alive()


def test_a_closed_inbox_takes_nothing() -> None:
    inbox = Inbox()
    inbox.close()
    with pytest.raises(InboxClosed):
        inbox.put("note")
    with pytest.raises(InboxClosed):
        inbox.write("a", b"x")
    with pytest.raises(InboxClosed):
        inbox.check()


def test_a_pause_ends_when_it_is_woken() -> None:
    inbox, ended = Inbox(), threading.Event()

    class Pauses(Worker):
        def work(self) -> None:
            self.pause(60)
            ended.set()

    worker = Pauses("test", inbox)
    worker.start()
    worker.wake()
    assert ended.wait(5)
    worker.join(5)


def test_what_breaks_a_worker_is_brought() -> None:
    """Else whoever waits for it would wait for ever."""

    class Breaks(Worker):
        def work(self) -> None:
            raise ZeroDivisionError("x")

    inbox = Inbox()
    Breaks("test", inbox).run()
    (broken,) = inbox.take(0)
    assert isinstance(broken, Broken) and isinstance(broken.error, ZeroDivisionError)
