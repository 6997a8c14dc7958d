"""Who has uncommitted work in the one sealed session, and which savepoints stand for whose transaction.

Every connection of the task is a tenant of the same session. Its transaction is a savepoint: committing gives
the savepoint up, rolling back goes back to it. Since savepoints nest and transactions do not, going back is
possible only where nobody else has written since; where somebody has, the dry run must fail rather than undo
another connection's work in silence. Pure: the SQL is returned, not sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count


class Interleaved(Exception):
    """A rollback would undo what another connection has written."""


@dataclass
class _Turn:
    """One transaction of one tenant, from its first statement on."""

    owner: int
    savepoint: str
    started: int
    autocommit: bool = False
    """One statement that commits itself; it is settled when the tenant's next command comes."""
    wrote: bool = False
    open: bool = True


class Ledger:
    """The transactions of all tenants. Tenants are told apart by a number."""

    def __init__(self) -> None:
        self._clock = 0
        self._names = (f"_oneoff_{number}" for number in count(1))
        self._stack: list[_Turn] = []
        self._last_write: dict[int, int] = {}
        self._doomed: set[int] = set()

    def open(self, owner: int) -> bool:
        """Whether this tenant is inside a transaction."""
        turn = self._turn(owner)
        return owner in self._doomed or (turn is not None and not turn.autocommit)

    def doomed(self, owner: int) -> bool:
        """Whether its transaction failed and was rolled back before the tenant asked for it."""
        return owner in self._doomed

    def begin(self, owner: int, *, autocommit: bool = False) -> list[str]:
        """Start a transaction, unless the tenant is in one."""
        if self.open(owner):
            return []
        turn = _Turn(owner, next(self._names), self._clock, autocommit)
        self._stack.append(turn)
        return [f"SAVEPOINT {turn.savepoint}"]

    def wrote(self, owner: int) -> None:
        """The tenant's next statement may write."""
        self._clock += 1
        self._last_write[owner] = self._clock
        turn = self._turn(owner)
        if turn is not None:
            turn.wrote = True

    def settle(self, owner: int, *, failed: bool) -> list[str]:
        """End the tenant's last autocommit statement, if that is still to be done."""
        turn = self._turn(owner)
        if turn is None or not turn.autocommit:
            return []
        return self.rollback(owner, failed=True) if failed else self.commit(owner)

    def commit(self, owner: int) -> list[str]:
        """End the tenant's transaction and keep its work."""
        self._doomed.discard(owner)
        turn = self._turn(owner)
        if turn is not None:
            turn.open = False
        return self._release_closed()

    def rollback(self, owner: int, *, failed: bool) -> list[str]:
        """End the tenant's transaction and undo its work. ``failed``: a statement of it has failed.

        Raises:
            Interleaved: another tenant has written since it began.
        """
        self._doomed.discard(owner)
        turn = self._turn(owner)
        if turn is None:
            return []
        if not (turn.wrote or failed) and self._others(turn):
            turn.open = False  # it only read: there is nothing to undo, and others stand on its savepoint
            return self._release_closed()
        if self._written_by_others(turn):
            raise Interleaved
        del self._stack[self._stack.index(turn) :]  # those that began later only read; they begin anew
        return [
            f"ROLLBACK TO SAVEPOINT {turn.savepoint}",
            f"RELEASE SAVEPOINT {turn.savepoint}",
            *self._release_closed(),
        ]

    def doom(self, owner: int) -> list[str]:
        """Undo a failed transaction now, because another tenant goes on; its owner still has to end it."""
        owes_an_end = self.open(owner)
        commands = self.rollback(owner, failed=True)
        if owes_an_end:
            self._doomed.add(owner)
        return commands

    def check_rollback_to(self, owner: int) -> None:
        """Whether the tenant may go back to a savepoint of its own.

        Raises:
            Interleaved: another tenant is in a transaction that began later (its savepoints may have the
                same names), or has written since this one began.
        """
        turn = self._turn(owner)
        if turn is not None and self._others(turn):
            raise Interleaved

    def may_release(self, owner: int) -> bool:
        """Whether the tenant's own savepoints are on top: giving one up gives up all that came later."""
        turn = self._turn(owner)
        return turn is None or self._stack[-1] is turn

    def runs(self, owner: int) -> bool:
        """Whether this tenant has a savepoint, be it for one statement only."""
        return self._turn(owner) is not None

    def _turn(self, owner: int) -> _Turn | None:
        return next((turn for turn in self._stack if turn.owner == owner and turn.open), None)

    def _others(self, turn: _Turn) -> bool:
        later = self._stack[self._stack.index(turn) + 1 :]
        return self._written_by_others(turn) or any(other.open for other in later)

    def _written_by_others(self, turn: _Turn) -> bool:
        return any(
            written > turn.started for owner, written in self._last_write.items() if owner != turn.owner
        )

    def _release_closed(self) -> list[str]:
        """Give up the savepoints on top that nobody needs; releasing one releases those above it."""
        lowest = None
        while self._stack and not self._stack[-1].open:
            lowest = self._stack.pop()
        return [f"RELEASE SAVEPOINT {lowest.savepoint}"] if lowest else []
