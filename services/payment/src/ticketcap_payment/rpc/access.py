"""Authorise a call: organisers by role, holders by the registration's token, operators."""

from uuid import UUID

from ticketcap_chassis.errors import NotFound, Unauthenticated
from ticketcap_chassis.identity.roles import ADMINS, SUPER_ADMINS
from ticketcap_chassis.identity.tokens import TokenVerifier
from ticketcap_chassis.rpc.authentication import caller, caller_or_none

from ticketcap_payment.domain.errors import PaymentNotFound
from ticketcap_payment.domain.hold import Hold
from ticketcap_payment.domain.payment import PaymentKey
from ticketcap_payment.registration_client import RegistrationClient
from ticketcap_payment.store.directory import Directory
from ticketcap_payment.store.schools import Schools
from ticketcap_payment.telemetry import describe_school


class Access:
    """Admits callers, or raises the error that they get."""

    def __init__(
        self, verifier: TokenVerifier, schools: Schools, directory: Directory, registration: RegistrationClient
    ) -> None:
        self._verifier = verifier
        self._schools = schools
        self._directory = directory
        self._registration = registration

    async def super_admin(self) -> str:
        """Admit a SUPER_ADMIN and return the caller's id."""
        principal = await caller(self._verifier)
        principal.require(SUPER_ADMINS)
        return principal.subject

    async def school(self, slug: str) -> UUID | None:
        """Admit an OWNER or ADMIN of a school; other callers get NotFound.

        Return the school's id, or None when it never had a payment.
        """
        (await caller(self._verifier)).require_school(slug, ADMINS)
        school_id = await self._schools.find(slug)
        describe_school(slug, school_id)
        return school_id

    async def hold(self, registration: str, *, manage_token: str, pay_token: str) -> Hold:
        """Admit the holder of one of the two tokens, and return the hold."""
        if not (manage_token or pay_token):
            raise Unauthenticated("send the registration's manage token or pay token")
        return await self._registration.hold(registration, manage_token=manage_token, pay_token=pay_token)

    async def payment(self, payment: str, manage_token: str) -> PaymentKey:
        """Admit the holder, or an OWNER or ADMIN.

        Other callers get PaymentNotFound, whether or not the payment exists.
        """
        if manage_token:
            key = await self.result(payment)
            try:
                await self._registration.hold(str(key.registration_id), manage_token=manage_token)
            except NotFound:
                raise PaymentNotFound(payment) from None
            return key
        # The token comes first: without a valid one, the answer must not depend on the payment.
        principal = await caller_or_none(self._verifier)
        if principal is None:
            raise Unauthenticated("send the registration's manage token, or an organiser's token")
        if principal.school is None:
            key = await self.result(payment)
        else:
            # Only the organiser's own school is asked: another school's payment is not found like a missing one.
            key = await self._directory.payment_of(principal.school, payment)
            describe_school(key.school_slug, key.school_id, key.school_synthetic)
        principal.require(ADMINS)
        return key

    async def result(self, payment: str) -> PaymentKey:
        """Find the payment of a public call. Raises PaymentNotFound."""
        key = await self._directory.payment(payment)
        describe_school(key.school_slug, key.school_id, key.school_synthetic)
        return key
