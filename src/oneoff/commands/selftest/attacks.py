"""The attacks of ``audit selftest``: a table of what somebody with every right to the store does, and of what
sees it. What stands here is what the documents promise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from oneoff.commands.selftest import acts
from oneoff.commands.selftest.acts import Act, change
from oneoff.commands.selftest.scene import EARLY, LATE, LOOK, MIDDLE, OUTCOME, RUN_EVENTS


class Check(StrEnum):
    """What the log is held against."""

    ALONE = "alone"
    """Nothing: ``audit verify``, by somebody who never saw the log before."""
    REMEMBERED = "remembered"
    """The checkpoint that this user's oneoff saw last."""
    ANCHORED = "anchored"
    """The line that an anchor kept, without a signature."""
    SIGNED = "signed"
    """A signed note of that checkpoint, with the public key: ``--checkpoint NOTE --key VKEY``."""


EVERYBODY = frozenset(Check)
NOBODY = frozenset[Check]()
KEPT = EVERYBODY - {Check.ALONE}
OUTSIDE = frozenset({Check.ANCHORED, Check.SIGNED})


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One thing that is done to the log."""

    name: str
    does: str
    seen_by: frozenset[Check]
    act: Act
    helps: str = ""
    """What helps where it is not seen."""
    signing: bool = False
    """Whether it takes ``oneoff[signing]`` to try it."""


@dataclass(frozen=True)
class Group:
    """Attacks of one kind."""

    title: str
    attacks: Sequence[Attack]


def _always(name: str, does: str, act: Act) -> Attack:
    return Attack(name=name, does=does, seen_by=EVERYBODY, act=act)


def _kept(name: str, does: str, act: Act) -> Attack:
    return Attack(name=name, does=does, seen_by=KEPT, act=act)


def _never(name: str, does: str, act: Act, helps: str) -> Attack:
    return Attack(name=name, does=does, seen_by=NOBODY, act=act, helps=helps)


_COLUMNS = ("event_id", "type", "run_id", "actor", "task", "environment", "time", "status", "measured")

BY_HAND = [
    _always("edit", "edits the bytes of an event", acts.edit_body),
    _always("edit-with-hash", "edits the bytes of an event and its own hash", acts.edit_body_and_leaf),
    _always("delete", "deletes an event in the middle", change("remove_event", seq=LOOK)),
    _always("delete-first", "deletes the first event", change("remove_event", seq=0)),
    _always("swap", "swaps the bytes of two events", acts.swap_bodies),
    _always("reorder", "swaps the places of two events", acts.swap_places),
    *(
        _always(
            f"column-{name}", f"edits the column {name} beside an event", change(f"edit_{name}", seq=OUTCOME)
        )
        for name in _COLUMNS
    ),
    *(
        _always(
            f"index-{name}",
            f"edits the column {name} of an event in the index",
            change(f"index_{name}", seq=OUTCOME),
        )
        for name in _COLUMNS
        if name != "event_id"
    ),
    _always("index-remove", "removes an event from the index", change("index_remove", seq=LOOK)),
    _always("index-early", "makes an event in the index stand for a later one", acts.index_early),
    _always("index-no-event", "puts an event into the index that is not in the log", acts.index_no_event),
    _always("table-rename", "renames a changed table beside an outcome", change("rename_table", seq=OUTCOME)),
    _always("table-retime", "edits the time of a changed table", change("retime_table", seq=OUTCOME)),
    _always("table-remove", "removes a changed table", change("remove_table", seq=OUTCOME)),
    _always("table-add", "adds a changed table beside an outcome", change("add_table", seq=OUTCOME)),
    _always(
        "table-add-elsewhere", "adds one beside an event that is no outcome", change("add_table", seq=LOOK)
    ),
    _always("node-edit", "edits a hash of the tree", acts.edit_hash_of_tree),
    _always("node-delete", "deletes a hash of the tree", change("cut_hashes", seq=1)),
    _always("head-lower", "lowers the number of events in the head", change("set_head", size=LOOK)),
    _always("head-raise", "raises the number of events in the head", change("set_head", size=1_000)),
    _always("head-delete", "deletes the head", change("remove_head")),
    _always("add-by-hand", "adds a row at the end", acts.add_by_hand),
    _always("add-with-head", "adds a row at the end and raises the head", acts.add_with_head),
]


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A part of the log, by what vouches for it."""

    name: str
    number: int
    which: str
    """Says of an event, or a run, that it is there."""
    seen_by: frozenset[Check]
    helps: str

    @property
    def first(self) -> int:
        """The place of its first event."""
        return self.number * (LOOK + 1)


_ANCHOR = "an anchor keeps a checkpoint after every run, whoever started it"
_SOONER = "a protected environment anchors each start, too; a heartbeat; a receipt in its owner's hands"
_STRETCHES = (
    Stretch(name=EARLY, number=0, which="that this user saw", seen_by=KEPT, helps=""),
    Stretch(name=MIDDLE, number=1, which="anchored since then", seen_by=OUTSIDE, helps=_ANCHOR),
    Stretch(name=LATE, number=2, which="after the last anchor", seen_by=NOBODY, helps=_SOONER),
)
_IN_EACH: tuple[tuple[str, str, Callable[[Stretch], Act]], ...] = (
    ("rewrite", "rewrites an event {}", lambda part: acts.recompute(acts.rewritten, part.first)),
    ("insert", "puts a made-up event before one {}", lambda part: acts.recompute(acts.inserted, part.first)),
    ("remove", "takes out a run {}", lambda part: acts.recompute(acts.deleted, part.first)),
    ("exchange", "exchanges two runs {}", lambda part: acts.recompute(acts.exchanged, part.first)),
    ("truncate", "cuts off the end, with a run {}", lambda part: acts.cut(part.first + RUN_EVENTS)),
    ("backup", "puts back a backup that lacks a run {}", lambda part: acts.roll_back(part.name)),
    ("fork", "goes on from a backup that lacks a run {}", lambda part: acts.fork(part.name)),
)


