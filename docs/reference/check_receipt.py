#!/usr/bin/env python3
"""Check a oneoff receipt with nothing but Python's standard library. Read it first: that is what it is for.

    python check_receipt.py RECEIPT [SIZE:ROOT]

SIZE:ROOT is a checkpoint that you kept yourself. Exits with 0 where every event of the receipt is in the log
that its checkpoint names (and that is yours, if you gave one), with 1 where not, with 2 for anything else.
"""

from __future__ import annotations

import json
import sys
from hashlib import sha256


def in_tree(leaf: bytes, place: int, size: int, proof: list[bytes], root: bytes) -> bool:
    """Whether the leaf is at this place of the tree with this root (RFC 9162, 2.1.3.2)."""
    if not 0 <= place < size:
        return False
    last, node = size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if place % 2 or place == last:
            node = sha256(b"\x01" + sibling + node).digest()
            while place and not place % 2:
                place, last = place // 2, last // 2
        else:
            node = sha256(b"\x01" + node + sibling).digest()
        place, last = place // 2, last // 2
    return last == 0 and node == root


def proven(entry: dict, size: int, root: bytes) -> dict | None:
    """The event of this entry; None where it is not at its place of the tree."""
    body, proof = entry["event"].encode(), [bytes.fromhex(node) for node in entry["proof"]]
    leaf = sha256(b"\x00" + body).digest()
    return json.loads(body) if in_tree(leaf, entry["place"], size, proof, root) else None


def problem(receipt: dict, kept: str | None) -> str | None:
    """Why the receipt shows nothing; None where it holds."""
    size_text, _, root_text = receipt["checkpoint"].partition(":")
    size, root = int(size_text), bytes.fromhex(root_text)
    if kept is not None and kept.strip() != receipt["checkpoint"]:
        return f"its checkpoint is not yours: {receipt['checkpoint']}"
    if not receipt["events"]:
        return "it has no events"
    last = -1
    for entry in receipt["events"]:
        place, event = entry["place"], proven(entry, size, root)
        if event is None or place <= last:
            return f"event {place} is not in the log of its checkpoint"
        if event["subject"] != receipt["run"]:
            return f"event {place} is of another run"
        last = place
    if "pruned" in receipt:
        cut, first = proven(receipt["pruned"], size, root), receipt["events"][0]["place"]
        if cut is None or cut["type"] != "dev.oneoff.audit.log.pruned.v1" or cut["data"]["to"] > first:
            return f"event {receipt['pruned']['place']} does not state that events before {first} were pruned"
    return None


def main(arguments: list[str]) -> int:
    """Check the receipt, and say what it shows."""
    if len(arguments) not in (1, 2):
        print(__doc__)
        return 2
    try:
        with open(arguments[0], encoding="utf-8") as file:  # noqa: PTH123
            receipt = json.load(file)
        if receipt["format"] != "oneoff-receipt/1":
            raise ValueError(f"its format is {receipt['format']}")
    except (OSError, ValueError, LookupError, TypeError) as error:
        print(f"no receipt: {error!r}")
        return 2
    try:
        found = problem(receipt, arguments[1] if len(arguments) == 2 else None)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        found = f"it cannot be read: {error!r}"
    if found is not None:
        print(f"WRONG: {found}")
        return 1
    for entry in receipt["events"]:
        event = json.loads(entry["event"])
        print(entry["place"], ascii(event.get("time")), ascii(event.get("type")))
    if "pruned" in receipt:
        data = json.loads(receipt["pruned"]["event"])["data"]
        print(f"That is what is kept: the events before {data['to']} were pruned: {data['reason']!a}")
    print(f"ok: run {receipt['run']!a} in the log of the checkpoint {receipt['checkpoint']}")
    if len(arguments) == 1:
        print("Whether that checkpoint is genuine shows only by one that you kept: give it as well.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
