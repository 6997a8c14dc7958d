"""Who asks, and what they may: bearer tokens, a list of denials, and Roles for those who need one."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.kubernetes import answers, roles
from tests.kubernetes.kinds import Kind, Object
from tests.kubernetes.storage import Storage


@dataclass(frozen=True)
class User:
    """Somebody who is known by a token."""

    name: str
    groups: tuple[str, ...] = ("system:authenticated",)
    extra: Object = field(default_factory=dict, compare=False)

    def info(self) -> Object:
        """As a review shows a user."""
        info: Object = {"username": self.name, "groups": list(self.groups)}
        return info | ({"extra": self.extra} if self.extra else {})


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
ADMIN = User(
    "admin",
    ("system:masters", "system:authenticated"),
    {"authentication.kubernetes.io/credential-id": ["X509SHA256=" + "0" * 64]},
)


@dataclass(frozen=True)
class Denial:
    """What a user may not do; ``*`` stands for everything."""

    user: str = "*"
    verb: str = "*"
    resource: str = "*"
    """``jobs``, or ``pods/log`` for a subresource."""
    namespace: str = "*"
    group: str = "*"

    def covers(self, user: str, verb: str, group: str, resource: str, namespace: str) -> bool:
        pairs = zip(
            (self.user, self.verb, self.group, self.resource, self.namespace),
            (user, verb, group, resource, namespace),
            strict=True,
        )
        return all(wanted in ("*", given) for wanted, given in pairs)


class Access:
    """Everybody with a known token may do everything, save what is denied; nobody else may do anything.

    A service account, and whoever is in ``ruled``, may do what Roles permit them, and no more.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.ruled: set[str] = set()
        self.users: dict[str, User] = {"admin-token": ADMIN}
        self.denials: list[Denial] = []
        self.expired: set[str] = set()
        self.anonymous = ANONYMOUS
        """Who a request without a token is from; kubectl sends no token over plain HTTP."""

    def add(self, name: str, *groups: str) -> str:
        """A user's token."""
        self.users[f"{name}-token"] = User(name, (*groups, "system:authenticated"))
        return f"{name}-token"

    def deny(
        self,
        verb: str = "*",
        resource: str = "*",
        *,
        user: str = "*",
        namespace: str = "*",
        group: str = "*",
    ) -> None:
        """Take a right away: ``deny("create", "jobs", user="alice")``."""
        self.denials.append(Denial(user, verb, resource, namespace, group))

    def user(self, authorization: str | None) -> User:
        """Who a request is from; Refused with 401 for a token that is unknown or has expired."""
        if not authorization:
            return self.anonymous
        token = authorization.removeprefix("Bearer ").strip()
        if token in self.expired or token not in self.users:
            raise answers.unauthorized()
        return self.users[token]

    def allowed(
        self, user: User, verb: str, group: str, resource: str, namespace: str, name: str = ""
    ) -> bool:
        if user == ANONYMOUS:
            return False
        ruled = self._ruled(user)
        place = ((group, resource), namespace, name)
        if ruled and not roles.permit(self._storage, user.name, user.groups, verb, *place):
            return False
        return not any(denial.covers(user.name, verb, group, resource, namespace) for denial in self.denials)

    def unrestricted(self, user: User) -> bool:
        """Whether nothing at all is denied to a user."""
        return user != ANONYMOUS and not self._ruled(user) and not self.denials

    def _ruled(self, user: User) -> bool:
        return user.name in self.ruled or user.name.startswith(roles.SERVICE_ACCOUNT)

    def check(
        self, user: User, verb: str, kind: Kind, namespace: str, name: str = "", subresource: str = ""
    ) -> None:
        """Refused with 403 where the user may not."""
        what = kind.plural + (f"/{subresource}" if subresource else "")
        if not self.allowed(user, verb, kind.group, what, namespace, name):
            raise answers.forbidden(user.name, verb, kind, namespace, name, subresource)
