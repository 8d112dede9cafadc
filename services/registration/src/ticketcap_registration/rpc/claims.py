"""Take claims through their lanes, alone or many in one call."""

import asyncio
from dataclasses import dataclass
from uuid import UUID

from google.rpc import status_pb2
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis import deadlines
from ticketcap_chassis.concurrency.slices import in_slices
from ticketcap_chassis.errors import InternalError, ServiceError
from ticketcap_chassis.rpc.status import to_status
from ticketcap_chassis.rpc.validation import validate
from ticketcap_chassis.tagged_ids import tagged_uuid7
from ticketcap_observability import get_logger, traceparent_of

from ticketcap_registration.domain.commands import Claim
from ticketcap_registration.domain.confirmation_code import new_code
from ticketcap_registration.domain.holder_token import HolderTokens
from ticketcap_registration.domain.idempotency import fingerprint
from ticketcap_registration.domain.ledger import ClaimAnswer
from ticketcap_registration.domain.person import Person
from ticketcap_registration.domain.states import RegistrationStatus
from ticketcap_registration.lanes.lanes import Lanes
from ticketcap_registration.rpc import translate
from ticketcap_registration.store.directory import Directory
from ticketcap_registration.telemetry.claims import ClaimTelemetry

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Takes claims through their lanes. Each claim is a trace of its own."""

    directory: Directory
    lanes: Lanes
    manage_tokens: HolderTokens
    pay_tokens: HolderTokens
    telemetry: ClaimTelemetry

    async def register(self, request: pb.RegisterRequest, traceparent: str = "") -> pb.RegisterResponse:
        """Answer one claim, as a child of ``traceparent`` or of the current span."""
        with self.telemetry.claim(request.school, request.spots, traceparent) as observed:
            event = await self.directory.event(request.school, request.event)
            observed.event_found(event)
            claim = _claim(request, event.school.id)
            with observed.transaction():
                applied = await self.lanes.submit(event, claim)
                answer = applied.outcome
                assert isinstance(answer, ClaimAnswer)  # noqa: S101 - the outcome of a Claim
                replayed = answer.id != claim.id
                observed.committed(answer, applied.decision, applied.batch, replayed=replayed)
            is_hold = answer.status is RegistrationStatus.PENDING_PAYMENT
            return translate.claim_answer(
                answer,
                manage_token=self.manage_tokens.issue(answer.id),
                pay_token=self.pay_tokens.issue(answer.id) if is_hold else None,
                replayed=replayed,
            )

    async def register_batch(self, request: pb.RegisterBatchRequest) -> pb.RegisterBatchResponse:
        """Answer many claims; each has its own deadline, trace and error."""
        # A group: when this call is cancelled between two slices, the items that have begun end with it.
        async with asyncio.TaskGroup() as group:
            items = [group.create_task(self._item(item)) async for item in in_slices(request.items)]
        return pb.RegisterBatchResponse(results=[item.result() for item in items])

    async def _item(self, item: pb.RegisterBatchRequest.Item) -> pb.RegisterBatchResponse.Result:
        try:
            with deadlines.within(item.timeout_ms / 1000 if item.timeout_ms else None):
                validate(item.request)
                response = await self.register(item.request, item.traceparent)
        except Exception as error:  # noqa: BLE001 - one item's failure never touches another
            return pb.RegisterBatchResponse.Result(error=_status(error))
        return pb.RegisterBatchResponse.Result(response=response)


def _claim(request: pb.RegisterRequest, school_id: UUID) -> Claim:
    person = Person.parse(
        name=request.name, phone=request.phone, email=request.email if request.HasField("email") else None
    )
    body = {"name": person.name, "phone": person.phone, "email": person.email, "spots": request.spots}
    registration_id = tagged_uuid7(school_id)
    return Claim(
        id=registration_id,
        confirmation_code=new_code(),
        person=person,
        spots=request.spots,
        # A claim without a caller's key has one of its own: it is found again by it after an unknown outcome.
        idempotency_key=request.idempotency_key or str(registration_id),
        fingerprint=fingerprint("register", body),
        traceparent=traceparent_of(),
    )


def _status(error: Exception) -> status_pb2.Status:
    if not isinstance(error, ServiceError):
        _log.error("claim.unexpected_error", exc_info=error)
        error = InternalError("an unexpected error; the log has it under this trace id")
    return to_status(error)
