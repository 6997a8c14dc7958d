"""Verification of the audit log: everything is computed again from the stored bytes. Pure.

It shows that the log agrees with itself and with a checkpoint. Whoever may rewrite both sees it agree all
the same: only a checkpoint kept elsewhere shows that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from oneoff.audit.event import StoredEvent, columns, decode, short_type
from oneoff.audit.merkle import Checkpoint, Frontier, leaf_hash
from oneoff.errors import StoreCorrupted
from oneoff.runs.status import Status
from oneoff.types import JSON, JSONObject, RunId

PROBLEM_LIMIT = 20
"""How many problems are kept in words; the others are counted."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What verification found."""

    size: int
    """How many events the log has, those that were pruned among them."""
    root: bytes
    """The root over all that was read, computed from the bodies."""
    problems: tuple[str, ...]
    """The first ones, in the order of the log; each names the event or the run."""
    more: int = 0
    """How many further problems there were."""
    pruned: Pruned | None = None
    """What the log says of the events that are gone from its beginning."""

    @property
    def checkpoint(self) -> Checkpoint:
        """What to keep elsewhere, for a later comparison."""
        return Checkpoint(self.size, self.root)

    @property
    def ok(self) -> bool:
        return not self.problems


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """The statement of a ``log.pruned`` event: the events before ``to`` are gone."""

    to: int
    root: str
    """Of the events before ``to``, in hexadecimal digits."""
    at: str
    by: str
    """The opaque subject of whoever pruned."""
    reason: str
    open: frozenset[RunId]
    """Runs that had started before ``to`` and ended later."""

    @classmethod
    def of(cls, envelope: JSONObject) -> Pruned:
        """The statement in an event; raises AttributeError, KeyError, TypeError or ValueError."""
        data: Any = envelope["data"]
        return cls(
            to=int(data["to"]),
            root=str(data["root"]),
            at=str(envelope["time"]),
            by=str(data["initiator"]["subject"]),
            reason=str(data["reason"]),
            open=frozenset(RunId(str(run_id)) for run_id in data["open"]),
        )


def verify(
    events: Iterable[StoredEvent],
    checkpoint: Callable[[], Checkpoint],
    accounted: Callable[[RunId], bool],
    *,
    remembered: Checkpoint | None = None,
    pruned: Iterable[bytes] = (),
) -> Verification:
    """Check leaves, places, index columns, tree, and that every start has its outcome.

    Memory is constant apart from the runs that have started and not ended, and those that are lost. The log
    may grow meanwhile.

    Args:
        events: the whole log in order; read lazily, after the first call of ``checkpoint``.
        checkpoint: size and root as the store holds them; asked before and after the events are read.
        accounted: asked at the end, of a run that has started and has no outcome: True where it still
            executes, or where its outcome was recorded while this was reading.
        remembered: size and root that somebody kept from an earlier time; the log has to begin with just
            those events still (the consistency of RFC 6962 §2.1.2, by computing the earlier root again).
        pruned: the leaf hashes of the events before the first one that is kept, in order. The log itself has
            to say that they were pruned.
    """
    expected = checkpoint()
    reading = _Reading()
    reading.look(expected, remembered)
    try:
        for leaf in pruned:
            reading.skip(leaf)
            reading.look(expected, remembered)
    except StoreCorrupted as error:
        reading.problem(f"the hashes of the pruned events cannot be read: {error}")
    reading.begin()
    for event in events:
        reading.add(event)
        reading.look(expected, remembered)
    size = reading.frontier.size
    if remembered is not None and size < remembered.size:
        reading.problem(f"the log had {remembered.size} events once, and now it has {size}")
    if size < expected.size:
        reading.problem(f"the log ends after {size} events, and its head counts {expected.size}")
    elif size > checkpoint().size:
        reading.problem(f"the log has {size} events, and its head counts {expected.size}")
    reading.close_start()
    for run_id in reading.open:
        if not accounted(run_id):
            reading.problem(f"run {run_id} started and has no outcome")
    return reading.verification()


