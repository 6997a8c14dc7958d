"""Role-based access: what Roles that are bound to somebody permit."""

from __future__ import annotations

from collections.abc import Iterator

from tests.kubernetes.kinds import Key, Object
from tests.kubernetes.storage import Storage

GROUP = "rbac.authorization.k8s.io"
SERVICE_ACCOUNT = "system:serviceaccount:"


def permit(
    storage: Storage,
    user: str,
    groups: tuple[str, ...],
    verb: str,
    resource: tuple[str, str],
    namespace: str,
    name: str,
) -> bool:
    """Whether a Role of the namespace, bound to the user or a group, lets them do it.

    ``resource`` is the API group and ``jobs`` or ``pods/log``. ClusterRoles are not known here.
    """
    return any(
        _covers(rule, verb, resource, name)
        for binding in storage.items(GROUP, "rolebindings", namespace)
        if namespace and any(_is(subject, user, groups) for subject in binding.get("subjects") or [])
        for rule in _rules(storage, namespace, binding["roleRef"])
    )


def _rules(storage: Storage, namespace: str, reference: Object) -> Iterator[Object]:
    role = storage.get(Key(GROUP, "roles", namespace, reference["name"]))
    if reference["kind"] == "Role" and role is not None:
        yield from role.get("rules") or []


def _is(subject: Object, user: str, groups: tuple[str, ...]) -> bool:
    match subject["kind"]:
        case "ServiceAccount":
            return f"{SERVICE_ACCOUNT}{subject['namespace']}:{subject['name']}" == user
        case "Group":
            return subject["name"] in groups
    return bool(subject["name"] == user)


def _covers(rule: Object, verb: str, resource: tuple[str, str], name: str) -> bool:
    wanted = (("verbs", verb), ("apiGroups", resource[0]), ("resources", resource[1]))
    names = rule.get("resourceNames")
    return all({"*", value} & set(rule.get(key) or []) for key, value in wanted) and (
        not names or name in names
    )
