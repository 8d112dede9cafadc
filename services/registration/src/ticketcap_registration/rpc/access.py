"""Who may make a call: organisers by role, holders by manage token, other services of ours."""

from ticketcap_chassis.errors import Unauthenticated
from ticketcap_chassis.identity.roles import SERVICES, SUPER_ADMINS, Principal, Role
from ticketcap_chassis.identity.tokens import TokenVerifier
from ticketcap_chassis.rpc.authentication import caller, caller_or_none
from ticketcap_observability import set_school

from ticketcap_registration.domain.errors import RegistrationNotFound
from ticketcap_registration.domain.holder_token import HolderTokens
from ticketcap_registration.store.directory import Directory, EventKey, SchoolKey, as_uuid


class Access:
    """Lets callers in, or raises what they are told."""

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
        """Let a SUPER_ADMIN in."""
        (await caller(self._verifier)).require(SUPER_ADMINS)

    async def service(self) -> None:
        """Let another service of ours in."""
        (await caller(self._verifier)).require(SERVICES | SUPER_ADMINS)

    async def hold(self, registration: str, *, manage_token: str, pay_token: str) -> EventKey:
        """Let another service of ours in, with the holder's token if it passes one on, and find the event."""
        await self.service()
        if manage_token:
            _must_match(self._manage_tokens, registration, manage_token)
        elif pay_token:
            _must_match(self._pay_tokens, registration, pay_token)
        return await self._found(registration)

    async def school(self, school: str, roles: frozenset[Role]) -> SchoolKey:
        """Let an organiser of ``school`` with one of ``roles`` in; to others it does not exist."""
        (await caller(self._verifier)).require_school(school, roles)
        set_school(school)
        key = await self._directory.school(school)
        set_school(key.slug, key.id)
        return key

    async def event(self, school: str, event: str, roles: frozenset[Role]) -> EventKey:
        """Let an organiser of ``school`` with one of ``roles`` in, and find the event."""
        await self.school(school, roles)
        return await self._directory.event(school, event)

    async def registration(self, registration: str, manage_token: str, roles: frozenset[Role]) -> tuple[EventKey, bool]:
        """Let the holder in, or an organiser with one of ``roles``. Return the event, and whether it is the holder.

        Whoever has no right to a registration is told that there is none.
        """
        if manage_token:
            _must_match(self._manage_tokens, registration, manage_token)
            return await self._found(registration), True
        principal = await caller_or_none(self._verifier)
        if principal is None:
            raise Unauthenticated("send the registration's manage token, or an organiser's token")
        return await self._organised(registration, principal, roles), False

    async def _organised(self, registration: str, principal: Principal, roles: frozenset[Role]) -> EventKey:
        event = await self._found(registration)
        if not principal.belongs_to(event.school.slug):
            raise RegistrationNotFound(registration)
        principal.require(roles)
        return event

    async def _found(self, registration: str) -> EventKey:
        event = await self._directory.registration(registration)
        set_school(event.school.slug, event.school.id)
        return event


def _must_match(tokens: HolderTokens, registration: str, token: str) -> None:
    registration_id = as_uuid(registration)
    if registration_id is None or not tokens.matches(registration_id, token):
        raise RegistrationNotFound(registration)
