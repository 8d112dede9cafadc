"""Name the roles and decide what a verified caller may do."""

import enum
from dataclasses import dataclass
from typing import Final

from ticketcap_chassis.errors import NotFound, PermissionDenied


class Role(enum.StrEnum):
    """The role of a token's holder; SERVICE is another TicketCap service."""

    SUPER_ADMIN = "SUPER_ADMIN"
    OWNER = "OWNER"
    ADMIN = "ADMIN"
    MANAGER = "MANAGER"
    VIEWER = "VIEWER"
    SERVICE = "SERVICE"


VIEWERS: Final = frozenset({Role.SUPER_ADMIN, Role.OWNER, Role.ADMIN, Role.MANAGER, Role.VIEWER})
MANAGERS: Final = VIEWERS - {Role.VIEWER}
ADMINS: Final = MANAGERS - {Role.MANAGER}
SUPER_ADMINS: Final = frozenset({Role.SUPER_ADMIN})
SERVICES: Final = frozenset({Role.SERVICE})


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller. ``school`` is a slug; None if the role spans schools."""

    subject: str
    role: Role
    school: str | None

    def require(self, roles: frozenset[Role]) -> None:
        """Raise PermissionDenied unless this caller has one of ``roles``."""
        if self.role not in roles:
            raise PermissionDenied(f"the role {self.role} may not do this; required: one of {', '.join(sorted(roles))}")

    def require_school(self, school: str, roles: frozenset[Role]) -> None:
        """Raise unless this caller may act for ``school`` (a slug) with one of ``roles``.

        Another school's caller gets NotFound, which does not reveal whether the object exists.
        """
        if not self.belongs_to(school):
            raise NotFound(f"no school {school!r}")
        self.require(roles)

    def belongs_to(self, school: str) -> bool:
        """Return whether this caller may see data of ``school`` (a slug)."""
        return self.role in {Role.SUPER_ADMIN, Role.SERVICE} or self.school == school
