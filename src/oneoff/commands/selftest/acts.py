"""What an attacker does to the log: small functions over a scene, each of which an attack names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from oneoff.audit import event
from oneoff.audit.event import Event, new_event_id
from oneoff.audit.merkle import HASH_BYTES, completed, leaf_hash, root_at
from oneoff.commands.selftest.scene import EARLY, EMPTY, LATE, LOOK, OUTCOME, RUN_EVENTS, UNDER_WAY, Scene
from oneoff.types import JSONObject

Act = Callable[[Scene], None]
Rewrite = Callable[[list[Event], int], list[Event]]
"""Makes another log of the events of a log and the place where one of its stretches begins."""

ANOTHER_LOG = "0" * 32
_STRETCH = LOOK + 1
"""Events in each stretch."""


def change(what: str, **values: int | str | bytes) -> Act:
    """One block of SQL."""
    return lambda scene: scene.laboratory.change(what, **values)


def edit_body(scene: Scene) -> None:
    scene.laboratory.change("edit_body", seq=OUTCOME, body=_forged_body(scene))


def edit_body_and_leaf(scene: Scene) -> None:
    edit_body(scene)
    own = leaf_hash(_forged_body(scene))
    scene.laboratory.change("edit_hashes", seq=OUTCOME, hashes=own + _above(scene, OUTCOME))


def edit_hash_of_tree(scene: Scene) -> None:
    """Of the first two events, which stands beside the second."""
    with scene.open() as store:
        leaf = store.hashes([(0, 1)])[0, 1]
    scene.laboratory.change("edit_hashes", seq=1, hashes=leaf + bytes(HASH_BYTES))


def _above(scene: Scene, seq: int) -> bytes:
    """The hashes of the subtrees that this event completes."""
    places = completed(seq)[1:]
    with scene.open() as store:
        found = store.hashes(places)
    return b"".join(found[place] for place in places)


def _forged_body(scene: Scene) -> bytes:
    return scene.bodies()[OUTCOME].replace(b'"deleted":900', b'"deleted":0')


def swap_bodies(scene: Scene) -> None:
    bodies = scene.bodies()
    scene.laboratory.change("edit_body", seq=OUTCOME, body=bodies[LOOK])
    scene.laboratory.change("edit_body", seq=LOOK, body=bodies[OUTCOME])


def swap_places(scene: Scene) -> None:
    """Two requests with all that stands beside them, so that no start loses its outcome."""
    for here, there in ((0, -1), (RUN_EVENTS, 0), (-1, RUN_EVENTS)):
        scene.laboratory.change("move_event", seq=here, target=there)


def index_no_event(scene: Scene) -> None:
    """The row of the last event in the index stands for one that is not there."""
    scene.laboratory.change("index_move", seq=2 * _STRETCH - 1, target=scene.size)


def index_early(scene: Scene) -> None:
    """The row of the last event in the index stands for a later one: those between them lack one."""
    scene.laboratory.change("index_move", seq=2 * _STRETCH - 1, target=scene.size - 1)


def add_by_hand(scene: Scene) -> None:
    scene.laboratory.change("copy_event", seq=LOOK, target=scene.size)


def add_with_head(scene: Scene) -> None:
    add_by_hand(scene)
    scene.laboratory.change("set_head", size=scene.size + 1)


def behead(scene: Scene) -> None:
    """Take the first stretch away, as pruning does."""
    for what in ("keep_hashes", "behead_events", "behead_tables", "behead_index", "set_start"):
        scene.laboratory.change(what, size=_STRETCH)


def rewritten(events: list[Event], first: int) -> list[Event]:
    """The first outcome says that nothing was deleted, and by somebody else."""
    place = first + OUTCOME
    data: JSONObject = {
        **events[place].data,
        "initiator": {"kind": "human", "subject": "somebody-else", "claims": {}},
        "outcome": {"status": "succeeded", "rows": {"members": {"deleted": 0}}},
    }
    return [*events[:place], replace(events[place], data=data), *events[place + 1 :]]


def inserted(events: list[Event], first: int) -> list[Event]:
    return [*events[:first], _anew(events[LOOK]), *events[first:]]


def deleted(events: list[Event], first: int) -> list[Event]:
    return [*events[:first], *events[first + RUN_EVENTS :]]


def exchanged(events: list[Event], first: int) -> list[Event]:
    middle, end = first + RUN_EVENTS, first + 2 * RUN_EVENTS
    return [*events[:first], *events[middle:end], *events[first:middle], *events[end:]]


def _anew(told: Event) -> Event:
    """The same, as an event of its own."""
    return replace(told, id=new_event_id())


def recompute(rewrite: Rewrite, first: int) -> Act:
    """Replace the log by what ``rewrite`` makes of it, every hash computed again."""
    return lambda scene: scene.write_again(rewrite(scene.events(), first))


def cut(size: int) -> Act:
    return lambda scene: scene.cut(size)


def roll_back(backup: str) -> Act:
    return lambda scene: scene.laboratory.put_back(backup)


def fork(backup: str) -> Act:
    """Go on from a backup, until the log is longer than it was."""

    def act(scene: Scene) -> None:
        told = scene.events()[LOOK]
        scene.laboratory.put_back(backup)
        scene.record([_anew(told) for _ in range(scene.size)])

    return act


def begin_anew(scene: Scene) -> None:
    told = scene.events()[LOOK]
    scene.laboratory.put_back(EMPTY)
    scene.record([_anew(told) for _ in range(scene.size + 1)])


def another_store(scene: Scene) -> None:
    begin_anew(scene)
    scene.laboratory.change("rename_log", name=ANOTHER_LOG)


def append(scene: Scene) -> None:
    scene.record([_anew(scene.events()[LOOK])])


def repeat(place: int) -> Act:
    """Record an event again: what forbids it is gone, and every hash is right."""

    def act(scene: Scene) -> None:
        told = scene.events()[place]
        scene.laboratory.change("drop_unique")
        scene.record([told])

    return act


def remove_outcome(scene: Scene) -> None:
    events = scene.events()
    del events[2 * _STRETCH + OUTCOME]
    scene.write_again(events)


def hide_outcome(scene: Scene) -> None:
    remove_outcome(scene)
    scene.edit_run(scene.started[LATE])


def edit_run(scene: Scene) -> None:
    scene.edit_run(replace(scene.ended[EARLY], environment="elsewhere"))


def delete_run(scene: Scene) -> None:
    scene.laboratory.change("remove_run", id=scene.ended[EARLY].id)


def delete_open_run(scene: Scene) -> None:
    scene.laboratory.change("remove_run", id=UNDER_WAY)


def state_pruning(scene: Scene, root: str | None = None) -> None:
    """Record that the first stretch was pruned."""
    with scene.open() as store:
        computed = root_at(_STRETCH, store.hashes).hex()
    about: JSONObject = {"from": 0, "to": _STRETCH, "root": root or computed, "open": [], "reason": "too old"}
    services = scene.services
    scene.record([event.of_log("pruned", services.actor, services.observer, services.clock.now(), **about)])


def prune(scene: Scene) -> None:
    state_pruning(scene)
    behead(scene)


def prune_with_another_root(scene: Scene) -> None:
    state_pruning(scene, root="0" * 64)
    behead(scene)


def rewrite_first(scene: Scene) -> None:
    scene.write_again(rewritten(scene.events(), 0))


def forge(evidence: Callable[[Scene], str]) -> Act:
    """Rewrite the log, and put this in the place of what is kept outside."""

    def act(scene: Scene) -> None:
        rewrite_first(scene)
        scene.outside.anchored = scene.outside.signed = evidence(scene)

    return act


def own_line(scene: Scene) -> str:
    return scene.statement().line


def strangers_note(scene: Scene) -> str:
    return scene.signed(by="stranger.example/audit")


def namesakes_note(scene: Scene) -> str:
    return scene.signed(by=scene.key.name)


def altered_note(scene: Scene) -> str:
    """The genuine signature below the numbers of the forged log."""
    _, _, signature = scene.outside.signed.partition("\n\n")
    return f"{scene.statement().text}\n{signature}"


def note_of_another_log(scene: Scene) -> str:
    """Genuine, of a log as long as this one."""
    scene.laboratory.keep("forged")
    scene.laboratory.change("rename_log", name=ANOTHER_LOG)
    note = scene.signed()
    scene.laboratory.put_back("forged")
    return note


def stolen_keys_note(scene: Scene) -> str:
    return scene.signed()


def older_note(scene: Scene) -> None:
    scene.laboratory.put_back(EARLY)
    scene.outside.anchored = scene.outside.signed = scene.signed()


def forge_memory(scene: Scene) -> None:
    rewrite_first(scene)
    scene.remember(scene.sighting())
