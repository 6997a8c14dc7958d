"""The attacks of ``audit selftest``: a table of what somebody with every right to the store does, and of what
sees it. What is written here is what the documents promise.

The log that is attacked has three stretches: what this user's oneoff has seen, what came after that and is
under the last anchor, and what came after both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from oneoff.audit import event
from oneoff.audit.event import Event, new_event_id
from oneoff.audit.merkle import leaf_hash, root_at
from oneoff.commands.scene import EMPTY, LOOK, OUTCOME, RUN_EVENTS, STRETCHES, UNDER_WAY, Scene
from oneoff.types import JSONObject


class Check(StrEnum):
    """What the log is held against."""

    ALONE = "alone"
    """Nothing: ``audit verify``, by somebody who never saw the log before."""
    REMEMBERED = "remembered"
    """The checkpoint that this user's oneoff saw last."""
    ANCHORED = "anchored"
    """The line that an anchor kept, without a signature."""
    SIGNED = "signed"
    """A signed note of the same checkpoint, with the public key: ``--checkpoint NOTE --key VKEY``."""


EVERYBODY = frozenset(Check)
NOBODY = frozenset[Check]()
KEPT = EVERYBODY - {Check.ALONE}
OUTSIDE = frozenset({Check.ANCHORED, Check.SIGNED})

Act = Callable[[Scene], None]


class Needs(StrEnum):
    """What not every installation has."""

    PRUNING = "a store that can be pruned"
    SIGNING = "oneoff[signing]"


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One thing that is done to the log."""

    name: str
    does: str
    seen_by: frozenset[Check]
    act: Act
    helps: str = ""
    """What helps where it is not seen."""
    needs: Needs | None = None


@dataclass(frozen=True)
class Group:
    """Attacks of one kind."""

    title: str
    attacks: Sequence[Attack]


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A part of the log, by what vouches for it."""

    name: str
    first: int
    """The place of its first event."""
    of: str
    seen_by: frozenset[Check]
    helps: str


EARLY, MIDDLE, LATE = STRETCHES
_ANCHOR_MORE = "an anchor: it keeps a checkpoint after every run, whoever started it"
_HELPS_LATE = "an anchor per start and outcome (a protected environment), a heartbeat, a receipt with its owner"
STRETCHES_OF_THE_LOG = (
    Stretch(name=EARLY, first=0, of="that this user had seen", seen_by=KEPT, helps=""),
    Stretch(
        name=MIDDLE,
        first=LOOK + 1,
        of="since this user looked last, before the last anchor",
        seen_by=OUTSIDE,
        helps=_ANCHOR_MORE,
    ),
    Stretch(
        name=LATE, first=2 * (LOOK + 1), of="since the last anchor", seen_by=NOBODY, helps=_HELPS_LATE
    ),
)
_COLUMNS = ("event_id", "type", "run_id", "actor", "task", "environment", "time", "status", "measured")


def change(*steps: tuple[str, JSONObject]) -> Act:
    """Blocks of SQL, one after the other."""

    def act(scene: Scene) -> None:
        for what, values in steps:
            scene.laboratory.change(what, **values)  # type: ignore[arg-type]  # numbers and texts alone

    return act


def _edit_body(scene: Scene) -> None:
    forged = scene.bodies()[OUTCOME].replace(b'"deleted":900', b'"deleted":0')
    scene.laboratory.change("edit_body", seq=OUTCOME, body=forged)


def _edit_body_and_leaf(scene: Scene) -> None:
    forged = scene.bodies()[OUTCOME].replace(b'"deleted":900', b'"deleted":0')
    scene.laboratory.change("edit_body_and_leaf", seq=OUTCOME, body=forged, leaf=leaf_hash(forged))


def _swap_bodies(scene: Scene) -> None:
    bodies = scene.bodies()
    scene.laboratory.change("edit_body", seq=OUTCOME, body=bodies[LOOK])
    scene.laboratory.change("edit_body", seq=LOOK, body=bodies[OUTCOME])


