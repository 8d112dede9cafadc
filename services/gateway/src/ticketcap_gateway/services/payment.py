"""What the gateway asks the payment service: one typed method per call, ServiceErrors instead of statuses."""

from collections.abc import AsyncGenerator
from typing import Final

import grpc.aio
from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap.payment.v1 import payment_pb2_grpc
from ticketcap_chassis import deadlines
from ticketcap_chassis.identity.service_identity import ServiceIdentity
from ticketcap_chassis.rpc.channel import DEFAULT_TIMEOUT_SECONDS, open_channel
from ticketcap_observability import Telemetry

from ticketcap_gateway.services.client import ServiceClient, bearer

SERVICE: Final = "ticketcap.payment.v1.PaymentService"
# Without effect, with an idempotency key in every message, or the same when it is done twice.
RETRIED: Final = (
    "CreatePayment",
    "GetPayment",
    "GetPaymentResult",
    "SettleReturn",
    "RefundPayment",
    "ListEscalations",
)


def open_payment_channel(target: str, identity: ServiceIdentity, telemetry: Telemetry) -> grpc.aio.Channel:
    """Return the channel that a PaymentClient speaks through; the caller closes it."""
    return open_channel(target, service=SERVICE, retried=RETRIED, telemetry=telemetry, identity=identity)


class PaymentClient(ServiceClient):
    """Calls of the payment service. ``token`` is the organiser's JSON Web Token, passed on as it came.

    Where YaadPay may have to be asked, a call takes all the time that its own caller gives it.
    """

    spoken_of = "the payment service"

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel)
        self._stub = payment_pb2_grpc.PaymentServiceStub(channel)

    async def create_payment(self, request: pb.CreatePaymentRequest) -> pb.CreatePaymentResponse:
        """Open a payment and learn where to send the customer."""
        return await self._answer(self._stub.CreatePayment(request, timeout=_all_there_is()))

    async def get_payment(self, request: pb.GetPaymentRequest, token: str) -> pb.GetPaymentResponse:
        """Return one payment; ``token`` is "" for the holder of the manage token."""
        return await self._answer(self._stub.GetPayment(request, metadata=bearer(token)))

    async def get_payment_result(self, request: pb.GetPaymentResultRequest) -> pb.GetPaymentResultResponse:
        """Return how a payment stands, without whose it is."""
        return await self._answer(self._stub.GetPaymentResult(request))

    async def settle_return(self, request: pb.SettleReturnRequest) -> pb.SettleReturnResponse:
        """Have a return verified and settled."""
        return await self._answer(self._stub.SettleReturn(request, timeout=_all_there_is()))

    async def refund_payment(self, request: pb.RefundPaymentRequest, token: str) -> pb.RefundPaymentResponse:
        """Give money back."""
        call = self._stub.RefundPayment(request, metadata=bearer(token), timeout=_all_there_is())
        return await self._answer(call)

    def export_payments(
        self, request: pb.ExportPaymentsRequest, token: str
    ) -> AsyncGenerator[pb.ExportPaymentsResponse, None]:
        """Yield a day's charges and refunds, in portions."""
        return self._portions(lambda: self._stub.ExportPayments(request, metadata=bearer(token)))

    async def list_escalations(self, request: pb.ListEscalationsRequest, token: str) -> pb.ListEscalationsResponse:
        """Return what waits for a person."""
        return await self._answer(self._stub.ListEscalations(request, metadata=bearer(token)))

    async def resolve_escalation(
        self, request: pb.ResolveEscalationRequest, token: str
    ) -> pb.ResolveEscalationResponse:
        """Record what a person found."""
        call = self._stub.ResolveEscalation(request, metadata=bearer(token), timeout=_all_there_is())
        return await self._answer(call)


def _all_there_is() -> float:
    """Return what is left of the caller's time: without a word the channel would give its default."""
    left = deadlines.remaining()
    return DEFAULT_TIMEOUT_SECONDS if left is None else max(0.0, left)
