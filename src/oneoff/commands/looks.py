"""Whoever looks at the audit log is recorded in it, where the store can be written."""

from __future__ import annotations

from dataclasses import replace

from oneoff.audit import event
from oneoff.errors import OneoffError
from oneoff.execution.witness import look
from oneoff.protocols import Services, Store
from oneoff.runs.intent import SYNCED_BY
from oneoff.runs.run import Actor
from oneoff.settings import PERSON_CLAIMS
from oneoff.types import JSON

_PERSONS = frozenset({*PERSON_CLAIMS, SYNCED_BY})
"""The claims that name a person."""


def with_subjects(actor: Actor, store: Store) -> Actor:
    """The actor with the opaque ids that stand for every name in the audit log."""
    opaque = {
        name: store.subject(Actor(kind=f"claim {name}", name=value)) if name in _PERSONS else value
        for name, value in actor.claims.items()
    }
    return replace(actor, subject=store.subject(actor), opaque_claims=opaque)


def record_look(services: Services, what: str, **about: JSON) -> None:
    """Append ``log.WHAT``: one event for a look, however much it shows.

    A reader who may not write reads all the same, and is told that nobody will know. Nothing is written into
    a log that is not the one that was seen before.
    """
    if services.no_store:
        return
    try:
        if services.unwritable is not None:
            raise services.unwritable
        if look(services).discrepancy is not None:
            services.say("this look at the audit log is not recorded: it is not the log that was seen before")
            return
        actor = with_subjects(services.actor, services.store)
        services.store.record(event.of_log(what, actor, services.observer, services.clock.now(), **about))
    except OneoffError:
        services.say("this look at the audit log is not recorded: the store cannot be written")
