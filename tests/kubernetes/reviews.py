"""What a server says about itself and about who asks: version, discovery, reviews."""

from __future__ import annotations

from tests.kubernetes.access import Access, User
from tests.kubernetes.kinds import Kind, Kinds, Object
from tests.kubernetes.storage import timestamp

VERSION: Object = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2",
    "gitCommit": "local",
    "gitTreeState": "clean",
    "buildDate": "2026-11-23T00:00:00Z",
    "goVersion": "go1.27.3",
    "compiler": "gc",
    "platform": "linux/amd64",
}
_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_REVIEWS = {
    "authentication.k8s.io": ("selfsubjectreviews", "SelfSubjectReview"),
    "authorization.k8s.io": ("selfsubjectaccessreviews", "SelfSubjectAccessReview"),
}


def discovery(kinds: Kinds, path: list[str]) -> Object | None:
    """The answer for /api, /apis and what is right below; None for every other path."""
    groups = sorted({(kind.group, kind.version) for kind in kinds.known if kind.group})
    groups += [(group, "v1") for group in _REVIEWS]
    match path:
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
        case ["apis"]:
            listed = [_group(group, version) for group, version in groups]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
        case ["apis", group] if group in dict(groups):
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(group, dict(groups)[group])}
        case ["api", "v1"]:
            return _resources("v1", [kind for kind in kinds.known if not kind.group])
        case ["apis", group, version] if (group, version) in groups:
            listed_kinds = [kind for kind in kinds.known if (kind.group, kind.version) == (group, version)]
            return _resources(f"{group}/{version}", listed_kinds, _REVIEWS.get(group))
    return None


def _group(group: str, version: str) -> Object:
    one = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [one], "preferredVersion": one}


def _resources(version: str, kinds: list[Kind], review: tuple[str, str] | None = None) -> Object:
    found: list[Object] = []
    for kind in kinds:
        entry: Object = {
            "name": kind.plural,
            "singularName": kind.kind.lower(),
            "namespaced": kind.namespaced,
        }
        entry |= {"kind": kind.kind, "verbs": _VERBS}
        found.append(entry | ({"shortNames": list(kind.short)} if kind.short else {}))
        for subresource in kind.subresources:
            sub: Object = {"name": f"{kind.plural}/{subresource}", "singularName": ""}
            sub |= {"namespaced": kind.namespaced, "kind": kind.kind, "verbs": ["get", "patch", "update"]}
            found.append(sub)
    if review is not None:
        entry = {"name": review[0], "singularName": "", "namespaced": False, "kind": review[1]}
        found.append(entry | {"verbs": ["create"]})
    return {"kind": "APIResourceList", "groupVersion": version, "resources": found}


def review(access: Access, user: User, path: list[str], body: Object) -> Object | None:
    """The answer to a review that is posted; None for every other path."""
    match path:
        case ["apis", "authentication.k8s.io", "v1", "selfsubjectreviews"]:
            meta = {"creationTimestamp": timestamp()}
            answer: Object = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
            return answer | {"metadata": meta, "status": {"userInfo": user.info()}}
        case ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"]:
            asked = body["spec"].get("resourceAttributes") or {}
            resource = asked.get("resource", "")
            if asked.get("subresource"):
                resource += f"/{asked['subresource']}"
            place = (asked.get("group", ""), resource, asked.get("namespace", ""), asked.get("name", ""))
            allowed = access.allowed(user, asked.get("verb", ""), *place)
            answer = {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1"}
            return answer | {"metadata": {}, "spec": body["spec"], "status": {"allowed": allowed}}
        case ["apis", "authorization.k8s.io", "v1", "selfsubjectrulesreviews"]:
            answer = {"kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1"}
            status = {
                "resourceRules": _rules(access, user, body),
                "nonResourceRules": [],
                "incomplete": False,
            }
            return answer | {"metadata": {}, "spec": body["spec"], "status": status}
    return None


def _rules(access: Access, user: User, body: Object) -> list[Object]:
    """Everything where nothing is denied; else what is left, spelled out for the known kinds."""
    namespace = body["spec"].get("namespace", "")
    if access.unrestricted(user):
        return [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
    rules: list[Object] = []
    known = Kinds().known
    names = [(kind.group, kind.plural) for kind in known]
    names += [(kind.group, f"{kind.plural}/{sub}") for kind in known for sub in kind.subresources]
    for group, resource in names:
        verbs = [verb for verb in _VERBS if access.allowed(user, verb, group, resource, namespace)]
        if verbs:
            rules.append({"verbs": verbs, "apiGroups": [group], "resources": [resource]})
    return rules
