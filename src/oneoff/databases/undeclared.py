"""The databases that a task opens and that its app has not declared."""

from __future__ import annotations

from oneoff.databases.watching import Notes

DECLARE_IT = "declare it: App(…, database=…), or `database` under [tool.oneoff]"
"""What makes a dry run hold a database."""


class Undeclared:
    """What is known of them in one dry run; the same for all drivers."""

    def __init__(self, *, readable: bool, held: bool = True) -> None:
        """``readable``: the app declares some database, so that this one is beside the point, and is there to
        be read. Where it declares none, the one that the task opens is most likely the one that counts.
        ``held``: they are read-only; else they are only named."""
        self.notes = Notes()
        self.held = held
        self._readable = readable
        self._excused: set[str] = set()

    def excuse(self, database: str, why: str) -> None:
        """One that is declared, and needs no seal."""
        self._excused.add(database)
        self.notes.gap(why)

    def meet(self, database: str) -> None:
        """The task opens one. Raises DryRunStopped where it may not even be read."""
        if not self.held:
            self.notes.gap(
                f"{database}: not the app's declared database, what is written there is not counted"
            )
            return
        if not self._readable:
            raise self.notes.attempt(
                f"the task opens {database}, and the app declares no database that a dry run could hold;"
                f" {DECLARE_IT}"
            )
        if database not in self._excused:
            self.notes.gap(f"{database}: not the app's declared database, opened read-only")
