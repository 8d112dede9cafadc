"""Check the caller's right to a call.

Organisers have roles, holders have tokens, and other services have a role of their own.
"""

from ticketcap_chassis.errors import Unauthenticated
from ticketcap_chassis.identity.roles import SERVICES, SUPER_ADMINS, Principal, Role
from ticketcap_chassis.identity.tokens import TokenVerifier
from ticketcap_chassis.rpc.authentication import caller, caller_or_none
from ticketcap_observability import set_school

from ticketcap_registration.domain.errors import RegistrationNotFound
from ticketcap_registration.domain.holder_token import HolderTokens
from ticketcap_registration.domain.keys import EventKey, SchoolKey, parse_registration_id
from ticketcap_registration.store.directory import Directory


class Access:
    """Returns the key of the caller's school or event; raises Unauthenticated, PermissionDenied or NotFound."""

    def __init__(
        self,
        verifier: TokenVerifier,
        directory: Directory,
        *,
        manage_tokens: HolderTokens,
        pay_tokens: HolderTokens,
    ) -> None:
        self._verifier = verifier
        self._manage_tokens = manage_tokens
        self._pay_tokens = pay_tokens
        self._directory = directory

    async def super_admin(self) -> None:
        """Require a SUPER_ADMIN."""
        (await caller(self._verifier)).require(SUPER_ADMINS)

    async def service(self) -> None:
        """Require another service."""
        (await caller(self._verifier)).require(SERVICES | SUPER_ADMINS)

    async def hold(self, registration: str, *, manage_token: str, pay_token: str) -> EventKey:
        """Require another service and, if it forwards one, the holder's token; return the event."""
        await self.service()
        if manage_token:
            _must_match(self._manage_tokens, registration, manage_token)
        elif pay_token:
            _must_match(self._pay_tokens, registration, pay_token)
        return await self._event_of(registration)

    async def school(self, school: str, roles: frozenset[Role]) -> SchoolKey:
        """Require an organiser of ``school`` with one of ``roles``; to others the school does not exist."""
        (await caller(self._verifier)).require_school(school, roles)
        set_school(school)
        key = await self._directory.school(school)
        set_school(key.slug, key.id, key.synthetic)
        return key

    async def event(self, school: str, event: str, roles: frozenset[Role]) -> EventKey:
        """Require an organiser of ``school`` with one of ``roles``; return the event."""
        await self.school(school, roles)
        return await self._directory.event(school, event)

    async def registration(self, registration: str, manage_token: str, roles: frozenset[Role]) -> tuple[EventKey, bool]:
        """Require the holder, or an organiser with one of ``roles``. Return the event, and whether the holder calls.

        A registration that the caller has no right to is not found.
        """
        if manage_token:
            _must_match(self._manage_tokens, registration, manage_token)
            return await self._event_of(registration), True
        principal = await caller_or_none(self._verifier)
        if principal is None:
            raise Unauthenticated("send the registration's manage token, or an organiser's token")
        return await self._event_of_organiser(registration, principal, roles), False

    async def _event_of_organiser(self, registration: str, principal: Principal, roles: frozenset[Role]) -> EventKey:
        if principal.school is None:
            event = await self._event_of(registration)
        else:
            # Only the organiser's own school is asked: another school's registration is not found like a missing one.
            event = await self._directory.registration_of(principal.school, parse_registration_id(registration))
            set_school(event.school.slug, event.school.id, event.school.synthetic)
        principal.require(roles)
        return event

    async def _event_of(self, registration: str) -> EventKey:
        event = await self._directory.registration(parse_registration_id(registration))
        set_school(event.school.slug, event.school.id, event.school.synthetic)
        return event


def _must_match(tokens: HolderTokens, registration: str, token: str) -> None:
    if not tokens.matches(parse_registration_id(registration), token):
        raise RegistrationNotFound(registration)
