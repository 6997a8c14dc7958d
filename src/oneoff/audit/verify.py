"""Verification of the audit log: everything is computed again from the stored bytes. Pure.

It shows that the log agrees with itself and with checkpoints. Whoever may rewrite all of it sees it agree
all the same: only a checkpoint kept elsewhere shows that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeAlias, cast

from oneoff.audit.event import COLUMNS, StoredEvent, beside, decode
from oneoff.audit.merkle import EMPTY_ROOT, HASH_BYTES, Checkpoint, completed, node_hash
from oneoff.errors import StoreCorrupted
from oneoff.runs.status import Status
from oneoff.types import JSON, JSONObject, RunId

_TYPE, _RUN_ID, _STATUS = map(COLUMNS.index, ("type", "run_id", "status"))
_LOST = Status.LOST.value
Decode: TypeAlias = Callable[[bytes], JSONObject]
PROBLEM_LIMIT = 20
"""How many problems are kept in words; the others are counted."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What verification found."""

    size: int
    """How many events were read."""
    root: bytes
    """The root over all that was read, computed from the bodies."""
    problems: tuple[str, ...]
    """The first ones, in the order of the log; each names the event or the run."""
    more: int = 0
    """How many further problems there were."""
    first_bad: int | None = None
    """The place of the first event that does not fit by itself."""
    held: Checkpoint | None = None
    """The largest of the checkpoints kept elsewhere that holds: nothing before it was changed since."""
    pruned: Pruned | None = None
    """What the log says of the events that are gone from its beginning."""
    vouched: str | None = None
    """How that is vouched for; None where nobody looked, or where its signature is wrong, a problem."""

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

    place: int
    """Of the event itself."""
    to: int
    root: str
    """Of the events before ``to``, in hexadecimal digits."""
    at: str
    by: str
    """The opaque subject of whoever pruned."""
    reason: str
    open: frozenset[RunId]
    """Runs that had started before ``to`` and ended later."""
    note: str | None
    """A signed checkpoint of the log at ``to``, not looked at here."""

    @classmethod
    def of(cls, place: int, envelope: JSONObject) -> Pruned:
        """The statement in an event; raises AttributeError, KeyError, TypeError or ValueError."""
        data: Any = envelope["data"]
        note = data.get("note")
        return cls(
            place=place,
            to=int(data["to"]),
            root=str(data["root"]),
            at=str(envelope["time"]),
            by=str(data["initiator"]["subject"]),
            reason=str(data["reason"]),
            open=frozenset(RunId(str(run_id)) for run_id in data["open"]),
            note=None if note is None else str(note),
        )


def verify(
    events: Iterable[StoredEvent],
    checkpoint: Callable[[], Checkpoint],
    accounted: Callable[[RunId], bool],
    *,
    kept: Iterable[Checkpoint] = (),
    pruned: Iterable[bytes] = (),
    decode: Decode = decode,
) -> Verification:
    """Check leaves, places, index columns, tree, and that every start has its outcome.

    Memory is constant apart from the runs that have started and not ended, and those that are lost. The log
    may grow meanwhile.

    Args:
        events: the whole log in order; read lazily, after the first call of ``checkpoint``.
        checkpoint: size and root as the store holds them; asked before and after the events are read.
        accounted: asked at the end, of a run that has started and has no outcome: True where it still
            executes, or where its outcome was recorded while this was reading.
        kept: sizes and roots that somebody kept from earlier times; the log has to begin with just those
            events still (the consistency of RFC 6962 §2.1.2, by computing the earlier roots again).
        pruned: the hashes of the events before the first one that is kept, in order, each as
            :attr:`StoredEvent.hashes` has them. The log itself has to say that they were pruned.
        decode: reads the bytes of an event as :func:`oneoff.audit.event.decode` does.
    """
    expected = checkpoint()
    reading = _Reading(expected=expected, kept=sorted(set(kept), key=_size))
    reading.look()
    try:
        for hashes in pruned:
            reading.grow(hashes[:HASH_BYTES], hashes)
    except StoreCorrupted as error:
        reading.problem(f"the hashes of the pruned events cannot be read: {error}")
    reading.begin()
    reading.read(events, decode)
    reading.end()
    size = reading.size
    if size < expected.size:
        reading.problem(f"the log ends after {size} events, and its head counts {expected.size}")
    elif size > checkpoint().size:
        reading.problem(f"the log has {size} events, and its head counts {expected.size}")
    reading.close_start()
    for run_id, seq in reading.open.items():
        if not accounted(run_id):
            which = f"with event {seq}" if seq is not None else "with a pruned event"
            reading.problem(f"run {run_id} started {which} and has no outcome")
    return reading.verification()


