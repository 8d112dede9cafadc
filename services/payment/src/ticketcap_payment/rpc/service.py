"""Serve ``PaymentService``: authorise the call, call one room, translate its result."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import grpc.aio
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap.payment.v1 import payment_pb2_grpc as pb_grpc

from ticketcap_payment.rpc import translate
from ticketcap_payment.rpc.access import Access
from ticketcap_payment.saga.creation import Creation, PaymentRequest
from ticketcap_payment.saga.refunds import RefundRequest
from ticketcap_payment.saga.resolution import Finding
from ticketcap_payment.saga.settlement import Settlement
from ticketcap_payment.store import export, payments
from ticketcap_payment.store.escalations import Escalations, Kind

SERVICE: Final = pb.DESCRIPTOR.services_by_name["PaymentService"].full_name
_ESCALATIONS: Final = 50

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, kw_only=True)
class PaymentService(pb_grpc.PaymentServiceServicer):
    """``ticketcap.payment.v1.PaymentService``; the proto describes each method."""

    access: Access
    engine: AsyncEngine
    creation: Creation
    settlement: Settlement
    escalations: Escalations

    async def CreatePayment(self, request: pb.CreatePaymentRequest, context: Context) -> pb.CreatePaymentResponse:
        hold = await self.access.hold(
            request.registration_id, manage_token=request.manage_token, pay_token=request.pay_token
        )
        language = translate.language(request.language)
        opened = await self.creation.open(
            hold, PaymentRequest(language=language, idempotency_key=request.idempotency_key)
        )
        return pb.CreatePaymentResponse(
            payment_id=str(opened.payment.id),
            redirect_url=opened.payment.redirect_url,
            amount_agorot=opened.payment.amount_agorot,
            currency=opened.payment.currency,
            replayed=opened.replayed,
        )

    async def GetPayment(self, request: pb.GetPaymentRequest, context: Context) -> pb.GetPaymentResponse:
        key = await self.access.payment(request.id, request.manage_token)
        return pb.GetPaymentResponse(payment=translate.payment(await payments.snapshot(self.engine, key)))

    async def GetPaymentResult(
        self, request: pb.GetPaymentResultRequest, context: Context
    ) -> pb.GetPaymentResultResponse:
        return translate.result(await payments.read(self.engine, await self.access.result(request.id)))

    async def SettleReturn(self, request: pb.SettleReturnRequest, context: Context) -> pb.SettleReturnResponse:
        settled = await self.settlement.settle_return(request.query)
        return pb.SettleReturnResponse(result=translate.result(settled.payment), replayed=settled.replayed)

    async def RefundPayment(self, request: pb.RefundPaymentRequest, context: Context) -> pb.RefundPaymentResponse:
        key = await self.access.payment(request.payment_id, "")
        amount = request.amount_agorot if request.HasField("amount_agorot") else None
        settled = await self.settlement.refund(
            key, RefundRequest(amount_agorot=amount, idempotency_key=request.idempotency_key)
        )
        return pb.RefundPaymentResponse(
            refund=translate.refund(settled.refund),
            payment=translate.payment(settled.snapshot),
            replayed=settled.replayed,
        )

    async def ExportPayments(
        self, request: pb.ExportPaymentsRequest, context: Context
    ) -> AsyncIterator[pb.ExportPaymentsResponse]:
        school_id = await self.access.school(request.school)
        day = translate.day(request.day)
        if school_id is None:
            return
        async for page in export.day_of_school(self.engine, school_id, day):
            yield pb.ExportPaymentsResponse(entries=[translate.export_entry(entry) for entry in page])

    async def ListEscalations(self, request: pb.ListEscalationsRequest, context: Context) -> pb.ListEscalationsResponse:
        await self.access.super_admin()
        oldest = await self.escalations.oldest(request.limit or _ESCALATIONS)
        return pb.ListEscalationsResponse(escalations=[translate.escalation(one) for one in oldest])

    async def ResolveEscalation(
        self, request: pb.ResolveEscalationRequest, context: Context
    ) -> pb.ResolveEscalationResponse:
        finding = Finding(
            money_moved=request.moved,
            yaadpay_id=request.yaadpay_id,
            resend=request.again,
            by=await self.access.super_admin(),
        )
        snapshot = await self.settlement.resolve(Kind(request.kind), request.id, finding)
        return pb.ResolveEscalationResponse(payment=translate.payment(snapshot) if snapshot else None)