def _swap_events(scene: Scene) -> None:
    """Two starts, so that no pair is torn apart."""
    for here, there in ((0, -1), (RUN_EVENTS, 0), (-1, RUN_EVENTS)):
        scene.laboratory.change("move_event", seq=here, target=there)


def _edit_node(scene: Scene) -> None:
    scene.laboratory.change("edit_node", hash=bytes(32))


def _add_by_hand(scene: Scene) -> None:
    scene.laboratory.change("copy_event", seq=LOOK, target=scene.size)


def _add_with_head(scene: Scene) -> None:
    _add_by_hand(scene)
    scene.laboratory.change("set_head", size=scene.size + 1)


CARELESS = [
    Attack(
        name="edit",
        does="edits the bytes of an event",
        seen_by=EVERYBODY,
        act=_edit_body,
    ),
    Attack(
        name="edit-with-hash",
        does="edits the bytes of an event and its own hash",
        seen_by=EVERYBODY,
        act=_edit_body_and_leaf,
    ),
    Attack(
        name="delete",
        does="deletes an event in the middle",
        seen_by=EVERYBODY,
        act=change(("remove_event", {"seq": LOOK})),
    ),
    Attack(
        name="delete-first",
        does="deletes the first event",
        seen_by=EVERYBODY,
        act=change(("remove_event", {"seq": 0})),
    ),
    Attack(name="swap", does="swaps the bytes of two events", seen_by=EVERYBODY, act=_swap_bodies),
    Attack(name="reorder", does="swaps the places of two events", seen_by=EVERYBODY, act=_swap_events),
    *(
        Attack(
            name=f"column-{column}",
            does=f"edits the column {column} beside an event",
            seen_by=EVERYBODY,
            act=change((f"edit_{column}", {"seq": OUTCOME})),
        )
        for column in _COLUMNS
    ),
    *(
        Attack(name=f"table-{name}", does=does, seen_by=EVERYBODY, act=change((f"{name}_table", {"seq": seq})))
        for name, seq, does in (
            ("rename", OUTCOME, "edits the name of a changed table beside an outcome"),
            ("retime", OUTCOME, "edits the time of a changed table beside an outcome"),
            ("remove", OUTCOME, "removes a changed table from beside an outcome"),
            ("add", OUTCOME, "adds a changed table beside an outcome"),
        )
    ),
    Attack(
        name="table-add-elsewhere",
        does="adds a changed table beside an event that is no outcome",
        seen_by=EVERYBODY,
        act=change(("add_table", {"seq": LOOK})),
    ),
    Attack(name="node-edit", does="edits a hash of the tree", seen_by=EVERYBODY, act=_edit_node),
    Attack(
        name="node-delete",
        does="deletes a hash of the tree",
        seen_by=EVERYBODY,
        act=change(("remove_node", {})),
    ),
    Attack(
        name="head-lower",
        does="lowers the number of events in the head",
        seen_by=EVERYBODY,
        act=lambda scene: scene.laboratory.change("set_head", size=scene.size - 1),
    ),
    Attack(
        name="head-raise",
        does="raises the number of events in the head",
        seen_by=EVERYBODY,
        act=lambda scene: scene.laboratory.change("set_head", size=scene.size + 1),
    ),
    Attack(
        name="head-delete", does="deletes the head", seen_by=EVERYBODY, act=change(("remove_head", {}))
    ),
    Attack(name="add-by-hand", does="adds a row at the end", seen_by=EVERYBODY, act=_add_by_hand),
    Attack(
        name="add-with-head",
        does="adds a row at the end and raises the head",
        seen_by=EVERYBODY,
        act=_add_with_head,
    ),
    Attack(
        name="prune-unstated",
        does="takes the beginning away as if it were pruned, without an event that says so",
        seen_by=EVERYBODY,
        act=lambda scene: _behead(scene),
        needs=Needs.PRUNING,
    ),
]


Rewrite = Callable[[list[Event], int], list[Event]]
"""Makes another log of the events of a log and the place where a stretch begins."""


