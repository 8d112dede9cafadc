"""Sign tokens for local use with the stack's own secret."""

import time
from typing import Any, Final

import jwt
from ticketcap_chassis.identity.roles import Role
from ticketcap_chassis.identity.tokens import ISSUER

_ACROSS_SCHOOLS: Final = frozenset({Role.SUPER_ADMIN, Role.SERVICE})


def make_token(secret: str, *, role: str, school: str | None, hours: float = 12.0, subject: str = "local") -> str:
    """Return a JSON Web Token (HS256) that the services accept; raise ValueError for a wrong role or school."""
    if role not in set(Role):
        raise ValueError(f"--role must be one of {', '.join(Role)}")
    if role in _ACROSS_SCHOOLS and school:
        raise ValueError(f"--role {role} is for all schools: leave --school out")
    if role not in _ACROSS_SCHOOLS and not school:
        raise ValueError(f"--role {role} needs --school")
    now = int(time.time())
    claims: dict[str, Any] = {"sub": subject, "role": role, "iss": ISSUER, "iat": now, "exp": now + int(hours * 3600)}
    return jwt.encode(claims | ({"school": school} if school else {}), secret, algorithm="HS256")
