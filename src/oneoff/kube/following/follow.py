"""Follows a Job from before its first pod until it is decided how it ended, and prints its log whole.

What is true is looked up, again and again; watches only say when it is worth it, and keep the last state of
what is deleted. All is said and written in the caller's thread; the others read, and end with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from math import inf
from typing import Final

from oneoff.errors import ClusterError, ClusterUnreachable, NotPermitted, ObjectMissing
from oneoff.kube.api.cluster import EVENTS, JOBS, PODS, Cluster, Listing, Selection
from oneoff.kube.following.inbox import Broken, Inbox, Lines, Worker
from oneoff.kube.following.logreader import LogReader, Read
from oneoff.kube.following.story import Story, newest_last, uid_of
from oneoff.kube.following.telling import Teller
from oneoff.kube.following.verdict import Verdict
from oneoff.kube.following.watching import Seen, Unwatched, Watcher
from oneoff.kube.objects import Object, name_of
from oneoff.runs.status import Status

CONTROLLER_UID: Final = "batch.kubernetes.io/controller-uid"
QUEUED: Final = frozenset({"JobSuspended", "SchedulingGated"})
"""Reasons for which it waits because somebody wants it to: that is no failure to start."""
_TOLD_OF: Final = 5
"""Pods whose Events are looked at while none has started: what keeps one keeps the others."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often and how long; all in seconds."""

    starting: float = 1.0
    """Between two looks at first, at its end, and where watching is not permitted."""
    running: float = 5.0
    """Between two looks where changes are watched."""
    at_first: float = 30.0
    """After which it is known that it does not start at once."""
    least: float = 0.2
    """Between two looks, whatever is heard."""
    patience: float = 600.0
    """For which an API server may be away."""
    refusals: float = 120.0
    """For which it may answer with errors, or not know us: a token runs out, and a new one comes."""
    silence: float = 10.0
    """Of a log whose container has ended."""
    last_state: float = 5.0
    """For which the last state of a pod that is gone may still come."""
    ending: float = 30.0
    """For which pods may go on once it is decided, besides the grace that they have."""
    longest: float = inf
    """For which a Job is followed; then the verdict is no final one."""
    readers: int = 20
    """How many logs are read at the same time."""


PACE: Final = Pace()


def follow(
    cluster: Cluster,
    job: Object,
    *,
    container: str,
    start_within: timedelta | None,
    write: Callable[[bytes], None] | None,
    say: Callable[[str], None],
    withdraw: bool = False,
    pace: Pace = PACE,
) -> Verdict:
    """Wait until it is decided how a Job ended; write the log of its task meanwhile.

    Where the verdict says ``unfinished`` the Job would go on, or start later: whoever launched it deletes it.

    Args:
        job: As the API server has it, with its uid.
        container: The one that runs the task.
        start_within: For how long it may wait for its start, by our clock from now on, unless it is queued;
            None to wait as long as the Job does.
        write: Takes the log, byte for byte; None where nobody wants to see it.
        say: Takes what there is to say of it, a line each.
        withdraw: Delete the Job if it does not start in time. Where it started at the very last moment after
            all, the verdict is how that ended.

    Raises:
        ClusterUnreachable, CredentialsRefused, ClusterError: for minutes on end.
        NotPermitted: to read the Job or its pods, or to delete it.
        KeyboardInterrupt: nothing has been done to the Job.
    """
    following = _Following(cluster, Story(job, container), pace, write, Teller(say))
    try:
        found = following.until_decided(start_within)
        if withdraw and found.unfinished and found.status is Status.REFUSED:
            return following.withdraw(found)
        return found
    finally:
        following.stop()


def read(
    cluster: Cluster,
    job: Object,
    *,
    container: str,
    write: Callable[[bytes], None] | None,
    say: Callable[[str], None],
    pace: Pace = PACE,
) -> Verdict:
    """Where a Job stands now; write what there is of its log. For the arguments and errors see `follow`."""
    following = _Following(cluster, Story(job, container), pace, write, Teller(say))
    try:
        return following.until_read()
    finally:
        following.stop()


def ending(
    cluster: Cluster,
    job: Object,
    *,
    container: str,
    since: Listing,
    say: Callable[[str], None],
    pace: Pace = PACE,
) -> Verdict:
    """How a Job ends that has been deleted. For the arguments and errors see `follow`.

    Args:
        since: Its pods as they were before that: they may be gone by now, and how one ended is seen still.
    """
    following = _Following(cluster, Story(job, container), pace, None, Teller(say))
    following.begin(since)
    try:
        return following.until_decided()
    finally:
        following.stop()