@dataclass
class _Reading:
    """What has been read so far."""

    frontier: Frontier = field(default_factory=Frontier)
    start: Checkpoint = field(default_factory=lambda: Frontier().checkpoint)
    """Of the events that were pruned."""
    pruned: Pruned | None = None
    early: dict[RunId, int | None] = field(default_factory=dict)
    """Runs that ended here and have no start here, with the outcome that wants a pruned one."""
    next_seq: int = 0
    open: dict[RunId, None] = field(default_factory=dict)
    lost: set[RunId] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    more: int = 0

    def look(self, expected: Checkpoint, remembered: Checkpoint | None) -> None:
        """Compare what was read so far, where a checkpoint is for just that."""
        if self.frontier.size == expected.size:
            self.compare(expected)
        if remembered is not None and self.frontier.size == remembered.size:
            self.recall(remembered)

    def skip(self, leaf: bytes) -> None:
        """An event that was pruned."""
        self.frontier = self.frontier.append(leaf)

    def begin(self) -> None:
        """Here the events begin."""
        self.start = self.frontier.checkpoint
        self.next_seq = self.start.size

    def add(self, event: StoredEvent) -> None:
        if event.seq != self.next_seq:
            self.problem(f"event {self.next_seq} is missing: event {event.seq} comes in its place")
        self.next_seq = event.seq + 1
        leaf = leaf_hash(event.body)
        if leaf != event.leaf:
            self.problem(f"event {event.seq} was changed: its body does not fit its hash")
        self.frontier = self.frontier.append(leaf)
        try:
            envelope = decode(event.body)
        except ValueError as error:
            self.problem(f"event {event.seq} cannot be read: {error}")
            return
        for name, value in columns(envelope).items():
            beside = event.columns.get(name)
            if beside != value:
                self.problem(f"event {event.seq} says {name} {value!r}, and the column beside it {beside!r}")
        type_ = short_type(envelope.get("type"))
        if type_ == "log.pruned":
            self._state(event.seq, envelope)
        else:
            self._pair(event.seq, type_, envelope)

    def _state(self, seq: int, envelope: JSONObject) -> None:
        """Take down what the log says of its own beginning."""
        try:
            stated = Pruned.of(envelope)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self.problem(f"event {seq} does not say what was pruned: {error!r}")
            return
        if stated.to > self.start.size:
            self.problem(
                f"event {seq} says that the events before {stated.to} were pruned, and the log begins with "
                f"event {self.start.size}"
            )
        elif stated.to == self.start.size:
            self.pruned = stated

    def close_start(self) -> None:
        """Compare the beginning with the statement about it, once all of the log is read."""
        size = self.start.size
        if size and self.pruned is None:
            self.problem(f"the events before {size} are gone, and no event says that they were pruned")
        if self.pruned and self.pruned.root != self.start.root.hex():
            self.problem(
                f"the {size} pruned events had the root {self.pruned.root} when they were pruned, and their "
                f"hashes now have {self.start.root.hex()}"
            )
        stated = self.pruned.open if self.pruned else frozenset()
        for run_id, seq in self.early.items():
            if seq is not None and run_id not in stated:
                self._without_start(seq, run_id)
        self.open |= dict.fromkeys(sorted(stated - self.early.keys()))

    def _pair(self, seq: int, type_: Any, envelope: JSONObject) -> None:
        """Keep account of starts and outcomes."""
        run_id = RunId(str(envelope.get("subject")))
        if type_ == "starting":
            if run_id in self.open:
                self.problem(f"event {seq} starts run {run_id}, which had started already")
            self.open[run_id] = None
        elif type_ == "outcome":
            status, recovered = _outcome_of(envelope)
            lost, was_lost = status == Status.LOST, run_id in self.lost
            # A run that was launched may be lost before it starts; whoever was lost may come back once.
            if not (run_id in self.open or (was_lost and recovered) or (lost and not was_lost)):
                if self.start.size and run_id not in self.early:
                    # Its start, or that it is lost, may have been pruned; the statement comes later.
                    self.early[run_id] = seq if not recovered else None
                else:
                    self._without_start(seq, run_id)
            elif run_id not in self.open:
                self.early[run_id] = None
            self.open.pop(run_id, None)
            self.lost.discard(run_id)
            if lost:
                self.lost.add(run_id)

    def _without_start(self, seq: int, run_id: RunId) -> None:
        self.problem(f"event {seq} is an outcome of run {run_id} without a start of its own")

    def compare(self, expected: Checkpoint) -> None:
        computed = self.frontier.root
        if computed != expected.root:
            self.problem(
                f"the {expected.size} events have the root {computed.hex()}, the log's head has "
                f"{expected.root.hex()}: one of them was changed, moved or put in together with its hash"
            )

    def recall(self, remembered: Checkpoint) -> None:
        if self.frontier.root != remembered.root:
            self.problem(
                f"the first {remembered.size} events had the root {remembered.root.hex()} once, and now "
                f"they have {self.frontier.root.hex()}: the log was rewritten since"
            )

    def problem(self, text: str) -> None:
        if len(self.problems) < PROBLEM_LIMIT:
            self.problems.append(text)
        else:
            self.more += 1

    def verification(self) -> Verification:
        return Verification(
            size=self.frontier.size,
            root=self.frontier.root,
            problems=tuple(self.problems),
            more=self.more,
            pruned=self.pruned,
        )


def _outcome_of(envelope: JSONObject) -> tuple[JSON, bool]:
    """Status of an outcome, and whether it was recovered."""
    data = envelope["data"]
    outcome = data.get("outcome") if isinstance(data, dict) else None
    if not isinstance(outcome, dict):
        return None, False
    return outcome.get("status"), outcome.get("recovered") is True
