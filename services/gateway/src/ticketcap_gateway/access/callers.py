"""Verify the caller: an organiser, or the holder of a registration."""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from ticketcap_chassis.errors import InvalidInput, PermissionDenied, Unauthenticated
from ticketcap_chassis.identity.roles import Principal, Role
from ticketcap_chassis.identity.tokens import TokenVerifier, bearer_token, looks_like_jwt

from ticketcap_gateway import telemetry
from ticketcap_gateway.edge.addresses import Network, client_address
from ticketcap_gateway.edge.operation import Caller

ORGANISER: Final = Caller(name="organiser", credentials=("organiser",))
HOLDER: Final = Caller(name="holder or organiser", credentials=("manageToken", "bearerManageToken", "organiser"))
PAYER: Final = Caller(name="holder", credentials=("manageToken", "bearerManageToken"))
SECURITY_SCHEMES: Final[Mapping[str, dict[str, Any]]] = {
    "organiser": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "bearerManageToken": {"type": "http", "scheme": "bearer", "description": "The registration's manage_token."},
    "manageToken": {"type": "apiKey", "in": "header", "name": "X-Manage-Token"},
}
_NOT_VISIBLE: Final = re.compile(r"[^!-~]")
_KEY: Final = re.compile(r"[!-~]([ -~]{0,253}[!-~])?")
_MAX_MANAGE_TOKEN: Final = 200


@dataclass(frozen=True, slots=True)
class Credentials:
    """The secret that opens a registration: an organiser's JSON Web Token, or a manage token; the other one is ""."""

    organiser: str
    manage_token: str


@dataclass(frozen=True, slots=True)
class Access:
    """Verifies callers. The services verify them again, and decide whose an object is."""

    verifier: TokenVerifier
    trusted_proxies: Sequence[Network]

    async def organiser(self, request: Request, roles: frozenset[Role], school: str | None = None) -> str:
        """Return the token of a caller with one of ``roles`` in ``school`` (a slug; None: in any or none).

        Raises Unauthenticated, PermissionDenied, or NotFound for another school's caller.
        """
        token = bearer_token(request.headers.get("authorization", ""))
        if not token:
            raise Unauthenticated("authentication required: send 'Authorization: Bearer <token>'")
        principal = await self._verified(token)
        if school is None:
            principal.require(roles)
        else:
            principal.require_school(school, roles)
        return token

    async def credentials(self, request: Request, roles: frozenset[Role]) -> Credentials:
        """Return a registration's manage token, or the token of an organiser with one of ``roles``."""
        bearer, manage_token = _tokens(request)
        if bearer and looks_like_jwt(bearer):
            return Credentials(await self.organiser(request, roles), "")
        if not manage_token:
            raise Unauthenticated(
                "authentication required: send the registration's manage token (X-Manage-Token, or "
                "Authorization: Bearer) or an organiser's token"
            )
        return Credentials("", _clipped(manage_token))

    async def holder(self, request: Request) -> str:
        """Return the manage token of a registration's holder.

        Raises PermissionDenied for an organiser, and Unauthenticated for a JSON Web Token that is invalid.
        """
        _, manage_token = _tokens(request)
        if not manage_token:
            raise Unauthenticated(
                "authentication required: send the registration's manage token (X-Manage-Token, or "
                "Authorization: Bearer)"
            )
        if looks_like_jwt(manage_token):
            # Verified first: only a valid token has a role that could be the wrong one.
            await self._verified(manage_token)
            raise PermissionDenied("only the holder of a registration pays for it: send its manage token, not a JWT")
        return _clipped(manage_token)

    async def _verified(self, token: str) -> Principal:
        principal = await self.verifier.verify(token)
        telemetry.record_caller(principal)
        return principal

    def address(self, request: Request) -> str:
        """Return the address that the request came from."""
        peer = request.client.host if request.client else ""
        return client_address(peer, request.headers.getlist("x-forwarded-for"), self.trusted_proxies)


def idempotency_key(request: Request) -> str:
    """Return the request's Idempotency-Key, or a new one: 1 to 255 printable ASCII characters."""
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return uuid.uuid4().hex
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        raise InvalidInput.of("Idempotency-Key", "must be one value of 1 to 255 printable ASCII characters")
    return keys[0]


def _tokens(request: Request) -> tuple[str, str]:
    """Return the Bearer token, and the manage token, which may be the same; "" where there is none."""
    bearer = bearer_token(request.headers.get("authorization", ""))
    return bearer, request.headers.get("x-manage-token", "").strip() or bearer


def _clipped(manage_token: str) -> str:
    """Return a token that the service accepts as text: one too long or not ASCII is as wrong as any other."""
    return _NOT_VISIBLE.sub("?", manage_token[:_MAX_MANAGE_TOKEN])
