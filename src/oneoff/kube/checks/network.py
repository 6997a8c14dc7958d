"""What the NetworkPolicies of a namespace mean for a run, whose labels are not the app's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from oneoff.kube.objects import Object, name_of
from oneoff.kube.selectors import Labels, selects

_DNS: Final = ("53", "dns", "domain")


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What a run may connect to, beside what the app may."""

    lost: tuple[str, ...] = ()
    """Policies that say where the app's pods may connect to, and are not for the run's."""
    free: bool = False
    """No policy says where the run may connect to: it may connect to anything that lets it in."""
    held: tuple[str, ...] = ()
    """Policies that keep the run from every connection, which the app's pods may make; DNS does not count."""
    shut: tuple[str, ...] = ()
    """Policies of other pods that let the app in, and not the run."""
    labels: tuple[str, ...] = ()
    """The labels of the app by which those of ``lost`` and ``shut`` would be for the run as well."""


def reach(policies: Sequence[Object], app: Labels, run: Labels, namespace: Labels) -> Reach:
    """Compare where the two may connect to.

    Args:
        namespace: The labels of the namespace, which both are in.
    """
    outward = [policy for policy in policies if "Egress" in _directions(policy)]
    of_app = [policy for policy in outward if _for(policy, app)]
    of_run = [policy for policy in outward if _for(policy, run)]
    lost = [policy for policy in of_app if policy not in of_run]
    app_gets_out = not of_app or any(map(_leads_out, of_app))
    held = of_run if app_gets_out and not any(map(_leads_out, of_run)) else []
    shut = [
        policy
        for policy in policies
        if _lets_in(policy, app, namespace)
        and not _lets_in(policy, run, namespace)
        and not _for(policy, app)
        and not _opened(policy, policies, run, namespace)
    ]
    selectors = [_spec(policy).get("podSelector") for policy in lost]
    selectors += [peer.get("podSelector") for policy in shut for peer in _peers(policy)]
    return Reach(
        lost=_names(lost),
        free=not of_run,
        held=_names(held),
        shut=_names(shut),
        labels=tuple(sorted({key for selector in selectors for key in _keys(selector, app, run)})),
    )


def _spec(policy: Object) -> Object:
    return policy.get("spec") or {}


def _names(policies: Iterable[Object]) -> tuple[str, ...]:
    return tuple(sorted(map(name_of, policies)))


def _for(policy: Object, labels: Labels) -> bool:
    return selects(_spec(policy).get("podSelector"), labels)


def _directions(policy: Object) -> Sequence[str]:
    spec = _spec(policy)
    given: Sequence[str] | None = spec.get("policyTypes")
    return given or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])


def _leads_out(policy: Object) -> bool:
    """Whether it lets anything out besides questions to DNS."""
    return any(not _dns_alone(rule) for rule in _spec(policy).get("egress") or [])


def _dns_alone(rule: Object) -> bool:
    ports = rule.get("ports") or []
    return bool(ports) and all(str(port.get("port")) in _DNS and "endPort" not in port for port in ports)


def _peers(policy: Object) -> list[Object]:
    return [peer for rule in _spec(policy).get("ingress") or [] for peer in rule.get("from") or []]


def _lets_in(policy: Object, labels: Labels, namespace: Labels) -> bool:
    """Whether a pod with these labels, in the same namespace, may connect to those of the policy."""
    if "Ingress" not in _directions(policy):
        return True
    rules = _spec(policy).get("ingress") or []
    return any(
        not rule.get("from") or any(_is_peer(peer, labels, namespace) for peer in rule["from"])
        for rule in rules
    )


def _is_peer(peer: Object, labels: Labels, namespace: Labels) -> bool:
    if "ipBlock" in peer:
        return False  # an address of a pod is not known before it is there
    if "namespaceSelector" in peer and not selects(peer["namespaceSelector"], namespace):
        return False
    return "podSelector" not in peer or selects(peer["podSelector"], labels)


def _opened(shut: Object, policies: Iterable[Object], run: Labels, namespace: Labels) -> bool:
    """Whether another policy, for the same pods or for all, lets the run in: policies add up."""
    selector = _spec(shut).get("podSelector") or {}
    return any(
        (_spec(one).get("podSelector") or {}) in ({}, selector)
        and "Ingress" in _directions(one)
        and _lets_in(one, run, namespace)
        for one in policies
    )


def _keys(selector: Any, app: Labels, run: Labels) -> set[str]:
    """The labels that this selector selects the app by, and that the run has not or has otherwise."""
    selector = selector or {}
    if not selects(selector, app):
        return set()
    wanted = set(selector.get("matchLabels") or {})
    wanted |= {one.get("key") for one in selector.get("matchExpressions") or []}
    return {key for key in wanted if key in app and app[key] != run.get(key)}


def with_labels(run: Labels, app: Labels, keys: Iterable[str]) -> Mapping[str, str]:
    """The run's labels, were these of the app among them."""
    return {**run, **{key: app[key] for key in keys}}
