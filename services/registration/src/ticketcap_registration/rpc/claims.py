"""Claims: one caller's, or many callers' merged by a gateway. Each is a trace of its own."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from google.rpc import status_pb2
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, Tracer
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis import deadlines
from ticketcap_chassis.concurrency.slices import in_slices
from ticketcap_chassis.errors import Busy, DeadlineExceeded, InternalError, ServiceError, Unavailable
from ticketcap_chassis.rpc.status import to_status
from ticketcap_chassis.rpc.validation import validate
from ticketcap_observability import (
    Telemetry,
    context_from_traceparent,
    get_logger,
    schema,
    sentry,
    set_school,
    traceparent_of,
)
from ticketcap_observability.instruments import Histogram
from uuid_utils.compat import uuid7

from ticketcap_registration.domain.commands import Claim
from ticketcap_registration.domain.confirmation_code import new_code
from ticketcap_registration.domain.holder_token import HolderTokens
from ticketcap_registration.domain.idempotency import fingerprint
from ticketcap_registration.domain.ledger import Claimed
from ticketcap_registration.domain.person import Person
from ticketcap_registration.domain.states import RegistrationStatus
from ticketcap_registration.lanes.lanes import Lanes
from ticketcap_registration.lanes.seat_transaction import Decided
from ticketcap_registration.rpc import translate
from ticketcap_registration.store.directory import Directory, EventKey

_OUR_FAULT: Final = (Busy, DeadlineExceeded, InternalError, Unavailable)

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Takes claims through their lane and answers them."""

    directory: Directory
    lanes: Lanes
    manage_tokens: HolderTokens
    pay_tokens: HolderTokens
    telemetry: Telemetry

    @property
    def tracer(self) -> Tracer:
        """What makes the spans."""
        return self.telemetry.tracer

    async def register(self, request: pb.RegisterRequest, parent: Context | None = None) -> pb.RegisterResponse:
        """Answer one claim, under a span whose parent is ``parent`` or the current one."""
        with (
            sentry.scope(schema.CREATE),
            self.tracer.start_as_current_span(
                schema.CREATE,
                context=parent,
                attributes={schema.SPOTS: request.spots},
                record_exception=False,
                set_status_on_exception=False,
            ) as span,
        ):
            set_school(request.school)
            with _timed(self.telemetry.histogram(schema.REGISTRATION_DURATION)) as outcome:
                claimed = await self._claim(request, span)
                outcome.tell(claimed)
            return self._answer(claimed)

    async def _claim(self, request: pb.RegisterRequest, span: Span) -> Claimed:
        event = await self.directory.event(request.school, request.event)
        span.set_attribute(schema.EVENT_ID, str(event.id))
        span.set_attribute(schema.SCHOOL_ID, str(event.school.id))
        sentry.set_event(str(event.id))
        claim = _claim(request)
        sentry.breadcrumb("registration", "capacity check", event_id=str(event.id), spots_requested=request.spots)
        claimed = await self._place(event, claim)
        span.set_attribute(schema.STATUS, claimed.answer.status)
        span.set_attribute(schema.CONFIRMATION_CODE, claimed.answer.confirmation_code)
        return claimed

    async def register_batch(self, request: pb.RegisterBatchRequest) -> pb.RegisterBatchResponse:
        """Answer many claims; each has its own deadline, trace and error."""
        # A group: were this cancelled between two slices, the items that have begun must not run on alone.
        async with asyncio.TaskGroup() as group:
            items = [group.create_task(self._item(item)) async for item in in_slices(request.items)]
        return pb.RegisterBatchResponse(results=[item.result() for item in items])

    async def _item(self, item: pb.RegisterBatchRequest.Item) -> pb.RegisterBatchResponse.Result:
        try:
            with deadlines.within(item.timeout_ms / 1000 if item.timeout_ms else None):
                validate(item.request)
                response = await self.register(item.request, context_from_traceparent(item.traceparent))
        except Exception as error:  # noqa: BLE001 - one item's failure never touches another
            return pb.RegisterBatchResponse.Result(error=_status(error))
        return pb.RegisterBatchResponse.Result(response=response)

    async def _place(self, event: EventKey, claim: Claim) -> Claimed:
        create = trace.get_current_span()
        with self.tracer.start_as_current_span(
            schema.TRANSACTION, record_exception=False, set_status_on_exception=False
        ) as span:
            answer = await self.lanes.submit(event, claim)
            span.add_link(answer.batch)
            assert isinstance(answer.outcome, Claimed)  # noqa: S101 - what a Claim is answered with
            span.set_attribute(schema.STATUS, answer.outcome.answer.status)
        self._tell_capacity_check(create, answer.decided)
        return answer.outcome

    def _answer(self, claimed: Claimed) -> pb.RegisterResponse:
        answer = claimed.answer
        is_hold = answer.status is RegistrationStatus.PENDING_PAYMENT
        return translate.claim_answer(
            answer,
            manage_token=self.manage_tokens.issue(answer.id),
            pay_token=self.pay_tokens.issue(answer.id) if is_hold else None,
            replayed=claimed.replayed,
        )

    def _tell_capacity_check(self, create: Span, decided: Decided) -> None:
        """Draw the decision, which was made once for the whole batch, into this claim's trace."""
        if not create.is_recording():
            return
        span = self.tracer.start_span(
            schema.CAPACITY_CHECK,
            context=trace.set_span_in_context(create),
            start_time=decided.began,
            attributes={
                schema.CAPACITY: decided.event.capacity,
                schema.SPOTS_RESERVED: decided.event.sold,
                schema.SPOTS_AVAILABLE: decided.event.available,
            },
        )
        span.end(decided.ended)


class _Outcome:
    """How a claim ended, as the metric's label."""

    name = "failed"

    def tell(self, claimed: Claimed) -> None:
        self.name = "replayed" if claimed.replayed else claimed.answer.status.lower()

    def fail(self, error: BaseException) -> None:
        if isinstance(error, asyncio.CancelledError):
            self.name = "cancelled"
        elif isinstance(error, ServiceError) and not isinstance(error, _OUR_FAULT):
            self.name = "refused"


@contextmanager
def _timed(duration: Histogram) -> Iterator[_Outcome]:
    """Measure the code inside as one claim."""
    began, outcome = time.perf_counter(), _Outcome()
    try:
        yield outcome
    except BaseException as error:
        outcome.fail(error)
        raise
    finally:
        duration.record(time.perf_counter() - began, outcome=outcome.name)


def _claim(request: pb.RegisterRequest) -> Claim:
    person = Person.parse(
        name=request.name, phone=request.phone, email=request.email if request.HasField("email") else None
    )
    body = {"name": person.name, "phone": person.phone, "email": person.email, "spots": request.spots}
    registration_id = uuid7()
    return Claim(
        id=registration_id,
        confirmation_code=new_code(),
        person=person,
        spots=request.spots,
        # Without a key of the caller's the claim still needs one of its own, to be found again after a lost commit.
        idempotency_key=request.idempotency_key or str(registration_id),
        fingerprint=fingerprint("register", body),
        traceparent=traceparent_of(),
    )


def _status(error: Exception) -> status_pb2.Status:
    if not isinstance(error, ServiceError):
        _log.error("claim.unexpected_error", exc_info=error)
        error = InternalError("an unexpected error; the log has it under this trace id")
    return to_status(error)
