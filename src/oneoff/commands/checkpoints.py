"""The log's checkpoint: stated, signed, given to the anchors, and recalled from where it was kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from oneoff.audit import event
from oneoff.audit.evidence import UNSIGNED, Evidence, Statement, read
from oneoff.audit.note import VerifyKey, checkpoint_text, origin_of
from oneoff.audit.verify import Pruned
from oneoff.commands.attend import require_store
from oneoff.errors import (
    EvidenceUnfit,
    InvalidSettings,
    KeyUnusable,
    OneoffError,
    StoreUnavailable,
    UsageError,
)
from oneoff.execution.failure import summary
from oneoff.protocols import Keys, Services
from oneoff.settings import Settings

SIGNATURE = "signature"
"""Stands in the place of an anchor's name where the key could not be used."""
ERROR_LIMIT = 500
"""Characters of what an anchor said that are recorded."""


def state(services: Services, *, sign: bool = True) -> Statement:
    """The log's present checkpoint, signed where a key is configured.

    Raises:
        KeyUnusable: the configured key cannot be used.
        StoreUnavailable: there is no log to be read.
    """
    require_store(services, "there is no checkpoint")
    origin = origin_of(services.store.log_name())
    checkpoint = services.store.checkpoint()
    signing = sign and services.settings.audit.key is not None
    note = services.keys().sign(checkpoint_text(origin, checkpoint)) if signing else None
    return Statement(origin=origin, checkpoint=checkpoint, note=note, at=services.clock.now())


def publish(services: Services, *, stdout_taken: bool = False) -> bool:
    """Give the checkpoint to every anchor; whether all of them have kept it.

    A failure changes nothing about the run that has just ended: it is told loudly, and recorded.
    """
    if not services.anchors:
        return True
    failures: list[tuple[str, str]] = []
    try:
        statement = _stated(services, failures)
    except Exception as error:  # a run's outcome does not depend on what fails here
        services.say(f"WARNING: no anchor has the present checkpoint: {summary(error)}")
        return False
    for anchor in services.anchors:
        try:
            anchor.keep(statement, stdout_taken=stdout_taken)
        except OneoffError as error:
            failures.append((anchor.name, error.message))
        except (KeyboardInterrupt, Exception) as error:
            failures.append((anchor.name, summary(error)))
    for name, why in failures:
        _tell(services, statement, name, why)
    return not failures


def _stated(services: Services, failures: list[tuple[str, str]]) -> Statement:
    """Unsigned where the key cannot be used: that is still worth more than nothing."""
    try:
        return state(services)
    except StoreUnavailable:
        raise
    except OneoffError as error:
        failures.append((SIGNATURE, error.message))
        return state(services, sign=False)


def _tell(services: Services, statement: Statement, name: str, why: str) -> None:
    done = "signed" if name == SIGNATURE else f"kept by its anchor ({name})"
    services.say(f"WARNING: checkpoint {statement.checkpoint} was not {done}: {why}")
    told = event.of_log(
        "anchor_failed",
        services.actor,
        services.observer,
        services.clock.now(),
        anchor=name[:ERROR_LIMIT],
        error=why[:ERROR_LIMIT],
        checkpoint=str(statement.checkpoint),
    )
    with suppress(Exception):  # it has been said
        services.store.record(told)


def recall(services: Services, text: str, keys: Sequence[str] = ()) -> list[Evidence]:
    """The checkpoints of this log in a text that was kept elsewhere; see :func:`weigh`."""
    origin = origin_of(services.store.log_name())
    return weigh(text, keys, origin=origin, settings=services.settings, own_keys=services.keys)


def weigh(
    text: str, keys: Sequence[str], *, origin: str, settings: Settings, own_keys: Callable[[], Keys]
) -> list[Evidence]:
    """The checkpoints in a text that was kept elsewhere, and how each is vouched for.

    Args:
        text: see :mod:`oneoff.audit.evidence` for its forms.
        keys: public keys; then nothing counts that none of them signed. Without any, the configured ones
            are used, and what is not signed at all is taken as it is.
        origin: names the log that they have to be of.

    Raises:
        UsageError: there is no checkpoint in it, or a key is none.
        EvidenceUnfit: it is of another log, or its signature is not the key's.
    """
    try:
        return read(
            text,
            origin=origin,
            keys=_known_keys(keys, settings, own_keys),
            fits=lambda *signed: own_keys().fits(*signed),
            signed=bool(keys),
        )
    except ValueError as error:
        raise UsageError(f"{_brief(text)!r} is no checkpoint: {error}") from None


def vouch(
    stated: Pruned, keys: Sequence[str], *, origin: str, settings: Settings, own_keys: Callable[[], Keys]
) -> str:
    """How the statement of what was pruned is vouched for: as :attr:`Evidence.vouched` says it.

    One without a signature is no wrong one: the key may be younger.

    Raises:
        EvidenceUnfit: its note is none, of another log or another cut, or not signed by one of the keys.
    """
    known = _known_keys(keys, settings, own_keys)
    if stated.note is None:
        return UNSIGNED
    what = f"event {stated.place} states what was pruned, and"
    try:
        [signed] = read(
            stated.note, origin=origin, keys=known, fits=lambda *given: own_keys().fits(*given), signed=True
        )
    except ValueError as error:
        raise EvidenceUnfit(f"{what} its note is none: {error}") from None
    except EvidenceUnfit as error:
        raise EvidenceUnfit(f"{what} {error.message}") from None
    if str(signed.checkpoint) != f"{stated.to}:{stated.root}":
        raise EvidenceUnfit(
            f"{what} its note is of the checkpoint {signed.checkpoint}, not of {stated.to}:{stated.root}"
        )
    return signed.vouched


def _known_keys(keys: Sequence[str], settings: Settings, own_keys: Callable[[], Keys]) -> Sequence[VerifyKey]:
    """Those that are given; else the configured ones, else the installation's own."""
    return [_key(key) for key in keys] or configured_keys(settings) or _own_key(own_keys)


def configured_keys(settings: Settings) -> list[VerifyKey]:
    """The public keys of the settings; raises InvalidSettings."""
    found = []
    for text in settings.audit.verify_keys:
        try:
            found.append(VerifyKey.parse(text))
        except ValueError as error:
            raise InvalidSettings(f"[tool.oneoff.audit] verify_key: {error}") from None
    return found


def _own_key(keys: Callable[[], Keys]) -> list[VerifyKey]:
    """Where the settings name a private key only; who may not read it checks with ``--key``."""
    with suppress(KeyUnusable):
        own = keys().verify_key()
        return [] if own is None else [own]
    return []


def _key(text: str) -> VerifyKey:
    try:
        return VerifyKey.parse(text)
    except ValueError as error:
        raise UsageError(f"--key: {error}") from None


def _brief(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}…"
