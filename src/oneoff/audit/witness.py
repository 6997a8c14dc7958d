"""What somebody saw of an audit log once, held against what is there now. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from oneoff.audit.merkle import Checkpoint, verify_consistency
from oneoff.types import from_rfc3339, rfc3339


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """One look at an audit log."""

    log: str
    """The log's name, as :meth:`oneoff.protocols.Store.log_name` gives it."""
    checkpoint: Checkpoint
    at: datetime

    def __str__(self) -> str:
        return f"{self.checkpoint} of log {self.log[:8]}, seen {rfc3339(self.at)}"

    def line(self) -> str:
        """Three words, for whoever hands it on: :meth:`read` is the inverse."""
        return f"{self.log} {self.checkpoint} {rfc3339(self.at)}"

    @classmethod
    def read(cls, text: str) -> Sighting | None:
        """None where the text is something else."""
        words = text.split(" ")
        try:
            log, checkpoint, at = words
            return cls(log=log, checkpoint=Checkpoint.parse(checkpoint), at=from_rfc3339(at))
        except ValueError:
            return None


class Change(StrEnum):
    """How a log is not the one that was seen."""

    SHORTENED = "shortened"
    """It has fewer events: cut, or an older copy was put back."""
    REWRITTEN = "rewritten"
    """What was there is not what is there now."""
    REPLACED = "replaced"
    """It is another log."""
    GONE = "gone"
    """There is none."""
    DAMAGED = "damaged"
    """It lacks the hashes that would show that it only grew."""


@dataclass(frozen=True, kw_only=True)
class Discrepancy:
    """A log that is not the one that was seen, with both sides."""

    change: Change
    seen: Sighting
    present: Sighting

    def __str__(self) -> str:
        then, now = self.seen.checkpoint, self.present.checkpoint
        when = f"when it was seen at {rfc3339(self.seen.at)}"
        if self.change is Change.REPLACED:
            return (
                f"the audit log was replaced: it is log {self.present.log[:8]} with {now.size} events, and "
                f"{when} it was log {self.seen.log[:8]} with {then.size}"
            )
        if self.change is Change.GONE:
            return f"the audit log is gone: {when} it had {then.size} events, and there is no store now"
        if self.change is Change.SHORTENED:
            return f"the audit log was shortened: it has {now.size} events, and {when} it had {then.size}"
        if self.change is Change.REWRITTEN:
            return (
                f"the audit log was rewritten: its first {then.size} events are not those that it had {when}"
            )
        return (
            f"the audit log is damaged: hashes are missing that would show that its first {then.size} events "
            f"are those that it had {when}"
        )


def compare(seen: Sighting, present: Sighting, proof: Sequence[bytes] | None) -> Change | None:
    """How ``present`` does not continue ``seen``; None where it does.

    Args:
        proof: the consistency proof from one size to the other (RFC 6962 §2.1.2); looked at only where the
            log has the same name and is not shorter. None where the log cannot give one.
    """
    if seen.log != present.log:
        return Change.REPLACED
    if present.checkpoint.size < seen.checkpoint.size:
        return Change.SHORTENED
    if seen.checkpoint == present.checkpoint:
        return None
    if proof is None:
        return Change.DAMAGED
    if verify_consistency(seen.checkpoint, present.checkpoint, proof):
        return None
    return Change.REWRITTEN


def evident(seen: Sighting, present: Sighting) -> Discrepancy | None:
    """What shows without a proof: of a log that has grown, nobody can tell by its size and root alone."""
    if seen.log == present.log and seen.checkpoint.size < present.checkpoint.size:
        return None
    change = compare(seen, present, ())
    return Discrepancy(change=change, seen=seen, present=present) if change else None