def _size(checkpoint: Checkpoint) -> int:
    return checkpoint.size


@dataclass
class _Reading:
    """What has been read so far."""

    expected: Checkpoint
    kept: Sequence[Checkpoint]
    """By size."""
    size: int = 0
    peaks: list[bytes] = field(default_factory=list)
    """The complete subtrees of what was read, largest first."""
    tree_fits: bool = True
    """Whether no stored hash was found wrong; above one that is, all are."""
    start: Checkpoint = field(default_factory=lambda: Checkpoint(0, EMPTY_ROOT))
    """Of the events that were pruned."""
    pruned: Pruned | None = None
    early: dict[RunId, int | None] = field(default_factory=dict)
    """Runs that ended here and have no start here, with the outcome that wants a pruned one."""
    open: dict[RunId, int | None] = field(default_factory=dict)
    """Runs that have started and not ended, with the event that says so; None where that was pruned."""
    lost: set[RunId] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    more: int = 0
    first_bad: int | None = None
    held: Checkpoint | None = None
    next_look: int = 0

    def begin(self) -> None:
        """Here the events begin."""
        self.start = Checkpoint(self.size, self.root())

    def read(self, events: Iterable[StoredEvent], decode: Decode) -> None:
        """All events that are kept, each looked at by itself and in its place."""
        # Once for each event of the log: that is where the time goes.
        leaf_hash, expected = sha256(b"\x00").copy, self.size
        for event in events:
            seq, body = event.seq, event.body
            if seq != expected:
                self.bad(expected, f"event {expected} is missing: event {seq} comes in its place")
            expected = seq + 1
            leaf = leaf_hash()
            leaf.update(body)
            self.grow(leaf.digest(), event.hashes, seq)
            try:
                envelope = decode(body)
            except ValueError as error:
                self.bad(seq, f"event {seq} cannot be read: {error}")
                continue
            derived = beside(envelope)
            if derived != event.beside:
                self.differ(seq, derived, event.beside)
            if not event.filed:
                self.bad(
                    seq, f"event {seq} is not in the log's index as it is: searches do not find it there"
                )
            type_ = derived[_TYPE]
            if type_ == "starting":
                self.begun(seq, cast(RunId, str(derived[_RUN_ID])))
            elif type_ == "outcome":
                lost = derived[_STATUS] == _LOST
                self.ended(seq, cast(RunId, str(derived[_RUN_ID])), envelope, lost=lost)
            elif type_ == "log.pruned":
                self.state(seq, envelope)

    def differ(self, seq: int, derived: Sequence[JSON], stored: Sequence[JSON]) -> None:
        for name, value, found in zip(COLUMNS, derived, stored, strict=True):
            if found != value:
                self.bad(seq, f"event {seq} says {name} {value!r}, and the column beside it {found!r}")

    def grow(self, leaf: bytes, hashes: bytes, seq: int | None = None) -> None:
        """One more leaf, and the subtrees that it completes, beside the hashes that are stored of them."""
        index, node, made = self.size, leaf, leaf
        while index & 1:
            node, index = node_hash(self.peaks.pop(), node), index >> 1
            made += node
        self.peaks.append(node)
        if made != hashes:
            if seq is not None and leaf != hashes[:HASH_BYTES]:
                self.bad(seq, f"event {seq} was changed: its body does not fit its hash")
            if self.tree_fits:
                self.compare_tree(made, hashes)
        self.size += 1
        if self.size == self.next_look:
            self.look()

    def root(self) -> bytes:
        if not self.peaks:
            return EMPTY_ROOT
        *larger, root = self.peaks
        for left in reversed(larger):
            root = node_hash(left, root)
        return root

    def look(self) -> None:
        """Compare the root with every one that is known for this size; find the next such size."""
        if self.expected.size == self.size:
            self.compare_head()
        for checkpoint in self.kept:
            if checkpoint.size == self.size:
                self.recall(checkpoint)
        sizes = [checkpoint.size for checkpoint in (*self.kept, self.expected)]
        self.next_look = min((size for size in sizes if size > self.size), default=-1)

    def compare_head(self) -> None:
        computed = self.root()
        if computed != self.expected.root:
            self.problem(
                f"the {self.expected.size} events have the root {computed.hex()}, the log's head has "
                f"{self.expected.root.hex()}: one of them was changed, moved or put in together with its hash"
            )

    def recall(self, checkpoint: Checkpoint) -> None:
        computed = self.root()
        if computed == checkpoint.root:
            self.held = checkpoint
            return
        after = self.held.size if self.held else 0
        self.problem(
            f"the first {checkpoint.size} events had the root {checkpoint.root.hex()} once, and now they "
            f"have {computed.hex()}: the log was rewritten since, at event {after} or after it"
        )

    def end(self) -> None:
        for checkpoint in self.kept:
            if checkpoint.size > self.size:
                self.problem(f"the log had {checkpoint.size} events once, and now it has {self.size}")

    def compare_tree(self, made: bytes, hashes: bytes) -> None:
        """Name the first hash that does not fit, unless an event that does not has said why."""
        if self.first_bad is not None:
            return
        self.tree_fits = False
        for level, _ in completed(self.size):
            here = slice(level * HASH_BYTES, (level + 1) * HASH_BYTES)
            if made[here] != hashes[here]:
                break
        what = "is not the one of its events" if hashes[here] else "is missing"
        first = self.size + 1 - (1 << level)
        self.problem(
            f"the stored hash over the events {first} to {self.size} {what}: one of them was changed "
            "together with its own hash, or the hash itself was; proofs through it fail"
        )

    def state(self, seq: int, envelope: JSONObject) -> None:
        """Take down what the log says of its own beginning."""
        try:
            stated = Pruned.of(seq, envelope)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self.bad(seq, f"event {seq} does not say what was pruned: {error!r}")
            return
        if stated.to > self.start.size:
            self.problem(
                f"event {seq} says that the events before {stated.to} were pruned, and the log begins with "
                f"event {self.start.size}"
            )
        elif stated.to == self.start.size and self.pruned is not None:
            self.bad(
                seq, f"event {seq} states again what event {self.pruned.place} states: one of them is false"
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
                self.without_start(seq, run_id)
        self.open |= dict.fromkeys(sorted(stated - self.early.keys()))

    def begun(self, seq: int, run_id: RunId) -> None:
        """A start, which opens an account."""
        if run_id in self.open:
            self.bad(seq, f"event {seq} starts run {run_id}, which had started already")
        self.open[run_id] = seq

    def ended(self, seq: int, run_id: RunId, envelope: JSONObject, *, lost: bool) -> None:
        """An outcome, which closes it."""
        if run_id in self.open:
            del self.open[run_id]
        else:
            self.ended_unopened(seq, run_id, lost=lost, recovered=_recovered(envelope))
        self.lost.discard(run_id)
        if lost:
            self.lost.add(run_id)

    def ended_unopened(self, seq: int, run_id: RunId, *, lost: bool, recovered: bool) -> None:
        # A run that was launched may be lost before it starts; whoever was lost may come back once.
        if recovered if run_id in self.lost else lost:
            self.early[run_id] = None
        elif self.start.size and run_id not in self.early:
            # Its start, or that it is lost, may have been pruned; the statement comes later.
            self.early[run_id] = seq if not recovered else None
        else:
            self.without_start(seq, run_id)

    def without_start(self, seq: int, run_id: RunId) -> None:
        self.bad(seq, f"event {seq} is an outcome of run {run_id} without a start of its own")

    def bad(self, seq: int, text: str) -> None:
        """A problem of this very event."""
        if self.first_bad is None:
            self.first_bad = seq
        self.problem(text)

    def problem(self, text: str) -> None:
        if len(self.problems) < PROBLEM_LIMIT:
            self.problems.append(text)
        else:
            self.more += 1

    def verification(self) -> Verification:
        return Verification(
            size=self.size,
            root=self.root(),
            problems=tuple(self.problems),
            more=self.more,
            first_bad=self.first_bad,
            held=self.held,
            pruned=self.pruned,
        )


def _recovered(envelope: JSONObject) -> bool:
    """Whether another recorded this outcome, later."""
    data = envelope["data"]
    outcome = data.get("outcome") if isinstance(data, dict) else None
    return isinstance(outcome, dict) and outcome.get("recovered") is True
