"""``audit selftest``: try every attack on a throw-away log, and say what sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from oneoff.audit.verify import Verification
from oneoff.commands.audit import verify
from oneoff.commands.checkpoints import recall
from oneoff.commands.selftest.attacks import GROUPS, Attack, Check
from oneoff.commands.selftest.scene import WHOLE, Bench, Scene, set_up
from oneoff.errors import EvidenceUnfit, StoreCorrupted, UsageError
from oneoff.protocols import Services


@dataclass(frozen=True, kw_only=True)
class Result:
    """What saw an attack."""

    attack: Attack
    seen: Mapping[Check, bool]
    """Empty where it was not tried; a check that cannot be made here is missing."""
    how: Mapping[Check, str]
    """In which words, where it was seen."""

    @property
    def as_documented(self) -> bool:
        return all(seen == (check in self.attack.seen_by) for check, seen in self.seen.items())


@dataclass(frozen=True, kw_only=True)
class Report:
    """All attacks on one kind of store."""

    store: str
    results: tuple[Result, ...]
    signing: bool
    """Whether signatures could be made."""

    @property
    def ok(self) -> bool:
        return all(result.as_documented for result in self.results)


def check_url(url: str) -> None:
    """Raise UsageError where this is no URL of a PostgreSQL database."""
    if not url.startswith(("postgresql://", "postgres://")):
        raise UsageError(
            "--url names a PostgreSQL database", next_step="--url postgresql://USER@HOST/DATABASE"
        )


def selftest(bench: Bench) -> Report:
    """Try every attack, each on the same log. Raises StoreUnavailable where there can be none."""
    scene = set_up(bench)
    results = [_tried(scene, attack) for group in GROUPS for attack in group.attacks]
    return Report(store=bench.laboratory.name, results=tuple(results), signing=bench.signer is not None)


def _tried(scene: Scene, attack: Attack) -> Result:
    seen, how = dict[Check, bool](), dict[Check, str]()
    if scene.bench.signer is not None or not attack.signing:
        kept = scene.outside
        scene.laboratory.put_back(WHOLE)
        scene.remember(kept.remembered)
        scene.kept = replace(kept)
        attack.act(scene)
        with scene.open() as store:
            services = replace(scene.services, store=store)
            for check, look in _checks(scene).items():
                seen[check], how[check] = _seen(services, look)
        scene.kept = kept
    return Result(attack=attack, seen=seen, how=how)


_Look = Callable[[Services], Verification]


def _checks(scene: Scene) -> dict[Check, _Look]:
    """How the log is held against each thing, as ``audit verify`` does it."""
    outside = scene.outside
    checks: dict[Check, _Look] = {
        Check.ALONE: lambda services: verify(replace(services, witness=None)),
        Check.REMEMBERED: verify,
        Check.ANCHORED: lambda services: _compared(services, outside.anchored, []),
    }
    if scene.bench.signer:
        checks[Check.SIGNED] = lambda services: _compared(services, outside.signed, [str(scene.key)])
    return checks


def _compared(services: Services, text: str, keys: list[str]) -> Verification:
    try:
        kept = recall(services, text, keys)
    except UsageError as error:  # with a key, what nobody signed is no checkpoint
        raise EvidenceUnfit(error.message) from None
    return verify(replace(services, witness=None), kept=[evidence.checkpoint for evidence in kept])


def _seen(services: Services, look: _Look) -> tuple[bool, str]:
    try:
        found = look(services)
    except (StoreCorrupted, EvidenceUnfit) as error:
        return True, error.message
    return not found.ok, "" if found.ok else found.problems[0]
