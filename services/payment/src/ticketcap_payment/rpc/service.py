"""The servicer: each method lets the caller in, asks the room that answers, and translates."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import grpc.aio
from opentelemetry import trace
from opentelemetry.trace import Tracer
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap.payment.v1 import payment_pb2_grpc as pb_grpc
from ticketcap_chassis import deadlines
from ticketcap_chassis.errors import ServiceError
from ticketcap_observability import context_from_traceparent, schema, set_school

from ticketcap_payment.domain.errors import NotEscalated
from ticketcap_payment.domain.payment import Payment
from ticketcap_payment.domain.refund import Refund
from ticketcap_payment.rpc import translate
from ticketcap_payment.rpc.access import Access
from ticketcap_payment.saga.creation import Creation, Wish
from ticketcap_payment.saga.deliveries import Deliveries
from ticketcap_payment.saga.refunds import Ask, Refunds
from ticketcap_payment.saga.resolution import Finding, Resolution
from ticketcap_payment.saga.returns import Returns
from ticketcap_payment.store import payments, refunds
from ticketcap_payment.store.books import Books
from ticketcap_payment.store.directory import Directory, PaymentKey, as_uuid
from ticketcap_payment.store.escalations import Escalations, Kind
from ticketcap_payment.store.outbox import Outbox
from ticketcap_payment.store.transactions import school_transaction

SERVICE: Final = pb.DESCRIPTOR.services_by_name["PaymentService"].full_name
_ESCALATIONS: Final = 50
_SETTLING_SECONDS: Final = 8.0
"""How long a request waits for what follows it; then it is told how things stand, and the work goes on."""
_SLACK_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 0.05

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, kw_only=True)
class PaymentService(pb_grpc.PaymentServiceServicer):
    """``ticketcap.payment.v1.PaymentService``; the proto says what each method is for."""

    access: Access
    engine: AsyncEngine
    directory: Directory
    creation: Creation
    returns: Returns
    refunds: Refunds
    resolution: Resolution
    deliveries: Deliveries
    outbox: Outbox
    books: Books
    escalations: Escalations
    tracer: Tracer

    async def CreatePayment(self, request: pb.CreatePaymentRequest, context: Context) -> pb.CreatePaymentResponse:
        hold = await self.access.hold(
            request.registration_id, manage_token=request.manage_token, pay_token=request.pay_token
        )
        wish = Wish(language=translate.language(request.language), idempotency_key=request.idempotency_key)
        opened = await self.creation.open(hold, wish)
        return pb.CreatePaymentResponse(
            payment_id=str(opened.payment.id),
            redirect_url=opened.payment.redirect_url,
            amount_agorot=opened.payment.amount_agorot,
            currency=opened.payment.currency,
            replayed=opened.replayed,
        )

    async def GetPayment(self, request: pb.GetPaymentRequest, context: Context) -> pb.GetPaymentResponse:
        key = await self.access.payment(request.id, request.manage_token)
        return pb.GetPaymentResponse(payment=translate.payment(*await self._whole(key)))

    async def GetPaymentResult(
        self, request: pb.GetPaymentResultRequest, context: Context
    ) -> pb.GetPaymentResultResponse:
        key = await self.directory.payment(request.id)
        set_school(key.school)
        payment, _ = await self._whole(key)
        return translate.result(payment)

    async def SettleReturn(self, request: pb.SettleReturnRequest, context: Context) -> pb.SettleReturnResponse:
        with self.tracer.start_as_current_span(
            schema.PAYMENT_RETURN, record_exception=False, set_status_on_exception=False
        ) as span:
            received = await self.returns.receive(request.query)
            span.set_attribute(schema.PAYMENT_ID, str(received.payment.id))
            # The browser brought no trace along: the request that sent it away is only linked.
            if opened := context_from_traceparent(received.payment.traceparent):
                span.add_link(trace.get_current_span(opened).get_span_context())
            try:
                await self._settled(received.payment.registration_id, received.payment.event_id)
            finally:
                self.returns.forget(received)
            await self.returns.must_be_genuine(received)
            payment, _ = await self._whole(await self.directory.payment(str(received.payment.id)))
            span.set_attribute(schema.PAYMENT_STATE, payment.state)
            return pb.SettleReturnResponse(result=translate.result(payment), replayed=received.replayed)

    async def RefundPayment(self, request: pb.RefundPaymentRequest, context: Context) -> pb.RefundPaymentResponse:
        key = await self.access.payment(request.payment_id, "")
        amount = request.amount_agorot if request.HasField("amount_agorot") else None
        asked = await self.refunds.ask(key, Ask(amount_agorot=amount, idempotency_key=request.idempotency_key))
        await self._settled(key.registration_id, asked.event_id)
        payment, everything = await self._whole(key)
        refund = next(one for one in everything if one.id == asked.refund.id)
        return pb.RefundPaymentResponse(
            refund=translate.refund(refund), payment=translate.payment(payment, everything), replayed=asked.replayed
        )

    async def ExportPayments(
        self, request: pb.ExportPaymentsRequest, context: Context
    ) -> AsyncIterator[pb.ExportPaymentsResponse]:
        await self.access.school(request.school)
        async for page in self.books.day(request.school, translate.day(request.day)):
            yield pb.ExportPaymentsResponse(entries=[translate.book_entry(entry) for entry in page])

    async def ListEscalations(self, request: pb.ListEscalationsRequest, context: Context) -> pb.ListEscalationsResponse:
        await self.access.super_admin()
        waiting = await self.escalations.oldest(request.limit or _ESCALATIONS)
        return pb.ListEscalationsResponse(escalations=[translate.escalation(one) for one in waiting])

    async def ResolveEscalation(
        self, request: pb.ResolveEscalationRequest, context: Context
    ) -> pb.ResolveEscalationResponse:
        who = await self.access.super_admin()
        subject = as_uuid(request.id)
        if subject is None:
            raise NotEscalated(request.kind, request.id)
        finding = Finding(moved=request.moved, yaadpay_id=request.yaadpay_id, again=request.again, who=who)
        payment = await self.resolution.resolve(Kind(request.kind), subject, finding)
        if payment is None:
            return pb.ResolveEscalationResponse()
        await self._settled(payment.registration_id, payment.event_id)
        key = PaymentKey(payment.id, payment.school, payment.registration_id)
        return pb.ResolveEscalationResponse(payment=translate.payment(*await self._whole(key)))

    async def _settled(self, registration_id: UUID, event_id: UUID) -> None:
        """Take on what is due for a registration, and wait until nothing is under way, within the caller's time."""
        until = time.monotonic() + deadlines.bounded(_SETTLING_SECONDS) - _SLACK_SECONDS
        while (left := until - time.monotonic()) > 0:
            # Not awaited itself: a caller that leaves must not end the work.
            await asyncio.wait([self.deliveries.start(registration_id, event_id)], timeout=left)
            if not await self._is_under_way(registration_id):
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _is_under_way(self, registration_id: UUID) -> bool:
        try:
            return await self.outbox.is_under_way(registration_id)
        except ServiceError:
            return True

    async def _whole(self, key: PaymentKey) -> tuple[Payment, list[Refund]]:
        async with school_transaction(self.engine, key.school) as connection:
            return await payments.get(connection, key.id), await refunds.of_payment(connection, key.id)
