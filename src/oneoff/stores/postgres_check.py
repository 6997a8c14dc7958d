"""What ``oneoff doctor`` says of a store in PostgreSQL; changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

from oneoff.errors import OneoffError
from oneoff.protocols import Finding
from oneoff.stores import queries
from oneoff.stores.postgres_admin import MINIMUM_SERVER
from oneoff.stores.postgres_call import Row
from oneoff.stores.postgres_link import Link

CLOCK_SECONDS = 5.0
"""A difference between the clocks that is told: times in the log come from the machine that runs."""
GUARDS = 15
"""Triggers that keep the log append-only: for updates, deletions and truncations of five tables."""

_SQL = queries.load("postgres_check.sql")
_INIT = "`oneoff store init --owner-url URL` in a database of its own, with a role of its own for the app"


def check(url: str) -> list[Finding]:
    """Ownership, grants, guards, the server, its clock. Raises StoreUnavailable where none can be asked."""
    link = Link(url)
    try:
        link.ask(_SQL["server"])  # a server that is away is one finding, and that on the store says it
        return [_look(name, probe, link) for name, probe in _PROBES.items()]
    finally:
        link.close()


def _look(name: str, probe: Callable[[Link], Finding], link: Link) -> Finding:
    try:
        return probe(link)
    except OneoffError as error:
        return Finding(name=name, ok=False, message=error.message, next_step=error.next_step)


def _server(link: Link) -> Finding:
    [(version, number, _, replica)] = link.ask(_SQL["server"])
    kind = "replica, which can only be read" if replica else "primary server"
    fine = number >= MINIMUM_SERVER
    return Finding(
        name="server",
        ok=fine,
        message=f"PostgreSQL {version}, {kind}, at {link.place}",
        next_step="" if fine else f"use PostgreSQL {MINIMUM_SERVER // 10000} or newer",
    )


def _clock(link: Link) -> Finding:
    before = time.time()
    [(_, _, theirs, _)] = link.ask(_SQL["server"])
    skew = theirs - (before + time.time()) / 2
    fine = abs(skew) <= CLOCK_SECONDS
    return Finding(
        name="clock",
        ok=fine,
        message=f"the server's clock is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} this one",
        next_step="" if fine else "let both machines take their time from the same source (NTP)",
    )


def _owner(link: Link) -> Finding:
    owners = link.ask(_SQL["owners"])
    names = ", ".join(name for name, _ in owners)
    if len(owners) != 1:
        return _bad("owner", f"the schema oneoff and what is in it belong to several roles: {names}", _INIT)
    if owners[0][1]:
        return _bad("owner", f"the store belongs to {names}, who may log in", f"ALTER ROLE {names} NOLOGIN")
    return Finding(name="owner", ok=True, message=f"the store belongs to {names}, who cannot log in")


def _role(link: Link) -> Finding:
    [(name, superuser, member, may_create)] = link.ask(_SQL["role"])
    writers = link.ask(_SQL["writers"])
    missing = [what for (what,) in link.ask(_SQL["missing"])]
    if superuser:
        return _bad("role", f"{name} is a superuser: the database does not protect the log from it", _INIT)
    if member:
        return _bad(
            "role", f"{name} is a member of the store's owner, and may change what is recorded", _INIT
        )
    if may_create:
        return _bad("role", f"{name} may create things in the schema oneoff", f"REVOKE CREATE … FROM {name}")
    if writers:
        return _bad("role", f"more than reading was granted: {_pairs(writers)}", "REVOKE that from them")
    if missing:
        grant = "`oneoff store init --owner-url URL` grants it; a role that only reads needs SELECT alone"
        return _bad("role", f"{name} lacks {', '.join(missing)}", grant)
    return Finding(name="role", ok=True, message=f"{name} may read, and call the store's functions")


def _guards(link: Link) -> Finding:
    off = link.ask(_SQL["guards"])
    [(count,)] = link.ask(_SQL["guard_count"])
    if off or count < GUARDS:
        what = _pairs(off) if off else f"{GUARDS - count} of {GUARDS} are gone"
        return _bad(
            "guards", f"triggers that keep the log append-only are off: {what}", "find out who did it"
        )
    return Finding(name="guards", ok=True, message=f"{count} triggers keep the log append-only")


def _pairs(rows: list[Row]) -> str:
    return ", ".join(f"{one} on {other}" for one, other in rows[:5])


def _bad(name: str, message: str, next_step: str) -> Finding:
    return Finding(name=name, ok=False, message=message, next_step=next_step)


_PROBES: dict[str, Callable[[Link], Finding]] = {
    "server": _server,
    "clock": _clock,
    "owner": _owner,
    "role": _role,
    "guards": _guards,
}
