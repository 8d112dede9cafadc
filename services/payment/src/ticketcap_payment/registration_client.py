"""What the payment service asks the registration service: what is to be paid, and the seat that goes with the money.

SeatGone      the registration service refuses, and would refuse again
NothingOwed   the registration is confirmed and free: nothing is to be charged, and a charge goes back
"""

from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
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

from ticketcap_payment.domain.intent import Hold

SERVICE: Final = "ticketcap.registration.v1.RegistrationService"
# All of them do the same however often they are sent.
RETRIED: Final = ("ConfirmHold", "ReclaimHold", "GetHold", "ListChanges")
_STATUS: Final = "REGISTRATION_STATUS_"
_FINAL: Final = (FailedPrecondition, NotFound, AlreadyExists)
_Answer = TypeVar("_Answer")

_log = get_logger(__name__)


class SeatGone(Exception):
    """The spots are somebody else's, or nobody's; ``why`` is the registration service's reason."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class NothingOwed(Exception):
    """The event became free and the registration is confirmed: its holder owes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A registration that came into ``status``. ``price_agorot`` is its own, of one spot.

    ``refund_agorot`` is what a cancelled one gets back at most; None: everything that is left.
    """

    registration_id: UUID
    event_id: UUID
    school: str
    status: str
    changed_at: datetime
    traceparent: str
    price_agorot: int
    refund_agorot: int | None


@asynccontextmanager
async def open_registration(
    target: str, identity: ServiceIdentity, telemetry: Telemetry
) -> AsyncIterator["RegistrationClient"]:
    """Open the channel to the registration service for as long as the code inside runs."""
    async with open_channel(
        target, service=SERVICE, retried=RETRIED, telemetry=telemetry, identity=identity
    ) as channel:
        yield RegistrationClient(channel, identity)


class RegistrationClient:
    """Calls of the registration service, made as ourselves."""

    def __init__(self, channel: grpc.aio.Channel, identity: ServiceIdentity) -> None:
        self._stub = registration_pb2_grpc.RegistrationServiceStub(channel)
        self._identity = identity

    async def hold(self, registration: str, *, manage_token: str = "", pay_token: str = "") -> Hold:
        """Return a registration with its price; with a token only its holder's. Raises ServiceError."""
        request = pb.GetHoldRequest(registration_id=registration, manage_token=manage_token, pay_token=pay_token)
        answer = await self._ask(self._stub.GetHold(request, metadata=self._identity.metadata()))
        return _hold(answer)

    async def secure(self, registration_id: UUID, seconds: int) -> None:
        """Make sure of the seat for so long: a live hold is lengthened, an expired one claimed again.

        Raises SeatGone, NothingOwed, and ServiceError when that is not known.
        """
        request = pb.ReclaimHoldRequest(registration_id=str(registration_id), seconds=seconds)
        answer = await self._final(self._stub.ReclaimHold(request, metadata=self._identity.metadata()))
        _must_be_owed(answer.registration)

    async def confirm(self, registration_id: UUID, seconds: int) -> None:
        """Turn the hold into a confirmed registration; one that expired meanwhile is claimed again.

        Raises SeatGone, NothingOwed, and ServiceError when that is not known.
        """
        try:
            await self._confirm(registration_id)
        except SeatGone as error:
            if error.why != "HOLD_EXPIRED":
                raise
            await self.secure(registration_id, seconds)
            await self._confirm(registration_id)

    async def changes(self, cursor: str, statuses: Sequence[str], limit: int) -> tuple[Sequence[Change], str]:
        """Return what happened after ``cursor``, and where to read on. Raises ServiceError."""
        request = pb.ListChangesRequest(cursor=cursor, limit=limit, statuses=[_STATUS + name for name in statuses])
        answer = await self._ask(self._stub.ListChanges(request, metadata=self._identity.metadata()))
        return [_change(change) for change in answer.changes], answer.cursor

    async def _confirm(self, registration_id: UUID) -> None:
        request = pb.ConfirmHoldRequest(registration_id=str(registration_id))
        answer = await self._final(self._stub.ConfirmHold(request, metadata=self._identity.metadata()))
        _must_be_owed(answer.registration)

    async def _final(self, call: Awaitable[_Answer]) -> _Answer:
        try:
            return await self._ask(call)
        except _FINAL as error:
            raise SeatGone(error.reason) from error

    async def _ask(self, call: Awaitable[_Answer]) -> _Answer:
        try:
            return await call
        except grpc.aio.AioRpcError as failure:
            error = from_rpc_error(failure)
            if isinstance(error, Unauthenticated | PermissionDenied):
                # The token is this service's own: its caller's token is not at fault, and can't be renewed to help.
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


def _hold(answer: pb.GetHoldResponse) -> Hold:
    registration, event = answer.registration, answer.event
    # A registration that waits has no terms yet: it is offered its place at the price of that day.
    terms = registration if registration.HasField("price_agorot") else event
    return Hold(
        registration_id=UUID(registration.id),
        event_id=UUID(event.id),
        school=registration.school,
        status=pb.RegistrationStatus.Name(registration.status).removeprefix(_STATUS),
        spots=registration.spots,
        price_agorot=terms.price_agorot,
        currency=terms.currency,
        hold_expires_at=(moment(registration.hold_expires_at) if registration.HasField("hold_expires_at") else None),
        name=registration.name,
        title=event.title,
    )


def _change(message: pb.RegistrationChange) -> Change:
    return Change(
        registration_id=UUID(message.registration_id),
        event_id=UUID(message.event_id),
        school=message.school,
        status=pb.RegistrationStatus.Name(message.status).removeprefix(_STATUS),
        changed_at=moment(message.changed_at),
        traceparent=message.traceparent,
        price_agorot=message.price_agorot,
        refund_agorot=message.refund_agorot if message.HasField("refund_agorot") else None,
    )
