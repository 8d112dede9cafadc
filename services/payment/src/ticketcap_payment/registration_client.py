"""Call the registration service for holds, seats and changes.

SeatGone      a final refusal; a retry gets the same answer
NothingOwed   the registration is confirmed and free: do not charge, and refund an existing charge
"""

from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar
from uuid import UUID

import grpc.aio
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap.registration.v1 import registration_pb2_grpc
from ticketcap_chassis.errors import (
    AlreadyExists,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)
from ticketcap_chassis.identity.service_identity import ServiceIdentity
from ticketcap_chassis.rpc.channel import open_channel
from ticketcap_chassis.rpc.status import from_rpc_error
from ticketcap_chassis.rpc.timestamps import moment
from ticketcap_observability import Telemetry, get_logger

from ticketcap_payment.domain.hold import Hold

SERVICE: Final = "ticketcap.registration.v1.RegistrationService"
# Each of them is idempotent.
_CONSUMER: Final = "payment"
"""The name of this service among the readers of the change feed."""
RETRIED: Final = ("ConfirmHold", "ReclaimHold", "GetHold", "ListChanges", "AcknowledgeChanges")
_STATUS: Final = "REGISTRATION_STATUS_"
_FINAL: Final = (FailedPrecondition, NotFound, AlreadyExists)
_Message = TypeVar("_Message")

_log = get_logger(__name__)


class SeatGone(Exception):
    """The registration has no seat any more; ``reason`` is the registration service's."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NothingOwed(Exception):
    """The event became free and the registration is confirmed: its holder owes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A registration that entered ``status``. ``price_agorot`` is the registration's own, of one spot.

    ``refund_agorot`` bounds the refund of a cancelled one; None: the whole refundable rest.
    """

    id: str
    """Acknowledges the change."""
    registration_id: UUID
    school_slug: str
    school_id: UUID
    school_synthetic: bool = False
    status: str
    traceparent: str
    price_agorot: int
    refund_agorot: int | None


@asynccontextmanager
async def open_registration(
    target: str, identity: ServiceIdentity, telemetry: Telemetry
) -> AsyncIterator["RegistrationClient"]:
    """Open the channel to the registration service for the length of the block."""
    async with open_channel(
        target, service=SERVICE, retried=RETRIED, telemetry=telemetry, identity=identity
    ) as channel:
        yield RegistrationClient(channel, identity)


class RegistrationClient:
    """Calls the registration service under this service's own identity."""

    def __init__(self, channel: grpc.aio.Channel, identity: ServiceIdentity) -> None:
        self._stub = registration_pb2_grpc.RegistrationServiceStub(channel)
        self._identity = identity

    async def hold(self, registration: str, *, manage_token: str = "", pay_token: str = "") -> Hold:
        """Return a registration with its price; a token must be its own. Raises ServiceError."""
        request = pb.GetHoldRequest(registration_id=registration, manage_token=manage_token, pay_token=pay_token)
        return _hold(await self._call(self._stub.GetHold(request, metadata=self._identity.metadata())))

    async def secure(self, registration_id: UUID, seconds: int) -> None:
        """Secure the seat for ``seconds``: lengthen a live hold, claim the seat again for an expired one.

        Raises SeatGone and NothingOwed, and ServiceError when the outcome is unknown.
        """
        request = pb.ReclaimHoldRequest(registration_id=str(registration_id), seconds=seconds)
        response = await self._call_final(self._stub.ReclaimHold(request, metadata=self._identity.metadata()))
        _must_be_owed(response.registration)

    async def confirm(self, registration_id: UUID, seconds: int) -> None:
        """Confirm the registration of a hold; secure the seat again when the hold has expired.

        Raises SeatGone and NothingOwed, and ServiceError when the outcome is unknown.
        """
        try:
            await self._confirm(registration_id)
        except SeatGone as error:
            if error.reason != "HOLD_EXPIRED":
                raise
            await self.secure(registration_id, seconds)
            await self._confirm(registration_id)

    async def changes(self, cursor: str, limit: int) -> tuple[Sequence[Change], str]:
        """Return unacknowledged changes after ``cursor``, and the next cursor; "" at the end. Raises ServiceError."""
        request = pb.ListChangesRequest(consumer=_CONSUMER, cursor=cursor, limit=limit)
        response = await self._call(self._stub.ListChanges(request, metadata=self._identity.metadata()))
        return [_change(change) for change in response.changes], response.cursor

    async def acknowledge(self, change_ids: Sequence[str]) -> None:
        """Let the feed return these changes no more. Raises ServiceError."""
        request = pb.AcknowledgeChangesRequest(consumer=_CONSUMER, ids=change_ids)
        await self._call(self._stub.AcknowledgeChanges(request, metadata=self._identity.metadata()))

    async def _confirm(self, registration_id: UUID) -> None:
        request = pb.ConfirmHoldRequest(registration_id=str(registration_id))
        response = await self._call_final(self._stub.ConfirmHold(request, metadata=self._identity.metadata()))
        _must_be_owed(response.registration)

    async def _call_final(self, call: Awaitable[_Message]) -> _Message:
        try:
            return await self._call(call)
        except _FINAL as error:
            raise SeatGone(error.reason) from error

    async def _call(self, call: Awaitable[_Message]) -> _Message:
        try:
            return await call
        except grpc.aio.AioRpcError as failure:
            error = from_rpc_error(failure)
            if isinstance(error, Unauthenticated | PermissionDenied):
                # The rejected token is this service's own. The caller's token is valid, and a new one would not help.
                _log.error("registration.refused_this_service", reason=error.reason)
                raise Unavailable(
                    "the registration service refuses this service's own token; an operator must renew SERVICE_TOKEN",
                    reason="SERVICE_TOKEN_REFUSED",
                ) from failure
            raise error from failure


def _must_be_owed(registration: pb.Registration) -> None:
    is_confirmed = registration.status == pb.REGISTRATION_STATUS_CONFIRMED
    if is_confirmed and registration.HasField("price_agorot") and registration.price_agorot == 0:
        raise NothingOwed


def _hold(response: pb.GetHoldResponse) -> Hold:
    registration, event = response.registration, response.event
    # A waitlisted registration has no terms yet: it will be offered its seat at the event's price of that day.
    terms = registration if registration.HasField("price_agorot") else event
    return Hold(
        registration_id=UUID(registration.id),
        event_id=UUID(event.id),
        school_slug=registration.school,
        school_id=_school_id(registration.school_id),
        school_synthetic=registration.school_synthetic,
        status=_status(registration.status),
        spots=registration.spots,
        price_agorot=terms.price_agorot,
        currency=terms.currency,
        hold_expires_at=(moment(registration.hold_expires_at) if registration.HasField("hold_expires_at") else None),
        name=registration.name,
        title=event.title,
    )


def _change(message: pb.RegistrationChange) -> Change:
    return Change(
        id=message.id,
        registration_id=UUID(message.registration_id),
        school_slug=message.school,
        school_id=_school_id(message.school_id),
        school_synthetic=message.school_synthetic,
        status=_status(message.status),
        traceparent=message.traceparent,
        price_agorot=message.price_agorot,
        refund_agorot=message.refund_agorot if message.HasField("refund_agorot") else None,
    )


def _school_id(text: str) -> UUID:
    if not text:
        raise Unavailable(
            "the registration service does not name the school's id; upgrade it to this release first",
            reason="REGISTRATION_OUTDATED",
        )
    return UUID(text)


def _status(status: pb.RegistrationStatus) -> str:
    return pb.RegistrationStatus.Name(status).removeprefix(_STATUS)
