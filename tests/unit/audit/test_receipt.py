"""What a receipt shows, and that a changed one shows nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneoff.audit.merkle import EMPTY_ROOT, Checkpoint
from oneoff.audit.receipt import NoReceipt, WrongReceipt, check, make
from oneoff.stores.memory import MemoryStore
from oneoff.types import RunId
from tests.records import begin, finish, make_run


def receipt_in(others: int, **changes: Any) -> tuple[MemoryStore, dict[str, Any]]:
    """The receipt of a run in a log with others before and after it."""
    store = MemoryStore()
    for number in range(others):
        finish(store, begin(store, make_run(f"before-{number}")))
    finish(store, begin(store, make_run("mine", reason="größer – 店", **changes)))
    for number in range(others):
        begin(store, make_run(f"after-{number}"))
    events = store.events(run_id=RunId("mine"))
    return store, make("mine", store.log_name(), store.checkpoint(), events, store.hashes)


@pytest.mark.parametrize("others", [0, 1, 2, 3, 10])
def test_a_receipt_holds(others: int) -> None:
    """However it is formatted; it names the log, the run, the places and the checkpoint."""
    store, receipt = receipt_in(others)
    for text in (json.dumps(receipt), json.dumps(receipt, indent=3, ensure_ascii=False)):
        shown = check(text)
        assert (shown.run_id, shown.log, shown.checkpoint) == ("mine", store.log_name(), store.checkpoint())
        assert shown.types == ["requested", "starting", "outcome"]
        assert [place for place, _ in shown.events] == [3 * others, 3 * others + 1, 3 * others + 2]


@given(st.data())
def test_whatever_is_changed_is_seen(data: st.DataObject) -> None:
    """A letter of an event, a place, a hash, the run, the order; an event that is left out is not."""
    _, receipt = receipt_in(2)
    entry = data.draw(st.sampled_from(receipt["events"]))
    what = data.draw(st.sampled_from(["event", "place", "proof", "shorter", "run", "checkpoint", "order"]))
    if what == "event":
        at = data.draw(st.integers(0, len(entry["event"]) - 1))
        letter = "x" if entry["event"][at] != "x" else "y"
        entry["event"] = entry["event"][:at] + letter + entry["event"][at + 1 :]
    elif what == "place":
        entry["place"] += data.draw(st.sampled_from([-7, -1, 1, 2, 100]))
    elif what == "proof":
        at = data.draw(st.integers(0, len(entry["proof"]) - 1))
        entry["proof"][at] = "00" * 32
    elif what == "shorter":
        entry["proof"].pop()
    elif what == "run":
        receipt["run"] = "before-1"
    elif what == "checkpoint":
        receipt["checkpoint"] = str(Checkpoint(data.draw(st.integers(0, 30)), EMPTY_ROOT))
    else:
        receipt["events"].reverse()
    with pytest.raises(WrongReceipt):
        check(json.dumps(receipt))


@given(st.integers(30, 10_000))
def test_a_receipt_that_is_cut_short(length: int) -> None:
    """Wherever the end is missing."""
    text = json.dumps(receipt_in(1)[1])
    with pytest.raises(WrongReceipt, match="cut short"):
        check(text[: min(length, len(text) - 1)])


@pytest.mark.parametrize("missing", ["origin", "run", "checkpoint", "events"])
def test_a_receipt_that_lacks_something(missing: str) -> None:
    """It is named."""
    _, receipt = receipt_in(1)
    del receipt[missing]
    with pytest.raises(WrongReceipt, match=missing):
        check(json.dumps(receipt))


@pytest.mark.parametrize("field", ["origin", "run", "checkpoint", "events", "note"])
@pytest.mark.parametrize("value", [3, [], {}, [3], [{}], "", "oneoff/", True])
def test_nonsense_in_a_receipt(field: str, value: Any) -> None:
    """Nothing but the one error, whatever stands where."""
    _, receipt = receipt_in(1)
    receipt[field] = value
    if (field, value) not in [("origin", "oneoff/"), ("note", ""), ("note", "oneoff/")]:
        with pytest.raises(WrongReceipt):
            check(json.dumps(receipt))


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[]", "3", "{}", '{"format": "other/1"}', "\x00", "[" * 9999]
)
def test_what_is_no_receipt(text: str) -> None:
    """It is not called a wrong one."""
    with pytest.raises(NoReceipt):
        check(text)


def test_a_log_that_is_damaged_gives_no_receipt() -> None:
    """A receipt that would not hold is not handed out."""
    store, _ = receipt_in(1)
    wrong = Checkpoint(store.checkpoint().size, EMPTY_ROOT)
    with pytest.raises(WrongReceipt):
        make("mine", store.log_name(), wrong, store.events(run_id=RunId("mine")), store.hashes)
