"""What a request says about its sender: token, address, idempotency key, and the objects that its path names."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, get_args

from starlette.requests import Request
from ticketcap_chassis.errors import InvalidInput, NotFound, PermissionDenied, Unauthenticated
from ticketcap_chassis.identity.roles import Principal, Role
from ticketcap_chassis.identity.tokens import TokenVerifier, bearer_token, looks_like_jwt
from ticketcap_chassis.text import normalize
from ticketcap_observability import sentry, set_school

from ticketcap_gateway.edge.rate_limits import client_address
from ticketcap_gateway.schemas import EscalationKind
from ticketcap_gateway.settings import Network

_NOT_VISIBLE: Final = re.compile(r"[^!-~]")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_KEY: Final = re.compile(r"[!-~]([ -~]{0,253}[!-~])?")
_ESCALATION_KINDS: Final = frozenset(get_args(EscalationKind))
_MAX_MANAGE_TOKEN: Final = 200
_MAX_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who acts on a registration: an organiser's JSON Web Token, or a manage token; the other one is ""."""

    organiser: str
    manage_token: str


@dataclass(frozen=True, slots=True)
class Access:
    """Reads who is calling. The services verify again, and decide whose an object is."""

    verifier: TokenVerifier
    trusted_proxies: Sequence[Network]

    async def organiser(self, request: Request, roles: frozenset[Role], school: str | None = None) -> str:
        """Return the token of a caller with one of ``roles`` in ``school`` (a slug; None: in any or none).

        Raises Unauthenticated, PermissionDenied, or NotFound for another school's caller.
        """
        token = bearer_token(request.headers.get("authorization", ""))
        if not token:
            raise Unauthenticated("this call takes a token: send 'Authorization: Bearer <token>'")
        principal = await self._verified(token)
        if school is None:
            principal.require(roles)
        else:
            principal.require_school(school, roles)
        return token

    async def credentials(self, request: Request, roles: frozenset[Role]) -> Credentials:
        """Return what opens one registration: its manage token, or the token of an organiser with one of ``roles``."""
        bearer = bearer_token(request.headers.get("authorization", ""))
        if bearer and looks_like_jwt(bearer):
            return Credentials(await self.organiser(request, roles), "")
        manage_token = request.headers.get("x-manage-token", "").strip() or bearer
        if not manage_token:
            raise Unauthenticated(
                "this call takes the registration's manage token (X-Manage-Token, or Authorization: Bearer) "
                "or an organiser's token"
            )
        return Credentials("", _clipped(manage_token))

    async def holder(self, request: Request) -> str:
        """Return the manage token of who holds the registration.

        Raises PermissionDenied for an organiser, and Unauthenticated for a JSON Web Token that is invalid.
        """
        bearer = bearer_token(request.headers.get("authorization", ""))
        manage_token = request.headers.get("x-manage-token", "").strip() or bearer
        if not manage_token:
            raise Unauthenticated(
                "this call takes the registration's manage token: X-Manage-Token, or Authorization: Bearer"
            )
        if looks_like_jwt(manage_token):
            # Verified first: only a valid token has a role that could be the wrong one.
            await self._verified(manage_token)
            raise PermissionDenied("only the holder of a registration pays for it: send its manage token, not a JWT")
        return _clipped(manage_token)

    async def _verified(self, token: str) -> Principal:
        principal = await self.verifier.verify(token)
        sentry.set_user(principal.subject, principal.role)
        return principal

    def address(self, request: Request) -> str:
        """Return the address that the request really came from."""
        peer = request.client.host if request.client else ""
        return client_address(peer, request.headers.getlist("x-forwarded-for"), self.trusted_proxies)


def _clipped(manage_token: str) -> str:
    """Return a token that the service takes: one too long or not ASCII is as wrong as any other wrong one."""
    return _NOT_VISIBLE.sub("?", manage_token[:_MAX_MANAGE_TOKEN])


def school_of(request: Request) -> str:
    """Return the school that the path names; NotFound when no school can have that name."""
    given = request.path_params["school"]
    school = normalize.slug(given)
    if school is None:
        raise NotFound(f"no school {given[:_MAX_SHOWN]!r}", reason="SCHOOL_NOT_FOUND")
    set_school(school)
    return school


def event_of(request: Request) -> tuple[str, str]:
    """Return the school and the event (its id or slug) that the path names."""
    school, given = school_of(request), request.path_params["event"]
    event = given if is_uuid(given) else normalize.slug(given)
    if event is None:
        raise NotFound(f"school {school!r} has no event {given[:_MAX_SHOWN]!r}", reason="EVENT_NOT_FOUND")
    return school, str(event)


def registration_of(request: Request) -> str:
    """Return the registration's id that the path names; NotFound when it can't be one."""
    return _id_of(request, "registration")


def payment_of(request: Request) -> str:
    """Return the payment's id that the path names; NotFound when it can't be one."""
    return _id_of(request, "payment")


def escalation_of(request: Request) -> tuple[str, str]:
    """Return the kind and the id of the escalation that the path names; NotFound when there can't be one."""
    kind = request.path_params["kind"]
    if kind not in _ESCALATION_KINDS:
        raise NotFound(f"no escalations of kind {kind[:_MAX_SHOWN]!r}", reason="ESCALATION_NOT_FOUND")
    return kind, _id_of(request, "escalation")


def is_uuid(given: str) -> bool:
    """Say whether this can be the id of anything."""
    return _UUID.fullmatch(given) is not None


def _id_of(request: Request, what: str) -> str:
    given = request.path_params["id"]
    if not is_uuid(given):
        raise NotFound(f"no {what} {given[:_MAX_SHOWN]!r}", reason=f"{what.upper()}_NOT_FOUND")
    return str(given)


def idempotency_key(request: Request) -> str:
    """Return the request's Idempotency-Key, or a new one: 1 to 255 printable ASCII characters."""
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return uuid.uuid4().hex
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        raise InvalidInput.of("Idempotency-Key", "must be one value of 1 to 255 printable ASCII characters")
    return keys[0]
