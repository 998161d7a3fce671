"""Users, their tokens and roles, and the access rules for private and gated repositories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from localhub.errors import HubError, forbidden
from localhub.store.repository import Repository

Role = Literal["read", "write"]
EVERY_ORG = "*"


@dataclass(frozen=True)
class User:
    """A person with one token; `orgs` are the other namespaces that they may write to (`*`: all of them)."""

    name: str
    token: str
    role: Role = "read"
    orgs: tuple[str, ...] = ()

    def belongs_to(self, namespace: str) -> bool:
        return namespace == self.name or namespace in self.orgs or EVERY_ORG in self.orgs


class Users:
    """All users, by token."""

    def __init__(self) -> None:
        self._by_token: dict[str, User] = {}

    def add(self, user: User) -> None:
        self._by_token[user.token] = user

    def names(self) -> list[str]:
        return sorted(user.name for user in self._by_token.values())

    def authenticate(self, authorization: str | None) -> User | None:
        """The user of a request, None for an anonymous one; HubError 401 for an unknown token."""
        if not authorization:
            return None
        scheme, _, token = authorization.partition(" ")
        user = self._by_token.get(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise HubError(401, "Invalid credentials in Authorization header")
        return user


def may_see(user: User | None, repository: Repository) -> bool:
    """Tell if the repository is visible to this user."""
    if not repository.private:
        return True
    return user is not None and (user.belongs_to(repository.namespace) or user.name in repository.granted)


def may_download(user: User | None, repository: Repository) -> bool:
    """Tell if the user may read the files; a gated repository requires a grant, also of its organisation's members."""
    if not repository.gated:
        return True
    owners = {repository.creator, repository.namespace}
    return user is not None and (user.name in repository.granted or user.name in owners)


def require_writer(user: User | None) -> User:
    """The user, if the token may write at all (HubError 401 or 403)."""
    if user is None:
        raise HubError(401, "Invalid username or password.")
    if user.role != "write":
        raise forbidden(f"The token of {user.name} has the role `read`; this needs a token with the role `write`")
    return user


def require_member(user: User | None, namespace: str) -> User:
    """The user, if they may change repositories of the namespace (HubError 401 or 403)."""
    writer = require_writer(user)
    if not writer.belongs_to(namespace):
        raise forbidden(f"You don't have the rights to change repositories under the namespace {namespace!r}")
    return writer
