"""Calls about payments: opening one for a hold, seeing it, giving money back."""

from collections.abc import Sequence
from typing import Final

from pydantic import MISSING
from starlette.requests import Request
from starlette.responses import Response
from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap_chassis.identity.roles import ADMINS

from ticketcap_gateway import schemas, translate
from ticketcap_gateway.access.callers import Access, idempotency_key, payment_of, registration_of
from ticketcap_gateway.edge.json_body import BodyReader
from ticketcap_gateway.edge.operation import Answer, Caller, Operation
from ticketcap_gateway.edge.rate_limits import RateLimiter
from ticketcap_gateway.edge.responses import created, json
from ticketcap_gateway.services.payment import PaymentClient

_TOPIC: Final = "Payments"
_ONE: Final = "/api/v1/payments/{id}"


class Payments:
    """Serves payments. ``openings`` limits how often an address opens one; ``seconds`` is for what YaadPay is asked."""

    def __init__(
        self, payment: PaymentClient, access: Access, bodies: BodyReader, openings: RateLimiter, *, seconds: float
    ) -> None:
        self._payment = payment
        self._access = access
        self._bodies = bodies
        self._openings = openings
        self._seconds = seconds

    def operations(self) -> Sequence[Operation]:
        """Return every call about payments."""
        return (
            Operation(
                method="POST",
                path="/api/v1/registrations/{id}/payments",
                name="createPayment",
                summary="Open a payment for a hold and learn where to send the customer. Only for the holder.",
                topic=_TOPIC,
                handler=self.create,
                caller=Caller.PAYER,
                body=schemas.PaymentCreate,
                body_required=False,
                creates=True,
                seconds=self._seconds,
                answers=[Answer(status=201, description="Where the customer goes.", body=schemas.PaymentCreated)],
                problems=[409, 410, 429],
            ),
            Operation(
                method="GET",
                path=_ONE,
                name="getPayment",
                summary="One payment with its refunds. Organisers: OWNER or ADMIN.",
                topic=_TOPIC,
                handler=self.get,
                caller=Caller.HOLDER,
                answers=[Answer(status=200, description="The payment.", body=schemas.Payment)],
            ),
            Operation(
                method="POST",
                path=_ONE + "/refunds",
                name="createRefund",
                summary="Give a captured payment back, whole or in part. OWNER or ADMIN.",
                topic=_TOPIC,
                handler=self.refund,
                caller=Caller.ORGANISER,
                body=schemas.RefundCreate,
                body_required=False,
                creates=True,
                seconds=self._seconds,
                answers=[Answer(status=201, description="The refund.", body=schemas.RefundCreated)],
                problems=[409],
            ),
        )

    async def create(self, request: Request) -> Response:
        """Open a payment."""
        registration = registration_of(request)
        manage_token = await self._access.holder(request)
        key = idempotency_key(request)
        body = await self._bodies.read_optional(request, schemas.PaymentCreate)
        message = pb.CreatePaymentRequest(
            registration_id=registration,
            manage_token=manage_token,
            language=None if body.language is MISSING else translate.language(body.language),
            idempotency_key=key,
        )
        address, digest = self._access.address(request), translate.digest(message)
        with self._openings.one_use(address, registration.lower(), request=digest) as use:
            answer = await self._payment.create_payment(message)
            if answer.replayed:
                use.give_back()
        location = f"/api/v1/payments/{answer.payment_id}"
        return created(translate.payment_created(answer), location=location, replayed=answer.replayed)

    async def get(self, request: Request) -> Response:
        """Return one payment."""
        payment = payment_of(request)
        credentials = await self._access.credentials(request, ADMINS)
        message = pb.GetPaymentRequest(id=payment, manage_token=credentials.manage_token)
        answer = await self._payment.get_payment(message, credentials.organiser)
        return json(translate.payment(answer.payment))

    async def refund(self, request: Request) -> Response:
        """Give money back."""
        payment = payment_of(request)
        token = await self._access.organiser(request, ADMINS)
        key = idempotency_key(request)
        body = await self._bodies.read_optional(request, schemas.RefundCreate)
        message = pb.RefundPaymentRequest(
            payment_id=payment,
            amount_agorot=None if body.amount_agorot is MISSING else body.amount_agorot,
            idempotency_key=key,
        )
        answer = await self._payment.refund_payment(message, token)
        shown = schemas.RefundCreated(refund=translate.refund(answer.refund), payment=translate.payment(answer.payment))
        # A refund is seen with its payment.
        return created(shown, location=f"/api/v1/payments/{payment}", replayed=answer.replayed)
