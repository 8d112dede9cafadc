"""Who may make a call: organisers by role, holders by the registration's token, operators."""

from ticketcap_chassis.errors import NotFound, Unauthenticated
from ticketcap_chassis.identity.roles import ADMINS, SUPER_ADMINS
from ticketcap_chassis.identity.tokens import TokenVerifier
from ticketcap_chassis.rpc.authentication import caller, caller_or_none
from ticketcap_observability import set_school

from ticketcap_payment.domain.errors import PaymentNotFound
from ticketcap_payment.domain.intent import Hold
from ticketcap_payment.registration_client import RegistrationClient
from ticketcap_payment.store.directory import Directory, PaymentKey


class Access:
    """Lets callers in, or raises what they are told."""

    def __init__(self, verifier: TokenVerifier, directory: Directory, registration: RegistrationClient) -> None:
        self._verifier = verifier
        self._directory = directory
        self._registration = registration

    async def super_admin(self) -> str:
        """Let a SUPER_ADMIN in and return who it is."""
        principal = await caller(self._verifier)
        principal.require(SUPER_ADMINS)
        return principal.subject

    async def school(self, school: str) -> None:
        """Let an OWNER or ADMIN of ``school`` in; to others it does not exist."""
        (await caller(self._verifier)).require_school(school, ADMINS)
        set_school(school)

    async def hold(self, registration: str, *, manage_token: str, pay_token: str) -> Hold:
        """Let the holder of one of the two tokens in, and return what is to be paid."""
        if not (manage_token or pay_token):
            raise Unauthenticated("send the registration's manage token or pay token")
        return await self._registration.hold(registration, manage_token=manage_token, pay_token=pay_token)

    async def payment(self, payment: str, manage_token: str) -> PaymentKey:
        """Let the holder in, or an OWNER or ADMIN.

        Another caller gets PaymentNotFound, for a payment that exists as for one that does not.
        """
        if manage_token:
            key = await self._found(payment)
            await self._must_hold(key, payment, manage_token)
            return key
        # The token comes first: without it, or with an invalid one, the answer must not depend on the payment.
        principal = await caller_or_none(self._verifier)
        if principal is None:
            raise Unauthenticated("send the registration's manage token, or an organiser's token")
        key = await self._found(payment)
        if not principal.belongs_to(key.school):
            raise PaymentNotFound(payment)
        principal.require(ADMINS)
        return key

    async def _found(self, payment: str) -> PaymentKey:
        key = await self._directory.payment(payment)
        set_school(key.school)
        return key

    async def _must_hold(self, key: PaymentKey, payment: str, manage_token: str) -> None:
        try:
            await self._registration.hold(str(key.registration_id), manage_token=manage_token)
        except NotFound:
            raise PaymentNotFound(payment) from None