def _rewritten(events: list[Event], first: int) -> list[Event]:
    """The outcome of the first run says that nothing was deleted, and who did it is somebody else."""
    place = first + OUTCOME
    data: JSONObject = dict(events[place].data)
    data["initiator"] = {"kind": "human", "subject": "somebody-else", "claims": {}}
    data["outcome"] = {**data["outcome"], "rows": {"members": {"deleted": 0}}}  # type: ignore[dict-item]
    return [*events[:place], replace(events[place], data=data), *events[place + 1 :]]


def _inserted(events: list[Event], first: int) -> list[Event]:
    return [*events[:first], again(events[LOOK]), *events[first:]]


def _deleted(events: list[Event], first: int) -> list[Event]:
    return [*events[:first], *events[first + RUN_EVENTS :]]


def _reordered(events: list[Event], first: int) -> list[Event]:
    middle, end = first + RUN_EVENTS, first + 2 * RUN_EVENTS
    return [*events[:first], *events[middle:end], *events[first:middle], *events[end:]]


def again(told: Event) -> Event:
    """The same, as another event."""
    return replace(told, id=new_event_id())


def _recomputing(rewrite: Rewrite, stretch: Stretch) -> Act:
    return lambda scene: scene.write_again(rewrite(scene.events(), stretch.first))


def _cut(stretch: Stretch) -> Act:
    return lambda scene: scene.cut(stretch.first + RUN_EVENTS)


def _roll_back(stretch: Stretch) -> Act:
    return lambda scene: scene.laboratory.put_back(stretch.name)


def _fork(stretch: Stretch) -> Act:
    def act(scene: Scene) -> None:
        told = again(scene.events()[LOOK])
        scene.laboratory.put_back(stretch.name)
        scene.record([again(told) for _ in range(scene.size)])

    return act


def _for_each_stretch() -> Iterator[Attack]:
    table: list[tuple[str, str, Callable[[Stretch], Act]]] = [
        ("rewrite", "rewrites an event {}", lambda stretch: _recomputing(_rewritten, stretch)),
        ("insert", "puts in a made-up event among those {}", lambda stretch: _recomputing(_inserted, stretch)),
        ("remove", "takes out a run of those {}", lambda stretch: _recomputing(_deleted, stretch)),
        ("exchange", "exchanges two runs of those {}", lambda stretch: _recomputing(_reordered, stretch)),
        ("truncate", "cuts off the end, with events {}", _cut),
        ("backup", "puts a backup of the whole store back, without events {}", _roll_back),
        ("fork", "puts such a backup back and goes on from there, without events {}", _fork),
    ]
    for name, does, act in table:
        for stretch in STRETCHES_OF_THE_LOG:
            yield Attack(
                name=f"{name}-{stretch.name}",
                does=does.format(stretch.of),
                seen_by=stretch.seen_by,
                act=act(stretch),
                helps=stretch.helps,
            )


def _append(scene: Scene) -> None:
    scene.record([again(scene.events()[LOOK])])


def _repeat(place: int) -> Act:
    """The same event once more: the constraint that forbids it is gone, and the hashes are right."""

    def act(scene: Scene) -> None:
        told = scene.events()[place]
        scene.laboratory.change("drop_unique")
        scene.record([told])

    return act


def _remove_outcome(scene: Scene) -> None:
    events = scene.events()
    del events[2 * (LOOK + 1) + OUTCOME]
    scene.write_again(events)


def _replace_log(scene: Scene, *, renamed: bool) -> None:
    """A new log, longer than the one before."""
    told = scene.events()[LOOK]
    scene.laboratory.put_back(EMPTY)
    if renamed:
        scene.laboratory.change("rename_log", name="0" * 32)
    scene.record([again(told) for _ in range(scene.size + 1)])