def pods_of(cluster: Cluster, job: Object) -> Listing:
    """The pods of a Job."""
    return cluster.list(PODS, _owned_by(job))


def _owned_by(job: Object) -> Selection:
    return Selection(labels={CONTROLLER_UID: uid_of(job)})


class _Following:
    def __init__(
        self,
        cluster: Cluster,
        story: Story,
        pace: Pace,
        write: Callable[[bytes], None] | None,
        teller: Teller,
    ) -> None:
        self._cluster = cluster
        self._story = story
        self._pace = pace
        self._write = write
        self._teller = teller
        self._inbox = Inbox()
        self._readers: dict[str, LogReader] = {}
        self._prefixes: dict[LogReader, bytes] = {}
        self._done: set[LogReader] = set()
        """Those whose lines have all been written."""
        self._looked_at = -pace.running
        self._worth_a_look = True
        self._unwatched = False
        self._failing_since: float | None = None
        self._begun = self._waits_since = self._now = time.monotonic()
        self._decided_at: float | None = None
        self._watchers = [
            Watcher(cluster, JOBS, Selection(fields={"metadata.name": name_of(story.job)}), self._inbox),
            Watcher(cluster, PODS, _owned_by(story.job), self._inbox),
        ]

    def begin(self, since: Listing) -> None:
        self._story.looked(self._story.job, since)
        self._watchers[-1].since = since.version

    def until_decided(self, start_within: timedelta | None = None) -> Verdict:
        limit = time.monotonic() + self._pace.longest
        for watcher in self._watchers:
            if watcher.ident is None:
                watcher.start()
        while True:
            self._now = time.monotonic()
            if self._now >= min(self._next_look(), limit) and self._look():
                found, over = self._judge(start_within)
                if over or self._now >= limit:
                    return found
            self._take(max(0.0, min(self._next_look() - time.monotonic(), 1.0)))
            self._free_readers()

    def until_read(self) -> Verdict:
        """All that is there now, of all pods."""
        self._see()
        while True:
            self._read_logs(follow=False)
            if not self._busy():
                return self._story.verdict()
            self._take(1.0)
            self._free_readers()

    def withdraw(self, refusal: Verdict) -> Verdict:
        with suppress(ObjectMissing):
            self._cluster.delete(JOBS, name_of(self._story.job), uid=self._story.uid)
        self._worth_a_look = True
        found = self.until_decided()
        return found if self._story.has_started else replace(refusal, unfinished=False)

    def stop(self) -> None:
        """End the threads: none is left, unless it waits for a name server or a connection."""
        self._inbox.close()
        threads: list[Worker] = [*self._watchers, *self._readers.values()]
        for _ in range(50):
            alive = [thread for thread in threads if thread.is_alive()]
            if not alive:
                return
            for thread in alive:
                thread.wake()
            self._cluster.hang_up()
            alive[0].join(0.1)

    # What is true.

    def _next_look(self) -> float:
        if self._worth_a_look:
            return self._looked_at + self._pace.least
        waits_long = self._now - self._begun > self._pace.at_first
        settled = (self._story.has_started or waits_long) and self._decided_at is None and not self._unwatched
        return self._looked_at + (self._pace.running if settled else self._pace.starting)

    def _look(self) -> bool:
        """Whether the cluster said how things are."""
        self._worth_a_look = False
        try:
            self._see()
        except NotPermitted:
            raise
        except ClusterError as error:
            self._bear(error)
            return False
        finally:
            self._looked_at = time.monotonic()
        if self._failing_since is not None:
            self._failing_since = None
            self._teller.back()
        return True

    def _see(self) -> None:
        job: Object | None = None
        with suppress(ObjectMissing):
            job = self._cluster.get(JOBS, name_of(self._story.job))
        pods = pods_of(self._cluster, self._story.job)  # after the Job: no older than what it says
        self._story.looked(job, pods)
        if not self._story.has_started:
            self._story.events = self._events()

    def _bear(self, error: ClusterError) -> None:
        self._teller.away(error)
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        patient = isinstance(error, ClusterUnreachable)
        if now - self._failing_since > (self._pace.patience if patient else self._pace.refusals):
            raise error

    def _events(self) -> list[Object]:
        pods = [uid for uid in self._story.pods if uid not in self._story.gone]
        about = [self._story.uid, *pods[-_TOLD_OF:]]
        try:
            found = [
                event
                for uid in about
                for event in self._cluster.list(EVENTS, Selection(fields={"involvedObject.uid": uid})).items
            ]
        except NotPermitted as error:
            self._teller.once(f"what keeps a pod from being made is not seen here: {error.message}")
            return []
        return newest_last(found)

    # What it comes to.

    def _judge(self, start_within: timedelta | None) -> tuple[Verdict, bool]:
        """The verdict, and whether nothing more is to be waited for."""
        found = self._story.verdict(overdue=self._overdue(start_within))
        if found.reason in QUEUED:
            self._waits_since = self._now
        self._decided_at = (self._decided_at or self._now) if found.ended else None
        self._read_logs()
        if not found.ended:
            self._teller.waits(found)
            return found, False
        if self._busy() or any(self._unsettled(uid) for uid in self._story.pods):
            return found, False
        self._teller.ended(found)
        return found, True

    def _overdue(self, start_within: timedelta | None) -> bool:
        if start_within is None or self._story.has_started:
            return False
        if self._story.verdict().reason in QUEUED:
            return False
        return self._now - self._waits_since > start_within.total_seconds()

    def _unsettled(self, uid: str) -> bool:
        """Whether a pod goes on that may say more: for its grace, once it is decided how the Job ended."""
        if self._decided_at is None or not self._story.may_go_on(uid):
            return False
        spec = self._story.pods[uid].get("spec") or {}
        grace = float(spec.get("terminationGracePeriodSeconds") or 30)
        wait = self._pace.last_state if uid in self._story.gone else grace + self._pace.ending
        return self._now - self._decided_at < wait

    def _is_over(self, uid: str) -> bool:
        """Whether what can be read of a pod's log now is all: its node may be lost, and the pod never end."""
        return self._story.has_ended(uid) or (self._decided_at is not None and not self._unsettled(uid))

    # Its logs.

    def _read_logs(self, *, follow: bool = True) -> None:
        """Begin to read what can be read: of each shard one pod after another."""
        if self._write is None:
            return
        for index, lane in self._story.lanes().items():
            known = [uid for uid in lane if uid in self._readers]
            for uid in known:
                if self._is_over(uid) or not follow:
                    self._readers[uid].end()
            if any(self._readers[uid] not in self._done for uid in known):
                continue
            waiting = [uid for uid in lane if uid not in self._readers and self._story.speaker(uid)]
            if waiting and self._busy() < self._pace.readers:
                self._begin(index, waiting[0], attempt=lane.index(waiting[0]) + 1, follow=follow)

    def _begin(self, index: str, uid: str, *, attempt: int, follow: bool) -> None:
        name = name_of(self._story.pods[uid])
        if attempt > 1:
            self._teller.attempt(index, attempt, name)
        reader = LogReader(self._cluster, name, self._story.speaker(uid), self._inbox)
        self._readers[uid] = reader
        self._prefixes[reader] = f"[{index}] ".encode() if index else b""
        if self._is_over(uid) or not follow:
            reader.end()
        reader.start()

    def _busy(self) -> int:
        """How many logs are being read."""
        return len(self._readers) - len(self._done)

    def _take(self, seconds: float) -> None:
        for entry in self._inbox.take(seconds):
            if isinstance(entry, Lines):
                assert self._write is not None
                prefix = self._prefixes[entry.source]
                self._write(prefix + prefix.join(entry.lines) if prefix else b"".join(entry.lines))
                continue
            self._worth_a_look = True
            if isinstance(entry, Broken):
                raise entry.error
            if isinstance(entry, Seen):
                self._story.saw(entry)
            elif isinstance(entry, Unwatched):
                self._unwatched = True
            elif isinstance(entry, Read):
                self._done.add(entry.reader)
                if entry.problem:
                    self._teller.once(f"pod {entry.reader.pod}: {entry.problem}")

    def _free_readers(self) -> None:
        """Nothing more comes of a container that has ended: no end, either, if a connection is half open."""
        for uid, reader in self._readers.items():
            if reader not in self._done and self._is_over(uid) and reader.silent_for() > self._pace.silence:
                reader.heard = time.monotonic()
                self._cluster.hang_up()
