"""What may be told of a changed row."""

from __future__ import annotations

from oneoff.dryrun.measure import Measure, sampled
from oneoff.dryrun.report import RowSample
from oneoff.types import JSON

_OLD: dict[str, JSON] = {"id": 1, "email": "ann@shop.example", "visits": 3, "gone": 1}
_NEW: dict[str, JSON] = {"id": 1, "email": "bob@shop.example", "visits": 3, "new": None}


def test_keys_and_the_names_of_changed_columns() -> None:
    """And no value; a column that was added or dropped has changed."""
    assert sampled(Measure(), "customer", ["id"], _OLD, _NEW) == RowSample(
        table="customer", change="updated", key={"id": 1}, columns=("email", "new", "gone")
    )


def test_values_of_the_changed_columns() -> None:
    """Of a row that was inserted or deleted all values, of an update those that changed."""
    told = sampled(Measure(values=True), "customer", ["id"], _OLD, _NEW)
    assert told.before == {"email": "ann@shop.example", "gone": 1}
    assert told.after == {"email": "bob@shop.example", "new": None}
    assert sampled(Measure(values=True), "customer", ["id"], None, _NEW).after == _NEW
    assert sampled(Measure(values=True), "customer", ["id"], _OLD, None).before == _OLD


def test_private_columns_are_never_told() -> None:
    """In no key either, and whatever the case of the letters; that one is NULL may be told."""
    measure = Measure(values=True, private=frozenset({"Customer.EMAIL", "other.visits", "customer.new"}))
    told = sampled(measure, "customer", ["email"], _OLD, _NEW)
    assert told.key == {"email": "********"}
    assert told.before == {"email": "********", "gone": 1}
    assert told.after == {"email": "********", "new": None}


def test_long_values_are_cut() -> None:
    """A report is to be read."""
    told = sampled(Measure(values=True), "t", ["id"], None, {"id": 1, "body": "x" * 9000})
    assert told.after is not None
    assert told.after["body"] == "x" * 500 + "…"