RECOMPUTED = [
    *_for_each_stretch(),
    Attack(
        name="drop-all",
        does="deletes all events and resets the head",
        seen_by=KEPT,
        act=lambda scene: scene.cut(0),
    ),
    Attack(
        name="begin-anew",
        does="begins the log anew under its name, and longer than it was",
        seen_by=KEPT,
        act=lambda scene: _replace_log(scene, renamed=False),
    ),
    Attack(
        name="another-store",
        does="puts another store in its place",
        seen_by=KEPT,
        act=lambda scene: _replace_log(scene, renamed=True),
    ),
    Attack(
        name="swap-names",
        does="gives the log the name of another one",
        seen_by=KEPT,
        act=change(("rename_log", {"name": "0" * 32})),
    ),
    Attack(
        name="append",
        does="appends a made-up event at the end, as the product does",
        seen_by=NOBODY,
        act=_append,
        helps="nothing shows that a well-formed account is false; grants (PostgreSQL) decide who may append",
    ),
    Attack(
        name="repeat",
        does="records an event once more, under the same id",
        seen_by=NOBODY,
        act=_repeat(LOOK),
        helps="as for append; an id that is there twice counts once",
    ),
    Attack(
        name="repeat-outcome",
        does="records an outcome once more",
        seen_by=EVERYBODY,
        act=_repeat(OUTCOME),
    ),
    Attack(
        name="remove-outcome",
        does="takes out an outcome since the last anchor, and leaves its start",
        seen_by=EVERYBODY,
        act=_remove_outcome,
    ),
]


def _edit_run(scene: Scene) -> None:
    scene.edit_run(replace(scene.ended[EARLY], environment="elsewhere"))


def _hide_outcome(scene: Scene) -> None:
    _remove_outcome(scene)
    scene.edit_run(scene.started[LATE])


RECORDS = [
    Attack(
        name="run-edit",
        does="edits the record of a run that has ended",
        seen_by=NOBODY,
        act=_edit_run,
        helps="`audit log --run RUN` and receipts read the log, never the record",
    ),
    Attack(
        name="run-delete",
        does="deletes the record of a run that has ended",
        seen_by=NOBODY,
        act=lambda scene: scene.laboratory.change("remove_run", id=scene.ended[EARLY].id),
        helps="`audit log` and receipts read the log, never the record",
    ),
    Attack(
        name="run-delete-open",
        does="deletes the record of a run that is under way",
        seen_by=EVERYBODY,
        act=lambda scene: scene.laboratory.change("remove_run", id=UNDER_WAY),
    ),
    Attack(
        name="hide-outcome",
        does="takes out an outcome since the last anchor, and has the run's record say that it is under way",
        seen_by=NOBODY,
        act=_hide_outcome,
        helps=f"{_HELPS_LATE}; the next command finds the run lost once its process is gone",
    ),
    Attack(
        name="directory-edit",
        does="gives the subjects of the log other names in the directory of actors",
        seen_by=NOBODY,
        act=change(("edit_directory", {})),
        helps="the subject is in the hashed bytes, its name is not, so that it can be erased: keep an "
        "`audit export --names` elsewhere",
    ),
]


def _behead(scene: Scene) -> None:
    for what in ("keep_leaves", "behead_events", "behead_tables", "set_start"):
        scene.laboratory.change(what, size=LOOK + 1)


def _state_pruning(scene: Scene, root: str | None = None) -> None:
    """Record that the first stretch was pruned."""
    to = LOOK + 1
    with scene.open() as store:
        computed = root_at(to, store.hashes).hex()
    about: JSONObject = {"from": 0, "to": to, "root": root or computed, "open": [], "reason": "they were old"}
    services = scene.services
    scene.record([event.of_log("pruned", services.actor, services.observer, services.clock.now(), **about)])


def _prune(scene: Scene, root: str | None = None) -> None:
    _state_pruning(scene, root)
    _behead(scene)


PRUNING = [
    Attack(
        name="prune-only-stated",
        does="records that the beginning was pruned, and leaves it there",
        seen_by=EVERYBODY,
        act=_state_pruning,
    ),
    Attack(
        name="prune-wrong-root",
        does="takes the beginning away, and records another root for it",
        seen_by=EVERYBODY,
        act=lambda scene: _prune(scene, root="0" * 64),
        needs=Needs.PRUNING,
    ),
    Attack(
        name="prune-forged",
        does="takes the beginning away, and records that as `audit prune` does",
        seen_by=NOBODY,
        act=_prune,
        helps="it stays in the log for ever: `audit log --type log.pruned`; export before you need it",
        needs=Needs.PRUNING,
    ),
]


