"""A log is had whole, each line once and in order, wherever its connection is cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oneoff.errors import ClusterError, ClusterUnreachable, LogNotReady, NotPermitted, ObjectMissing
from oneoff.kube.api.cluster import Cluster
from oneoff.kube.following import logreader
from oneoff.kube.following.inbox import Inbox, Lines
from oneoff.kube.following.logreader import LogReader, Place, Read, split

BEGIN = 1_795_000_000 * 1_000_000_000


def stamp(nanoseconds: int) -> str:
    seconds, rest = divmod(BEGIN + nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


@dataclass
class Log:
    """A kubelet's log of one container, which grows with each reading; stands for a cluster."""

    lines: list[tuple[int, bytes]]
    """When, in nanoseconds, and what; in the order of the file."""
    cuts: list[tuple[int, int]]
    """For each reading, how many lines there are by then, and after how many bytes it is cut."""
    reader: LogReader | None = None
    asked: list[str | None] = field(default_factory=list)

    def log(self, pod: str, container: str, *, follow: bool, since: str | None) -> Iterator[bytes]:
        self.asked.append(since)
        there, left = self.cuts.pop(0) if self.cuts else (len(self.lines), None)
        for at, text in self.lines[:there]:
            if since is not None and stamp(at)[:19] < since[:19]:
                continue
            line = f"{stamp(at)} ".encode() + text
            if left is not None and len(line) > left:
                if left:
                    yield line[:left]
                raise ClusterUnreachable("cut")
            left = None if left is None else left - len(line)
            yield line
        if not self.cuts and self.reader is not None:
            self.reader.end()


def read(log: Any) -> tuple[bytes, str]:
    """All that a reader brings, and what is wrong with it."""
    inbox = Inbox()
    log.reader = reader = LogReader(cast(Cluster, log), "pod", "task", inbox)
    reader.run()
    *entries, last = inbox.take(0)
    assert isinstance(last, Read) and last.reader is reader
    return b"".join(b"".join(each.lines) for each in entries if isinstance(each, Lines)), last.problem


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logreader, "PAUSES", (0.0,))


def in_file_order(pauses: list[int], texts: list[bytes]) -> list[tuple[int, bytes]]:
    """Output and error are stamped apart: a line may be a little older than the one before it."""
    found, now = [], 0
    for pause, text in zip(pauses, texts, strict=False):
        now += pause
        found.append((max(now, 0), text))
    return found


TEXTS = st.lists(st.sampled_from([b"a\n", b"b\n", b"\n", b"2026-01-01T00:00:00Z x\n"]), max_size=12)
PAUSES = st.lists(
    st.sampled_from([0, 0, 0, 1, -1, 300_000_000, 999_999_999, 1_000_000_000, 3_000_000_000]),
    min_size=12,
    max_size=12,
)
CUTS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 200)), max_size=8)


@pytest.mark.usefixtures("no_pauses")
@given(TEXTS, PAUSES, CUTS, st.booleans())
@example([b"a\n"] * 4, [0, 3 * 10**9, -1, 10**9 + 1], [], False)
def test_a_log_is_had_whole(
    texts: list[bytes], pauses: list[int], cuts: list[tuple[int, int]], open_end: bool
) -> None:
    """Whatever lines share a stamp or a text, however they are ordered, wherever it is cut."""
    if texts and open_end:
        texts[-1] = texts[-1].rstrip(b"\n") + b"?"
    log = Log(in_file_order(pauses, texts), sorted(cuts, key=lambda cut: cut[0]))
    assert read(log) == (b"".join(texts), "")


def test_a_log_is_asked_for_again_from_the_second_before_its_last() -> None:
    """A line of the other stream may be older by a little, and in the second before."""
    log = Log([(0, b"a\n"), (5_500_000_000, b"b\n")], [(2, 1000), (2, 1000)])
    assert read(log)[0] == b"a\nb\n"
    assert log.asked == [None, stamp(4_000_000_000)[:19] + "Z", stamp(4_000_000_000)[:19] + "Z"]


def test_a_stamp_may_have_a_zone() -> None:
    """The kubelet writes that of its node; what it is asked is said in UTC."""
    place = Place()
    assert place.is_new(b"2026-11-23T01:00:00.000000001+02:00")
    assert place.begin() == "2026-11-22T22:59:59Z"


def test_a_place_remembers_the_last_seconds_alone() -> None:
    """However long the log is."""
    place = Place()
    for number in range(100_000):
        assert place.is_new(stamp(number * 10_000_000).encode())
    assert place.begin() == stamp(998_000_000_000)[:19] + "Z"
    assert sum(place._again.values()) <= 300


def test_what_has_no_stamp_is_the_kubelets_own() -> None:
    assert split(b"2026-11-23T01:00:00.5Z one two\n") == (b"2026-11-23T01:00:00.5Z", b"one two\n")
    assert split(b"2026-11-23T01:00:00.5Z \n") == (b"2026-11-23T01:00:00.5Z", b"\n")
    said = b"failed to try resolving symlinks in path: no such file\n"
    assert split(said) == (b"", said)
    assert split(b"\n") == (b"", b"\n")


@dataclass
class Failing:
    """Fails once or for good."""

    error: ClusterError
    text: bytes = b""
    reader: LogReader | None = None

    def log(self, *_: object, **__: object) -> Iterator[bytes]:
        if self.reader is not None:
            self.reader.end()
        if self.text:
            yield f"{stamp(0)} ".encode() + self.text
            self.text = b""
        raise self.error


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (ObjectMissing("no pod"), "its pod is gone"),
        (NotPermitted("get pods/log"), "cannot be read"),
        (ClusterError("the node is away"), "cannot be read to its end: the node is away"),
        (LogNotReady("it never started"), ""),
    ],
)
def test_a_log_that_cannot_be_had_ends_with_the_reason(
    error: ClusterError, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was had of it is written, also a line that was cut."""
    monkeypatch.setattr(logreader, "GIVE_UP", 0.0)
    found, told = read(Failing(error, b"half a li"))
    assert found == b"half a li"
    assert problem in told and bool(problem) == bool(told)