def _in_each_stretch() -> Iterator[Attack]:
    for name, does, act in _IN_EACH:
        for part in _STRETCHES:
            yield Attack(
                name=f"{name}-{part.name}",
                does=does.format(part.which),
                seen_by=part.seen_by,
                act=act(part),
                helps=part.helps,
            )


RECOMPUTED = [
    *_in_each_stretch(),
    _kept("drop-all", "deletes all events and resets the head", acts.cut(0)),
    _kept("begin-anew", "begins the log anew, longer than it was", acts.begin_anew),
    _kept("another-store", "puts another store in its place", acts.another_store),
    _kept("swap-names", "gives the log another one's name", change("rename_log", name=acts.ANOTHER_LOG)),
    _never(
        "append",
        "appends a made-up event as the product does",
        acts.append,
        "nothing shows that a well-formed account is false; in PostgreSQL grants say who may append",
    ),
    _never(
        "repeat",
        "records an event again under the same id",
        acts.repeat(LOOK),
        "what matters of a run, its start and its outcome, is seen when it is doubled",
    ),
    _always("repeat-outcome", "records an outcome again", acts.repeat(OUTCOME)),
    _always("remove-outcome", "takes out an outcome and leaves its start", acts.remove_outcome),
]

RECORDS = [
    _never(
        "run-edit",
        "edits the record of a run that has ended",
        acts.edit_run,
        "`audit log --run RUN` and a receipt read the log, not the record",
    ),
    _never(
        "run-delete",
        "deletes the record of a run that has ended",
        acts.delete_run,
        "`audit log` reads the log, not the record",
    ),
    _always("run-delete-open", "deletes the record of a run that is under way", acts.delete_open_run),
    _never(
        "hide-outcome",
        "takes out an outcome after the last anchor, and the run's record says that it is under way",
        acts.hide_outcome,
        f"{_SOONER}; once its process is gone, the next command finds the run lost",
    ),
    _never(
        "directory-edit",
        "gives the subjects of the log other people's names",
        change("edit_directory"),
        "names can be erased, so no hash is over them: keep an `audit export --names` elsewhere",
    ),
]

PRUNED = [
    _always("prune-unstated", "takes the beginning away without an event", acts.behead),
    _always("prune-only-stated", "records that it was pruned, and leaves it there", acts.state_pruning),
    _always(
        "prune-wrong-root",
        "takes the beginning away and records another root for it",
        acts.prune_with_another_root,
    ),
    _never(
        "prune-forged",
        "takes the beginning away and records that, as `audit prune` does",
        acts.prune,
        "the event stays: `audit log --type log.pruned`; export before you need what was pruned",
    ),
]

_MEMORY = frozenset({Check.REMEMBERED})
_NEEDS_KEY = "the public key (`--key`, `verify_key`): without one, a signature is not looked at"
_ONLY_GROWS = "a place that only grows (object lock, `chattr +a`), or several of them"
_KEY_ALONE = KEPT - {Check.ANCHORED}
_FORGED_NOTES = (
    ("key", "signs its checkpoint with another key", acts.strangers_note, _KEY_ALONE, _NEEDS_KEY),
    ("name", "signs it with another key of the same name", acts.namesakes_note, _KEY_ALONE, _NEEDS_KEY),
    ("note", "writes its numbers into the note", acts.altered_note, _KEY_ALONE, _NEEDS_KEY),
    ("other", "gives a genuine note of another log", acts.note_of_another_log, KEPT, ""),
    ("stolen", "signs its checkpoint with the stolen key", acts.stolen_keys_note, _MEMORY, _ONLY_GROWS),
)

FORGED = [
    Attack(
        name="forge-line",
        does="rewrites the log, and puts its checkpoint in the place of the one that was kept",
        seen_by=_KEY_ALONE,
        act=acts.forge(acts.own_line),
        helps="a signature; a place where whoever may write the store may not",
    ),
    *(
        Attack(
            name=f"forge-{name}",
            does=f"rewrites the log, and {does}",
            seen_by=seen_by,
            act=acts.forge(evidence),
            helps=helps,
            signing=True,
        )
        for name, does, evidence, seen_by, helps in _FORGED_NOTES
    ),
    Attack(
        name="forge-older",
        does="puts back a backup, and the genuine note of that time",
        seen_by=_MEMORY,
        act=acts.older_note,
        helps=_ONLY_GROWS,
        signing=True,
    ),
    Attack(
        name="forge-memory",
        does="rewrites the log, and what this user's oneoff remembers",
        seen_by=OUTSIDE,
        act=acts.forge_memory,
        helps="an anchor: it is not in this user's home",
    ),
]

GROUPS = (
    Group("Nothing", [_never("none", "does nothing", lambda scene: None, "")]),
    Group("By hand", BY_HAND),
    Group("With every hash computed again", RECOMPUTED),
    Group("Records beside the log", RECORDS),
    Group("The beginning, as if it were pruned", PRUNED),
    Group("What is kept outside", FORGED),
)
"""Every attack, in the order in which they are tried and told."""