def _forge(swap: Callable[[Scene], str]) -> Act:
    """Rewrite the log, and put something in the place of what is kept outside."""

    def act(scene: Scene) -> None:
        scene.write_again(_rewritten(scene.events(), 0))
        scene.outside.anchored = scene.outside.signed = swap(scene)

    return act


def _altered(scene: Scene) -> str:
    """The genuine note with the numbers of the forged log."""
    _, _, signature = scene.outside.signed.partition("\n\n")
    return f"{scene.statement().text}\n{signature}"


def _note_of_another_log(scene: Scene) -> str:
    scene.laboratory.keep("forged")
    _replace_log(scene, renamed=True)
    note = scene.signed()
    scene.laboratory.put_back("forged")
    return note


def _older_note(scene: Scene) -> None:
    scene.laboratory.put_back(EARLY)
    scene.outside.anchored = scene.outside.signed = scene.signed()


def _forge_memory(scene: Scene) -> None:
    scene.write_again(_rewritten(scene.events(), 0))
    scene.remember(scene.sighting())


_MANY_PLACES = "an anchor that only grows (object lock, append-only), or that several people hold"

FORGED = [
    Attack(
        name="forge-line",
        does="rewrites the log, and puts its checkpoint in the place of the one that was kept",
        seen_by=frozenset({Check.REMEMBERED, Check.SIGNED}),
        act=_forge(lambda scene: scene.statement().line),
        helps="a signature, and a place where whoever may write the store cannot",
    ),
    *(
        Attack(
            name=f"forge-{name}",
            does=f"rewrites the log, and {does}",
            seen_by=seen_by,
            act=_forge(swap),
            helps=helps,
            needs=Needs.SIGNING,
        )
        for name, does, seen_by, swap, helps in (
            (
                "key",
                "signs its checkpoint with a key of its own",
                KEPT - {Check.ANCHORED},
                lambda scene: scene.signed(by="stranger.example/audit"),
                "the public key: without one a signature is not looked at",
            ),
            (
                "name",
                "signs its checkpoint with a key of its own under the same name",
                KEPT - {Check.ANCHORED},
                lambda scene: scene.signed(by=scene.key.name),
                "the public key: without one a signature is not looked at",
            ),
            (
                "note",
                "writes its size and root into the signed note",
                KEPT - {Check.ANCHORED},
                _altered,
                "the public key: without one a signature is not looked at",
            ),
            ("other", "gives a genuine note of another log", KEPT, _note_of_another_log, ""),
            (
                "stolen",
                "signs its checkpoint with the installation's own key, which was stolen",
                frozenset({Check.REMEMBERED}),
                lambda scene: scene.signed(),
                _MANY_PLACES,
            ),
        )
    ),
    Attack(
        name="forge-older",
        does="puts a backup of the whole store back, and gives the genuine note of that time",
        seen_by=frozenset({Check.REMEMBERED}),
        act=_older_note,
        helps=_MANY_PLACES,
        needs=Needs.SIGNING,
    ),
    Attack(
        name="forge-memory",
        does="rewrites the log, and this user's own file of remembered checkpoints",
        seen_by=OUTSIDE,
        act=_forge_memory,
        helps="an anchor: who may write as this user may write what this user remembers",
    ),
]

GROUPS = (
    Group(
        "Nothing",
        [
            Attack(name="none", does="does nothing", seen_by=NOBODY, act=lambda scene: None),
        ],
    ),
    Group("Changes by hand", CARELESS),
    Group("Changes with every hash computed again", RECOMPUTED),
    Group("Records beside the log", RECORDS),
    Group("A beginning that was pruned", PRUNING),
    Group("What is kept outside", FORGED),
)
"""Every attack, in the order in which they are tried and told."""
